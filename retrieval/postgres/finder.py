"""Search inside the server: vectors by pgvector, words by `tsvector`, filters in the same statements.

Up to EXACT_CHUNKS passages that may be found, every vector is looked at: exact, its time grows with their number. A
larger library gets an HNSW index at the end of the ingest that makes it so, about a minute of one core for 100,000
passages and growing a little faster than their number; the time of a search then grows with the number's logarithm,
and it goes on in the index until enough passages fit the filter. A search by words grows with the number of passages
that hold one of the query's rarer terms. On disk 100,000 passages of 120 words with vectors of 384 numbers take half
a gigabyte: text, two bytes for each number, as much again for HNSW, and about as much as both for the words.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import LibraryError
from retrieval.finder import Ranked, Scope
from retrieval.postgres.connection import HalfVector, translated
from retrieval.postgres.where import PostgresCondition
from retrieval.postgres.words import Words
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


class PostgresFinder:
    """Searches one store on a server; see `Finder` for what each method gives."""

    def __init__(self, store: PostgresStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._words = Words(store)
        self.term_counts = self._words.term_counts
        self.coverage = self._words.coverage

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
        return self._words.ranked(query, top_k, *_narrowed(scope, "t"))

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
