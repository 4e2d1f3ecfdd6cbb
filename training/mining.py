"""Hard negatives: texts that look right for a query and are not its own, found by shared words or by vectors.

Sources: BM25, Robertson and Zaragoza 2009, https://doi.org/10.1561/1500000019; leaving out what is nearly as near as
the query's own text, Moreira et al. 2024, https://arxiv.org/abs/2407.15831.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from langchain_core.embeddings import Embeddings
    from numpy.typing import NDArray

Search = Callable[[Sequence[str]], "NDArray[np.float64]"]
"""Queries to scores of all texts of a pool, shape (queries, texts), higher is better."""

_K1, _B = 0.9, 0.4
_QUERIES_AT_ONCE = 256
NEAR = 0.95  # a text this near to the own text's score may be right as well


def by_words(pool: Sequence[str]) -> Search:
    """BM25 over a pool of texts."""
    import numpy as np
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

    words = CountVectorizer(token_pattern=r"(?u)\b\w+\b")
    counts: Any = words.fit_transform(pool).astype(np.float64).tocoo()
    lengths = np.bincount(counts.row, counts.data, len(pool))
    found_in = np.bincount(counts.col, minlength=counts.shape[1])
    rarity = np.log1p((len(pool) - found_in + 0.5) / (found_in + 0.5))
    damped = counts.data + _K1 * (1 - _B + _B * lengths[counts.row] / lengths.mean())
    weights = csr_matrix(
        (rarity[counts.col] * counts.data * (_K1 + 1) / damped, (counts.row, counts.col)), counts.shape
    )

    def search(queries: Sequence[str]) -> NDArray[np.float64]:
        asked: Any = words.transform(queries)
        asked.data[:] = 1
        scores: NDArray[np.float64] = (asked @ weights.T).toarray()
        return scores

    return search


def by_vectors(pool: Sequence[str], encoder: Embeddings) -> Search:
    """The cosine of an encoder's vectors of length 1."""
    import numpy as np

    texts = np.asarray(encoder.embed_documents(list(pool)))

    def search(queries: Sequence[str]) -> NDArray[np.float64]:
        asked = np.asarray([encoder.embed_query(query) for query in queries])
        scores: NDArray[np.float64] = asked @ texts.T
        return scores

    return search


def hard_negatives(
    search: Search, queries: Sequence[str], own: Sequence[Collection[int]], count: int, *, near: float | None = None
) -> list[list[int]]:
    """For each query the `count` best texts that are not its own, as indices of the pool, best first.

    Args:
        search: Over the pool.
        queries: In order.
        own: For each query the indices of the texts that belong to it.
        count: At most so many; texts without any score are left out.
        near: Texts that score above this share of the query's best own text are left out, too.
    """
    import numpy as np

    found = []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        for scores, mine in zip(search(queries[part]), own[part], strict=True):
            limit = np.inf if near is None else near * max((scores[index] for index in mine), default=np.inf)
            usable = (scores > 0) & (scores <= limit)
            usable[list(mine)] = False
            order = np.argsort(-np.where(usable, scores, -np.inf), kind="stable")[:count]
            found.append([int(index) for index in order if usable[index]])
    return found


def places(scores: NDArray[np.float64], wanted: Sequence[int]) -> list[int]:
    """At which places, counted from 1, the wanted indices stand when all are put best first; in rising order."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return sorted(int(rank[index]) for index in wanted)
