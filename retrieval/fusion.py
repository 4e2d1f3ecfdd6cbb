"""Two ranked lists into one: half of a passage's score is its cosine, half how well it holds the query's words.

A BM25 score is made a share, 0 to 1, of the most that the query's words could earn, so that it can stand beside a
cosine: where the library hardly knows the words, they count for little. Ranks alone, as in reciprocal rank fusion,
forget by how much the first is better than the second (training/LOG.md has the figures).
Source: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023.
"""

from __future__ import annotations

from retrieval.finder import Ranked

COSINE_WEIGHT = 0.5


def fuse(by_meaning: Ranked, by_words: Ranked, most: float, asked: int) -> Ranked:
    """(chunk id, score), best first; equal scores keep the order of the words' list, then of the other.

    A passage that one list lacks counts there as the last one listed if the list was cut, else as nothing.

    Args:
        by_meaning: cosines, best first.
        by_words: BM25 scores, best first.
        most: what BM25 could give this query at most; above 0 where there is a list by words.
        asked: how many passages each list was cut at.
    """
    words, cosines = dict(by_words), dict(by_meaning)
    least_words = by_words[-1][1] if len(by_words) >= asked else 0.0
    least_cosine = by_meaning[-1][1] if len(by_meaning) >= asked else 0.0
    of_words = (1 - COSINE_WEIGHT) / most if most else 0.0
    scores = {
        chunk: COSINE_WEIGHT * cosines.get(chunk, least_cosine) + of_words * words.get(chunk, least_words)
        for chunk in [*words, *cosines]
    }
    return sorted(scores.items(), key=lambda pair: -pair[1])
