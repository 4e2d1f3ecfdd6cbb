"""Waiting until something under some files and folders changes: told by the system where it can tell, else by looking.

What changed is not looked at here; the ingest that follows finds out by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from retrieval.sources import list_files

_LOOK_SECONDS = 2.0
_QUIET_MILLISECONDS = 400
"""A file being written changes many times; it is read once it has been quiet for so long."""


def changes(paths: Sequence[str | Path], stop: threading.Event) -> Iterator[None]:
    """Yields after every change under these paths, until `stop` is set."""
    existing = [Path(path) for path in paths if Path(path).exists()]
    yield from _told(existing, stop) if find_spec("watchfiles") and existing else _looked(paths, stop)


def _told(paths: Sequence[Path], stop: threading.Event) -> Iterator[None]:
    """By the operating system, through watchfiles; hidden files do not count, as an ingest leaves them out."""
    from watchfiles import Change, watch

    def seen(_: Change, path: str) -> bool:
        return not any(part.startswith(".") for part in _below(path, paths))

    waiting = watch(
        *paths, watch_filter=seen, stop_event=stop, step=_QUIET_MILLISECONDS, rust_timeout=500, raise_interrupt=True
    )
    for _ in waiting:
        yield


def _below(path: str, roots: Sequence[Path]) -> tuple[str, ...]:
    """The parts of a path under the watched root that holds it."""
    for root in roots:
        if Path(path).is_relative_to(root.absolute()):
            return Path(path).relative_to(root.absolute()).parts
    return (Path(path).name,)


def _looked(paths: Sequence[str | Path], stop: threading.Event) -> Iterator[None]:
    """By comparing names, sizes and times every two seconds."""
    before = _state(paths)
    while not stop.wait(_LOOK_SECONDS):
        now = _state(paths)
        if now != before:
            before = now
            yield


def _state(paths: Sequence[str | Path]) -> frozenset[tuple[str, int, int]]:
    found = set()
    for file in list_files(paths, {}).files:
        try:
            status = file.path.stat()
        except OSError:
            continue
        found.add((file.source, status.st_size, status.st_mtime_ns))
    return frozenset(found)
