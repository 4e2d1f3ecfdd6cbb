"""A library file that SQLite itself finds damaged: every row that can still be read goes into a new one.

The damaged file is kept beside it. What could not be read, or was read wrong, is found by the next check and mended
like any other damage.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval.lock import hold
from retrieval.schema import APPLICATION_ID, FILE_NAME, SCHEMA_VERSION, TABLES, create_file, sync_file, sync_folder
from retrieval.stored import WRITER_WAIT_SECONDS

_TABLES = ("meta", "commits", "documents", "texts", "chunks", "vectors")
"""Without `new_vectors`: an unfinished re-embedding begins anew."""
_MOST_MISSES = 100_000
_HEADER = (
    (0, b"SQLite format 3\0"), (16, (4096).to_bytes(2, "big")), (18, b"\x01\x01\x00\x40\x20\x20"),
    (44, (4).to_bytes(4, "big")), (56, (1).to_bytes(4, "big")), (60, SCHEMA_VERSION.to_bytes(4, "big")),
    (68, APPLICATION_ID.to_bytes(4, "big")), (72, bytes(20)),
)  # fmt: skip
"""What the header of every library holds (offset, bytes). Source: sqlite.org/fileformat2.html, section 1.3."""


def salvage(folder: Path) -> bool:
    """Put a sound file in the place of a damaged one, which is kept; False if there was nothing to save in it."""
    file, draft, copy = folder / FILE_NAME, folder / f"{FILE_NAME}.new", folder / f"{FILE_NAME}.copy"
    with hold(folder / "library.lock", WRITER_WAIT_SECONDS):
        try:
            create_file(draft)
            saved = _copied(file, copy, draft)
        finally:
            copy.unlink(missing_ok=True)
        if not saved:
            draft.unlink()
            return False
        sync_file(draft)
        os.link(file, _free_name(folder))
        (folder / f"{FILE_NAME}-journal").unlink(missing_ok=True)  # it must never be applied to the new file
        os.replace(draft, file)
        sync_folder(folder)
    return True


def _free_name(folder: Path) -> Path:
    number = 1
    while (kept := folder / f"{FILE_NAME}.damaged-{number}").exists():
        number += 1
    return kept


def _copied(file: Path, copy: Path, draft: Path) -> bool:
    """Whether the draft holds a document after everything readable was copied into it."""
    shutil.copyfile(file, copy)
    with copy.open("r+b") as damaged:
        for offset, constant in _HEADER:
            damaged.seek(offset)
            damaged.write(constant)
    with contextlib.suppress(sqlite3.Error):
        _put_schema_back(copy)
    with (
        contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as new,
        contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as old,
    ):
        old.text_factory = lambda data: data.decode("utf-8", "replace")
        new.execute("PRAGMA synchronous=OFF")  # the draft counts only once it is synced and renamed
        new.execute("BEGIN")
        for table in _TABLES:
            _copy(old, new, table)
        _copy_counters(old, new)
        new.execute("COMMIT")
        return bool(new.execute("SELECT count(*) FROM documents").fetchone()[0])


def _put_schema_back(copy: Path) -> None:
    """Write the statements that made the tables over those in the file, which may be damaged."""
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema=ON")
        for statement in TABLES.split(";"):
            if found := re.match(r"\s*CREATE (?:UNIQUE )?(?:TABLE|INDEX) (\w+)", statement):
                db.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (statement.strip(), found[1]))


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
    names = ", ".join(f'"{name}"' for name in columns)
    insert = f"INSERT OR IGNORE INTO {table}({names}) VALUES ({', '.join('?' * len(columns))})"
    for row in _readable(old, table, names, columns[0]):
        with contextlib.suppress(sqlite3.Error, OverflowError):
            new.execute(insert, row)


def _readable(old: sqlite3.Connection, table: str, names: str, key: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a table: in one sweep as far as that goes, then each by its number, until none comes for long."""
    try:
        yield from old.execute(f"SELECT {names} FROM {table} NOT INDEXED")
        return
    except sqlite3.Error:
        misses = number = 0
    while table != "meta" and misses < _MOST_MISSES:
        number += 1
        try:
            found = old.execute(f"SELECT {names} FROM {table} WHERE {key} = ?", (number,)).fetchone()
        except sqlite3.Error:
            found = None
        misses = 0 if found else misses + 1
        if found:
            yield found


def _copy_counters(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Carry over the highest ids ever given out, by which the next check sees what is missing."""
    with contextlib.suppress(sqlite3.Error, OverflowError):
        for table, last in old.execute("SELECT name, seq FROM sqlite_sequence").fetchall():
            new.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (last, table))
