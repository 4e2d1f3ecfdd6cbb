"""Kills and failing file operations at every point where a library touches the disk, a quarter of a second each."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from tests.retrieval.campaign.judge import Judge
from tests.retrieval.campaign.worker import Operation, Word, do, listened, once_through, opened, started
from tests.strace import FAULTS, counting, counts, ended, failing, watched

CALLS = ("pwrite64", "write", "fdatasync", "fsync", "ftruncate", "rename", "renameat2", "unlink", "mkdir")

BEFORE: list[Operation] = [
    ["put", [[f"old{number}", f"old{number} " + "some words that were there before " * 30] for number in range(6)]],
    ["move", "default", "old5", "second"],
]
DURING: list[Operation] = [
    ["put", [["new1", "new1 " + "added words " * 90]]],
    ["put", [["new2", "new2 of a group"], ["new3", "new3 of a group " + "with more words " * 80], ["new4", "new4"]]],
    ["put", [["old1", "old1 has other words now " * 60], ["new2", "new2 is another"]]],
    ["remove", "default", "old2"],
    ["move", "default", "old3", "second"],
    ["reembed", "hash-32"],
    ["remove", "second", "old5"],
    ["put", [["new5", "new5 " + "the last words " * 50]]],
]


def prepared(root: Path) -> Path:
    """A library with some documents in it, to be copied for each point."""
    path = root / "prepared"
    with opened(path) as library:
        for operation in BEFORE:
            do(path, library, operation)
    return path


def traced(path: Path, options: list[str], operations: list[Operation] = DURING) -> tuple[list[Word], int]:
    """(what the worker said, its exit status) of one run under strace with these options."""
    worker, line, begin = started(once_through(operations), path, 0)
    said: list[Word] = []
    listener = threading.Thread(target=lambda: said.extend(listened(line)))
    listener.start()
    with begin:
        tracer = watched(worker, begin, options)
    _, status = os.waitpid(worker, 0)
    listener.join()
    ended(tracer)
    return said, status


def counted(root: Path, source: Path) -> Counter[str]:
    """How often each call is made in one run without faults."""
    path, log = root / "counted", root / "log"
    shutil.copytree(source, path)
    said, status = traced(path, counting(CALLS, log))
    assert status == 0, said[-1:]
    shutil.rmtree(path)
    return counts(log)


def every_point(judge: Judge, every: int, budget_seconds: float) -> tuple[dict[str, int], int]:
    """One fault at each point of each call, or at every n-th; (how many of each fault, points there are of each).

    The points come in a random order, the same each time, so that a machine too slow for all of them tries a sample.
    """
    began = time.monotonic()
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        root = Path(folder)
        source = prepared(root)
        before = Judge()
        before.judge(source, [("done", operation, "") for operation in BEFORE])
        calls = counted(root, source)
        points = [(fault, call, at) for call in calls for at in range(1, calls[call] + 1) for fault in FAULTS][::every]
        random.Random(0).shuffle(points)
        for fault, call, at in points:
            if time.monotonic() - began > budget_seconds:
                break
            path = root / "library"
            shutil.copytree(source, path)
            judge.sure = before.sure
            said, _ = traced(path, failing(call, fault, at))
            judge.judge(path, said)
            done[fault] += 1
            shutil.rmtree(path)
    return dict(done), calls.total()
