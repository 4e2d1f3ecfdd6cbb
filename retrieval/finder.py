"""What a search asks of a library's store: the passages nearest to a vector and those that hold a query's words.

Each store brings its own: caches beside the SQLite file, indexes inside PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.analysis import TermCounts

Ranked = list[tuple[int, float]]
"""(chunk id, score), best first; higher is better."""


@dataclass(frozen=True)
class Scope:
    """Where a search looks: in these collections, at passages that fit a filter if there is one."""

    collections: Sequence[str]
    where: Mapping[str, Any] | None = None
    everywhere: bool = False
    """Whether the collections are all there are, so that nothing need be filtered by them."""


class Finder(Protocol):
    """Finds passages by vector and by words; safe to call from several threads."""

    def refresh(self, with_words: bool = True) -> None:
        """See what was committed until now; without `with_words` only for searches by vector."""
        ...

    def search(self, vector: NDArray[np.float32], query: str, top_k: int, scope: Scope) -> tuple[Ranked, Ranked]:
        """The best by cosine with a unit vector (dimension,), and the best by BM25 for the query's words.

        Raises:
            BadFilter: the filter has a form that is not known.
        """
        ...

    def nearest(self, vector: NDArray[np.float32], top_k: int, scope: Scope) -> Ranked:
        """The best by cosine alone."""
        ...

    def term_counts(self, query: str) -> TermCounts:
        """How many passages the library holds, and how many of them each of the query's terms; ask after `search`."""
        ...

    def coverage(self, weights: dict[str, float], text: str) -> float:
        """Share of the terms' weight that a text holds, 0 to 1; 0 for a query without terms."""
        ...

    def warm(self) -> None:
        """Do now what the next search would have to wait for; a failure can wait till then."""
        ...

    def close(self) -> None:
        """Let go of memory and files."""
        ...
