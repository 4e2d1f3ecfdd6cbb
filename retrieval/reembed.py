"""A new embedding model for a library in use: its vectors are made beside the old ones and swapped in at once.

Until the swap nothing that searches notices; what a stopped run has made is kept, and the next one goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.digests import meta_digest
from retrieval.embedder import Embedder, Identity
from retrieval.errors import ReembeddingReplaced
from retrieval.history import begin_history
from retrieval.ingest import EMBED_BATCH
from retrieval.records import ReembedProgress, ReembedReport
from retrieval.stored import LibraryStore
from retrieval.writer import UPSERT_META, Writer, vector_rows

_PENDING = "new_"
_WANTED = (
    "FROM chunks c JOIN documents d ON d.id = c.document"
    " WHERE NOT EXISTS(SELECT 1 FROM new_vectors n WHERE n.chunk = c.id) AND c.id > ? AND coalesce(?, d.collection) ="
    " d.collection"
)


@dataclass(frozen=True)
class _Batch:
    ids: list[int]
    digests: list[bytes]
    texts: list[str]


class Reembedding:
    """One run; use it once."""

    def __init__(
        self,
        store: LibraryStore,
        embedder: Embedder,
        collection: str | None,
        on_progress: Callable[[ReembedProgress], None] | None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._collection = collection
        self._on_progress = on_progress
        self._began = time.monotonic()
        self._embedded = self._longer = 0

    def run(self) -> ReembedReport:
        """Embed what is missing and swap if nothing is; see `Library.reembed`."""
        stored, model = self._store.embedder(), self._embedder.identity
        before = stored.label if stored else None
        if stored is None or stored.fingerprint == model.fingerprint:
            if stored is not None:
                with self._store.writing() as writer:
                    writer.forget_reembedding()
            return self._report(before, kept=0, remaining=0, swapped=False)
        kept = self._begin(model)
        swapped, remaining = False, self._embed_missing(kept)
        while not swapped and remaining == 0:
            with self._store.writing() as writer:
                swapped = _swap(writer, model)
            if not swapped:  # something was added since the last look
                remaining = self._embed_missing(kept)
        return self._report(before, kept, remaining, swapped)

    def _report(self, before: str | None, kept: int, remaining: int, swapped: bool) -> ReembedReport:
        seconds = round(time.monotonic() - self._began, 3)
        after = self._embedder.identity.label
        return ReembedReport(before, after, self._embedded, kept, remaining, swapped, self._longer, seconds)

    def _begin(self, model: Identity) -> int:
        """Note which model is coming; how many vectors an earlier run has made with it."""
        with self._store.writing() as writer:
            if self._store.embedder(_PENDING) != model:
                writer.forget_reembedding()
                values = {**asdict(model), "digest": meta_digest(model.fingerprint, model.dimension, model.label)}
                with writer.transaction():
                    rows = ((f"{_PENDING}{key}", value) for key, value in values.items())
                    writer.connection.executemany(UPSERT_META, rows)
        return int(self._store.rows("SELECT count(*) FROM new_vectors")[0][0])

    def _embed_missing(self, kept: int) -> int:
        """Make every vector that is missing in the collection; how many are missing in the whole library then."""
        last, total = 0, self._store.chunk_count()
        while (batch := self._next(last)).ids:
            last = batch.ids[-1]
            vectors = self._vectors(batch.texts)
            with self._store.writing() as writer:
                self._keep(writer, batch, vectors)
            self._embedded += len(batch.ids)
            if self._on_progress is not None:
                seconds = time.monotonic() - self._began
                self._on_progress(ReembedProgress(kept + self._embedded, total, self._embedded, seconds))
        return int(self._store.rows(f"SELECT count(*) {_WANTED}", (0, None))[0][0])

    def _next(self, last: int) -> _Batch:
        query = f"SELECT c.id, c.digest, c.text {_WANTED} ORDER BY c.id LIMIT {EMBED_BATCH}"
        rows = self._store.rows(query, (last, self._collection))
        return _Batch([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        """Unit vectors in the order of the texts; the work is done longest first."""
        self._longer += self._embedder.longer_than_it_reads(texts)
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        vectors = np.empty((len(texts), self._embedder.dimension), np.float32)
        vectors[order] = self._embedder.embed([texts[at] for at in order], self._store.name)
        return vectors

    def _keep(self, writer: Writer, batch: _Batch, vectors: NDArray[np.float32]) -> None:
        model = self._embedder.identity
        with writer.transaction():
            pending = dict(writer.connection.execute("SELECT key, value FROM meta").fetchall())
            if pending.get(f"{_PENDING}fingerprint") != model.fingerprint:
                raise ReembeddingReplaced(self._store.name, model.label)
            rows = vector_rows(batch.ids, batch.digests, vectors, model.fingerprint)
            # A document may have been removed while its chunks were embedded; ids are never given out again.
            writer.keep_new_vectors(rows)


def _swap(writer: Writer, model: Identity) -> bool:
    """Put the new vectors in the place of the old ones in one transaction; False if some are still missing."""
    db = writer.connection
    with writer.transaction():
        pending = db.execute("SELECT value FROM meta WHERE key = ?", (f"{_PENDING}fingerprint",)).fetchone()
        if pending is None or pending[0] != model.fingerprint:
            raise ReembeddingReplaced(writer.name, model.label)
        if db.execute(f"SELECT EXISTS(SELECT 1 {_WANTED})", (0, None)).fetchone()[0]:
            return False
        writer.swap_vectors()
        db.execute("DELETE FROM meta WHERE key LIKE 'new~_%' ESCAPE '~'")
        writer.record_embedder(model)
        begin_history(db)  # whatever a cache holds was made from the old vectors
    return True
