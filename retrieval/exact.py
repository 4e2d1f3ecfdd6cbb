"""The vectors of one collection, each of them looked at in every search: right up to a few hundred thousand.

`VectorSet` is what any way of keeping a collection's vectors has to offer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Rows = NDArray[np.float16]
"""Unit vectors (n, dimension) in the store's 16 bits."""
Query = NDArray[np.float32]
"""A unit vector (dimension,)."""


class VectorSet(Protocol):
    """Unit vectors by chunk id; one thread at a time."""

    def add(self, ids: Ids, vectors: Rows) -> None:
        """Take in the vectors of ids that are not there yet."""

    def remove(self, ids: Ids) -> None:
        """Forget these ids; those that are not there do not matter."""

    def search(self, vector: Query, top_k: int, allowed: Ids | None = None) -> list[tuple[int, float]]:
        """(chunk id, cosine) of the nearest to a vector; only among sorted ids, if given."""
        ...

    def ids(self) -> Ids:
        """All ids that are there, in any order."""
        ...

    def __len__(self) -> int: ...


class ExactVectors:
    """A flat index that holds each vector in 16 bits, as the store does: exact, in half of the memory and the time."""

    def __init__(self, dimension: int) -> None:
        flat = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._index = faiss.IndexIDMap(flat)

    def add(self, ids: Ids, vectors: Rows) -> None:
        """Take in the vectors of ids that are not there yet."""
        self._index.add_sa_codes(vectors.view(np.uint8), ids)  # its codes are the store's numbers

    def remove(self, ids: Ids) -> None:
        """Forget these ids."""
        self._index.remove_ids(faiss.IDSelectorBatch(ids))

    def search(self, vector: Query, top_k: int, allowed: Ids | None = None) -> list[tuple[int, float]]:
        """(chunk id, cosine) of the nearest, in FAISS's order."""
        only = None if allowed is None else faiss.SearchParameters(sel=selector(allowed))  # type: ignore[call-arg]
        with one_thread():
            scores, ids = self._index.search(vector[None, :], min(top_k, len(self)), params=only)
        return [hit for hit in zip(ids[0].tolist(), scores[0].tolist(), strict=True) if hit[0] >= 0]

    def ids(self) -> Ids:
        """All ids that are there."""
        held: Ids = faiss.vector_to_array(self._index.id_map)
        return held

    def __len__(self) -> int:
        return int(self._index.ntotal)


def selector(allowed: Ids) -> faiss.IDSelector:
    """Which of the sorted ids may be found: a bit for each id up to the last."""
    marks = np.zeros(int(allowed[-1]) + 1 if len(allowed) else 1, bool)
    marks[allowed] = True
    return faiss.IDSelectorBitmap(np.packbits(marks, bitorder="little"))  # type: ignore[call-arg, arg-type]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One query is bound by memory: beside a busy model, waiting for a second thread cost 40 ms of 46."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
