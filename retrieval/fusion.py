"""Several ranked lists into one.

Reciprocal rank fusion needs no common scale: a cosine and a BM25 score cannot be added, their ranks can.
Source: Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

RRF_K = 60
"""The paper's constant: how little the very first ranks count more than the next ones."""

Item = TypeVar("Item", bound=Hashable)


def fuse(lists: Sequence[Sequence[Item]], k: int = RRF_K) -> list[tuple[Item, float]]:
    """(item, score) best first, where score is the sum of 1 / (k + rank) over the lists that hold the item.

    Equal scores keep the order of the first list that has one of them, so the result is always the same.
    """
    scores: defaultdict[Item, float] = defaultdict(float)
    for ranked in lists:
        for rank, item in enumerate(ranked, start=1):
            scores[item] += 1 / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
