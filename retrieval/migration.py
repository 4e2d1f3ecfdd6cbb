"""Libraries written by an earlier Hearth, brought up to date: a new file beside the old one, then one rename.

The old file stays as a backup beside the new one, so an earlier Hearth can still be given it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from retrieval.digests import DOCUMENT_FIELDS, chunk_digest, document_digest, meta_digest, text_digest, vector_digest
from retrieval.history import begin_history
from retrieval.schema import FILE_NAME, create_file, sync_file, sync_folder

_NEW_COLUMNS = {"metadata": "{}", "facts": "{}"}
"""Columns that format 1 lacked, with what they hold for its documents."""


def migrate(folder: Path) -> Path:
    """Bring a library of format 1 up to date and give its backup; call it only while holding the lock."""
    file, draft, backup = folder / FILE_NAME, folder / f"{FILE_NAME}.new", folder / f"{FILE_NAME}.format-1"
    create_file(draft)
    with sqlite3.connect(file, isolation_level=None) as settling:  # rolls back what a killed writer left half done
        settling.execute("SELECT count(*) FROM documents").fetchone()
    settling.close()
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")  # the draft counts only once it is synced and renamed
        connection.execute("ATTACH ? AS old", (str(file),))
        connection.execute("BEGIN")
        _copy(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()
    sync_file(draft)
    if not backup.exists():
        os.link(file, backup)
    os.replace(draft, file)
    sync_folder(folder)
    return backup


def _copy(db: sqlite3.Connection) -> None:
    meta = dict(db.execute("SELECT key, value FROM old.meta").fetchall())
    fingerprint = meta.get("fingerprint", "")
    if fingerprint:
        meta["digest"] = meta_digest(fingerprint, meta["dimension"], meta["label"])
    db.executemany("INSERT INTO main.meta VALUES (?, ?)", meta.items())
    db.execute("INSERT INTO main.commits SELECT generation, token, NULL, NULL, NULL FROM old.commits")
    names: dict[int, str] = {}
    for row, document in _old_documents(db):
        names[row] = str(document["document_id"])
        marks = ", ".join("?" * (len(document) + 1))
        columns = ", ".join(("id", *document))
        db.execute(f"INSERT INTO main.documents({columns}) VALUES ({marks})", (row, *document.values()))
    for row, body, starts in db.execute("SELECT document, body, page_starts FROM old.texts"):
        digest = text_digest(names[row], body, starts)
        db.execute("INSERT INTO main.texts VALUES (?,?,?,?)", (row, body, starts, digest))
    chunks = 'SELECT id, document, ordinal, "start", "end", page, position, text, value FROM old.chunks, old.vectors'
    for chunk, row, *facts, value in db.execute(f"{chunks} WHERE chunk = id"):
        digest = chunk_digest(names[row], *facts)
        db.execute("INSERT INTO main.chunks VALUES (?,?,?,?,?,?,?,?,?)", (chunk, row, *facts, digest))
        db.execute("INSERT INTO main.vectors VALUES (?,?,?)", (chunk, value, vector_digest(fingerprint, digest, value)))
    # Ids that were given out and removed again must never come back: a cache may still hold them.
    db.execute("DELETE FROM main.sqlite_sequence")
    db.execute("INSERT INTO main.sqlite_sequence SELECT name, seq FROM old.sqlite_sequence")
    begin_history(db)


def _old_documents(db: sqlite3.Connection) -> Iterator[tuple[int, dict[str, object]]]:
    """(row, its columns in the new format with their digest) of every document of format 1."""
    columns = [name for name in DOCUMENT_FIELDS if name not in _NEW_COLUMNS]
    for row, *values in db.execute(f"SELECT id, {', '.join(columns)} FROM old.documents ORDER BY id").fetchall():
        document: dict[str, object] = {**dict(zip(columns, values, strict=True)), **_NEW_COLUMNS}
        yield row, {**document, "digest": document_digest(document)}
