"""Search by words on the server: BM25 over `tsvector`, whose labels say how often a passage holds a term.

Only passages with one of the query's rarer terms are ranked, unless those cannot be shown to be the best: what common
terms could add at most is known beforehand. Source for the bound: Turtle and Flood, "Query evaluation: strategies and
optimizations", 1995.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrieval.analysis import K1, Analysis, TermCounts
from retrieval.finder import Ranked
from retrieval.postgres.writer import COUNT_WEIGHTS, quoted

if TYPE_CHECKING:
    from retrieval.postgres.store import PostgresStore

ESTIMATED_FROM = 50_000
"""Passages from which on the server's own statistics say how many hold a common term; up to here they are counted."""
COMMON_SHARE = 0.02
"""Share of the passages above which a term is common, and seldom decides."""
_REMEMBERED_SECONDS = 60.0
_TENTHS = 16.4493406685
"""`ts_rank` divides a label's weight by pi squared over 6; this and the weights' tenths undo it."""
_B = 0.75
_MOST_TIMES = 5
_MOST_GRADE = (1 + K1) * _MOST_TIMES / (_MOST_TIMES + K1 * (1 - _B))
"""What BM25 gives a term at most, in a passage of no length."""


class Words:
    """Ranks a store's passages by the words of a query."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._analysis = Analysis()
        self._counted: tuple[tuple[str, ...], dict[str, int]] = ((), {})
        """The terms of the last search and how many passages hold each, as their weights are asked for next."""
        self._shares: tuple[float, dict[str, float]] = (-_REMEMBERED_SECONDS, {})
        """When the statistics were read, and the share of passages that hold each common term."""

    def ranked(self, query: str, top_k: int, joins: str, condition: str, values: Sequence[Any]) -> Ranked:
        """The best passages by BM25 among rows of `terms t` that fit a condition with these joins and values."""
        terms = self._analysis.query_terms(query)
        total, length = self._sizes()
        counts = self._holding(terms, total)
        weights = TermCounts(total, {term: counts[term] for term in terms if counts.get(term)}).weights()
        narrowed = (joins, condition, values)
        needed = [term for term in weights if counts[term] <= COMMON_SHARE * total] or list(weights)
        found = self._scored(weights, needed, length, top_k, narrowed) if needed else []
        least = found[-1][1] if len(found) == top_k else 0.0
        deciding = _deciding(weights, least)
        if set(deciding) <= set(needed):
            return found
        return self._scored(weights, deciding, length, top_k, narrowed)

    def _scored(
        self,
        weights: dict[str, float],
        needed: Sequence[str],
        length: float,
        top_k: int,
        narrowed: tuple[str, str, Sequence[Any]],
    ) -> Ranked:
        """Passages that hold one of the needed terms, by the BM25 score of all terms."""
        joins, condition, values = narrowed
        statement = (
            "WITH asked AS (SELECT * FROM unnest(?::text[]::tsquery[], ?::float8[]) AS asked(term, weight)),"
            f" reached AS (SELECT t.chunk, t.length, t.words FROM terms t {joins}"
            f" WHERE t.words @@ ?::tsquery AND {condition}),"
            " held AS (SELECT r.chunk, r.length, a.weight,"
            f" round(ts_rank('{COUNT_WEIGHTS}', r.words, a.term) * {_TENTHS}::float8) AS times"
            " FROM reached r JOIN asked a ON r.words @@ a.term)"
            f" SELECT h.chunk, sum(h.weight * {1 + K1}::float8 * h.times"
            f" / (h.times + {K1}::float8 * ({1 - _B}::float8 + {_B}::float8 * h.length / ?)))::real AS score"
            f" FROM held h GROUP BY h.chunk ORDER BY score DESC, h.chunk LIMIT {int(top_k)}"
        )
        asked = ([quoted(term) for term in weights], list(weights.values()))
        reached = " | ".join(quoted(term) for term in needed)
        rows = self._store.rows(statement, (*asked, reached, *values, length))
        return [(chunk, float(score)) for chunk, score in rows]

    def term_counts(self, query: str) -> TermCounts:
        """How many passages hold each of the query's terms; see `Finder`."""
        terms = self._analysis.query_terms(query)
        total = self._sizes()[0]
        known, counts = self._counted
        if known != tuple(terms):
            counts = self._holding(terms, total)
        return TermCounts(total, {term: counts.get(term, 0) for term in terms})

    def coverage(self, weights: dict[str, float], text: str) -> float:
        """Share of the terms' weight that a text holds; see `Finder`."""
        return self._analysis.coverage(weights, text)

    def _holding(self, terms: Sequence[str], total: int) -> dict[str, int]:
        """How many passages hold each term."""
        shares = self._common_shares() if total > ESTIMATED_FROM else {}
        found = {term: round(shares[term] * total) for term in terms if term in shares}
        rest = [term for term in terms if term not in found]
        query = (
            "SELECT a.n, count(*) FROM unnest(?::text[]::tsquery[]) WITH ORDINALITY AS a(term, n)"
            " JOIN terms t ON t.words @@ a.term GROUP BY a.n"
        )
        rows = self._store.rows(query, ([quoted(term) for term in rest],)) if rest else []
        found.update({rest[at - 1]: int(count) for at, count in rows})
        self._counted = (tuple(terms), found)
        return found

    def _common_shares(self) -> dict[str, float]:
        """What the server's statistics say of terms that more than a share of the passages hold."""
        read, shares = self._shares
        if time.monotonic() - read > _REMEMBERED_SECONDS:
            query = (
                "SELECT term, share FROM pg_stats, unnest(most_common_elems::text::text[], most_common_elem_freqs)"
                " AS common(term, share) WHERE schemaname = current_schema() AND tablename = 'terms'"
                " AND attname = 'words' AND term IS NOT NULL AND share > ?"
            )
            shares = dict(self._store.rows(query, (COMMON_SHARE,)))
            self._shares = (time.monotonic(), shares)
        return shares

    def _sizes(self) -> tuple[int, float]:
        """(passages in the library, their mean number of terms)."""
        rows = self._store.rows("SELECT coalesce(sum(chunks), 0), coalesce(sum(terms), 0) FROM documents")
        chunks, terms = rows[0] if rows else (0, 0)
        return int(chunks), max(1.0, terms / max(1, chunks))


def _deciding(weights: dict[str, float], least: float) -> list[str]:
    """The terms of which a passage must hold one to score at least so much: the others together cannot reach it."""
    most, deciding = 0.0, []
    for term, weight in sorted(weights.items(), key=lambda item: item[1]):  # the most common first
        most += weight * _MOST_GRADE
        if most >= least:
            deciding.append(term)
    return deciding
