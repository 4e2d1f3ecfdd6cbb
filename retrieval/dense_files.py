"""Compressed indexes on disk, so that a large library opens quickly: a cache of the store, thrown away at any doubt.

A stamp names each file with its SHA-256 and the commit of the store that all of them hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.errors import Locked
from retrieval.lock import hold
from retrieval.schema import FILE_NAME, sync_file, sync_folder
from retrieval.store import Commit, Store

if TYPE_CHECKING:
    from retrieval.compressed import CompressedVectors

EXACT_CHUNKS = 200_000
"""Chunks of a collection up to which every vector is looked at."""
FOLDER = "vectors"
_STAMP = "stamp.json"
_VERSION = 1
_STALE = 0.05
"""Share of a collection's chunks that may be newer than its file before the file is written again."""
_WAIT_SECONDS = 0.3


@dataclass(frozen=True)
class KeptFile:
    """One collection's index: its file, the file's SHA-256, and how many chunks it holds and was made for."""

    file: str
    sha256: str
    chunks: int
    trained_for: int


@dataclass(frozen=True)
class Kept:
    """What the stamp says: the commit that the files hold, and the file of each collection."""

    commit: Commit
    files: dict[str, KeptFile]


def read_stamp(folder: Path) -> Kept | None:
    """What is kept in a library's folder; None for nothing, or nothing that is understood."""
    try:
        stamp = json.loads((folder / FOLDER / _STAMP).read_text())
        files = {str(collection): KeptFile(**kept) for collection, kept in stamp["files"].items()}
        known = stamp["version"] == _VERSION and all(kept.file == Path(kept.file).name for kept in files.values())
        return Kept(Commit(stamp["generation"], stamp["token"]), files) if known else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def load(store: Store, kept: KeptFile) -> CompressedVectors | None:
    """One collection's index; None if the file is not the one that was written."""
    from retrieval.compressed import CompressedVectors

    file = store.folder / FOLDER / kept.file
    try:
        if _sha256(file) != kept.sha256:
            return None
        vectors = CompressedVectors.read(store, file, kept.trained_for)
    except (OSError, RuntimeError):
        return None
    return vectors if len(vectors) == kept.chunks else None


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def save(store: Store, commit: Commit, indexes: Mapping[str, CompressedVectors]) -> None:
    """Keep these indexes as they are at a commit, in place of what was kept before.

    Without effect where the folder cannot be written, the disk is full, or another process is at it.
    """
    if not (store.folder / FILE_NAME).exists() or not os.access(store.folder, os.W_OK):
        return
    with contextlib.suppress(OSError, RuntimeError, Locked), hold(store.folder / f"{FOLDER}.lock", _WAIT_SECONDS):
        folder = store.folder / FOLDER
        folder.mkdir(exist_ok=True)
        files = {collection: _written(folder, vectors) for collection, vectors in indexes.items()}
        _point_at(folder, commit, files)
        names = {kept.file for kept in files.values()}
        for old in folder.iterdir():
            if old.name not in (_STAMP, *names):
                old.unlink()


def _written(folder: Path, vectors: CompressedVectors) -> KeptFile:
    file = folder / f"{uuid.uuid4().hex}.faiss"
    try:
        vectors.write(file)
        sync_file(file)
    except (OSError, RuntimeError):  # what fits of it would keep a full disk full
        file.unlink(missing_ok=True)
        raise
    return KeptFile(file.name, _sha256(file), len(vectors), vectors.trained_for)


def _point_at(folder: Path, commit: Commit, files: Mapping[str, KeptFile]) -> None:
    stamp: dict[str, Any] = {"version": _VERSION, "generation": commit.generation, "token": commit.token}
    stamp["files"] = {collection: vars(kept) for collection, kept in files.items()}
    draft = folder / f"{_STAMP}.new"
    draft.write_text(json.dumps(stamp))
    sync_file(draft)
    os.replace(draft, folder / _STAMP)
    sync_folder(folder)


def chunks_of(added: Iterable[tuple[str, int, int]]) -> Counter[str]:
    """How many chunks of each collection are in these ranges."""
    sizes: Counter[str] = Counter()
    for collection, first, last in added:
        sizes[collection] += last - first + 1
    return sizes


def stale(store: Store) -> bool:
    """Whether a large collection has no file, or one that lacks much."""
    sizes = store.rows("SELECT collection, sum(chunks) FROM documents GROUP BY collection")
    large = {collection: chunks for collection, chunks in sizes if chunks > EXACT_CHUNKS}
    kept = read_stamp(store.folder) if large else None
    if kept is None:
        return bool(large)
    later = store.changes_since(kept.commit)
    new = chunks_of(later.added) if later else Counter(large)
    return any(name not in kept.files or new[name] > _STALE * chunks for name, chunks in large.items())
