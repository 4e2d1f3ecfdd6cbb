"""Ends a chat template that runs too long or takes too much memory: it is a program from a model's files.

transformers renders templates in a sandbox that keeps them from code and files; nothing there bounds their work.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 5.0
MEMORY_BYTES = 1024**3
_LOOK_SECONDS = 0.05


class TemplateEndless(BaseException):
    """Raised inside a template that took too long; no template can catch it."""


@contextmanager
def bounded(seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> Iterator[None]:
    """Interrupts the block in this thread once it runs longer, or the process has grown by more, than that.

    Raises:
        TemplateEndless: in the block, where it was.
    """
    watch = _Watch(threading.get_ident(), seconds, memory_bytes)
    watch.start()
    raised = False
    try:
        yield
    except TemplateEndless:
        raised = True
        raise
    finally:
        watch.end(raised)


class _Watch:
    def __init__(self, thread_id: int, seconds: float, memory_bytes: int) -> None:
        self._target = ctypes.c_ulong(thread_id)
        self._ends = time.monotonic() + seconds
        self._most_bytes = _memory_bytes() + memory_bytes
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._fired = False

    def start(self) -> None:
        threading.Thread(target=self._look, name="hearth-template", daemon=True).start()

    def end(self, raised: bool) -> None:
        """Stops watching; an interruption that is under way and was not raised yet is raised here, never later."""
        with self._turn:
            self._over.set()
        while self._fired and not raised:
            time.sleep(0)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            if time.monotonic() > self._ends or _memory_bytes() > self._most_bytes:
                with self._turn:
                    if not self._over.is_set():
                        self._fired = True
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(self._target, ctypes.py_object(TemplateEndless))
                return


def _memory_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
