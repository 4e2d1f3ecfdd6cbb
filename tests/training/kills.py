"""A training run whose saves are tried again and again in forked processes that die or fail in the middle of them.

The run itself goes on to its end, so that it is also what a resumed one is compared with.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import training.report
import training.steps
from tests.strace import counting, counts, ended, failing, watched
from training.checkpoint import Place, save_checkpoint
from training.recipe import Recipe
from training.run import resume, run

CALLS = (
    "openat", "mkdir", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "renameat2", "unlink",
    "unlinkat", "rmdir",
)  # fmt: skip
"""What a save does to files, the removal of older checkpoints among it."""


@dataclass(frozen=True)
class State:
    """A run folder as a save that went wrong left it: at which step, by what, and how its process ended."""

    folder: Path
    step: int
    what: str
    status: int

    @property
    def killed(self) -> bool:
        """Whether the process was killed in the middle of it."""
        return os.WIFSIGNALED(self.status)


@dataclass
class Saves:
    """Which saves of a run are tried, and with what.

    Attributes:
        root: Where the folders go that failing saves leave.
        steps: The optimizer steps whose saves are tried.
        faults: `kill`, `full` or `io`, at every `every`-th point of each call.
        moments: How often a save is killed at a random moment, beside that.
    """

    root: Path
    steps: Collection[int]
    faults: Sequence[str]
    every: int = 1
    moments: int = 0
    points: int = 0
    states: list[State] = field(default_factory=list)

    def save(self, folder: Path, place: Place, *rest: Any) -> Path:
        """Stands in for `save_checkpoint`."""
        if place.step in self.steps:
            self._try(folder.parent, place, rest)
        return save_checkpoint(folder, place, *rest)

    def _try(self, run_folder: Path, place: Place, rest: tuple[Any, ...]) -> None:
        log = self.root / "log"
        whole = self._one(run_folder, place, rest, "nothing", counting(CALLS, log))
        assert whole.status == 0
        found = counts(log)
        points = [(call, fault, at) for call in CALLS for at in range(1, found[call] + 1) for fault in self.faults]
        self.points += len(points)
        for call, fault, at in points[place.step % self.every :: self.every]:
            self.states.append(self._one(run_folder, place, rest, f"{fault} {call} {at}", failing(call, fault, at)))
        chance, began = random.Random(place.step), time.monotonic()
        assert self._one(run_folder, place, rest, "nothing", None).status == 0
        longest = time.monotonic() - began
        killed = 0
        while killed < self.moments:
            seconds = chance.uniform(0, longest)
            state = self._one(run_folder, place, rest, f"kill after {seconds:.4f} s", None, seconds)
            if state.killed:
                killed += 1
                self.states.append(state)
            else:  # it came after the end
                shutil.rmtree(state.folder)

    def _one(
        self, run_folder: Path, place: Place, rest: tuple[Any, ...], what: str, options: list[str] | None,
        killed_after: float | None = None,
    ) -> State:  # fmt: skip
        """One save in a process of its own, into a copy of the run folder."""
        copy = self.root / f"{run_folder.name}-{place.step}-{what.replace(' ', '-')}-{len(self.states)}"
        shutil.copytree(run_folder, copy)
        worker, begin = forked(lambda: save_checkpoint(copy / "checkpoints", place, *rest))
        with begin:
            tracer = watched(worker, begin, options) if options else None
            if tracer is None:
                begin.send(b"!")
            if killed_after is not None:
                time.sleep(killed_after)
                os.kill(worker, signal.SIGKILL)
        _, status = os.waitpid(worker, 0)
        if tracer is not None:
            ended(tracer)
        if what == "nothing":
            shutil.rmtree(copy)
        return State(copy, place.step, what, status)


def forked(work: Callable[[], object]) -> tuple[int, socket.socket]:
    """A forked process that does its work once a byte comes on the line, and the line; it ends with 0, or 1 if not."""
    begin, told = socket.socketpair()
    worker = os.fork()
    if worker == 0:
        status = 1
        try:
            begin.close()
            told.recv(1)
            work()
            status = 0
        finally:
            os._exit(status)
    told.close()
    return worker, begin


@contextmanager
def tried(saves: Saves) -> Iterator[None]:
    """Runs inside try their saves so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.steps, "save_checkpoint", saves.save)
        yield


def killed_until_done(recipe: Recipe, home: Path, folder: Path, chance: random.Random, seconds: float) -> int:
    """Trains in processes that are killed after a random time, one after another, until one ends; gives the kills.

    They come from a server that has no threads: what is forked from a process of many may wait for locks for ever.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.kills", "training.trainer", "training.learner", "models.trainable"])
    kills = 0
    while True:
        process = context.Process(target=_go_on, args=(recipe, home, folder))
        process.start()
        process.join(chance.uniform(0, seconds))
        if process.exitcode is None:
            process.kill()
            process.join()
        if process.exitcode != -signal.SIGKILL:
            assert process.exitcode == 0, "the run failed by itself"
            return kills
        kills += 1
        seconds *= 1.15  # so that it ends on a machine of any speed


def _go_on(recipe: Recipe, home: Path, folder: Path) -> None:
    for picture in ("draw_course", "draw_labels"):
        setattr(training.report, picture, lambda *_: [])
    if any((folder / "checkpoints").glob("checkpoint-*")):
        resume(folder, home=home)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        run(recipe, home=home, folder=folder)
