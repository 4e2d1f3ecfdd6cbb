"""What a library's store answers, whichever database holds it: documents, passages, the model of the vectors.

The queries here are written in the SQL that SQLite and PostgreSQL share; what differs is left to the two stores.
"""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.embedder import Embedder, Identity
from retrieval.errors import IndexModelMismatch
from retrieval.records import DocumentRecord

if TYPE_CHECKING:
    from retrieval.finder import Finder
    from retrieval.loaders import Limits
    from retrieval.recognition import MediaModels
    from retrieval.writer import Writer

STORED_DTYPE = np.float16
WRITER_WAIT_SECONDS = 10.0
_RECORD = "name, document_id, collection, path, pages, chunks, bytes, sha256, added, status, message, metadata, facts"
_SLICE = 500
_COLLECTIONS = (
    "WITH RECURSIVE found(next) AS (SELECT min(collection) FROM documents UNION ALL"
    " SELECT (SELECT min(d.collection) FROM documents d WHERE d.collection > found.next) FROM found"
    " WHERE found.next IS NOT NULL) SELECT next FROM found WHERE next IS NOT NULL"
)
"""Each name looked up after the one before, as DISTINCT reads a row for every document of a large library."""


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


class LibraryStore(ABC):
    """A library's truth. One document is one transaction; readers are never refused by a writer."""

    name: str
    """What sentences call the library: its folder, or the address of its server without a password."""
    shared = False
    """Whether several machines may write to it."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder of a library that lies in one.

        Raises:
            OnServer: it does not.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""

    @abstractmethod
    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query, its values marked by `?`; none while there is no library yet."""

    @abstractmethod
    def writing(self, wait_seconds: float = WRITER_WAIT_SECONDS) -> contextlib.AbstractContextManager[Writer]:
        """A writer, for the length of the block; keep the block short and embed before it.

        Raises:
            Locked: another writer kept the library longer than `wait_seconds`.
        """

    @abstractmethod
    def finder(self, embedder: Embedder) -> Finder:
        """A new search over this store, for vectors of this model."""

    @abstractmethod
    def checked(self, embedder: Embedder, limits: Limits, models: MediaModels, repair: bool) -> dict[str, Any]:
        """What `Library.verify` gives."""

    @abstractmethod
    def network_file_system(self) -> str | None:
        """The kind of network file system on which the library lies as a file, if it does."""

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

    def positions(self, document_id: str) -> list[tuple[int, str]]:
        """Where each chunk of a document that has a position begins, with the position, in the document's order."""
        query = (
            "SELECT c.start, c.position FROM chunks c JOIN documents d ON d.id = c.document"
            " WHERE d.document_id = ? AND c.position IS NOT NULL ORDER BY c.ordinal"
        )
        return [(int(start), str(position)) for start, position in self.rows(query, [document_id])]

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
            raise IndexModelMismatch(self.name, stored.label, offered.label)
        return False

    def collections(self) -> list[str]:
        """Names of the collections in use, sorted."""
        return [row[0] for row in self.rows(_COLLECTIONS)]

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
    """Marks for the values of an IN; for no values one that nothing equals, as an empty list is not SQL."""
    return ",".join("?" * len(values)) or "NULL"
