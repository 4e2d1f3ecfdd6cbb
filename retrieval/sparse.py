"""Full-text search: BM25 over a tantivy index on disk, a cache of the store that is rebuilt at any doubt.

A person's words are analysed into terms and never parsed as a query language, so no character in them means anything.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tantivy
from numpy.typing import NDArray

from retrieval.analysis import ANALYSIS_VERSION, Analysis, TermCounts
from retrieval.errors import Locked
from retrieval.lock import hold
from retrieval.schema import FILE_NAME, sync_folder
from retrieval.store import NO_COMMIT, Changes, Commit, Store

_FOLDER = "fulltext"
_STAMP = "stamp.json"
_FIRST_WAIT_SECONDS, _LATER_WAIT_SECONDS = 5.0, 0.3
_HEAP_BYTES = 64 << 20
_TOKENIZER = "hearth"
_MOST_NAMED = 5000
"""Naming 5,000 chunks in a query takes 10 ms at 200,000; above it, asking for more and leaving out is faster."""
_TEXT, _ID, _COLLECTION = "text", "id", "collection"


@dataclass(frozen=True)
class _Stamp:
    """Which commit of the store an index on disk holds, and which folder it lies in."""

    index: str
    generation: int
    token: str
    analysis: int = ANALYSIS_VERSION

    @property
    def commit(self) -> Commit:
        return Commit(self.generation, self.token)


class SparseIndex:
    """A cache of the store's texts, shared by all processes that use the library.

    Where the folder cannot be written, or another process is rebuilding it, the index lives in memory instead.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.folder / _FOLDER
        self._lock = threading.RLock()
        self._analysis = Analysis()
        self._index: Any = None
        self._searcher: Any = None
        self._open_name: str | None = None
        self._seen = NO_COMMIT

    def refresh(self) -> None:
        """Take in what was committed since the last time."""
        with self._lock:
            if self._index is not None and self._store.commit() == self._seen:
                return
            if (self._open_name is None and self._index is not None) or not self._may_write():
                self._refresh_in_memory()
                return
            try:
                wait_seconds = _FIRST_WAIT_SECONDS if self._index is None else _LATER_WAIT_SECONDS
                with hold(self._store.folder / f"{_FOLDER}.lock", wait_seconds):
                    self._refresh_on_disk()
            except Locked:
                if self._index is None:
                    self._refresh_in_memory()
            except (OSError, ValueError):  # tantivy reports a full or failing disk as a ValueError
                self._index = self._open_name = None
                self._refresh_in_memory()

    def _may_write(self) -> bool:
        folder = self._store.folder
        return (folder / FILE_NAME).exists() and os.access(folder, os.W_OK)

    # On disk, with the lock held ------------------------------------------------------------------------------------

    def _refresh_on_disk(self) -> None:
        stamp = self._read_stamp()
        changes = self._store.changes_since(stamp.commit) if stamp else None
        if stamp is None or changes is None or not self._open(stamp.index):
            self._rebuild()
            return
        if changes.commit != stamp.commit:
            try:
                self._apply(changes)
            except ValueError:
                self._rebuild()
                return
            self._write_stamp(_Stamp(stamp.index, changes.commit.generation, changes.commit.token))
        self._look(changes.commit)
        if self._doubtful():
            self._rebuild()

    def _doubtful(self) -> bool:
        """Whether index and store disagree on how many chunks there are, while nobody writes."""
        differs = bool(self._searcher.num_docs != self._store.chunk_count())
        return differs and self._store.commit() == self._seen

    def _rebuild(self) -> None:
        """Build a new index beside the old one, point the stamp at it, then delete what nothing points at."""
        changes = self._store.changes_since(NO_COMMIT) or Changes(NO_COMMIT, [], [])
        name = uuid.uuid4().hex
        path = self._folder / name
        path.mkdir(parents=True)
        self._use(tantivy.Index(_schema(), path=str(path)), name)
        self._apply(changes)
        self._write_stamp(_Stamp(name, changes.commit.generation, changes.commit.token))
        self._look(changes.commit)
        for old in self._folder.iterdir():
            if old.is_dir() and old.name != name:
                shutil.rmtree(old, ignore_errors=True)

    def _open(self, name: str) -> bool:
        """Open the index of this name unless it is open; False if that cannot be done."""
        if self._open_name == name:
            return True
        path = self._folder / name
        try:
            if not tantivy.Index.exists(str(path)):
                return False
            self._use(tantivy.Index.open(str(path)), name)
        except (ValueError, OSError):
            return False
        return True

    def _read_stamp(self) -> _Stamp | None:
        try:
            stamp = _Stamp(**json.loads((self._folder / _STAMP).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        known = stamp.analysis == ANALYSIS_VERSION and stamp.index == Path(stamp.index).name
        return stamp if known else None

    def _write_stamp(self, stamp: _Stamp) -> None:
        draft = self._folder / f"{_STAMP}.new"
        with draft.open("w") as file:
            json.dump(asdict(stamp), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._folder / _STAMP)
        sync_folder(self._folder)

    # In memory ------------------------------------------------------------------------------------------------------

    def _refresh_in_memory(self) -> None:
        changes = self._store.changes_since(self._seen) if self._index is not None and not self._open_name else None
        if changes is None:
            self._use(tantivy.Index(_schema()), None)
            changes = self._store.changes_since(NO_COMMIT) or Changes(NO_COMMIT, [], [])
        self._apply(changes)
        self._look(changes.commit)

    # Either -----------------------------------------------------------------------------------------------------------

    def _use(self, index: Any, name: str | None) -> None:
        # Left to itself it looks for commits in a thread of its own, which writes a lock file even after the end.
        index.config_reader("Manual")
        self._analysis.register(index, _TOKENIZER)
        self._index, self._open_name = index, name

    def _apply(self, changes: Changes) -> None:
        """Make the index hold these changes; applying the same ones twice gives the same index."""
        if not changes.removed and not changes.added:
            return
        schema = self._index.schema
        writer = self._index.writer(_HEAP_BYTES, 1)
        for first, last in [*changes.removed, *((first, last) for _, first, last in changes.added)]:
            field = tantivy.FieldType.Integer
            writer.delete_documents_by_query(tantivy.Query.range_query(schema, _ID, field, first, last))
        for collection, first, last in changes.added:
            for chunk_id, text in self._store.chunk_texts(first, last):
                document = tantivy.Document()
                document.add_integer(_ID, chunk_id)
                document.add_text(_COLLECTION, collection)
                document.add_text(_TEXT, self._analysis.prepared(text))
                writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()

    def _look(self, commit: Commit) -> None:
        self._index.reload()
        self._searcher = self._index.searcher()
        self._seen = commit

    def search(
        self,
        query: str,
        top_k: int,
        collections: Sequence[str],
        everywhere: bool,
        allowed: NDArray[np.int64] | None = None,
    ) -> list[tuple[int, float]]:
        """(chunk id, BM25 score) of the chunks that hold the query's words, best first.

        Args:
            everywhere: the collections are all there are, so the index need not filter by them.
            allowed: sorted ids of the only chunks that may be found, if there is such a limit.
        """
        with self._lock:
            index, searcher = self._index, self._searcher
        terms = self._analysis.query_terms(query)
        if searcher is None or not terms or not searcher.num_docs:
            return []
        schema, should, must = index.schema, tantivy.Occur.Should, tantivy.Occur.Must
        words = tantivy.Query.boolean_query(
            [(should, tantivy.Query.term_query(schema, _TEXT, term, "freq")) for term in terms]
        )
        if not everywhere:
            scope = tantivy.Query.term_set_query(schema, _COLLECTION, list(collections))
            words = tantivy.Query.boolean_query([(must, words), (must, tantivy.Query.const_score_query(scope, 0.0))])
        if allowed is None:
            return _found(searcher, words, top_k)
        if len(allowed) <= _MOST_NAMED:
            named = tantivy.Query.term_set_query(schema, _ID, allowed.tolist())
            words = tantivy.Query.boolean_query([(must, words), (must, tantivy.Query.const_score_query(named, 0.0))])
            return _found(searcher, words, top_k)
        return _found_among(searcher, words, top_k, allowed)

    def term_counts(self, query: str) -> TermCounts:
        """How many passages the index holds, and how many hold each of the query's terms."""
        with self._lock:
            searcher = self._searcher
        if searcher is None:
            return TermCounts(0, {})
        terms = self._analysis.query_terms(query)
        return TermCounts(int(searcher.num_docs), {term: int(searcher.doc_freq(_TEXT, term)) for term in terms})

    def coverage(self, weights: dict[str, float], text: str) -> float:
        """Share of the terms' weight that a text holds, 0 to 1; 0 for a query without terms."""
        return self._analysis.coverage(weights, text)

    def close(self) -> None:
        """Forget the index; the files stay."""
        with self._lock:
            self._index = self._searcher = self._open_name = None
            self._seen = NO_COMMIT


def _found(searcher: Any, words: Any, top_k: int) -> list[tuple[int, float]]:
    """(chunk id, score), best first, equal scores in the order of the chunks."""
    hits = searcher.search(words, top_k, count=False).hits
    ids = searcher.fast_field_values(_ID, [address for _, address in hits])
    found = [(int(chunk), float(score)) for (score, _), chunk in zip(hits, ids, strict=True)]
    return sorted(found, key=lambda hit: (-hit[1], hit[0]))


def _found_among(searcher: Any, words: Any, top_k: int, allowed: NDArray[np.int64]) -> list[tuple[int, float]]:
    """The same among many ids, which would take long to name: ask for more until enough of them are allowed."""
    asked = int(2 * top_k * max(1.0, searcher.num_docs / len(allowed)))
    while True:
        hits = _found(searcher, words, asked)
        inside = np.isin(np.array([chunk for chunk, _ in hits], np.int64), allowed)
        kept = [hit for hit, is_allowed in zip(hits, inside, strict=True) if is_allowed]
        if len(kept) >= top_k or len(hits) < asked:
            return kept[:top_k]
        asked *= 8


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(_ID, indexed=True, fast=True)
    builder.add_text_field(_COLLECTION, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(_TEXT, tokenizer_name=_TOKENIZER, index_option="freq")
    return builder.build()
