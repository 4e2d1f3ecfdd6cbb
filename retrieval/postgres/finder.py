"""Search inside the server: vectors by pgvector, words by `tsvector`, filters in the same statements.

Up to EXACT_CHUNKS passages that may be found, every vector is looked at: exact, its time grows with their number. A
larger library gets an HNSW index after the ingest that makes it so; the time of a search then grows with the logarithm
of the number, that of building with the number times its logarithm (minutes for a million), and a search goes on in
the index until enough passages fit the filter. Words are ranked by BM25 over the passages that hold one of them, so a
search grows with how common its words are. On disk a passage takes its text, two bytes for each number of its vector,
as much again for HNSW, and about ten bytes for each different word.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.analysis import BACKGROUND_PASSAGES, Analysis
from retrieval.errors import LibraryError
from retrieval.finder import Ranked, Scope
from retrieval.postgres.connection import HalfVector, translated
from retrieval.postgres.where import PostgresCondition
from retrieval.postgres.writer import COUNT_WEIGHTS, quoted
from retrieval.stored import STORED_DTYPE

if TYPE_CHECKING:
    from retrieval.embedder import Embedder
    from retrieval.postgres.store import PostgresStore

EXACT_CHUNKS = 50_000
_BUILD_KEY = 0x48525449
_BUILD_MEMORY = "1GB"
_MOST_EF_SEARCH = 1000
_LEAST_EF_SEARCH = 200
_MOST_SCANNED = 200_000
_TENTHS = 16.4493406685
"""`ts_rank` divides a label's weight by pi squared over 6; this and the weights' tenths undo it."""
_K1, _B = 1.2, 0.75


class PostgresFinder:
    """Searches one store on a server; see `Finder` for what each method gives."""

    def __init__(self, store: PostgresStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._analysis = Analysis()
        self._counted: tuple[tuple[str, ...], dict[str, int]] = ((), {})
        """The terms of the last search and how many passages hold each, as their weights are asked for next."""

    def refresh(self, with_words: bool = True) -> None:
        """The server's indexes change with each transaction."""

    def close(self) -> None:
        """Nothing is held here."""

    # By meaning -----------------------------------------------------------------------------------------------------

    def search(self, vector: NDArray[np.float32], query: str, top_k: int, scope: Scope) -> tuple[Ranked, Ranked]:
        """(by meaning, by words)."""
        return self.nearest(vector, top_k, scope), self._by_words(query, top_k, scope)

    def nearest(self, vector: NDArray[np.float32], top_k: int, scope: Scope) -> Ranked:
        """By meaning alone: the inner product of unit vectors is their cosine."""
        joins, condition, values = _narrowed(scope, "v")
        wanted = HalfVector(vector.astype(STORED_DTYPE).tobytes())
        dimension = len(vector)
        exact = self._reachable(scope) <= EXACT_CHUNKS
        column = "v.value" if exact else f"(v.value::halfvec({dimension}))"
        query = (
            f"SELECT v.chunk, -({column} <#> ?) FROM vectors v {joins} WHERE {condition} ORDER BY {column} <#> ?"
            f"{', v.chunk' if exact else ''} LIMIT {int(top_k)}"
        )
        with self._store.reading() as connection:
            if connection is None:
                return []
            with connection.raw.transaction():
                if not exact:
                    _search_index(connection.raw, top_k)
                found = connection.execute(query, (wanted, *values, wanted)).fetchall()
        return [(chunk, float(cosine)) for chunk, cosine in found]

    def _reachable(self, scope: Scope) -> int:
        """How many passages a search may find, counted by documents."""
        condition, values = _documents(scope)
        if scope.where is not None:
            filtered = PostgresCondition(scope.where)
            if not filtered.of_chunks:
                condition, values = f"{condition} AND ({filtered.sql})", [*values, *filtered.values]
        query = f"SELECT coalesce(sum(d.chunks), 0) FROM documents d WHERE {condition}"
        rows = self._store.rows(query, values)
        return int(rows[0][0]) if rows else 0

    # By words -------------------------------------------------------------------------------------------------------

    def _by_words(self, query: str, top_k: int, scope: Scope) -> Ranked:
        terms = self._analysis.query_terms(query)
        counts = self._holding(terms)
        total, length = self._sizes()
        held = [term for term in terms if counts.get(term)]
        if not held:
            return []
        weights = [self._analysis.weight(total, counts[term]) for term in held]
        joins, condition, values = _narrowed(scope, "t")
        grade = f"{_K1} * ({1 - _B} + {_B} * h.length / ?)"
        statement = (
            "WITH asked AS (SELECT * FROM unnest(?::text[]::tsquery[], ?::float8[]) AS asked(term, weight)),"
            " held AS (SELECT t.chunk, t.document, t.length, a.weight,"
            f" round(ts_rank('{COUNT_WEIGHTS}', t.words, a.term)::numeric * {_TENTHS})::float8 AS times"
            f" FROM asked a JOIN terms t ON t.words @@ a.term {joins} WHERE {condition})"
            f" SELECT h.chunk, sum(h.weight * {1 + _K1} * h.times / (h.times + {grade}))::real AS score FROM held h"
            f" GROUP BY h.chunk ORDER BY score DESC, h.chunk LIMIT {int(top_k)}"
        )
        rows = self._store.rows(statement, ([quoted(term) for term in held], weights, *values, length))
        return [(chunk, float(score)) for chunk, score in rows]

    def _holding(self, terms: Sequence[str]) -> dict[str, int]:
        """How many passages hold each term."""
        query = (
            "SELECT a.n, count(*) FROM unnest(?::text[]::tsquery[]) WITH ORDINALITY AS a(term, n)"
            " JOIN terms t ON t.words @@ a.term GROUP BY a.n"
        )
        rows = self._store.rows(query, ([quoted(term) for term in terms],)) if terms else []
        found = {terms[at - 1]: int(count) for at, count in rows}
        self._counted = (tuple(terms), found)
        return found

    def _sizes(self) -> tuple[int, float]:
        """(passages in the library, their mean number of terms)."""
        rows = self._store.rows("SELECT coalesce(sum(chunks), 0), coalesce(sum(terms), 0) FROM documents")
        chunks, terms = rows[0] if rows else (0, 0)
        return int(chunks), max(1.0, terms / max(1, chunks))

    def term_weights(self, query: str) -> dict[str, float]:
        """The query's terms with their inverse document frequency; see `Finder`."""
        terms = self._analysis.query_terms(query)
        known, counts = self._counted
        if known != tuple(terms):
            counts = self._holding(terms)
        total = self._sizes()[0] + BACKGROUND_PASSAGES
        return {term: self._analysis.weight(total, counts.get(term, 0)) for term in terms}

    def coverage(self, weights: dict[str, float], text: str) -> float:
        """Share of the terms' weight that a text holds; see `Finder`."""
        return self._analysis.coverage(weights, text)

    # The index ------------------------------------------------------------------------------------------------------

    def warm(self) -> None:
        """Build the HNSW index if the library has grown large and has none; a failure can wait till the next time."""
        with contextlib.suppress(LibraryError):
            if self._store.chunk_count() > EXACT_CHUNKS:
                self._build_index()

    def _build_index(self) -> None:
        """Build it beside searches and writers, once: what a killed builder left is thrown away."""
        dimension = self._embedder.dimension
        with self._store.apart() as connection, translated(self._store.name):
            raw = connection.raw
            if not connection.execute("SELECT pg_try_advisory_lock(?)", (_BUILD_KEY,)).fetchone()[0]:
                return
            indexes = raw.execute(
                "SELECT quote_ident(c.relname), i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                " JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = 'vectors'::regclass AND a.amname = 'hnsw'"
            ).fetchall()
            for index, valid in indexes:
                if valid:
                    return
                raw.execute(f"DROP INDEX {index}")
            raw.execute(f"SET maintenance_work_mem = '{_BUILD_MEMORY}'")
            raw.execute(
                f"CREATE INDEX CONCURRENTLY ON vectors USING hnsw ((value::halfvec({dimension})) halfvec_ip_ops)"
            )
            raw.execute("ANALYZE documents, vectors, terms, chunks")


def _search_index(raw: Any, top_k: int) -> None:
    """Let this transaction's search go on in the index until enough passages fit, however rare they are."""
    ef_search = min(_MOST_EF_SEARCH, max(_LEAST_EF_SEARCH, 2 * top_k))
    raw.execute(f"SET LOCAL hnsw.ef_search = {ef_search}")
    raw.execute("SET LOCAL hnsw.iterative_scan = strict_order")
    raw.execute(f"SET LOCAL hnsw.max_scan_tuples = {_MOST_SCANNED}")


def _documents(scope: Scope) -> tuple[str, list[Any]]:
    """The condition on `documents d` that a scope's collections make, with its values."""
    if scope.everywhere:
        return "TRUE", []
    return "d.collection = ANY(?::text[])", [list(scope.collections)]


def _narrowed(scope: Scope, table: str) -> tuple[str, str, list[Any]]:
    """(joins, condition, values) that limit rows of a table with `chunk` and `document` to a scope."""
    condition, values = _documents(scope)
    joins = "" if scope.everywhere and scope.where is None else f"JOIN documents d ON d.id = {table}.document"
    if scope.where is not None:
        filtered = PostgresCondition(scope.where)
        condition, values = f"{condition} AND ({filtered.sql})", [*values, *filtered.values]
        if filtered.of_chunks:
            joins += f" JOIN chunks c ON c.id = {table}.chunk"
    return joins, condition, values
