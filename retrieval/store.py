"""Reading the library's truth: documents, passages, vectors, and what changed since a cache was filled.

One read-only connection, never refused by a writer; `PRAGMA data_version` says when to look again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.embedder import Identity
from retrieval.errors import IndexModelMismatch, OlderSchema
from retrieval.records import DocumentRecord
from retrieval.schema import FILE_NAME, connect_to_read, translated

if TYPE_CHECKING:
    from retrieval.writer import Writer

STORED_DTYPE = np.float16
WRITER_WAIT_SECONDS = 10.0
_RECORD = "name, document_id, collection, path, pages, chunks, bytes, sha256, added, status, message, metadata, facts"
_SLICE = 500


@dataclass(frozen=True)
class Commit:
    """The last transaction a reader has seen; the token tells two histories of the same length apart."""

    generation: int
    token: str


NO_COMMIT = Commit(0, "")


@dataclass(frozen=True)
class Changes:
    """What a cache must do to go from one commit to another: drop chunk ranges first, then add documents' chunks."""

    commit: Commit
    removed: list[tuple[int, int]]
    added: list[tuple[str, int, int]]
    """(collection, first chunk, last chunk) of each document."""


@dataclass(frozen=True)
class Passage:
    """A chunk as the truth has it now, with its document."""

    chunk_id: int
    document: str
    document_id: str
    collection: str
    page: int | None
    position: str | None
    start: int
    end: int
    text: str
    vector: NDArray[np.float32]


@dataclass(frozen=True)
class Known:
    """What ingest needs to know of a stored document to see whether its file changed."""

    document_id: str
    source: str
    name: str
    sha256: str
    stamp: str
    status: str
    metadata: str
    """A JSON object."""


class Store:
    """The library folder's database, opened when first needed; a missing one reads as empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = str(folder / FILE_NAME)
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._inode: int | None = None
        self._data_version = -1
        self._commit = NO_COMMIT

    def close(self) -> None:
        """Close the reading connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._data_version = -1

    @contextlib.contextmanager
    def writing(self, wait_seconds: float = WRITER_WAIT_SECONDS) -> Iterator[Writer]:
        """The one writer, for the length of the block; keep the block short and embed before it.

        Raises:
            Locked: another writer kept the library longer than `wait_seconds`.
        """
        from retrieval.writer import opened_writer

        with opened_writer(self.folder, wait_seconds) as writer:
            yield writer

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """The reading connection, alone in this block; None while there is no library yet."""
        with self._lock, translated(self.folder):
            inode = self._inode_now()
            if inode != self._inode:  # made, deleted, or replaced by a restored backup
                self.close()
                self._inode = inode
            if self._connection is None and inode is not None:
                self._connection = self._connected()
            yield self._connection

    def _connected(self) -> sqlite3.Connection:
        try:
            return connect_to_read(self.folder)
        except OlderSchema:
            with self.writing():  # brings it up to date, or says why that cannot be done
                pass
            self._inode = self._inode_now()
            return connect_to_read(self.folder)

    def _inode_now(self) -> int | None:
        try:
            return os.stat(self._file).st_ino
        except FileNotFoundError:
            return None

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query; none while there is no library yet."""
        with self.reading() as connection:
            return [] if connection is None else connection.execute(query, values).fetchall()

    def commit(self) -> Commit:
        """The newest transaction; asks the database only after another connection wrote."""
        with self.reading() as connection:
            if connection is None:
                return NO_COMMIT
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._data_version:
                row = connection.execute("SELECT generation, token FROM commits ORDER BY generation DESC LIMIT 1")
                self._commit = Commit(*(row.fetchone() or ("0", ""))) if row else NO_COMMIT
                self._data_version = version
            return self._commit

    def changes_since(self, seen: Commit) -> Changes | None:
        """What happened after `seen`; None when this history does not contain it and a cache must start over."""
        with self.reading() as connection:
            if connection is None:
                return Changes(NO_COMMIT, [], []) if seen == NO_COMMIT else None
            connection.execute("BEGIN")
            try:
                return self._changes(connection, seen)
            finally:
                connection.execute("COMMIT")

    def _changes(self, connection: sqlite3.Connection, seen: Commit) -> Changes | None:
        if seen != NO_COMMIT:
            known = connection.execute("SELECT token FROM commits WHERE generation = ?", (seen.generation,)).fetchone()
            if known is None or known[0] != seen.token:
                return None
        newest = connection.execute("SELECT generation, token FROM commits ORDER BY generation DESC LIMIT 1").fetchone()
        removed = connection.execute(
            "SELECT removed_first, removed_last FROM commits WHERE generation > ? AND removed_first IS NOT NULL",
            (seen.generation,),
        ).fetchall()
        added = connection.execute(
            "SELECT collection, first_chunk, last_chunk FROM documents WHERE generation > ? AND chunks > 0 ORDER BY id",
            (seen.generation,),
        ).fetchall()
        return Changes(Commit(*newest) if newest else NO_COMMIT, removed, added)

    # What the caches are filled from --------------------------------------------------------------------------------

    def chunk_texts(self, first: int, last: int) -> list[tuple[int, str]]:
        """(chunk id, text) of a range of chunks, ends included."""
        return self.rows("SELECT id, text FROM chunks WHERE id BETWEEN ? AND ?", (first, last))

    def chunk_vectors(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids (n) and vectors (n, dimension) of a range of chunks, ends included."""
        rows = self.rows("SELECT chunk, value FROM vectors WHERE chunk BETWEEN ? AND ? ORDER BY chunk", (first, last))
        ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        flat = np.frombuffer(b"".join(row[1] for row in rows), STORED_DTYPE)
        return ids, flat.reshape(len(rows), -1).astype(np.float32)

    def chunk_count(self) -> int:
        """How many chunks the library holds."""
        rows = self.rows("SELECT coalesce(sum(chunks), 0) FROM documents")
        return int(rows[0][0]) if rows else 0

    def passages(self, chunk_ids: Sequence[int], collections: Sequence[str]) -> dict[int, Passage]:
        """The chunks that still exist in these collections, by id: the last word on every hit of a cache."""
        found: dict[int, Passage] = {}
        for at in range(0, len(chunk_ids), _SLICE):
            ids = chunk_ids[at : at + _SLICE]
            rows = self.rows(
                "SELECT c.id, d.name, d.document_id, d.collection, c.page, c.position, c.start, c.end, c.text, v.value"
                " FROM chunks c JOIN documents d ON d.id = c.document JOIN vectors v ON v.chunk = c.id"
                f" WHERE c.id IN ({_marks(ids)}) AND d.status = 'ready' AND d.collection IN ({_marks(collections)})",
                [*ids, *collections],
            )
            for row in rows:
                facts: list[Any] = [*row[:-1], np.frombuffer(row[-1], STORED_DTYPE).astype(np.float32)]
                found[row[0]] = Passage(*facts)
        return found

    # Documents ------------------------------------------------------------------------------------------------------

    def embedder(self, prefix: str = "") -> Identity | None:
        """The model that made the vectors, or with "new_" the one that is being re-embedded with; None if none."""
        values = dict(self.rows("SELECT key, value FROM meta"))
        if f"{prefix}fingerprint" not in values:
            return None
        named = (values[f"{prefix}{key}"] for key in ("fingerprint", "dimension", "label"))
        fingerprint, dimension, label = named
        return Identity(fingerprint, int(dimension), label)

    def check_embedder(self, offered: Identity) -> bool:
        """Whether there are vectors, made by this very model.

        Raises:
            IndexModelMismatch: they were made by another one.
        """
        stored = self.embedder()
        if stored is None or stored.fingerprint == offered.fingerprint:
            return stored is not None
        if self.rows("SELECT EXISTS(SELECT 1 FROM vectors)")[0][0]:
            raise IndexModelMismatch(str(self.folder), stored.label, offered.label)
        return False

    def collections(self) -> list[str]:
        """Names of the collections in use, sorted."""
        return [row[0] for row in self.rows("SELECT DISTINCT collection FROM documents ORDER BY collection")]

    def documents(self, collections: Sequence[str]) -> list[DocumentRecord]:
        """The documents of these collections, oldest first."""
        rows = self.rows(
            f"SELECT {_RECORD} FROM documents WHERE collection IN ({_marks(collections)}) ORDER BY id", collections
        )
        return [_record(row) for row in rows]

    def document(self, document_id: str) -> DocumentRecord | None:
        """One document by id."""
        rows = self.rows(f"SELECT {_RECORD} FROM documents WHERE document_id = ?", (document_id,))
        return _record(rows[0]) if rows else None

    def known(self, collection: str) -> list[Known]:
        """Every document of a collection, as ingest needs it."""
        rows = self.rows(
            "SELECT document_id, source, name, sha256, stamp, status, metadata FROM documents"
            " WHERE collection = ? ORDER BY id",
            (collection,),
        )
        return [Known(*row) for row in rows]

    def text(self, document_id: str) -> str | None:
        """The extracted text of a document; None where there is no such text."""
        rows = self.rows(
            "SELECT t.body FROM texts t JOIN documents d ON d.id = t.document WHERE d.document_id = ?", (document_id,)
        )
        return rows[0][0] if rows else None

    def page_of(self, document_id: str, offset: int) -> int | None:
        """The 1-based page of a character of the text; None where the format has no pages."""
        rows = self.rows(
            "SELECT t.page_starts FROM texts t JOIN documents d ON d.id = t.document WHERE d.document_id = ?",
            (document_id,),
        )
        starts = json.loads(rows[0][0]) if rows else []
        return max(1, bisect_right(starts, offset)) if starts else None


def _record(row: tuple[Any, ...]) -> DocumentRecord:
    columns: list[Any] = [*row[:-2], *map(json.loads, row[-2:])]
    return DocumentRecord(*columns)


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
