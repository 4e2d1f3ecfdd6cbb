"""Writing the library's truth: a transaction never holds half a document, and what is returned is committed.

Everything slow (reading, parsing, embedding) happens before; whether a document is new is decided in the transaction,
so two ingests at once cannot double it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.digests import chunk_digest, document_digest, meta_digest, text_digest, vector_digest
from retrieval.embedder import Identity
from retrieval.errors import IndexModelMismatch, OlderSchema
from retrieval.history import Database, add_commit, document_row, last_id, seal
from retrieval.lock import hold
from retrieval.migration import migrate
from retrieval.schema import connect_to_write, new_vectors_table, translated
from retrieval.splitters import Chunk
from retrieval.stored import STORED_DTYPE

Outcome = Literal["added", "changed", "unchanged", "duplicate"]
ChunkRow = tuple[int, int, int, int, int, int | None, str | None, str, bytes]
"""A row of `chunks`: id, document, ordinal, start, end, page, position, text, digest."""
VectorRow = tuple[int, bytes, bytes]
"""A row of `vectors`: chunk, value, digest."""
UPSERT_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value"


@dataclass(frozen=True)
class NewDocument:
    """A document ready to be stored; one that could not be used has a status other than "ready" and no chunks.

    `metadata` is a JSON object, None to keep what is there; `facts` is one of what the parser found; `document_id` and
    `added` are given only for a document that was stored before and comes back.
    """

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
    metadata: str | None = None
    facts: str = "{}"
    document_id: str | None = None
    added: str | None = None


@dataclass(frozen=True)
class Written:
    """What became of a document; for a duplicate, `document_id` and `name` are those of the copy that is there."""

    outcome: Outcome
    document_id: str
    name: str


@contextlib.contextmanager
def opened_writer(folder: Path, wait_seconds: float) -> Iterator[Writer]:
    """Hold the library's lock and a writing connection for the length of the block."""
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder / "library.lock", wait_seconds):
            try:
                connection = connect_to_write(folder)
            except OlderSchema:
                migrate(folder)
                connection = connect_to_write(folder)
            try:
                yield Writer(connection, str(folder))
            finally:
                connection.close()


class Writer:
    """The library's only writer while it lives; every method is one transaction of its own."""

    def __init__(self, connection: Any, name: str) -> None:
        self.connection = connection
        self._db: Database = connection
        self.name = name

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self.connection.in_transaction:
                self._db.execute("ROLLBACK")

    def put(self, items: Iterable[tuple[NewDocument, NDArray[np.float32]]], model: Identity) -> list[Written]:
        """Store documents, each with its chunks' vectors (n, dimension), replacing what their sources held.

        All of them in one transaction, as the disk is waited for once a transaction.

        Raises:
            IndexModelMismatch: the library's vectors were made by another model; nothing is changed.
        """
        with self.transaction():
            self._claim_embedder(model)
            return [self._put(new, vectors, model.fingerprint) for new, vectors in items]

    def put_unusable(self, new: NewDocument) -> None:
        """List a document that holds no text with the reason; what its source held before is kept instead if sound."""
        with self.transaction():
            before = self._row("collection = ? AND source = ?", new.collection, new.source)
            if before is not None and before["status"] == "ready":
                return
            generation = self._delete(before) if before is not None else self._change()
            self._insert(new, generation)

    def remove(self, document_ids: Iterable[str]) -> list[str]:
        """Take documents out; the ids of those that were there."""
        with self.transaction():
            rows = [self._row("document_id = ?", document_id) for document_id in document_ids]
            found = [row for row in rows if row is not None]
            for row in found:
                self._delete(row)
            return [row["document_id"] for row in found]

    def move(self, document_id: str, collection: str) -> str | None:
        """Put a document into another collection; the id of the copy that is there then, None if there is none."""
        with self.transaction():
            row = self._row("document_id = ?", document_id)
            return None if row is None else self._move(row, collection)

    def move_all(self, collection: str, target: str) -> int:
        """Put every document of a collection into another one; how many there were."""
        with self.transaction():
            query = "SELECT document_id FROM documents WHERE collection = ? ORDER BY id"
            ids = [row[0] for row in self._db.execute(query, (collection,)).fetchall()]
            for document_id in ids:
                if (row := self._row("document_id = ?", document_id)) is not None:
                    self._move(row, target)
            return len(ids)

    def rename(self, document_id: str, new: NewDocument) -> None:
        """Record that a document's file has another path, name or metadata now; its content is the same."""
        with self.transaction():
            older = self._row("collection = ? AND source = ?", new.collection, new.source)
            if older is not None and older["document_id"] != document_id:
                self._delete(older)
            row = self._row("document_id = ?", document_id)
            if row is not None:
                values = {"source": new.source, "name": new.name, "path": new.path, "stamp": new.stamp}
                metadata = row["metadata"] if new.metadata is None else new.metadata
                self._update(row["id"], **values, metadata=metadata)

    def replace_content(self, row: int, new: NewDocument, vectors: NDArray[np.float32], model: Identity) -> None:
        """Give a document its text, chunks and vectors anew, made from the same content; it keeps its id and place."""
        with self.transaction():
            self._claim_embedder(model)
            stored = self._row("id = ?", row)
            if stored is None:
                return
            generation = self._change(None, stored["first_chunk"], stored["last_chunk"])
            for table in ("texts", "chunks"):
                self._db.execute(f"DELETE FROM {table} WHERE document = ?", (row,))
            first = last_id(self._db, "chunks") + 1
            count = len(new.chunks)
            self._insert_chunks(row, stored["document_id"], first, new, vectors, model.fingerprint)
            ends = {"first_chunk": first, "last_chunk": first + count - 1}
            self._update(row, chunks=count, pages=len(new.page_starts) or None, generation=generation, **ends)

    def forget_reembedding(self) -> None:
        """Drop the vectors that a re-embedding has made so far."""
        with self.transaction():
            self._db.execute("DELETE FROM new_vectors")
            self._db.execute("DELETE FROM meta WHERE key LIKE 'new~_%' ESCAPE '~'")

    def keep_new_vectors(self, rows: Iterable[VectorRow]) -> None:
        """Insert rows of `new_vectors` whose chunks are still there; call it inside a transaction."""
        self._db.executemany(
            "INSERT OR IGNORE INTO new_vectors SELECT ?1, ?2, ?3 WHERE EXISTS(SELECT 1 FROM chunks WHERE id = ?1)", rows
        )

    def swap_vectors(self) -> None:
        """Put the table of new vectors in the place of the old one; call it inside a transaction."""
        self._db.execute("DROP TABLE vectors")
        self._db.execute("ALTER TABLE new_vectors RENAME TO vectors")
        self._db.execute(new_vectors_table())

    # Inside a transaction -------------------------------------------------------------------------------------------

    def _claim_embedder(self, model: Identity) -> None:
        stored = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
        if stored.get("fingerprint") == model.fingerprint:
            return
        if "fingerprint" in stored and self._db.execute("SELECT EXISTS(SELECT 1 FROM vectors)").fetchone()[0]:
            raise IndexModelMismatch(self.name, stored["label"], model.label)
        self.record_embedder(model)

    def record_embedder(self, model: Identity) -> None:
        """Say which model made the vectors."""
        values = {**asdict(model), "digest": meta_digest(model.fingerprint, model.dimension, model.label)}
        self._db.executemany(UPSERT_META, values.items())

    def _put(self, new: NewDocument, vectors: NDArray[np.float32], fingerprint: str) -> Written:
        before = self._row("collection = ? AND source = ?", new.collection, new.source)
        ready = before is not None and before["status"] == "ready"
        if before is not None and ready and before["sha256"] == new.sha256:
            metadata = before["metadata"] if new.metadata is None else new.metadata
            self._update(before["id"], stamp=new.stamp, metadata=metadata)
            return Written("unchanged", before["document_id"], before["name"])
        same = self._row("collection = ? AND sha256 = ? AND status = 'ready'", new.collection, new.sha256)
        generation = self._delete(before) if before is not None else None
        if same is not None:
            return Written("duplicate", same["document_id"], same["name"])
        row, document_id, first = self._insert(new, generation or self._change())
        self._insert_chunks(row, document_id, first, new, vectors, fingerprint)
        return Written("changed" if ready else "added", document_id, new.name)

    def _move(self, row: sqlite3.Row, collection: str) -> str:
        document_id: str = row["document_id"]
        if row["collection"] == collection:
            return document_id
        same = self._row("collection = ? AND sha256 = ? AND status = 'ready'", collection, row["sha256"])
        if same is not None and row["status"] == "ready":
            self._delete(row)
            return str(same["document_id"])
        older = self._row("collection = ? AND source = ?", collection, row["source"])
        if older is not None:
            self._delete(older)
        # Its chunks leave the caches with this commit and enter them again from the same commit on.
        generation = self._change(None, row["first_chunk"], row["last_chunk"])
        self._update(row["id"], collection=collection, generation=generation)
        return document_id

    def _row(self, where: str, *values: object) -> sqlite3.Row | None:
        return document_row(self._db, where, *values)

    def _update(self, row: int, **values: object) -> None:
        """Change columns of a document and seal it again."""
        columns = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(f"UPDATE documents SET {columns} WHERE id = ?", (*values.values(), row))
        seal(self._db, row)

    def _delete(self, row: sqlite3.Row) -> int:
        """Take a document out; the number of the commit that says so."""
        self._db.execute("DELETE FROM documents WHERE id = ?", (row["id"],))
        return self._change(row["id"], row["first_chunk"], row["last_chunk"])

    def _change(self, document: int | None = None, first: int | None = None, last: int | None = None) -> int:
        return add_commit(self._db, document, first, last)

    def _insert(self, new: NewDocument, generation: int) -> tuple[int, str, int]:
        """Row, id and first chunk of a document just inserted, its chunks still to come."""
        first = last_id(self._db, "chunks") + 1
        count = len(new.chunks)
        row = last_id(self._db, "documents") + 1
        values: dict[str, Any] = {
            "id": row, "document_id": self._free_id(new), "collection": new.collection, "source": new.source,
            "name": new.name, "path": new.path, "status": new.status, "message": new.message, "sha256": new.sha256,
            "bytes": new.bytes, "stamp": new.stamp, "pages": len(new.page_starts) or None, "chunks": count,
            "first_chunk": first if count else None, "last_chunk": first + count - 1 if count else None,
            "added": new.added or datetime.now(UTC).isoformat(timespec="seconds"), "generation": generation,
            "metadata": new.metadata or "{}", "facts": new.facts,
        }  # fmt: skip
        values["digest"] = document_digest(values)
        marks = ", ".join("?" * len(values))
        self._db.execute(f"INSERT INTO documents({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
        return row, values["document_id"], first

    def _insert_chunks(
        self, row: int, document_id: str, first: int, new: NewDocument, vectors: NDArray[np.float32], fingerprint: str
    ) -> None:
        starts = json.dumps(list(new.page_starts))
        digest = text_digest(document_id, new.text, starts)
        self._db.execute("INSERT INTO texts VALUES (?, ?, ?, ?)", (row, new.text, starts, digest))
        digests = [
            chunk_digest(document_id, at, chunk.start, chunk.end, chunk.page, chunk.position, chunk.text)
            for at, chunk in enumerate(new.chunks)
        ]
        chunks = (
            (first + at, row, at, chunk.start, chunk.end, chunk.page, chunk.position, chunk.text, digests[at])
            for at, chunk in enumerate(new.chunks)
        )
        self._fill(row, chunks, vector_rows(range(first, first + len(digests)), digests, vectors, fingerprint))

    def _fill(self, row: int, chunks: Iterable[ChunkRow], vectors: Iterable[VectorRow]) -> None:
        """Insert a document's rows of `chunks` and of `vectors`."""
        self._db.executemany("INSERT INTO chunks VALUES (?,?,?,?,?,?,?,?,?)", chunks)
        self._db.executemany("INSERT INTO vectors VALUES (?, ?, ?)", vectors)

    def _free_id(self, new: NewDocument) -> str:
        """An id made of the content and its place: the same document gets the same id, unless a moved one has it."""
        if new.document_id is not None and self._row("document_id = ?", new.document_id) is None:
            return new.document_id
        for salt in range(1_000_000):
            facts = "\0".join((new.collection, new.source, new.sha256, str(salt)))
            document_id = hashlib.sha256(facts.encode()).hexdigest()[:32]
            if self._row("document_id = ?", document_id) is None:
                return document_id
        raise AssertionError("a million documents cannot share one id")


def vector_rows(
    ids: Iterable[int], digests: Sequence[bytes], vectors: NDArray[np.float32], fingerprint: str
) -> Iterator[VectorRow]:
    """Rows of `vectors`: (chunk, value, digest), for chunks with these ids and digests and vectors (n, dimension)."""
    for chunk_id, digest, vector in zip(ids, digests, vectors.astype(STORED_DTYPE), strict=True):
        value = vector.tobytes()
        yield chunk_id, value, vector_digest(fingerprint, digest, value)
