"""Mending single rows by their seals: a value that can be derived is right when the digest says so.

Every function works inside the caller's transaction, on a database that SQLite finds sound.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval.digests import chunk_digest, document_digest, text_digest, text_sha256, vector_digest
from retrieval.errors import DocumentError
from retrieval.history import document_row, last_id
from retrieval.sources import SourceFile, hash_file, open_file, stamp_of
from retrieval.writer import Writer

_TEXT_SOURCE = "text:"
_WIDEST_GAP = 1000


def drop_dangling(writer: Writer) -> None:
    """Take out texts, chunks and vectors that belong to nothing."""
    with writer.transaction():
        for table in ("texts", "chunks"):
            writer.connection.execute(f"DELETE FROM {table} WHERE document NOT IN (SELECT id FROM documents)")
        for table in ("vectors", "new_vectors"):
            writer.connection.execute(f"DELETE FROM {table} WHERE chunk NOT IN (SELECT id FROM chunks)")


def count_on(db: sqlite3.Connection) -> None:
    """Make no id be given out twice."""
    for table in ("documents", "chunks"):
        highest = db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
        if last_id(db, table) < highest:
            db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, highest))


def mend_chunks(db: sqlite3.Connection, row: int, fingerprint: str) -> None:
    """Put back chunk texts from the document's text, and seals that the vectors' own seals prove."""
    document = document_row(db, "id = ?", row)
    text = db.execute("SELECT body FROM texts WHERE document = ?", (row,)).fetchone()
    if document is None:
        return
    query = (
        'SELECT c.id, c.ordinal, c."start", c."end", c.page, c.position, c.text, c.digest, v.value, v.digest'
        " FROM chunks c LEFT JOIN vectors v ON v.chunk = c.id WHERE c.document = ?"
    )
    for chunk, ordinal, start, end, page, position, held, digest, value, sealed in db.execute(query, (row,)).fetchall():
        place = (document["document_id"], ordinal, start, end, page, position)
        if chunk_digest(*place, held) == digest:
            continue
        whole = isinstance(start, int) and isinstance(end, int) and text is not None
        if whole and chunk_digest(*place, text[0][start:end]) == digest:
            db.execute("UPDATE chunks SET text = ? WHERE id = ?", (text[0][start:end], chunk))
            continue
        made = chunk_digest(*place, held)
        if isinstance(value, bytes) and vector_digest(fingerprint, made, value) == sealed:
            db.execute("UPDATE chunks SET digest = ? WHERE id = ?", (made, chunk))


def mend_text(db: sqlite3.Connection, row: int) -> None:
    """Join a lost or changed text from its chunks, if what comes out fits its seal or its hash.

    Chunks begin and end at words, so what lies between two of them is white space, which is tried.
    """
    document = document_row(db, "id = ?", row)
    if document is None:
        return
    document_id, name, sha256 = document["document_id"], document["name"], document["sha256"]
    held = db.execute("SELECT page_starts, digest FROM texts WHERE document = ?", (row,)).fetchone()
    starts, digest = held or ("[]", None)
    joined = [_joined(db, row, space) for space in (" ", "\n")]
    length = document["bytes"] if isinstance(document["bytes"], int) else 0
    padded = [body + space * min(length - len(body.encode()), _WIDEST_GAP) for body in joined for space in (" ", "\n")]
    for body in dict.fromkeys([*joined, *padded]):
        sealed = text_digest(document_id, body, starts)
        if sealed == digest or (starts == "[]" and text_sha256(name, body) == sha256):
            db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?)", (row, body, starts, sealed))
            return


def _joined(db: sqlite3.Connection, row: int, space: str) -> str:
    query = 'SELECT "start", text FROM chunks WHERE document = ? ORDER BY ordinal'
    body = ""
    for start, text in db.execute(query, (row,)):
        if not isinstance(start, int) or not isinstance(text, str) or start > len(body) + _WIDEST_GAP:
            return ""
        body = body[:start].ljust(start, space) + text
    return body


def mend_record(db: sqlite3.Connection, row: int) -> None:
    """Put one column of a document's record right, if one of the values it can have had fits the seal."""
    found = document_row(db, "id = ?", row)
    if found is None:
        return
    document = dict(found)
    if document_digest(document) == document["digest"]:
        return
    for column, value in _candidates(db, document):
        if document_digest({**document, column: value}) == document["digest"]:
            db.execute(f"UPDATE OR IGNORE documents SET {column} = ? WHERE id = ?", (value, row))
            return


def _candidates(db: sqlite3.Connection, document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(column, a value it can have had) from everything else that is known of the document."""
    source, name, path = str(document["source"]), str(document["name"]), document["path"]
    yield from (("path", source), ("path", None), ("source", path), ("source", _TEXT_SOURCE + name))
    yield from (("name", os.path.basename(str(path))), ("name", source.removeprefix(_TEXT_SOURCE)))
    parts = str(path).split(os.sep)
    yield from (("name", os.path.join(*parts[-depth:])) for depth in range(2, len(parts)))
    yield from (("status", "ready"), ("message", None), ("metadata", "{}"), ("facts", "{}"), ("stamp", ""))
    yield from (("stamp", document["sha256"]), ("sha256", document["stamp"]))
    for (collection,) in db.execute("SELECT DISTINCT collection FROM documents").fetchall():
        yield "collection", collection
    for (generation,) in db.execute("SELECT generation FROM commits").fetchall():
        yield "generation", generation
    counted = "SELECT count(*), min(id), max(id) FROM chunks WHERE document = ?"
    chunks = db.execute(counted, (document["id"],)).fetchone()
    yield from zip(("chunks", "first_chunk", "last_chunk"), chunks, strict=True)
    for body, starts in db.execute("SELECT body, page_starts FROM texts WHERE document = ?", (document["id"],)):
        yield "sha256", text_sha256(name, body)
        yield "bytes", len(body.encode("utf-8", "replace"))
        yield "pages", len(json.loads(starts)) or None
    if path is not None:
        yield from _of_file(str(path), source, name)


def _of_file(path: str, source: str, name: str) -> Iterator[tuple[str, Any]]:
    try:
        descriptor = open_file(SourceFile(Path(path), source, name, asked=True))
    except DocumentError:
        return
    try:
        status = os.fstat(descriptor)
        yield from (("bytes", status.st_size), ("stamp", stamp_of(status)), ("sha256", hash_file(descriptor, name)))
    finally:
        os.close(descriptor)
