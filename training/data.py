"""A recipe's rows: read, mapped to the task's columns, split, fingerprinted, and kept memory-mapped in an Arrow file.

Data larger than memory works, because nothing here holds more than the hashes of the rows.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.errors import ColumnMissing, DataError, TooFewRows
from training.recipe import Recipe
from training.sources import Row, rows_of

if TYPE_CHECKING:
    from datasets import Dataset

Kind = Literal["text", "label", "number", "texts", "messages", "tokens", "marks"]
Layout = Callable[[dict[str, Any]], Iterable[dict[str, Any]]]
PARTS = ("train", "validation", "test")
SOURCE, LINE = "_source", "_line"


@dataclass(frozen=True)
class Column:
    """A column that a task reads.

    `kind` "text" must be text with something in it; "label" is a text, a whole number or a list of either; "texts" and
    "tokens" are lists of texts; "messages" is a list of `{role, content}`; "marks" is a list that says something about
    the others, so it is no part of the question. `blank` allows an empty text. `answer` is
    what a model shall write: no part of what makes two rows the same question, and several answers may be right.
    """

    name: str
    kind: Kind = "text"
    required: bool = True
    blank: bool = False
    answer: bool = False


@dataclass(frozen=True)
class Part:
    """One part of the data: rows in order, each with `_source` and `_line` beside the task's columns."""

    rows: Dataset
    fingerprint: str

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def column(self, name: str) -> list[Any]:
        """All values of one column."""
        return list(self.rows[name])


@dataclass(frozen=True)
class Splits:
    """The three parts; `dropped` counts rows left out by their reason."""

    train: Part
    validation: Part
    test: Part
    dropped: dict[str, int]

    @property
    def fingerprint(self) -> str:
        """One hash for all rows and their order."""
        parts = "".join(getattr(self, name).fingerprint for name in PARTS)
        return hashlib.sha256(parts.encode()).hexdigest()

    def items(self) -> list[tuple[str, Part]]:
        """The parts by name."""
        return [(name, getattr(self, name)) for name in PARTS]


def load_data(recipe: Recipe, columns: Sequence[Column], folder: Path, layout: Layout | None = None) -> Splits:
    """Reads, maps and splits; the rows are written into `folder` as Arrow files, a file a source part.

    `layout` turns a source's row, the recipe's names already given, into rows with the task's columns; what it raises
    as a ValueError is told with the file and the line.

    Raises:
        DataError and its kin: with the file and the line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reader = _Reader(recipe, columns, layout)
    given = [part for part in PARTS if getattr(recipe.data, part)]
    stored = {part: _store(reader.rows(getattr(recipe.data, part)), folder / f"{part}.arrow") for part in given}
    chosen = {part: (part, list(range(len(stored[part].hashes)))) for part in given}
    drawn = _drawn(recipe, stored["train"], given)
    if recipe.data.split.by:
        held = {group for part in given if part != "train" for group in stored[part].groups}
        drawn = {part: _apart(reader, stored["train"], indices, held) for part, indices in drawn.items()}
    chosen |= {part: ("train", indices) for part, indices in drawn.items()}
    if recipe.data.further:
        held = {stored[source].groups[at] for part, (source, rows) in chosen.items() if part != "train" for at in rows}
        more = _store(reader.rows(recipe.data.further), folder / "further.arrow")
        stored["train"], chosen["train"] = _with_further(stored["train"], drawn["train"], more, reader, held)
    parts = {part: _part(recipe, part, stored[source], indices) for part, (source, indices) in chosen.items()}
    if not len(parts["train"]):
        raise TooFewRows(", ".join(recipe.data.train), "no row is left to learn from; check the split and the columns.")
    return Splits(**parts, dropped=dict(reader.dropped))


class _Reader:
    """Rows of the recipe's sources with the task's columns."""

    def __init__(self, recipe: Recipe, columns: Sequence[Column], layout: Layout | None) -> None:
        self._recipe, self._columns, self._layout = recipe, columns, layout
        self.dropped: dict[str, int] = {}

    def count(self, reason: str, rows: int = 1) -> None:
        """Notes rows that were left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + rows

    def rows(self, sources: Sequence[str]) -> Iterator[tuple[dict[str, Any], str]]:
        """Each usable row and the value that keeps it together with others ("" where nothing does)."""
        data = self._recipe.data
        for source in sources:
            count = 0
            for row in rows_of(source, self._recipe.path.parent, data.hub, paragraphs=data.paragraphs):
                count += 1
                for own in [row] if self._layout is None else self._laid_out(row, source):
                    mapped = self._mapped(own, source)
                    if mapped is not None:
                        yield mapped, self._group(row, own, source)
            if not count:
                raise TooFewRows(source, "the file has no rows.")

    def _mapped(self, row: Row, source: str) -> dict[str, Any] | None:
        value: dict[str, Any] = {}
        for column in self._columns:
            fixed = self._recipe.data.values.get(column.name)
            names = {} if self._layout else self._recipe.data.columns
            name = names.get(column.name, column.name)
            if fixed is None and name not in row.values:
                if column.required or column.name in names:
                    raise ColumnMissing(source, name, list(row.values), row.line)
                continue
            given = fixed if fixed is not None else row.values[name]
            if (reason := _missing(given, column)) is not None:
                self.count(reason)
                return None
            value[column.name] = _checked(given, column, source, row.line)
        return value | {SOURCE: source, LINE: row.line}

    def _laid_out(self, row: Row, source: str) -> list[Row]:
        """The rows that the task's layout makes of one, the recipe's names and fixed values given to it."""
        data = self._recipe.data
        renamed = {own: row.values[name] for own, name in data.columns.items() if name in row.values}
        try:
            assert self._layout is not None
            return [Row(values, row.line) for values in self._layout({**row.values, **renamed, **data.values})]
        except ValueError as error:
            raise DataError(source, str(error), row.line) from error

    def _group(self, row: Row, own: Row, source: str) -> str:
        """What keeps a row together with others; a layout may write it in one way for all sources."""
        by = self._recipe.data.split.by
        if not by:  # what was made of one row stays in one part
            return json.dumps(row.values, ensure_ascii=False, default=str) if self._layout else ""
        found = next((values[name] for name in by for values in (own.values, row.values) if name in values), None)
        if found is None:
            raise ColumnMissing(source, " or ".join(by), list(row.values), row.line)
        return _group_of(found)


def _group_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _missing(given: Any, column: Column) -> str | None:
    """Why a row is left out for this value; None where it is not."""
    if given is None or (isinstance(given, float) and math.isnan(given)):
        return f"no {column.name}" if column.required else None
    holds_one = column.kind in ("text", "label", "number")
    if holds_one and not column.blank and isinstance(given, str) and not given.strip():
        return f"empty {column.name}"
    return None


def _checked(given: Any, column: Column, source: str, line: int) -> Any:
    expected = {
        "text": (str,),
        "label": (str, int, bool, float, list),
        "number": (int, float),
        "texts": (list, str),
        "messages": (list,),
        "tokens": (list,),
        "marks": (list,),
    }[column.kind]
    if column.kind == "number" and isinstance(given, (str, int, float)):
        try:
            return float(given)
        except ValueError as error:
            raise DataError(source, f"{column.name} is {given!r}, expected a number.", line) from error
    if column.kind == "text" and isinstance(given, (int, float)):
        return str(given)
    if not isinstance(given, expected) and not (given is None and not column.required):
        kinds = " or ".join(one.__name__ for one in expected)
        raise DataError(source, f"{column.name} is of type {type(given).__name__}, expected {kinds}.", line)
    if column.kind == "label":  # text everywhere: files of one set may write 1, "1" and 1.0
        return [_label(one) for one in given] if isinstance(given, list) else [_label(given)]
    if column.kind == "texts" and isinstance(given, str):
        return [given]
    return given


def _label(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


@dataclass(frozen=True)
class _Stored:
    """Rows on disk, with the hash of each row's content and of its group."""

    rows: Dataset
    hashes: list[bytes]
    groups: list[bytes]


def _store(rows: Iterable[tuple[dict[str, Any], str]], path: Path) -> _Stored:
    """Writes rows to an Arrow file and opens it memory-mapped."""
    from datasets import Dataset
    from datasets.arrow_writer import ArrowWriter
    from pyarrow import ArrowInvalid, ArrowTypeError

    path.unlink(missing_ok=True)
    hashes, groups = [], []
    row: dict[str, Any] = {}
    try:
        with ArrowWriter(path=str(path)) as writer:
            for row, group in rows:
                writer.write(row)
                hashes.append(_digest(content(row)))
                groups.append(_digest(group) if group else hashes[-1])
            if hashes:
                writer.finalize()
    except (ArrowInvalid, ArrowTypeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(str(row.get(SOURCE)), f"rows of different types cannot stand together ({reason}).") from error
    return _Stored(Dataset.from_file(str(path)) if hashes else Dataset.from_dict({}), hashes, groups)


def _drawn(recipe: Recipe, whole: _Stored, given: Sequence[str]) -> dict[str, list[int]]:
    """Rows of the training files by part, for the parts that have no file of their own and for what stays to train.

    A row's part depends on the seed and its own content (or its group) alone, so other rows never move it.
    """
    drawn: dict[str, list[int]] = {"train": [], **{part: [] for part in PARTS[1:] if part not in given}}
    for index, group in enumerate(whole.groups):
        drawn[_part_of(recipe, group, list(drawn)[1:])].append(index)
    return drawn


def part_of_group(recipe: Recipe, value: Any) -> str:
    """The part that the training files' rows with this value of the column `split.by` go to."""
    return _part_of(recipe, _digest(_group_of(value)), [part for part in PARTS[1:] if not getattr(recipe.data, part)])


def _part_of(recipe: Recipe, group: bytes, parts: Sequence[str]) -> str:
    place = int.from_bytes(hashlib.sha256(f"{recipe.seed}:".encode() + group).digest()[:8], "big") / 2**64
    for part in parts:
        share: float = getattr(recipe.data.split, part)
        if place < share:
            return part
        place -= share
    return "train"


def _apart(reader: _Reader, whole: _Stored, indices: list[int], held: set[bytes]) -> list[int]:
    """The rows that do not belong together with a row of a file of another part; the others are counted."""
    kept = [index for index in indices if whole.groups[index] not in held]
    if len(kept) < len(indices):
        reader.count("of a group that another part's file holds", len(indices) - len(kept))
    return kept


def _with_further(
    whole: _Stored, indices: list[int], more: _Stored, reader: _Reader, held: set[bytes]
) -> tuple[_Stored, tuple[str, list[int]]]:
    """The training files with what is only learned from behind them, and the rows of both that are learned from."""
    from datasets import concatenate_datasets

    together = _Stored(
        concatenate_datasets([whole.rows, more.rows]), whole.hashes + more.hashes, whole.groups + more.groups
    )
    rows = [*indices, *range(len(whole.hashes), len(together.hashes))]
    return together, ("train", _apart(reader, together, rows, held))


def _part(recipe: Recipe, part: str, stored: _Stored, indices: list[int]) -> Part:
    """The chosen rows, cut to the recipe's number of rows for this part."""
    most = getattr(recipe.data, f"{part}_rows")
    if most is not None and most < len(indices):
        indices = sorted(random.Random(f"{recipe.seed}:{part}").sample(indices, most))
    fingerprint = hashlib.sha256(b"".join(stored.hashes[index] for index in indices)).hexdigest()
    return Part(stored.rows.select(indices) if stored.hashes else stored.rows, fingerprint)


def content(row: Mapping[str, Any]) -> str:
    """A row's own values as one text; where it came from left out."""
    return json.dumps({key: row[key] for key in sorted(row) if key not in (SOURCE, LINE)}, ensure_ascii=False)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
