"""Search over the SQLite file through its two caches: FAISS for vectors, tantivy for words.

Both are brought up to date from the store before a search and can be rebuilt from it at any time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval.dense_files import stale
from retrieval.embedder import Embedder
from retrieval.errors import LibraryError
from retrieval.finder import Ranked, Scope
from retrieval.sparse import SparseIndex
from retrieval.store import Store
from retrieval.where import allowed_chunks

if TYPE_CHECKING:
    from retrieval.dense import DenseIndex


class Caches:
    """Both caches of one store; see `Finder` for what each method gives."""

    def __init__(self, store: Store, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._sparse = SparseIndex(store)
        self._dense: DenseIndex | None = None
        self._lock = threading.Lock()
        self.term_counts = self._sparse.term_counts
        self.coverage = self._sparse.coverage

    def refresh(self, with_words: bool = True) -> None:
        """Take in what was committed since the last time."""
        self._vectors().refresh()
        if with_words:
            self._sparse.refresh()

    def search(self, vector: NDArray[np.float32], query: str, top_k: int, scope: Scope) -> tuple[Ranked, Ranked]:
        """(by meaning, by words); the filter is looked up once for both."""
        allowed = self._allowed(scope)
        return (
            self._vectors().search(vector, top_k, scope.collections, allowed),
            self._sparse.search(query, top_k, scope.collections, scope.everywhere, allowed),
        )

    def nearest(self, vector: NDArray[np.float32], top_k: int, scope: Scope) -> Ranked:
        """By meaning alone."""
        return self._vectors().search(vector, top_k, scope.collections, self._allowed(scope))

    def warm(self) -> None:
        """Bring the indexes on disk up to date."""
        try:
            self._sparse.refresh()
            if stale(self._store):
                self._vectors().keep_up()
        except LibraryError:
            self._sparse.close()

    def close(self) -> None:
        """Forget both; the files stay."""
        self._sparse.close()
        with self._lock:
            dense, self._dense = self._dense, None
        if dense is not None:
            dense.close()

    def _allowed(self, scope: Scope) -> NDArray[np.int64] | None:
        return None if scope.where is None else allowed_chunks(self._store, scope.where, scope.collections)

    def _vectors(self) -> DenseIndex:
        from retrieval.dense import DenseIndex

        with self._lock:
            if self._dense is None:
                self._dense = DenseIndex(self._store, self._embedder.dimension)
            return self._dense
