"""The manifest of a prepared model folder: every file with its size and SHA-256, written last.

A folder without a manifest that matches its files does not count as prepared.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "MANIFEST.json"
FORMAT = 1
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Manifest:
    """What a prepared folder holds: `files` maps each relative path to `{"sha256", "size", "mtime_ns"}`."""

    name: str
    version: str
    made_from: dict[str, str]
    files: dict[str, dict[str, Any]]

    def weights_sha256(self) -> str:
        """One hash for all weight files: the file's own where there is one, else the hash of their hashes in order."""
        hashes = [facts["sha256"] for path, facts in sorted(self.files.items()) if path.endswith(".safetensors")]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def sha256_of(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file as 64 hex digits; `on_bytes` is told the size of each block read."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            if on_bytes:
                on_bytes(len(block))
    return digest.hexdigest()


@functools.lru_cache(maxsize=256)
def _sha256_once(path: Path, size_bytes: int, mtime_ns: int) -> str:
    """The hash of a file as it is at this size and time, computed once a process."""
    return sha256_of(path)


def write_manifest(folder: Path, *, name: str, version: str, made_from: dict[str, str]) -> Manifest:
    """Hashes and syncs every file of `folder`, then writes and syncs its manifest."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        sync(path)
        stat = path.stat()
        files[path.relative_to(folder).as_posix()] = {
            "sha256": sha256_of(path),
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
        }
    manifest = Manifest(name, version, made_from, files)
    _store(folder, manifest)
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, or None where it has none that this version understands."""
    try:
        value = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = all(facts.keys() >= {"sha256", "size", "mtime_ns"} for facts in value["files"].values())
        if value["format"] != FORMAT or not whole:
            return None
        return Manifest(value["name"], value["version"], value["made_from"], value["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def intact(folder: Path, manifest: Manifest) -> bool:
    """Whether every file is as it was written.

    Size and time are trusted while they match, so an ordinary start hashes nothing; a file with another time (a copied
    home) is hashed once, and its new time noted where the folder can be written. A time of 0 is left as it is: what
    ships with the code has the time at which that was installed or checked out.
    """
    moved = False
    for relative, facts in manifest.files.items():
        path = folder / relative
        try:
            stat = path.stat()
        except OSError:
            return False
        if stat.st_size != facts["size"]:
            return False
        if stat.st_mtime_ns != facts["mtime_ns"]:
            if _sha256_once(path, stat.st_size, stat.st_mtime_ns) != facts["sha256"]:
                return False
            moved = moved or bool(facts["mtime_ns"])
            facts["mtime_ns"] = facts["mtime_ns"] and stat.st_mtime_ns
    if moved and os.access(folder, os.W_OK):
        _store(folder, manifest)
    return True


def sync(path: Path) -> None:
    """Forces a file, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _store(folder: Path, manifest: Manifest) -> None:
    value = {"format": FORMAT, **manifest.__dict__}
    temporary = folder / f".{MANIFEST}.{os.getpid()}"
    temporary.write_text(json.dumps(value, indent=1, sort_keys=True), encoding="utf-8")
    sync(temporary)
    temporary.replace(folder / MANIFEST)
    sync(folder)
