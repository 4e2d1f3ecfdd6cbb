"""Writing a library on a server: the same decisions as for the SQLite file, the rows sent in bulk.

A transaction holds the server's lock of this library, so that ids are given out and copies recognised by one writer
after another; it is dropped when the transaction ends, however that happens.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from retrieval.analysis import ANALYSIS_VERSION, Analysis
from retrieval.postgres.connection import Connection, HalfVector
from retrieval.postgres.schema import LOCK_KEY, NEW_VECTORS
from retrieval.writer import UPSERT_META, ChunkRow, VectorRow, Writer

COUNT_WEIGHTS = "{0.1,0.2,0.3,0.5}"
"""What `ts_rank` gives the labels D, C, B and A, here a tenth of how often a passage holds a term: 1, 2, 3, 5 or so."""
_LABELS = ("", "C", "B", "A")


class PostgresWriter(Writer):
    """One writer of several; every method is one transaction of its own."""

    def __init__(self, connection: Connection, name: str, wait_seconds: float) -> None:
        super().__init__(connection, name)
        self._raw = connection.raw
        self._wait_seconds = wait_seconds
        self._analysis = Analysis()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing of it, while nobody else writes."""
        with self._raw.transaction():
            self._raw.execute(f"SET LOCAL lock_timeout = {max(1, int(self._wait_seconds * 1000))}")
            self._raw.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
            yield

    def _fill(self, row: int, chunks: Iterable[ChunkRow], vectors: Iterable[VectorRow]) -> None:
        rows = list(chunks)
        copy_rows(self._raw, "chunks", rows)
        with self._raw.cursor().copy("COPY vectors FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "int8", self.connection.vector_oid, "bytea"])
            for chunk, value, digest in vectors:
                copy.write_row((chunk, row, HalfVector(value), digest))
        self.add_terms(row, [(chunk[0], chunk[7]) for chunk in rows])

    def add_terms(self, row: int, texts: Iterable[tuple[int, str]]) -> None:
        """Insert a document's rows of `terms` for passages (id, text); call it inside a transaction."""
        made = [(chunk, row, *counted(self._analysis.terms(text))) for chunk, text in texts]
        copy_rows(self._raw, "terms", made)
        length = sum(item[2] for item in made)
        self._db.execute("UPDATE documents SET terms = terms + ? WHERE id = ?", (length, row))

    def keep_new_vectors(self, rows: Iterable[VectorRow]) -> None:
        """Insert rows of `new_vectors` whose chunks are still there; call it inside a transaction."""
        self._db.executemany(
            "INSERT INTO new_vectors SELECT c.id, c.document, ?, ? FROM chunks c WHERE c.id = ? ON CONFLICT DO NOTHING",
            ((HalfVector(value), digest, chunk) for chunk, value, digest in rows),
        )

    def swap_vectors(self) -> None:
        """Put the table of new vectors in the place of the old one; call it inside a transaction."""
        self._db.execute("DROP TABLE vectors")
        self._db.execute("ALTER TABLE new_vectors RENAME TO vectors")
        self._db.execute(NEW_VECTORS)


def copy_rows(raw: Any, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Send rows of a table in its columns' order."""
    with raw.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def counted(terms: list[str]) -> tuple[int, str]:
    """(number of terms, the `tsvector` of the different ones), each labelled with how often it stands there."""
    counts = Counter(terms)
    return len(terms), " ".join(f"{quoted(term)}:1{_LABELS[min(count, 4) - 1]}" for term, count in counts.items())


def quoted(term: str) -> str:
    """A term as `tsvector` and `tsquery` read it, no character of which means anything."""
    doubled = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


def renew_terms(writer: PostgresWriter) -> None:
    """Analyse all passages anew if another version of the analysis made their terms."""
    current = str(ANALYSIS_VERSION)
    query = "SELECT value FROM meta WHERE key = 'analysis'"
    if writer.connection.execute(query).fetchone()[0] == current:
        return
    with writer.transaction():
        db = writer.connection
        if db.execute(query).fetchone()[0] == current:  # another process was first
            return
        db.execute("TRUNCATE terms")
        db.execute("UPDATE documents SET terms = 0")
        for (row,) in db.execute("SELECT id FROM documents WHERE chunks > 0 ORDER BY id").fetchall():
            writer.add_terms(row, db.execute("SELECT id, text FROM chunks WHERE document = ?", (row,)).fetchall())
        db.execute(UPSERT_META, ("analysis", current))
