"""Who may generate now: one bounded queue for the process, fair between users, that can be left at any time.

A turn is held only while a model works; a full queue refuses at once instead of growing.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import Busy, Cancelled

_LOOK_SECONDS = 0.02  # how often a waiting request looks at its cancel event


class Scheduler:
    """Gives `slots` turns at a time; at most `limit` requests wait.

    Of the users who wait, the one served longest ago is next; one user's own requests keep their order.
    """

    def __init__(self, slots: int = 1, limit: int = 32) -> None:
        self.slots = slots
        self.limit = limit
        self._changed = threading.Condition()
        self._running = 0
        self._tickets = itertools.count(1)
        self._turns = itertools.count(1)
        self._waiting: list[tuple[int, str]] = []  # (ticket, user), oldest first
        self._served: dict[str, int] = {}  # each user's latest turn, kept while anything runs or waits

    @contextmanager
    def slot(self, user: str = "", cancel: threading.Event | None = None) -> Iterator[None]:
        """Waits for a turn and holds it for the `with` block.

        Raises:
            Busy: the queue is full.
            Cancelled: `cancel` was set before the turn came.
        """
        with self._changed:
            self._wait(user, cancel)
            self._running += 1
            self._served[user] = next(self._turns)
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                if not self._running and not self._waiting:
                    self._served.clear()
                self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Requests that wait for a turn now."""
        with self._changed:
            return len(self._waiting)

    @property
    def running(self) -> int:
        """Turns that are taken now."""
        with self._changed:
            return self._running

    def _wait(self, user: str, cancel: threading.Event | None) -> None:
        if self._running < self.slots and not self._waiting:
            return
        if len(self._waiting) >= self.limit:
            raise Busy(len(self._waiting), self.limit)
        place = (next(self._tickets), user)
        self._waiting.append(place)
        try:
            while not (self._running < self.slots and self._next() == place):
                if cancel is not None and cancel.is_set():
                    raise Cancelled
                self._changed.wait(_LOOK_SECONDS if cancel is not None else None)
        finally:
            self._waiting.remove(place)
            self._changed.notify_all()  # the next in line may have a turn free, too

    def _next(self) -> tuple[int, str]:
        return min(self._waiting, key=lambda place: (self._served.get(place[1], 0), place[0]))


_process = Scheduler()


def process_scheduler() -> Scheduler:
    """The one scheduler of this process."""
    return _process
