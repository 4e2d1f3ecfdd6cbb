"""Is everything in the library what it says it is? Read-only, over every document, passage and vector.

Each row is compared with the digest it was sealed with, so that a changed byte or a swapped row is found. A document is
read in a short transaction of its own, and writers go on meanwhile.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from retrieval.digests import chunk_digest, document_digest, meta_digest, text_digest, vector_digest
from retrieval.errors import Damaged, StorageError
from retrieval.history import Database, document_row, last_id, unbroken
from retrieval.schema import FILE_NAME, TABLES, connect_to_read, translated

Kind = Literal["database", "dangling", "model", "history", "lost", "record", "text", "chunks", "vectors", "unfinished"]
_CHILDREN = ("texts", "chunks", "vectors", "new_vectors")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in words, with the row of the document and the chunks it concerns."""

    kind: Kind
    sentence: str
    row: int | None = None
    chunks: tuple[int, ...] = ()


@dataclass
class Findings:
    """What a check of the whole library found; `checked` counts the chunks looked at."""

    checked: int = 0
    found: list[Finding] = field(default_factory=list)


def verify_folder(folder: Path) -> Findings:
    """Everything that is wrong with the library in a folder; nothing where there is none.

    Raises:
        NewerSchema, ReadOnly, Locked ...: it cannot be read for a reason that is no damage.
    """
    if not (folder / FILE_NAME).exists():
        return Findings()
    try:
        with doubtful(folder) as db:
            broken = list(_database_problems(db))
            return Findings(0, broken) if broken else row_problems(db)
    except (Damaged, StorageError) as error:
        return Findings(0, [Finding("database", f"database: {error.detail}")])


def verify_document(folder: Path, row: int) -> list[Finding]:
    """What is wrong with one document, in a database that is sound."""
    with doubtful(folder) as db, _reading(db):
        return _document_problems(db, row)[1]


@contextlib.contextmanager
def doubtful(folder: Path) -> Iterator[sqlite3.Connection]:
    """A reading connection that takes texts which are no UTF-8 any more, as what they then are."""
    with translated(folder), contextlib.closing(connect_to_read(folder)) as db:
        db.text_factory = decoded
        yield db


def decoded(data: bytes) -> str:
    """Bytes that should be UTF-8, with a mark for what is not, so that no seal fits it."""
    return data.decode("utf-8", "replace")


def _database_problems(db: sqlite3.Connection) -> Iterator[Finding]:
    """What SQLite itself finds, and whether the tables are ours."""
    for (words,) in db.execute("PRAGMA integrity_check(20)").fetchall():
        if words != "ok":
            yield Finding("database", f"database: {words}")
    expected = {_normal(statement) for statement in TABLES.split(";") if statement.strip()}
    found = {_normal(sql) for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")}
    if expected != found:
        yield Finding("database", "database: its tables are not the ones that Hearth made")


def _normal(sql: str) -> str:
    """A statement without quotes and spaces, which SQLite changes when a table is renamed."""
    return re.sub(r'["\s]', "", sql)


def row_problems(db: Any) -> Findings:
    """What is wrong with the rows of a sound database, SQLite's or one that takes the same statements."""
    findings = Findings()
    with _reading(db):
        if isinstance(db, sqlite3.Connection):  # a server never lets a row dangle
            findings.found += _dangling(db)
        findings.found += _unaccounted(db)
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        rows = [row for (row,) in db.execute("SELECT id FROM documents ORDER BY id").fetchall()]
    findings.found += _model_problems(meta, "", "the record of the embedding model")
    pending = list(_model_problems(meta, "new_", "the record of the model that is being re-embedded with"))
    findings.found += [Finding("unfinished", finding.sentence) for finding in pending]
    for row in rows:
        with _reading(db):
            checked, found = _document_problems(db, row)
        findings.checked += checked
        findings.found += found
    return findings


@contextlib.contextmanager
def _reading(db: Database) -> Iterator[None]:
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")


def _dangling(db: sqlite3.Connection) -> Iterator[Finding]:
    tables = [row[0] for row in db.execute("PRAGMA foreign_key_check").fetchall()]
    for table in _CHILDREN:
        if count := tables.count(table):
            yield Finding("dangling", f"dangling rows in {table}: {count} belong to nothing")
    if "documents" in tables:
        yield Finding("history", "history: a document's commit is missing")


def _unaccounted(db: Database) -> Iterator[Finding]:
    """Ids that were given out, but are neither there nor recorded as removed; and commits that are not as written."""
    query = "SELECT generation, token, removed_document, removed_first, removed_last FROM commits ORDER BY generation"
    commits = db.execute(query).fetchall()
    if not unbroken(commits) or (commits[-1][0] if commits else 0) != last_id(db, "commits"):
        yield Finding("history", "history: its commits are not as Hearth wrote them")
    held = db.execute("SELECT id, first_chunk, last_chunk FROM documents").fetchall()
    removed = [commit[2] for commit in commits]
    base = [(1, removed[0])] if removed else []  # the first commit stands for all before it
    ids = [(row, row) for row in [*(row for row, _, _ in held), *removed[1:]]]
    if gaps := _gaps([*base, *ids], last_id(db, "documents")):
        yield Finding("lost", f"history: {gaps} documents are gone and nothing says that they were removed")
    ranges = [(first, last) for *_, first, last in [*commits, *held]]
    if gaps := _gaps(ranges, last_id(db, "chunks")):
        yield Finding("lost", f"history: {gaps} passages are gone and nothing says that they were removed")
    for table in ("documents", "chunks"):
        if last_id(db, table) < db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]:
            yield Finding("history", f"history: the counter of {table} is behind")


def _gaps(ranges: Sequence[tuple[Any, Any]], last: int) -> int:
    """How many numbers from 1 to `last` lie in none of these ranges, whose ends are included."""
    missing, covered = 0, 0
    whole = [(begin, end) for begin, end in ranges if isinstance(begin, int) and isinstance(end, int)]
    for begin, end in sorted(whole):
        missing += max(0, min(begin, last + 1) - covered - 1)
        covered = max(covered, end)
    return missing + max(0, last - covered)


def _model_problems(meta: dict[str, str], prefix: str, what: str) -> Iterator[Finding]:
    names = [f"{prefix}{name}" for name in ("fingerprint", "dimension", "label")]
    values = [meta.get(name, "") for name in names]
    sealed = meta.get(f"{prefix}digest")
    if sealed is None and not any(name in meta for name in names):
        return
    if sealed != meta_digest(*values):
        yield Finding("model", f"{what} is damaged")


# One document -------------------------------------------------------------------------------------------------------


def _document_problems(db: Database, row: int) -> tuple[int, list[Finding]]:
    """(chunks looked at, what is wrong with a document); nothing if it was removed meanwhile."""
    found = document_row(db, "id = ?", row)
    if found is None:
        return 0, []
    document = dict(found)
    name = document["name"]
    findings: list[Finding] = []

    def add(kind: Kind, words: str, chunks: Sequence[int] = ()) -> None:
        findings.append(Finding(kind, f"{name}: {words}", row, tuple(chunks)))

    if document_digest(document) != document["digest"]:
        add("record", "its record was changed outside Hearth")
    text = db.execute("SELECT body, page_starts, digest FROM texts WHERE document = ?", (row,)).fetchone()
    if text is None:
        if document["status"] == "ready":
            add("text", "its text is missing")
    elif text_digest(document["document_id"], text[0], text[1]) != text[2]:
        add("text", "its text was changed outside Hearth")
    chunks = _chunks_of(db, document)
    ids = [chunk["id"] for chunk in chunks]
    ends = (ids[0], ids[-1]) if ids else (None, None)
    in_order = [chunk["ordinal"] for chunk in chunks] == list(range(len(chunks)))
    if not in_order or (len(ids), *ends) != (document["chunks"], document["first_chunk"], document["last_chunk"]):
        add("chunks", f"{document['chunks']} chunks recorded, {len(chunks)} of them found")
    if changed := [chunk["id"] for chunk in chunks if not _sound(document["document_id"], chunk)]:
        add("chunks", f"chunk {changed[0]} is not the text it points at ({len(changed)} such)", changed)
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    for table, prefix, kind, words in (
        ("vectors", "", "vectors", "has no sound vector"),
        ("new_vectors", "new_", "unfinished", "has no sound new vector"),
    ):
        bad = _bad_vectors(db, table, meta.get(f"{prefix}fingerprint", ""), chunks)
        if bad:
            add(kind, f"chunk {bad[0]} {words} ({len(bad)} such)", bad)  # type: ignore[arg-type]
    return len(chunks), findings


def _chunks_of(db: Database, document: dict[str, Any]) -> list[sqlite3.Row]:
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    query = "SELECT * FROM chunks WHERE document = ? ORDER BY ordinal"
    rows: list[sqlite3.Row] = cursor.execute(query, (document["id"],)).fetchall()
    return rows


def _sound(document_id: str, chunk: sqlite3.Row) -> bool:
    facts = [chunk[name] for name in ("ordinal", "start", "end", "page", "position", "text")]
    return bool(chunk_digest(document_id, *facts) == chunk["digest"])


def _bad_vectors(db: Database, table: str, fingerprint: str, chunks: Sequence[sqlite3.Row]) -> list[int]:
    """Chunks whose vector is missing or not the one that was made from them; unfinished ones need not be there."""
    if not chunks:
        return []
    ends = (chunks[0]["id"], chunks[-1]["id"])
    query = f"SELECT chunk, value, digest FROM {table} WHERE chunk BETWEEN ? AND ?"
    stored = {chunk: (value, digest) for chunk, value, digest in db.execute(query, ends)}
    bad = []
    for chunk in chunks:
        if chunk["id"] not in stored:
            if table == "vectors":
                bad.append(chunk["id"])
            continue
        value, digest = stored[chunk["id"]]
        if not isinstance(value, bytes) or vector_digest(fingerprint, chunk["digest"], value) != digest:
            bad.append(chunk["id"])
    return bad
