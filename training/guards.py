"""What may end the steps of a run from outside: a signal, too little memory, the end of another process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from training.errors import OutOfMemory, ProcessLost
from training.features import Features
from training.steps import Steps
from training.team import Team


@contextmanager
def stoppable(asked: threading.Event) -> Iterator[None]:
    """Ctrl-C and a termination signal end the run after the step that is being made, with a checkpoint."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, lambda *_: asked.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def together(team: Team, steps: Steps) -> Iterator[None]:
    """Names the end of another process, which the next exchange with it comes upon."""
    try:
        yield
    except RuntimeError as error:
        if team.processes == 1 or "onnection" not in str(error):
            raise
        raise ProcessLost(steps.run, steps.place.step) from error


@contextmanager
def memory_named(steps: Steps, features: Features) -> Iterator[None]:
    """Turns running out of memory into advice."""
    import torch

    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_big(steps, features) from error
    except RuntimeError as error:
        if "not enough memory" not in str(error) and "out of memory" not in str(error):
            raise
        raise _too_big(steps, features) from error


def _too_big(steps: Steps, features: Features) -> OutOfMemory:
    rows = [row for batch in steps.plan.of_step(steps.place.step) for row in batch]
    return OutOfMemory(steps.place.step + 1, len(rows), max(features.lengths[row] for row in rows))
