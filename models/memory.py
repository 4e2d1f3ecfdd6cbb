"""The models that are in memory: each loaded once a process, the least recently used idle ones let go for others.

A model is idle when nobody but this keeper holds it, so one that is answering is never taken away. What has a method
`let_go` is asked to close what it holds open, and is itself kept.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

_Key = tuple[Any, ...]

_loaded: OrderedDict[_Key, Any] = OrderedDict()  # least recently used first
_locks: dict[_Key, threading.Lock] = {}
_guard = threading.Lock()
_making_room = threading.Lock()
# small, and shared by models that may still be there
_NEVER_LET_GO = ("tokenizer", "processor")


def kept(key: _Key, load: Callable[[], Any], *, anew: bool = False) -> Any:
    """What was loaded under a key, else what `load` gives now; a second caller waits for the first (M08).

    Args:
        key: What kind of thing it is, then what tells it from others of the kind.
        load: Loads it.
        anew: Load even if it is there, and keep that in its place.
    """
    with _guard:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        with _guard:
            if key in _loaded and not anew:
                _loaded.move_to_end(key)
                return _loaded[key]
        value = load()
        with _guard:
            _loaded[key] = value
            _loaded.move_to_end(key)
        return value


def make_room(needed_bytes: int, free_bytes: Callable[[], int]) -> int:
    """Lets idle models go, the least recently used first, until so much is free or none is left; gives what is free."""
    with _making_room:
        free = free_bytes()
        progress = True
        while free < needed_bytes and progress:
            progress = False
            for key in _oldest_first():
                if _let_go(key):  # a base follows once its adapters are gone, in the next round
                    progress, free = True, free_bytes()
                if free >= needed_bytes:
                    break
        return free


def unload_all() -> None:
    """Forgets every loaded model, so that memory is given back once nobody else holds them."""
    with _guard:
        _loaded.clear()
    gc.collect()


def forget(folder: Path) -> None:
    """Forgets what was loaded from a folder that is about to go, or has changed."""
    with _guard:
        for key in [key for key in _loaded if folder in key]:
            del _loaded[key]


def loaded_keys() -> list[_Key]:
    """What is in memory, least recently used first."""
    with _guard:
        return list(_loaded)


def _oldest_first() -> list[_Key]:
    return [key for key in loaded_keys() if key[0] not in _NEVER_LET_GO]


def _let_go(key: _Key) -> bool:
    """Whether a model was idle and is gone now; one that somebody holds is put back in its place."""
    with _guard:
        lock = _locks[key]
    if not lock.acquire(blocking=False):  # somebody asks for it now
        return False
    try:
        with _guard:
            value = _loaded.get(key)
        if value is None:
            return False
        if hasattr(value, "let_go"):
            return bool(value.let_go())
        with _guard:
            del _loaded[key]
        alive = weakref.ref(value)
        del value
        gc.collect()  # models hold themselves in circles
        if (held := alive()) is None:
            _give_back_to_system()
            return True
        with _guard:
            _loaded[key] = held
            _loaded.move_to_end(key, last=False)
        return False
    finally:
        lock.release()


def _give_back_to_system() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
