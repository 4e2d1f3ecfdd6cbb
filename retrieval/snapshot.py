"""The library at one moment, while writing goes on: a copy of its file, and the documents in such a copy.

A copy is a library file like any other: put in the place of `library.sqlite` it is that library again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.embedder import Identity
from retrieval.errors import NotFound, NotReplaced
from retrieval.schema import APPLICATION_ID, FILE_NAME, connect_to_read, sync_file, sync_folder, translated
from retrieval.splitters import Chunk
from retrieval.stored import STORED_DTYPE
from retrieval.writer import NewDocument

_PAGES_AT_ONCE = 2000
_RESTARTS = 3
"""A copy starts over whenever another process writes; after so many times writers wait until it is done."""
_SQLITE, _ZIP = b"SQLite format 3\0", b"PK\x03\x04"


@dataclass(frozen=True)
class StoredDocument:
    """A document as it is stored, with the vectors (n, dimension) of its chunks."""

    new: NewDocument
    vectors: NDArray[np.float32]


class _Restarted(Exception):
    """The copy had to begin again too often."""


def back_up(folder: Path, target: Path) -> int:
    """Write a consistent copy of the library's file to `target` and give its size in bytes.

    Raises:
        NotReplaced: there is a file at `target` that Hearth did not write.
    """
    if not (folder / FILE_NAME).exists():
        raise NotFound("The library", "is empty; bring documents in with `hearth ingest PATH`.")
    with (
        replacing(target) as draft,
        translated(folder),
        contextlib.closing(connect_to_read(folder)) as source,
        contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as copy,
    ):
        _copy(source, copy)
    return target.stat().st_size


def _copy(source: sqlite3.Connection, copy: sqlite3.Connection) -> None:
    """A part at a time, so that writers get in between; in one go when they make it start over too often."""
    seen, restarts = 1 << 62, 0

    def watch(_: int, remaining: int, __: int) -> None:
        nonlocal seen, restarts
        restarts += remaining > seen
        seen = remaining
        if restarts > _RESTARTS:
            raise _Restarted

    try:
        source.backup(copy, pages=_PAGES_AT_ONCE, progress=watch, sleep=0.001)
    except _Restarted:
        source.backup(copy)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A draft beside `target` that takes its place, synced, when the block ends well.

    Raises:
        NotReplaced: there is a file at `target` that Hearth did not write.
    """
    if target.is_dir() or (target.exists() and not ours(target)):
        raise NotReplaced(target.name)
    draft = target.with_name(f".{target.name}.part")
    try:
        yield draft
        sync_file(draft)
        os.replace(draft, target)
        sync_folder(target.absolute().parent)
    finally:
        draft.unlink(missing_ok=True)


def ours(path: Path) -> bool:
    """Whether a file is a library's copy or export, as far as its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(100)
    if head.startswith(_ZIP):
        return b"manifest.json" in head
    return head.startswith(_SQLITE) and head[68:72] == APPLICATION_ID.to_bytes(4, "big")


def model_of(db: sqlite3.Connection) -> Identity | None:
    """The model that made the vectors in a library's file."""
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    if "fingerprint" not in meta:
        return None
    return Identity(meta["fingerprint"], int(meta["dimension"]), meta["label"])


def stored_documents(db: sqlite3.Connection, collections: Sequence[str] | None) -> Iterator[StoredDocument]:
    """Every document of these collections, or of all, in the order they were added."""
    scope = json.dumps(collections) if collections is not None else None
    query = "SELECT * FROM documents WHERE ?1 IS NULL OR collection IN (SELECT value FROM json_each(?1)) ORDER BY id"
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    for row in cursor.execute(query, (scope,)):
        text = db.execute("SELECT body, page_starts FROM texts WHERE document = ?", (row["id"],)).fetchone()
        body, starts = text or ("", "[]")
        chunks = db.execute(
            'SELECT c."start", c."end", c.text, c.page, c.position, v.value FROM chunks c JOIN vectors v ON'
            " v.chunk = c.id WHERE c.document = ? ORDER BY c.ordinal",
            (row["id"],),
        ).fetchall()
        new = NewDocument(
            row["collection"], row["source"], row["name"], row["path"], row["sha256"], row["bytes"], "", row["status"],
            row["message"], body, json.loads(starts), [Chunk(*facts) for *facts, _ in chunks],
            metadata=row["metadata"], facts=row["facts"], document_id=row["document_id"], added=row["added"],
        )  # fmt: skip
        vectors = np.frombuffer(b"".join(value for *_, value in chunks), STORED_DTYPE).astype(np.float32)
        yield StoredDocument(new, vectors.reshape(len(chunks), -1) if chunks else np.zeros((0, 0), np.float32))
