"""Files to plain rows: csv, tsv, json, jsonl, parquet, text (each also gzipped), saved data sets and hub data sets.

Every row comes with the line (or row number) it stands on, so that a complaint can name it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from training.errors import DataError, DataNotFound

HUB = "hub:"
_MAX_FIELD_CHARACTERS = 10_000_000
_KINDS = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "text"}
_KINDS |= {".parquet": "parquet"}


@dataclass(frozen=True)
class Row:
    """One row as it stands in its source: `line` is 1-based, a header counted where there is one."""

    values: dict[str, Any]
    line: int


def rows_of(source: str, base: Path, hub_hint: str | None = None, *, paragraphs: bool = False) -> Iterator[Row]:
    """The rows of one source, in order, never all in memory.

    Args:
        source: A file or folder relative to `base`, or `hub:name[:config][:split]`.
        base: The folder of the recipe.
        hub_hint: The hub's name of the same data, for the message where the file is not there.
        paragraphs: A text file's rows are its paragraphs, with empty lines between them, and not its lines.

    Raises:
        DataNotFound: nothing there. DataError: a line that cannot be read.
    """
    if source.startswith(HUB):
        yield from _hub(source)
        return
    path = (base / source).expanduser()
    if path.is_dir():
        yield from _saved(path)
        return
    if not path.is_file():
        hint = f" (the hub has it as {hub_hint}: set the path to hub:{hub_hint} while online)" if hub_hint else ""
        raise DataNotFound(source, f"there is no such file from {base}; correct data paths in the recipe{hint}.")
    kind = _kind(path)
    if kind == "parquet":
        yield from _parquet(path)
        return
    with _opened(path) as stream:
        text = _paragraphs if paragraphs else _text
        yield from {"csv": _csv, "tsv": _csv, "json": _json, "jsonl": _jsonl, "text": text}[kind](stream, path)


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = _KINDS.get(suffixes[-1] if suffixes else "")
    if kind is None:
        raise DataError(path.name, f"expected a file of {', '.join(_KINDS)} (or .gz of one); rename or convert it.")
    return kind


def _opened(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _csv(stream: TextIO, path: Path) -> Iterator[Row]:
    csv.field_size_limit(min(_MAX_FIELD_CHARACTERS, sys.maxsize))
    reader = csv.reader(stream, dialect=_dialect(stream, path), strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise DataError(path.name, "the file is empty; expected a header line and rows.")
        names = [name.strip() for name in header]
        if len(set(names)) < len(names):
            raise DataError(path.name, f"two columns share a name in {', '.join(names)}; rename one.", 1)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                raise DataError(
                    path.name,
                    f"{len(cells)} fields were found and the header has {len(names)}; quote fields that hold commas.",
                    reader.line_num,
                )
            yield Row(dict(zip(names, cells, strict=True)), reader.line_num)
    except csv.Error as error:
        raise DataError(path.name, f"{error}; correct the quoting.", reader.line_num) from error
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error, reader.line_num) from error


def _dialect(stream: TextIO, path: Path) -> type[csv.Dialect]:
    if ".tsv" in [suffix.lower() for suffix in path.suffixes]:
        return csv.excel_tab
    try:
        head = stream.readline()
        stream.seek(0)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error, 1) from error
    if head.count(";") > head.count(","):  # what spreadsheets write where the comma is the decimal sign

        class Semicolon(csv.excel):
            delimiter = ";"

        return Semicolon
    return csv.excel


def _jsonl(stream: TextIO, path: Path) -> Iterator[Row]:
    number = 0
    try:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield Row(_object(_parsed(line, path, number), path, number), number)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error, number + 1) from error


def _json(stream: TextIO, path: Path) -> Iterator[Row]:
    try:
        text = stream.read()
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error, 1) from error
    try:
        value = json.loads(text)
    except ValueError:
        lines = io.StringIO(text)  # many people name JSON lines .json
        yield from _jsonl(lines, path)
        return
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if not isinstance(value, list):
        raise DataError(path.name, "expected a list of objects, or one object a line.")
    for number, one in enumerate(value, start=1):
        yield Row(_object(one, path, number), number)


def _text(stream: TextIO, path: Path) -> Iterator[Row]:
    number = 0
    try:
        for number, line in enumerate(stream, start=1):
            yield Row({"text": line.rstrip("\r\n")}, number)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error, number + 1) from error


def _paragraphs(stream: TextIO, path: Path) -> Iterator[Row]:
    for empty, lines in groupby(_text(stream, path), key=lambda row: not row.values["text"].strip()):
        if not empty:
            own = list(lines)
            yield Row({"text": "\n".join(row.values["text"] for row in own)}, own[0].line)


def _parquet(path: Path) -> Iterator[Row]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(values, number)
    except (ArrowInvalid, OSError) as error:
        raise DataError(path.name, f"is no readable parquet file ({error}).") from error


def _saved(folder: Path) -> Iterator[Row]:
    import datasets

    try:
        found = datasets.load_from_disk(str(folder))
    except (FileNotFoundError, ValueError, OSError) as error:
        raise DataError(folder.name, "is a folder without a data set that `datasets` saved.") from error
    if isinstance(found, datasets.DatasetDict):
        raise DataError(folder.name, f"holds the parts {', '.join(found)}; name the folder of one of them.")
    for number, values in enumerate(found, start=1):
        yield Row(dict(values), number)


def _hub(source: str) -> Iterator[Row]:
    import datasets

    name, config, split = [*source[len(HUB) :].split(":"), "", ""][:3]
    try:
        found = datasets.load_dataset(name, config or None, split=split or "train", streaming=True)
        for number, values in enumerate(found, start=1):
            yield Row(dict(values), number)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataNotFound(source, f"could not be read from the hub ({reason}); check its name.") from error


def _parsed(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise DataError(path.name, f"is no JSON ({error}).", number) from error


def _object(value: Any, path: Path, number: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(path.name, f"expected an object with named values, found {type(value).__name__}.", number)
    return {str(name): one for name, one in value.items()}


def _not_utf8(path: Path, error: UnicodeDecodeError, line: int) -> DataError:
    return DataError(
        path.name, f"is not UTF-8 near this line (byte {error.object[error.start]:#04x}); save it so.", line
    )
