"""Faults at single file operations of a process on this machine, put there by strace.

The process is forked with everything loaded, held until strace watches it, and then told to begin: a fault costs a
fraction of a second.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

FAULTS = {"kill": "signal=KILL", "full": "error=ENOSPC", "io": "error=EIO"}
_ATTACH_SECONDS = 10.0

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace injects the faults, and is not here")


def watched(worker: int, begin: socket.socket, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Has strace watch a process that waits for one byte on `begin`, and sends it."""
    command = ["strace", "-f", "-qq", *options, "-p", str(worker)]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + _ATTACH_SECONDS
    while re.search(r"TracerPid:\t0\n", Path(f"/proc/{worker}/status").read_text()):
        if tracer.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(0.001)
    begin.send(b"!")
    return tracer


def ended(tracer: subprocess.Popen[bytes]) -> None:
    """Waits for strace once its process is gone."""
    tracer.wait()
    assert tracer.stderr is not None
    tracer.stderr.close()


def counting(calls: Sequence[str], log: Path) -> list[str]:
    """Options that write every one of these calls into a log."""
    return ["-e", f"trace={','.join(calls)}", "-o", str(log)]


def failing(call: str, fault: str, at: int) -> list[str]:
    """Options that let the `at`-th call, counted from 1, fail or be the last."""
    return ["-e", f"trace={call}", "-e", f"inject={call}:{FAULTS[fault]}:when={at}", "-o", "/dev/null"]


def counts(log: Path) -> Counter[str]:
    """How often each call was made by the thread that made the most."""
    lines = log.read_text().splitlines()
    busiest = Counter(line.split()[0] for line in lines).most_common(1)[0][0]
    return Counter(match[1] for line in lines if (match := re.match(rf"{busiest}\s+(\w+)\(", line)))
