"""The batch form of a task: a JSON-lines file in, the same rows with the result added out, in the same order.

The whole file is checked before any work, and the output appears whole or not at all.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from models.tasks.errors import BadRow

Row = dict[str, Any]
Work = Callable[[Sequence[Row]], Sequence[Mapping[str, Any]]]
"""Rows to what is added to each, in order."""

_ROWS_AT_ONCE = 1024


def run_batch(
    source: Path,
    target: Path,
    work: Work,
    *,
    required: Sequence[str] = ("text",),
    check: Callable[[Row], str | None] | None = None,
    rows_at_once: int = _ROWS_AT_ONCE,
) -> dict[str, Any]:
    """Do a task on every row of a file.

    Args:
        source: JSON lines, gzipped where the name ends so.
        target: Written anew, gzipped where the name ends so; it may be the source itself.
        work: The task.
        required: Fields that every row must have as text that is not empty.
        check: Says what is wrong with a row, as the end of a sentence, or None.
        rows_at_once: Rows given to `work` together.

    Returns:
        `{rows, seconds, rows_per_second}`; a progress bar goes to standard error.

    Raises:
        BadRow: a line that is no JSON object or lacks a field, with its number; nothing is written.
    """
    from tqdm import tqdm

    count = sum(1 for _ in read_rows(source, required, check))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    began = time.perf_counter()
    try:
        with (
            _open(temporary, "wt", gzipped=target.suffix == ".gz") as out,
            tqdm(total=count, unit="row", file=sys.stderr, disable=None) as bar,
        ):
            for rows in _groups(read_rows(source, required, check), rows_at_once):
                for row, added in zip(rows, work(rows), strict=True):
                    out.write(json.dumps({**row, **added}, ensure_ascii=False) + "\n")
                bar.update(len(rows))
        seconds = time.perf_counter() - began
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return {"rows": count, "seconds": round(seconds, 3), "rows_per_second": round(count / seconds, 2) if count else 0.0}


def read_rows(
    source: Path, required: Sequence[str] = ("text",), check: Callable[[Row], str | None] | None = None
) -> Iterator[Row]:
    """The rows of a JSON-lines file; blank lines are passed over.

    Raises:
        BadRow: with the line's number.
    """
    line = 0
    try:
        with _open(source, "rt", gzipped=source.suffix == ".gz") as file:
            for line, raw in enumerate(file, start=1):
                if raw.strip():
                    row = _parse(source.name, line, raw)
                    reason = _missing(row, required) or (check(row) if check else None)
                    if reason:
                        raise BadRow(source.name, line, reason)
                    yield row
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise BadRow(source.name, line + 1, f"cannot be read ({error})") from error


def _parse(name: str, line: int, raw: str) -> Row:
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadRow(name, line, f"is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise BadRow(name, line, "is no JSON object")
    return row


def _missing(row: Row, required: Sequence[str]) -> str | None:
    for field in required:
        value = row.get(field)
        if not isinstance(value, str):
            found = ", ".join(sorted(row)) or "no fields"
            return f"has no text in the field {field!r} (it has {found})"
        if not value.strip():
            return f"has nothing in the field {field!r}"
    return None


def _groups(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _open(path: Path, mode: str, *, gzipped: bool) -> IO[str]:
    if gzipped:
        return gzip.open(path, mode, encoding="utf-8")  # type: ignore[return-value]
    return path.open(mode, encoding="utf-8")
