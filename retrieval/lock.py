"""One writer at a time, between processes and between threads.

The kernel drops an flock when its holder dies, so a killed writer never leaves the library locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from retrieval.errors import Locked, NoLocks

_POLL_SECONDS = 0.01
_locking_devices: set[int] = set()


@contextlib.contextmanager
def hold(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the lock file for the length of the block.

    Raises:
        Locked: another writer kept it longer than `wait_seconds`; names its process id.
        NoLocks: the file system lets two hold it at once.
        OSError: the lock file cannot be made here.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(descriptor, path, wait_seconds)
        _check_it_locks(descriptor, path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Locked(str(path.parent), _holder(descriptor), wait_seconds) from None
        time.sleep(_POLL_SECONDS)


def _check_it_locks(descriptor: int, path: Path) -> None:
    """Try to take the lock a second time, once for each file system: some network ones allow it."""
    device = os.fstat(descriptor).st_dev
    if device in _locking_devices:
        return
    second = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _locking_devices.add(device)
    else:
        raise NoLocks(str(path.parent))
    finally:
        os.close(second)


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0)
    return int(text) if text.isdigit() else None
