"""The history that caches follow: a commit for every change, so that nothing is removed without a trace.

A new history makes every cache start over; its first commit accounts for every id that was given out before it.
"""

from __future__ import annotations

import sqlite3

from retrieval.digests import document_digest


def document_row(db: sqlite3.Connection, where: str, *values: object) -> sqlite3.Row | None:
    """The one row of `documents` that fits, None if there is none."""
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    found: sqlite3.Row | None = cursor.execute(f"SELECT * FROM documents WHERE {where}", values).fetchone()
    return found


def seal(db: sqlite3.Connection, row: int) -> None:
    """Bring a document's digest up to date after a change of its columns."""
    stored = document_row(db, "id = ?", row)
    if stored is not None:
        db.execute("UPDATE documents SET digest = ? WHERE id = ?", (document_digest(dict(stored)), row))


def last_id(db: sqlite3.Connection, table: str) -> int:
    """The highest id that a table ever gave out, 0 if none."""
    found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(found[0]) if found else 0


def begin_history(db: sqlite3.Connection) -> None:
    """Forget all commits and start from one; call it inside a transaction."""
    db.execute("DELETE FROM commits")
    ids = (last_id(db, "documents"), 1, last_id(db, "chunks"))
    generation = db.execute(
        "INSERT INTO commits(removed_document, removed_first, removed_last) VALUES (?, ?, ?)", ids
    ).lastrowid
    db.execute("UPDATE documents SET generation = ?", (generation,))
    for (row,) in db.execute("SELECT id FROM documents").fetchall():
        seal(db, row)
