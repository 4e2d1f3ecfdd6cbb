"""Writing the library's truth: one document is one transaction, and what is returned is committed.

Everything slow (reading, parsing, embedding) happens before; whether a document is new is decided in the transaction,
so two ingests at once cannot double it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.embedder import Identity
from retrieval.errors import IndexModelMismatch
from retrieval.lock import hold
from retrieval.schema import connect_to_write, translated
from retrieval.splitters import Chunk
from retrieval.store import STORED_DTYPE

Outcome = Literal["added", "changed", "unchanged", "duplicate"]


@dataclass(frozen=True)
class NewDocument:
    """A document ready to be stored; one that could not be used has a status other than "ready" and no chunks."""

    collection: str
    source: str
    name: str
    path: str | None
    sha256: str
    bytes: int
    stamp: str
    status: str = "ready"
    message: str | None = None
    text: str = ""
    page_starts: Sequence[int] = ()
    chunks: Sequence[Chunk] = field(default=(), repr=False)


@dataclass(frozen=True)
class Written:
    """What became of a document; for a duplicate, `document_id` and `name` are those of the copy that is there."""

    outcome: Outcome
    document_id: str
    name: str


@contextlib.contextmanager
def opened_writer(folder: Path, wait_seconds: float) -> Iterator[Writer]:
    """A writer that holds the library's lock for the length of the block."""
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder / "library.lock", wait_seconds):
            connection = connect_to_write(folder)
            try:
                yield Writer(connection, folder)
            finally:
                connection.close()


class Writer:
    """The library's only writer while it lives; every method is one transaction of its own."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._db = connection
        self._folder = folder

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def put(self, new: NewDocument, vectors: NDArray[np.float32], model: Identity) -> Written:
        """Store a document with its chunks and their vectors (n, dimension), replacing what its source held.

        Raises:
            IndexModelMismatch: the library's vectors were made by another model; nothing is changed.
        """
        with self._transaction():
            self._claim_embedder(model)
            return self._put(new, vectors)

    def put_unusable(self, new: NewDocument) -> None:
        """List a document that holds no text with the reason; what its source held before is kept instead if sound."""
        with self._transaction():
            before = self._row("collection = ? AND source = ?", new.collection, new.source)
            if before is not None and before["status"] == "ready":
                return
            if before is not None:
                self._delete(before)
            self._insert(new, self._commit_row(before))

    def remove(self, document_id: str) -> bool:
        """Take a document out; False if it was not there."""
        with self._transaction():
            row = self._row("document_id = ?", document_id)
            if row is None:
                return False
            self._delete(row)
            self._commit_row(row)
            return True

    def move(self, document_id: str, collection: str) -> str | None:
        """Put a document into another collection; the id of the copy that is there then, None if there is none."""
        with self._transaction():
            row = self._row("document_id = ?", document_id)
            if row is None:
                return None
            if row["collection"] == collection:
                return document_id
            same = self._row("collection = ? AND sha256 = ? AND status = 'ready'", collection, row["sha256"])
            if same is not None and row["status"] == "ready":
                self._delete(row)
                self._commit_row(row)
                return str(same["document_id"])
            older = self._row("collection = ? AND source = ?", collection, row["source"])
            if older is not None:
                self._delete(older)
                self._commit_row(older)
            generation = self._commit_row(row)
            self._db.execute(
                "UPDATE documents SET collection = ?, generation = ? WHERE id = ?", (collection, generation, row["id"])
            )
            return document_id

    def rename(self, document_id: str, new: NewDocument) -> None:
        """Record that a document's file has another path or name now; its content is the same."""
        with self._transaction():
            older = self._row("collection = ? AND source = ?", new.collection, new.source)
            if older is not None and older["document_id"] != document_id:
                self._delete(older)
                self._commit_row(older)
            self._db.execute(
                "UPDATE documents SET source = ?, name = ?, path = ?, stamp = ? WHERE document_id = ?",
                (new.source, new.name, new.path, new.stamp, document_id),
            )

    # Inside a transaction -------------------------------------------------------------------------------------------

    def _claim_embedder(self, model: Identity) -> None:
        stored = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
        if "fingerprint" not in stored:
            self._db.executemany("INSERT INTO meta VALUES (?, ?)", asdict(model).items())
        elif stored["fingerprint"] != model.fingerprint:
            raise IndexModelMismatch(str(self._folder), stored["label"], model.label)

    def _put(self, new: NewDocument, vectors: NDArray[np.float32]) -> Written:
        before = self._row("collection = ? AND source = ?", new.collection, new.source)
        ready = before is not None and before["status"] == "ready"
        if before is not None and ready and before["sha256"] == new.sha256:
            self._db.execute("UPDATE documents SET stamp = ? WHERE id = ?", (new.stamp, before["id"]))
            return Written("unchanged", before["document_id"], before["name"])
        same = self._row("collection = ? AND sha256 = ? AND status = 'ready'", new.collection, new.sha256)
        if before is not None:
            self._delete(before)
        if same is not None:
            if before is not None:
                self._commit_row(before)
            return Written("duplicate", same["document_id"], same["name"])
        document_id = self._insert(new, self._commit_row(before), vectors)
        return Written("changed" if ready else "added", document_id, new.name)

    def _row(self, where: str, *values: object) -> sqlite3.Row | None:
        cursor = self._db.cursor()
        cursor.row_factory = sqlite3.Row
        found: sqlite3.Row | None = cursor.execute(f"SELECT * FROM documents WHERE {where}", values).fetchone()
        return found

    def _delete(self, row: sqlite3.Row) -> None:
        self._db.execute("DELETE FROM documents WHERE id = ?", (row["id"],))

    def _commit_row(self, removed: sqlite3.Row | None) -> int:
        """The number of this commit, with the chunks of a document that it removed or moved."""
        first, last = (removed["first_chunk"], removed["last_chunk"]) if removed is not None else (None, None)
        made = self._db.execute("INSERT INTO commits(removed_first, removed_last) VALUES (?, ?)", (first, last))
        return int(made.lastrowid or 0)

    def _insert(self, new: NewDocument, generation: int, vectors: NDArray[np.float32] | None = None) -> str:
        document_id = self._free_id(new)
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
        first = last[0] + 1 if last else 1
        count = len(new.chunks)
        pages = len(new.page_starts) or None
        ends = (first, first + count - 1) if count else (None, None)
        row = self._db.execute(
            "INSERT INTO documents(document_id, collection, source, name, path, status, message, sha256, bytes, stamp,"
            " pages, chunks, first_chunk, last_chunk, added, generation) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (document_id, new.collection, new.source, new.name, new.path, new.status, new.message, new.sha256,
             new.bytes, new.stamp, pages, count, *ends, datetime.now(UTC).isoformat(timespec="seconds"), generation),
        ).lastrowid  # fmt: skip
        if vectors is not None:
            self._insert_chunks(int(row or 0), first, new, vectors)
        return document_id

    def _insert_chunks(self, row: int, first: int, new: NewDocument, vectors: NDArray[np.float32]) -> None:
        starts = json.dumps(list(new.page_starts))
        self._db.execute("INSERT INTO texts VALUES (?, ?, ?)", (row, new.text, starts))
        self._db.executemany(
            "INSERT INTO chunks VALUES (?,?,?,?,?,?,?,?)",
            (
                (first + at, row, at, chunk.start, chunk.end, chunk.page, chunk.position, chunk.text)
                for at, chunk in enumerate(new.chunks)
            ),
        )
        stored = vectors.astype(STORED_DTYPE)
        self._db.executemany(
            "INSERT INTO vectors VALUES (?, ?)", ((first + at, vector.tobytes()) for at, vector in enumerate(stored))
        )

    def _free_id(self, new: NewDocument) -> str:
        """An id made of the content and its place: the same document gets the same id, unless a moved one has it."""
        for salt in range(1_000_000):
            facts = "\0".join((new.collection, new.source, new.sha256, str(salt)))
            document_id = hashlib.sha256(facts.encode()).hexdigest()[:32]
            if self._row("document_id = ?", document_id) is None:
                return document_id
        raise AssertionError("a million documents cannot share one id")
