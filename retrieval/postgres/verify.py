"""Is everything in the library on a server what it says it is? The same seals as in the file, checked row by row.

What can be made again from sound passages (vectors, words) is mended; the rest is named, and adding the file again
mends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrieval.postgres.connection import HalfVector
from retrieval.postgres.writer import PostgresWriter
from retrieval.verify import Finding, row_problems
from retrieval.writer import vector_rows

if TYPE_CHECKING:
    from retrieval.embedder import Embedder
    from retrieval.postgres.store import PostgresStore

_WORDLESS = "FROM chunks c WHERE NOT EXISTS(SELECT 1 FROM terms t WHERE t.chunk = c.id)"
_COUNT_WHAT_IS_LEFT = (
    "UPDATE documents SET terms = (SELECT coalesce(sum(t.length), 0) FROM chunks c JOIN terms t ON t.chunk = c.id"
    " WHERE c.document = documents.id) WHERE id = ?"
)
"""Before terms are added again, so that none counts twice in the passages' mean length."""


def checked(store: PostgresStore, embedder: Embedder, repair: bool) -> dict[str, Any]:
    """What `Library.verify` gives."""
    if not store.rows("SELECT 1"):
        return {"checked": 0, "problems": [], "repaired": []}
    count, found = _found(store)
    if repair and found:
        _mend(store, embedder, found)
        left = {finding.sentence for finding in _found(store)[1]}
        return {
            "checked": count,
            "problems": sorted(left),
            "repaired": [finding.sentence for finding in found if finding.sentence not in left],
        }
    return {"checked": count, "problems": [finding.sentence for finding in found], "repaired": []}


def _found(store: PostgresStore) -> tuple[int, list[Finding]]:
    """(chunks looked at, what is wrong), every document as it was at one moment."""
    with store.apart() as connection:
        connection.raw.execute("SET default_transaction_isolation = 'repeatable read'")
        findings = row_problems(connection)
        (wordless,) = connection.execute(f"SELECT count(*) {_WORDLESS}").fetchone()
    if wordless:
        findings.found.append(Finding("text", f"full-text search: {wordless} passages have no words in it"))
    return findings.checked, findings.found


def _mend(store: PostgresStore, embedder: Embedder, found: Sequence[Finding]) -> None:
    damaged = {finding.row for finding in found if finding.kind in ("record", "text", "chunks")}
    bad = [chunk for finding in found if finding.kind == "vectors" for chunk in finding.chunks]
    if bad and store.check_embedder(embedder.identity):
        _make_vectors(store, embedder, bad, damaged)
    with store.writing() as writer:
        assert isinstance(writer, PostgresWriter)
        with writer.transaction():
            rows = writer.connection.execute(f"SELECT DISTINCT c.document {_WORDLESS}").fetchall()
            for (row,) in rows:
                query = f"SELECT c.id, c.text {_WORDLESS} AND c.document = ?"
                wordless = writer.connection.execute(query, (row,)).fetchall()
                writer.connection.execute(_COUNT_WHAT_IS_LEFT, (row,))
                writer.add_terms(row, wordless)


def _make_vectors(store: PostgresStore, embedder: Embedder, ids: Sequence[int], damaged: set[int | None]) -> None:
    """Embed passages again whose vectors are not sound, unless their document's other rows are not either."""
    query = "SELECT id, document, text, digest FROM chunks WHERE id = ANY(?)"
    chunks = [chunk for chunk in store.rows(query, (list(ids),)) if chunk[1] not in damaged]
    vectors = embedder.embed([text for *_, text, _ in chunks], store.name)
    digests = [digest for *_, digest in chunks]
    made = vector_rows((chunk[0] for chunk in chunks), digests, vectors, embedder.fingerprint)
    documents = {chunk[0]: chunk[1] for chunk in chunks}
    with store.writing() as writer, writer.transaction():
        writer.connection.executemany(
            "INSERT INTO vectors SELECT c.id, c.document, ?, ? FROM chunks c WHERE c.id = ? AND c.document = ?"
            " ON CONFLICT(chunk) DO UPDATE SET value = excluded.value, digest = excluded.digest",
            ((HalfVector(value), digest, chunk, documents[chunk]) for chunk, value, digest in made),
        )
