"""Vector search: a FAISS index in memory for each collection, filled from the store and brought up to date from it.

Exact inner product of unit vectors, so a score is a cosine and higher is better; FAISS's word for it stays in here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.store import NO_COMMIT, Commit, Store

_LOADED_AT_ONCE = 50_000


class DenseIndex:
    """A cache of the store's vectors; `search` is exact over what `refresh` last saw."""

    def __init__(self, store: Store, dimension: int) -> None:
        self._store = store
        self._dimension = dimension
        self._lock = threading.RLock()
        self._reset()

    def _reset(self) -> None:
        self._seen: Commit = NO_COMMIT
        self._indexes: dict[str, faiss.IndexIDMap2] = {}
        self._collection_of: dict[int, str] = {}
        """First chunk of each document held -> its collection."""

    def refresh(self) -> None:
        """Take in what was committed since the last time; start over if that history is gone."""
        with self._lock:
            if self._store.commit() == self._seen:
                return
            changes = self._store.changes_since(self._seen)
            if changes is None:
                self._reset()
                changes = self._store.changes_since(NO_COMMIT)
            if changes is None:
                return
            self._remove(changes.removed)
            for collection, first, last in _joined(changes.added):
                self._add(collection, first, last)
            self._collection_of.update({first: collection for collection, first, _ in changes.added})
            self._seen = changes.commit

    def _remove(self, ranges: Sequence[tuple[int, int]]) -> None:
        gone: dict[str, list[NDArray[np.int64]]] = {}
        for first, last in ranges:
            collection = self._collection_of.pop(first, None)
            if collection is not None:
                gone.setdefault(collection, []).append(np.arange(first, last + 1, dtype=np.int64))
        for collection, ids in gone.items():
            self._indexes[collection].remove_ids(faiss.IDSelectorBatch(np.concatenate(ids)))

    def _add(self, collection: str, first: int, last: int) -> None:
        ids, vectors = self._store.chunk_vectors(first, last)
        if not len(ids):
            return
        if collection not in self._indexes:
            self._indexes[collection] = faiss.IndexIDMap2(_exact_index(self._dimension))
        self._indexes[collection].add_with_ids(vectors, ids)

    def search(
        self,
        vector: NDArray[np.float32],
        top_k: int,
        collections: Sequence[str],
        allowed: NDArray[np.int64] | None = None,
    ) -> list[tuple[int, float]]:
        """(chunk id, cosine) of the nearest chunks of these collections, best first; only those allowed, if given."""
        found: list[tuple[int, float]] = []
        only = None if allowed is None else faiss.SearchParameters(sel=_selector(allowed))  # type: ignore[call-arg]
        with self._lock, _one_thread():
            for collection in collections:
                index = self._indexes.get(collection)
                if index is None or not index.ntotal:
                    continue
                scores, ids = index.search(vector[None, :], min(top_k, index.ntotal), params=only)
                found += [hit for hit in zip(ids[0].tolist(), scores[0].tolist(), strict=True) if hit[0] >= 0]
        found.sort(key=lambda hit: (-hit[1], hit[0]))
        return found[:top_k]

    def __len__(self) -> int:
        """Chunks held."""
        with self._lock:
            return sum(int(index.ntotal) for index in self._indexes.values())


def _exact_index(dimension: int) -> faiss.Index:
    """An index that holds each vector in 16 bits, as the store does: exact, in half the memory and half the time."""
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _selector(allowed: NDArray[np.int64]) -> faiss.IDSelector:
    """Which of the sorted ids may be found: a bit for each id up to the last."""
    marks = np.zeros(int(allowed[-1]) + 1 if len(allowed) else 1, bool)
    marks[allowed] = True
    return faiss.IDSelectorBitmap(np.packbits(marks, bitorder="little"))  # type: ignore[call-arg, arg-type]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One query is bound by memory: beside a busy model, waiting for a second thread cost 40 ms of 46."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _joined(ranges: Sequence[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    """Neighbouring ranges of one collection as one, as documents of one ingest lie side by side."""
    current: tuple[str, int, int] | None = None
    for collection, first, last in ranges:
        if current is not None and current[0] == collection and current[2] + 1 == first < current[1] + _LOADED_AT_ONCE:
            current = (collection, current[1], last)
            continue
        if current is not None:
            yield current
        current = (collection, first, last)
    if current is not None:
        yield current
