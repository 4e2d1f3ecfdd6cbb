"""The vectors of one large collection: short codes in lists around centres, of which a search looks at a few.

The codes only choose candidates. Each candidate's score is the cosine with its exact vector, read from the store.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from retrieval.exact import Ids, Query, Rows, one_thread, selector
from retrieval.store import Store

CODE = "SQ4"
"""Four bits a number: 200 bytes a chunk of 384 numbers, its id included."""
_RESCORED = 2
"""Candidates looked up in the store for each one asked for."""
_LISTS_SEARCHED = 128
"""In 512 lists of 80,000 real sentences, 128 hold 99.5 % of the ten nearest to real questions, 64 hold 98.5 %."""
_TRAINED_A_LIST, _TRAINED_TOGETHER, _TRAINING_ROUNDS = 64, 100, 8
"""The centres are trained on so many chunks a list, taken in runs of neighbours all over the collection."""
_OUTGROWN = 4
_READ_AT_ONCE = 20_000

Range = tuple[int, int]
"""First and last chunk id."""


class CompressedVectors:
    """An inverted-file index (FAISS IVF) of one collection, rescored from the store."""

    def __init__(self, store: Store, index: Any, trained_for: int) -> None:
        """`trained_for`: how many vectors the index was made for."""
        self._store = store
        self._index = index
        self.trained_for = trained_for

    @classmethod
    def build(
        cls, store: Store, ranges: Sequence[Range], dimension: int, stopped: Callable[[], bool]
    ) -> CompressedVectors | None:
        """An index of the chunks in these ranges, trained on a part of them; None if it was stopped.

        Takes ten processor seconds for a million chunks of 384 numbers, and 100 MB of memory beside the codes.
        """
        total = sum(last - first + 1 for first, last in ranges)
        lists = list_count(total)
        index: Any = faiss.index_factory(dimension, f"IVF{lists},{CODE}", faiss.METRIC_INNER_PRODUCT)
        index.cp.niter = _TRAINING_ROUNDS
        runs = pieces(ranges, _TRAINED_TOGETHER)
        step = max(1, total // (_TRAINED_A_LIST * lists))
        sample = [store.chunk_vectors(first, last)[1] for first, last in runs[::step]]
        index.train(np.concatenate(sample).astype(np.float32))
        del sample
        made = cls(store, index, total)
        for first, last in pieces(ranges, _READ_AT_ONCE):
            if stopped():
                return None
            made.add(*store.chunk_vectors(first, last))
        return made

    @classmethod
    def read(cls, store: Store, file: Path, trained_for: int) -> CompressedVectors:
        """The index that `write` left in a file.

        Raises:
            RuntimeError: FAISS cannot read it.
        """
        return cls(store, faiss.read_index(str(file)), trained_for)

    def write(self, file: Path) -> None:
        """Leave the index in a file.

        Raises:
            RuntimeError: FAISS cannot write it, for instance because the disk is full.
        """
        faiss.write_index(self._index, str(file))

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return int(self._index.d)

    @property
    def outgrown(self) -> bool:
        """Whether it holds so much more than it was made for that another one would be faster."""
        return len(self) > _OUTGROWN * self.trained_for

    def add(self, ids: Ids, vectors: Rows) -> None:
        """Take in the vectors of ids that are not there yet."""
        if len(ids):
            self._index.add_with_ids(vectors.astype(np.float32), ids)

    def remove(self, ids: Ids) -> None:
        """Forget these ids; those that are not there do not matter."""
        if len(ids):
            self._index.remove_ids(faiss.IDSelectorBatch(ids))

    def search(self, vector: Query, top_k: int, allowed: Ids | None = None) -> list[tuple[int, float]]:
        """(chunk id, cosine) of the nearest, best first."""
        wanted = min(_RESCORED * top_k, len(self))
        lists = self._lists_searched(wanted, allowed)
        found = self._candidates(vector, wanted, lists, allowed)
        if len(found) < wanted and lists < self._index.nlist:  # most of what is allowed is of other collections
            found = self._candidates(vector, wanted, self._index.nlist, allowed)
        ids, exact = self._store.vectors_of(found)
        if not len(ids):
            return []
        scores = exact.astype(np.float32) @ vector
        best = np.lexsort((ids, -scores))[:top_k]
        return list(zip(ids[best].tolist(), scores[best].tolist(), strict=True))

    def _candidates(self, vector: Query, wanted: int, lists: int, allowed: Ids | None) -> Ids:
        """Ids of the nearest by their codes, from the lists nearest to the vector."""
        only = None if allowed is None else selector(allowed)
        parameters = faiss.SearchParametersIVF(nprobe=lists, sel=only)  # type: ignore[call-arg]
        with one_thread():
            _, found = self._index.search(vector[None, :], wanted, params=parameters)
        candidates: Ids = found[0][found[0] >= 0]
        return candidates

    def _lists_searched(self, wanted: int, allowed: Ids | None) -> int:
        """More where many are asked for or few are allowed, up to all: what is not allowed costs next to nothing."""
        lists = int(self._index.nlist)
        enough = max(_LISTS_SEARCHED, math.ceil(4 * wanted * lists / len(self)))
        if allowed is not None:
            enough = math.ceil(enough * max(1.0, len(self) / max(1, len(allowed))))
        return min(lists, enough)

    def ids(self) -> Ids:
        """All ids that are there, list by list."""
        lists = self._index.invlists
        held = []
        for number in range(self._index.nlist):
            size = lists.list_size(number)
            if size:
                held.append(faiss.rev_swig_ptr(lists.get_ids(number), size).copy())
        return np.concatenate(held) if held else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return int(self._index.ntotal)


def list_count(total: int) -> int:
    """How many lists suit so many vectors: the power of two next to the root, so that either half costs alike."""
    return int(2 ** max(2, round(math.log2(max(total, 1)) / 2)))


def pieces(ranges: Sequence[Range], most: int) -> list[Range]:
    """The same ids in ranges of at most `most`, neighbours joined."""
    found: list[Range] = []
    for first, last in ranges:
        if found and found[-1][1] + 1 == first and last - found[-1][0] < most:
            found[-1] = (found[-1][0], last)
            continue
        found += [(at, min(last, at + most - 1)) for at in range(first, last + 1, most)]
    return found
