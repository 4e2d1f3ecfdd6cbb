"""What must be so after any fault: told by `verify`, by reading the SQLite file without Hearth, and by what was said.

Counts what is wrong instead of stopping at it, so that a campaign can report it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retrieval.schema import FILE_NAME
from tests.retrieval.campaign.worker import MODELS, Operation, Word, model, opened

State = dict[tuple[str, str], str]
"""(collection, name) -> text."""


_BELONGS = (
    ("chunks", "documents", "document"), ("texts", "documents", "document"), ("vectors", "chunks", "chunk"),
    ("new_vectors", "chunks", "chunk"),
)  # fmt: skip


@dataclass
class Judge:
    """Knows what a library must hold after all that was said, and counts what it does not."""

    sure: State = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)

    def judge(self, path: Path, words: Iterable[Word]) -> None:
        """Hear what a worker said before it ended, then look at the library that it left."""
        pending: Operation | None = None
        for word, operation, detail in words:
            self.said[f"{word} {operation[0] if operation else ''}".strip()] += 1
            if word == "died":
                self._count("died", detail)
            elif word == "failed":
                self.said[f"code {detail}"] += 1
            else:
                pending = operation if word == "begin" else None
            if word == "done":
                self.sure = applied(self.sure, operation)
        held = self._held(path)
        for name in self.sure.keys() | held.keys():
            possible = [self.sure.get(name)]
            if pending is not None:
                possible.append(applied(self.sure, pending).get(name))
            if held.get(name) not in possible:
                self._count("lost" if self.sure.get(name) else "undead", f"{name} after {(pending or ['nothing'])[0]}")
        self.sure = held
        self._look_inside(path)
        self._ask(path, held)

    def _count(self, what: str, example: str) -> None:
        self.wrong[what] += 1
        self.examples.append(f"{what}: {example}")

    def _held(self, path: Path) -> State:
        with opened(path) as library:
            records = library.documents(library.collections())
            held = {(record.collection, record.document): library.text(record.document_id) for record in records}
            if len(held) != len(records):
                self._count("doubled", f"{len(records) - len(held)} documents")
            return held

    def _look_inside(self, path: Path) -> None:
        """The file by itself: nothing doubled, nothing orphaned, every vector that of its text by its model."""
        if not (path / FILE_NAME).exists():
            return
        database = sqlite3.connect(path / FILE_NAME)
        try:
            if database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                self._count("damaged", "integrity_check")
            for child, parent, key in _BELONGS:
                query = f"SELECT count(*) FROM {child} WHERE {key} NOT IN (SELECT id FROM {parent})"
                self.wrong["orphaned"] += database.execute(query).fetchone()[0]
            doubled = "SELECT count(*) FROM (SELECT 1 FROM chunks GROUP BY document, ordinal HAVING count(*) > 1)"
            self.wrong["doubled"] += database.execute(doubled).fetchone()[0]
            meta = dict(database.execute("SELECT key, value FROM meta").fetchall())
            self._compare(database, "vectors", meta.get("fingerprint"))
            self._compare(database, "new_vectors", meta.get("new_fingerprint"))
        finally:
            database.close()
        self.wrong += Counter()

    def _compare(self, database: sqlite3.Connection, table: str, fingerprint: str | None) -> None:
        rows = database.execute(
            f'SELECT substr(t.body, c."start" + 1, c."end" - c."start"), c.text, v.value FROM chunks c'
            f" JOIN texts t ON t.document = c.document LEFT JOIN {table} v ON v.chunk = c.id"
        ).fetchall()
        stored = [row for row in rows if row[2] is not None]
        if table == "vectors" and len(stored) != len(rows):
            self._count("lost", f"{len(rows) - len(stored)} vectors")
        if any(cut != text for cut, text, _ in rows):
            self._count("mismatched", "a chunk is not the text it points at")
        if not stored:
            return
        if fingerprint not in MODELS:
            self._count("mismatched", f"{table} of model {fingerprint}")
            return
        expected = np.array(model(fingerprint).embed_documents([text for _, text, _ in stored]), np.float16)
        found = [np.frombuffer(value, np.float16) for _, _, value in stored]
        for want, got in zip(expected, found, strict=True):
            if want.shape != got.shape or not np.allclose(want, got, atol=2e-3):
                self._count("mismatched", f"a vector in {table}")

    def _ask(self, path: Path, held: State) -> None:
        """Hearth itself: its check, and that searching finds what is there and nothing else."""
        with opened(path) as library:
            for problem in library.verify()["problems"]:
                self._count("verify", problem)
            chunks = sum(record.chunks for record in library.documents(library.collections()))
            found = library.search("any words", top_k=100_000, mode="dense", collections=library.collections())
            if len({hit.id for hit in found}) != chunks or len(found) != chunks:
                self._count("search", f"{len(found)} of {chunks} passages by meaning")
            for _, name in list(held)[:3]:
                hits = library.search(name, top_k=1000, mode="sparse", collections=library.collections())
                if name not in {hit.metadata["document"] for hit in hits}:
                    self._count("search", f"{name} is not found by its words")


def applied(state: State, operation: Operation) -> State:
    """What a library holds after an operation."""
    kind, *rest = operation
    if kind == "put":
        return {**state, **{("default", name): text for name, text in rest[0]}}
    place = (rest[0], rest[1]) if len(rest) > 1 else None
    without = {held: text for held, text in state.items() if held != place}
    if kind == "move" and place in state:
        return {**without, (rest[2], place[1]): state[place]}
    return without
