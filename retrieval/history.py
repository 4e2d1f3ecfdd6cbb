"""The history that caches follow: a commit for every change, so that nothing is removed without a trace.

Each commit's token holds chance, which tells two histories apart, and a digest of the commit and the token before it,
which shows a change made later. A new history makes every cache start over; its first commit accounts for every id
that was given out before it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Protocol

from retrieval.digests import document_digest


class Database(Protocol):
    """A connection to the library's tables: SQLite's own, or one that takes the same statements."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Run one statement, its values marked by `?`."""

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Run one statement for each row of values."""

    def cursor(self) -> Any:
        """Something with `execute`, and with a `row_factory` that may be set to `sqlite3.Row`."""


def document_row(db: Database, where: str, *values: object) -> sqlite3.Row | None:
    """The one row of `documents` that fits, None if there is none."""
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    found: sqlite3.Row | None = cursor.execute(f"SELECT * FROM documents WHERE {where}", values).fetchone()
    return found


def seal(db: Database, row: int) -> None:
    """Bring a document's digest up to date after a change of its columns."""
    stored = document_row(db, "id = ?", row)
    if stored is not None:
        db.execute("UPDATE documents SET digest = ? WHERE id = ?", (document_digest(dict(stored)), row))


def last_id(db: Database, table: str) -> int:
    """The highest id that a table ever gave out, 0 if none."""
    counters = "sqlite_sequence" if isinstance(db, sqlite3.Connection) else "counters"
    found = db.execute(f"SELECT seq FROM {counters} WHERE name = ?", (table,)).fetchone()
    return int(found[0]) if found else 0


def add_commit(db: Database, document: int | None, first: int | None, last: int | None) -> int:
    """The number of a new commit, with the document it removed and the chunks it removed or moved."""
    newest = db.execute("SELECT token FROM commits ORDER BY generation DESC LIMIT 1").fetchone()
    generation = last_id(db, "commits") + 1
    token = _token(newest[0] if newest else "", secrets.token_hex(8), generation, document, first, last)
    db.execute("INSERT INTO commits VALUES (?, ?, ?, ?, ?)", (generation, token, document, first, last))
    return generation


def _token(before: str, chance: str, *facts: int | None) -> str:
    digest = blake2b(json.dumps([before, chance, *facts], default=repr).encode(), digest_size=8)
    return chance + digest.hexdigest()


def unbroken(commits: Sequence[tuple[Any, ...]]) -> bool:
    """Whether all these rows of `commits`, in their order, are as they were written and none is missing between."""
    before, expected = "", commits[0][0] if commits else 1
    for generation, token, *facts in commits:
        if generation != expected or str(token) != _token(before, str(token)[:16], generation, *facts):
            return False
        before, expected = token, generation + 1
    return True


def begin_history(db: Database) -> None:
    """Forget all commits and start from one; call it inside a transaction."""
    if isinstance(db, sqlite3.Connection):
        db.execute("PRAGMA defer_foreign_keys=ON")
    db.execute("DELETE FROM commits")
    generation = add_commit(db, last_id(db, "documents"), 1, last_id(db, "chunks"))
    for (row,) in db.execute("SELECT id FROM documents").fetchall():
        document = document_row(db, "id = ?", row)
        sound = document is not None and document_digest(dict(document)) == document["digest"]
        db.execute("UPDATE documents SET generation = ? WHERE id = ?", (generation, row))
        if sound:  # a damaged record stays recognisable as one
            seal(db, row)
