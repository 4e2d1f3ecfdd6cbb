"""The queue for the model: bounded, fair between users, left at any time."""

from __future__ import annotations

import threading
import time

import pytest

from models.errors import Busy, Cancelled
from models.scheduler import Scheduler


class Requests:
    """Requests that note the order of their turns and keep a turn until released."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.order: list[str] = []
        self.release = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []

    def ask(self, name: str, user: str) -> None:
        """Starts a request and returns once it runs or waits in the queue."""
        seen = self.scheduler.waiting + self.scheduler.running
        self.threads.append(threading.Thread(target=self._run, args=(name, user), daemon=True))
        self.threads[-1].start()
        wait_until(lambda: self.scheduler.waiting + self.scheduler.running > seen)

    def _run(self, name: str, user: str) -> None:
        with self.scheduler.slot(user):
            self.order.append(name)
            self.release.acquire()

    def finish(self) -> list[str]:
        for _ in self.threads:
            self.release.release()
        for thread in self.threads:
            thread.join(5)
        return self.order


def wait_until(condition: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.001)


def test_turns_go_round_the_users_and_keep_each_ones_order() -> None:
    requests = Requests(Scheduler())
    for name, user in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")]:
        requests.ask(name, user)
    assert requests.finish() == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_q07_a_full_queue_refuses_with_its_length() -> None:
    scheduler = Scheduler(slots=1, limit=2)
    requests = Requests(scheduler)
    for name in ("runs", "waits", "waits too"):
        requests.ask(name, "a")
    with pytest.raises(Busy) as refused, scheduler.slot("b"):
        pass
    assert (refused.value.code, refused.value.waiting, refused.value.limit) == ("busy", 2, 2)
    assert len(requests.finish()) == 3
    with scheduler.slot("b"):
        assert scheduler.running == 1


def test_as_many_run_at_once_as_there_are_slots() -> None:
    scheduler = Scheduler(slots=2)
    requests = Requests(scheduler)
    for name in ("1", "2", "3"):
        requests.ask(name, name)
    assert (scheduler.running, scheduler.waiting) == (2, 1)
    requests.finish()


def test_q08_a_waiting_request_can_be_cancelled_and_the_rest_go_on() -> None:
    scheduler = Scheduler()
    requests = Requests(scheduler)
    requests.ask("runs", "a")
    cancel = threading.Event()
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            with scheduler.slot("b", cancel):
                pass
        except Cancelled as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: scheduler.waiting == 1)
    requests.ask("next", "c")
    cancel.set()
    thread.join(5)
    assert [type(error) for error in errors] == [Cancelled]
    assert requests.finish() == ["runs", "next"]


def test_a_turn_that_raises_is_given_back() -> None:
    scheduler = Scheduler()
    with pytest.raises(ZeroDivisionError), scheduler.slot():
        raise ZeroDivisionError
    assert scheduler.running == 0
