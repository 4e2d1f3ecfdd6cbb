"""Are the caches on disk whole, and do they hold exactly what the store holds? If not they are thrown away.

A cache holds nothing of its own, so throwing it away is its repair: the next search builds it again.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval import dense_files
from retrieval.lock import hold
from retrieval.store import Commit, Store
from retrieval.stored import WRITER_WAIT_SECONDS

_FOLDER = "fulltext"
_TRAILER_BYTES = 8
"""Length of the footer and tantivy's mark, each four bytes, little end first."""


def cache_problems(store: Store) -> list[str]:
    """Sentences about caches that are damaged or differ from the store; a missing one is no problem."""
    return [*_word_problems(store), *_vector_problems(store)]


def drop_caches(folder: Path) -> None:
    """Throw both caches away."""
    with hold(folder / f"{_FOLDER}.lock", WRITER_WAIT_SECONDS):
        shutil.rmtree(folder / _FOLDER, ignore_errors=True)
    with hold(folder / f"{dense_files.FOLDER}.lock", WRITER_WAIT_SECONDS):
        shutil.rmtree(folder / dense_files.FOLDER, ignore_errors=True)


def _vector_problems(store: Store) -> Iterator[str]:
    """Each file must be the one that was written, and hold its collection's chunks if nothing was written since."""
    if not (store.folder / dense_files.FOLDER).exists():
        return
    kept = dense_files.read_stamp(store.folder)
    if kept is None:
        yield "vector cache: its stamp cannot be read"
        return
    for collection, file in kept.files.items():
        vectors = dense_files.load(store, file)
        if vectors is None:
            yield f"vector cache: the file of the collection {collection} is damaged or missing"
        elif store.commit() == kept.commit:
            query = "SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document WHERE d.collection = ?"
            if set(vectors.ids().tolist()) != {row[0] for row in store.rows(query, (collection,))}:
                yield f"vector cache: it does not hold the passages of the collection {collection}"


def _word_problems(store: Store) -> list[str]:
    folder = store.folder / _FOLDER
    if not (folder / "stamp.json").exists():
        return []
    try:
        stamp = json.loads((folder / "stamp.json").read_text())
        index = folder / Path(stamp["index"]).name
        commit = Commit(stamp["generation"], stamp["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return ["full-text cache: its stamp cannot be read"]
    damaged = _damaged_files(index)
    if damaged:
        return [f"full-text cache: {damaged} of its files are damaged or missing"]
    if store.commit() != commit:
        return []  # a moment behind or of another history: the next search brings it up to date or builds it anew
    return list(_differences(store, index))


def _damaged_files(index: Path) -> int:
    """How many of the files that count are not whole; a killed writer leaves others, which nothing points at."""
    try:
        segments = {
            segment["segment_id"].replace("-", ""): segment["deletes"]
            for segment in json.loads((index / "meta.json").read_text())["segments"]
        }
        return sum(1 for file in index.iterdir() if _counts(file, segments) and not _sound(file))
    except (OSError, ValueError, KeyError, TypeError):
        return 1


def _counts(file: Path, segments: dict[str, Any]) -> bool:
    """Whether a file belongs to a segment as it is now; each list of deleted passages replaces the one before."""
    name, _, rest = file.name.partition(".")
    if name not in segments:
        return False
    return not rest.endswith("del") or (segments[name] is not None and rest == f"{segments[name]['opstamp']}.del")


def _sound(file: Path) -> bool:
    """Whether a file of the index has the checksum that its footer tells."""
    data = file.read_bytes()
    length = int.from_bytes(data[-_TRAILER_BYTES : -_TRAILER_BYTES // 2], "little")
    body, footer = data[: -_TRAILER_BYTES - length], data[-_TRAILER_BYTES - length : -_TRAILER_BYTES]
    try:
        crc = json.loads(footer)["crc"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(crc == zlib.crc32(body))


def _differences(store: Store, index: Path) -> Iterator[str]:
    held = _held(index)
    if held is None:
        yield "full-text cache: it cannot be opened"
        return
    query = "SELECT c.id, d.collection FROM chunks c JOIN documents d ON d.id = c.document"
    expected = Counter(store.rows(query))
    if held != expected:
        more, fewer = (held - expected).total(), (expected - held).total()
        yield f"full-text cache: it lacks {fewer} passages and holds {more} that are not there"


def _held(index: Path) -> Counter[tuple[Any, ...]] | None:
    """How often each (chunk id, collection) is in the index; None if it cannot be read."""
    import tantivy

    held: Counter[tuple[Any, ...]] = Counter()
    try:
        opened = tantivy.Index.open(str(index))
        opened.config_reader("Manual")  # looked at once; see SparseIndex
        searcher = opened.searcher()
        for collection, _ in searcher.terms_with_prefix("collection", ""):
            query = tantivy.Query.term_query(opened.schema, "collection", collection, "basic")
            hits = searcher.search(query, max(1, searcher.num_docs), count=False).hits
            ids = searcher.fast_field_values("id", [address for _, address in hits])
            held.update((chunk, collection) for chunk in ids)
    except (ValueError, OSError):
        return None
    return held
