"""Vector search: an index in memory for each collection, filled from the store and brought up to date from it.

Up to `EXACT_CHUNKS` a collection is searched exactly; above, a compressed index is made beside the searches, takes the
exact one's place when it is ready, and is kept on disk. Scores are cosines, higher is better.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval import dense_files
from retrieval.compressed import CompressedVectors, pieces
from retrieval.errors import LibraryError
from retrieval.exact import ExactVectors, VectorSet
from retrieval.store import NO_COMMIT, Changes, Commit, Store

_LOADED_AT_ONCE = 50_000


class DenseIndex:
    """A cache of the store's vectors as `refresh` last saw them."""

    def __init__(self, store: Store, dimension: int) -> None:
        self._store = store
        self._dimension = dimension
        self._lock = threading.RLock()
        self._builder: threading.Thread | None = None
        self._stopped = threading.Event()
        self._reset()

    def _reset(self) -> None:
        self._seen: Commit = NO_COMMIT
        self._sets: dict[str, VectorSet] = {}
        self._collection_of: dict[int, str] = {}
        """First chunk of each document held -> its collection."""

    def refresh(self) -> None:
        """Take in what was committed since the last time; start over if that history is gone."""
        with self._lock:
            if self._store.commit() == self._seen:
                return
            changes = self._store.changes_since(self._seen)
            if changes is None:
                self._reset()
                changes = self._store.changes_since(NO_COMMIT)
            if changes is None:
                return
            if self._seen == NO_COMMIT:
                changes = self._opened(changes)
            self._remove(changes.removed)
            self._add_documents(changes.added)
            self._seen = changes.commit
            self._begin_building()

    # What is there and what changed ---------------------------------------------------------------------------------

    def _opened(self, everything: Changes) -> Changes:
        """Open the compressed indexes on disk of collections that are large; what is still to be taken in then."""
        sizes = dense_files.chunks_of(everything.added)
        large = {collection for collection, chunks in sizes.items() if chunks > dense_files.EXACT_CHUNKS}
        kept = dense_files.read_stamp(self._store.folder) if large else None
        later = self._store.changes_since(kept.commit) if kept else None
        if kept is None or later is None or later.commit != everything.commit:
            return everything
        for collection in large & kept.files.keys():
            vectors = dense_files.load(self._store, kept.files[collection])
            if vectors is None or vectors.dimension != self._dimension:
                continue
            if self._brought_up(vectors, collection, later) == sizes[collection]:
                self._sets[collection] = vectors
        self._collection_of = {
            first: collection for collection, first, _ in everything.added if collection in self._sets
        }
        rest = [added for added in everything.added if added[0] not in self._sets]
        return Changes(everything.commit, [], rest)

    def _brought_up(self, vectors: CompressedVectors, collection: str, later: Changes) -> int:
        """Bring an index from its own commit to a later one; how many chunks it holds then."""
        if later.removed:
            vectors.remove(_numbered(later.removed))
        self._add(vectors, [(first, last) for where, first, last in later.added if where == collection])
        return len(vectors)

    def _remove(self, ranges: Iterable[tuple[int, int]]) -> None:
        gone: dict[str, list[tuple[int, int]]] = {}
        for first, last in ranges:
            collection = self._collection_of.pop(first, None)
            if collection is not None:
                gone.setdefault(collection, []).append((first, last))
        for collection, removed in gone.items():
            self._sets[collection].remove(_numbered(removed))

    def _add_documents(self, added: Sequence[tuple[str, int, int]]) -> None:
        ranges: dict[str, list[tuple[int, int]]] = {}
        for collection, first, last in added:
            ranges.setdefault(collection, []).append((first, last))
            self._collection_of[first] = collection
        for collection, new in ranges.items():
            self._add(self._sets.setdefault(collection, ExactVectors(self._dimension)), new)

    def _add(self, vectors: VectorSet, ranges: Sequence[tuple[int, int]]) -> None:
        for first, last in pieces(ranges, _LOADED_AT_ONCE):
            ids, rows = self._store.chunk_vectors(first, last)
            if len(ids):
                vectors.add(ids, rows)

    # Compressed indexes, made beside the searches ---------------------------------------------------------------------

    def _to_build(self) -> list[str]:
        """Collections that need a compressed index, or a new one."""
        return [collection for collection, vectors in self._sets.items() if _needs_another(vectors)]

    def _begin_building(self) -> None:
        if self._to_build() and (self._builder is None or not self._builder.is_alive()):
            self._stopped.clear()
            self._builder = threading.Thread(target=self._build_quietly, name="hearth-vectors", daemon=True)
            self._builder.start()

    def _build_quietly(self) -> None:
        try:
            self._build_all()
        except (LibraryError, MemoryError, RuntimeError):
            # The store is away, as the next search will say, or there is no room: searched exactly as before.
            return

    def _build_all(self) -> None:
        with self._lock:
            wanted = self._to_build()
        for collection in wanted:
            self._build(collection)
        if wanted and not self._stopped.is_set():
            self._save()

    def _build(self, collection: str) -> None:
        with self._lock:
            source = self._sets.get(collection)
            everything = self._store.changes_since(NO_COMMIT)
        ranges = [(first, last) for where, first, last in everything.added if where == collection] if everything else []
        if source is None or not ranges:
            return
        built = CompressedVectors.build(self._store, ranges, self._dimension, self._stopped.is_set)
        with self._lock:
            # Another object is there if a new history began meanwhile: what was read may be of another model.
            if built is None or self._sets.get(collection) is not source:
                return
            self._adjust(built, source)
            self._sets[collection] = built

    def _adjust(self, built: CompressedVectors, source: VectorSet) -> None:
        """Give an index just built the chunks that the one in use holds by now; a chunk's vector never changes."""
        held, wanted = built.ids(), source.ids()
        built.remove(np.setdiff1d(held, wanted, assume_unique=True))
        built.add(*self._store.vectors_of(np.setdiff1d(wanted, held, assume_unique=True)))

    def _save(self) -> None:
        with self._lock:
            large = {name: vectors for name, vectors in self._sets.items() if isinstance(vectors, CompressedVectors)}
            dense_files.save(self._store, self._seen, large)

    def keep_up(self) -> None:
        """Have the files on disk hold about what the store holds, so that the next one to open it need not build."""
        self.refresh()
        if self._builder is not None:
            self._builder.join()
        if dense_files.stale(self._store):
            self._save()

    def close(self) -> None:
        """End what is being built."""
        self._stopped.set()
        if self._builder is not None:
            self._builder.join()

    # Search ---------------------------------------------------------------------------------------------------------

    def search(
        self,
        vector: NDArray[np.float32],
        top_k: int,
        collections: Sequence[str],
        allowed: NDArray[np.int64] | None = None,
    ) -> list[tuple[int, float]]:
        """(chunk id, cosine) of the nearest chunks of these collections, best first; only those allowed, if given."""
        found: list[tuple[int, float]] = []
        with self._lock:
            for collection in collections:
                vectors = self._sets.get(collection)
                if vectors is not None and len(vectors):
                    found += vectors.search(vector, top_k, allowed)
        found.sort(key=lambda hit: (-hit[1], hit[0]))
        return found[:top_k]

    def __len__(self) -> int:
        """Chunks held."""
        with self._lock:
            return sum(len(vectors) for vectors in self._sets.values())


def _needs_another(vectors: VectorSet) -> bool:
    if isinstance(vectors, CompressedVectors):
        return vectors.outgrown
    return len(vectors) > dense_files.EXACT_CHUNKS


def _numbered(ranges: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """All ids of these ranges."""
    return np.concatenate([np.arange(first, last + 1, dtype=np.int64) for first, last in ranges])
