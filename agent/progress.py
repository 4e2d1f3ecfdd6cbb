"""How long work tells how far it is: whoever starts it says who listens, and the work tells without knowing whom.

A tool is called through LangChain, which hands it its arguments alone; so the listener travels in the context.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import TypeVar

from agent.events import Progress

Tell = Callable[[Progress], None]
Made = TypeVar("Made")

_LOOK_SECONDS = 0.05

_listener: ContextVar[Tell | None] = ContextVar("hearth_progress", default=None)


class Abandoned(BaseException):
    """Raised inside work whose listener has gone, at the next thing it tells; no `except Exception` may swallow it."""


def tell(progress: Progress) -> None:
    """Tell whoever listens in this context; nobody may."""
    if (listener := _listener.get()) is not None:
        listener(progress)


def told(
    work: Callable[[], Made], *, timeout_seconds: float | None = None, cancel: threading.Event | None = None
) -> Generator[Progress, None, Made]:
    """Run the work in a thread of its own and yield what it tells; returns what it gives, or raises what it raises.

    Closing the generator ends the work at the next thing that it tells; so does what is raised here.

    Raises:
        TimeoutError: the work took longer than it may.
        Abandoned: `cancel` was set meanwhile.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    news: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    left = threading.Event()
    made: list[Made] = []
    trouble: list[BaseException] = []

    def listen(progress: Progress) -> None:
        if left.is_set():
            raise Abandoned
        news.put(progress)

    def run() -> None:
        _listener.set(listen)
        try:
            made.append(work())
        except BaseException as error:
            trouble.append(error)  # reaches the reader as itself
        finally:
            news.put(None)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), name="hearth-work", daemon=True).start()
    try:
        while (progress := _next(news, deadline, cancel)) is not None:
            yield progress
    finally:
        left.set()
    if trouble:
        raise trouble[0]
    return made[0]


def _next(
    news: queue.SimpleQueue[Progress | None], deadline: float | None, cancel: threading.Event | None
) -> Progress | None:
    """The next news; the wait is cut into short ones where there is something else to look at."""
    while deadline is not None or cancel is not None:
        if cancel is not None and cancel.is_set():
            raise Abandoned
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError
        with contextlib.suppress(queue.Empty):
            return news.get(timeout=_LOOK_SECONDS)
    return news.get()
