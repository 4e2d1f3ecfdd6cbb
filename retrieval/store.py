"""Reading the library's truth: documents, passages, vectors, and what changed since a cache was filled.

One read-only connection, never refused by a writer; `PRAGMA data_version` says when to look again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import OlderSchema
from retrieval.filesystem import network_file_system
from retrieval.schema import FILE_NAME, connect_to_read, translated
from retrieval.stored import STORED_DTYPE, WRITER_WAIT_SECONDS, LibraryStore

if TYPE_CHECKING:
    from retrieval.embedder import Embedder
    from retrieval.finder import Finder
    from retrieval.loaders import Limits
    from retrieval.recognition import MediaModels
    from retrieval.writer import Writer


@dataclass(frozen=True)
class Commit:
    """The last transaction a reader has seen; the token tells two histories of the same length apart."""

    generation: int
    token: str


NO_COMMIT = Commit(0, "")
_NAMED_AT_ONCE = 10_000


@dataclass(frozen=True)
class Changes:
    """What a cache must do to go from one commit to another: drop chunk ranges first, then add documents' chunks."""

    commit: Commit
    removed: list[tuple[int, int]]
    added: list[tuple[str, int, int]]
    """(collection, first chunk, last chunk) of each document."""


class Store(LibraryStore):
    """The library folder's database, opened when first needed; a missing one reads as empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = str(folder)
        self._file = str(folder / FILE_NAME)
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._inode: int | None = None
        self._data_version = -1
        self._commit = NO_COMMIT

    @property
    def folder(self) -> Path:
        """Where the library lies."""
        return self._folder

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

        with opened_writer(self._folder, wait_seconds) as writer:
            yield writer

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """The reading connection, alone in this block; None while there is no library yet."""
        with self._lock, translated(self._folder):
            inode = self._inode_now()
            if inode != self._inode:  # made, deleted, or replaced by a restored backup
                self.close()
                self._inode = inode
            if self._connection is None and inode is not None:
                self._connection = self._connected()
            yield self._connection

    def _connected(self) -> sqlite3.Connection:
        try:
            return connect_to_read(self._folder)
        except OlderSchema:
            with self.writing():  # brings it up to date, or says why that cannot be done
                pass
            self._inode = self._inode_now()
            return connect_to_read(self._folder)

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

    def chunk_vectors(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Ids (n) and vectors (n, dimension), as they are stored, of a range of chunks, ends included."""
        query = "SELECT chunk, value FROM vectors WHERE chunk BETWEEN ? AND ? ORDER BY chunk"
        return _arrays(self.rows(query, (first, last)))

    def vectors_of(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Ids (n), ascending, and vectors (n, dimension) of those of these chunks that are still there."""
        found: list[tuple[Any, ...]] = []
        for at in range(0, len(ids), _NAMED_AT_ONCE):
            named = ",".join(map(str, ids[at : at + _NAMED_AT_ONCE].tolist()))
            found += self.rows(f"SELECT chunk, value FROM vectors WHERE chunk IN ({named})")
        found.sort()
        return _arrays(found)

    # What else the library asks of its store ------------------------------------------------------------------------

    def finder(self, embedder: Embedder) -> Finder:
        """A search over caches of this store."""
        from retrieval.caches import Caches

        return Caches(self, embedder)

    def checked(self, embedder: Embedder, limits: Limits, models: MediaModels, repair: bool) -> dict[str, Any]:
        """What `Library.verify` gives."""
        from retrieval.repair import checked

        return checked(self, embedder, limits, models, repair)

    def network_file_system(self) -> str | None:
        """The kind of network file system on which the folder lies, if it does."""
        return network_file_system(self._folder)


def _arrays(rows: Sequence[tuple[Any, ...]]) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    """Ids (n) and vectors (n, dimension) of rows of them."""
    ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    flat = np.frombuffer(b"".join(row[1] for row in rows), STORED_DTYPE)
    return ids, flat.reshape(len(rows), -1 if rows else 0)
