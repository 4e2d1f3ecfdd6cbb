"""The process of a training: `hearth train run` beside the server, at low priority, found again by its run folder.

It outlives the page and the server; what it says lies in the run folder, so nothing has to be remembered here.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import psutil
from filelock import FileLock

from chat.training.errors import CommandFailed, NoSuchRun, TrainingRuns, writing

# By its path: beside this package in a checkout and in an install.
_DOOR = Path(__file__).resolve().parents[2] / "hearth.py"
_PROCESS, _OUTPUT, _LOG, _LOCK = "process.json", "output.json", "output.log", ".starting.lock"
_ASKED_TO_STOP = "stop-asked"
_NICE = 10
# A process that began after the file that names it is another one with the same number.
_CLOCK_SECONDS = 2.0
_KILLED = "The training ended without a word, as a process that was killed does."
_FULL = "The disk has no room left, not even for what the training had to say: free some space, and begin anew."
_LEAST_FREE_BYTES = 2**20
_STOPPED = "It was stopped outside its steps, so nothing was added to what it had kept."

State = Literal["running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Standing:
    """How a run stands; `code` and `sentence` say why it stopped or failed."""

    state: State
    code: str = ""
    sentence: str = ""


async def ask(home: Path, *words: str) -> dict[str, Any]:
    """What a `hearth` command gives, run at low priority; it ends when the caller is cancelled.

    Raises:
        CommandFailed: with the command's own code and sentence.
    """
    process = await asyncio.create_subprocess_exec(
        *_command(home, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _lower_priority(process.pid)
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    value = _parsed(output)
    if value is None or "error" in value:
        raise CommandFailed(*_error_in(value))
    return value


def start(home: Path, recipe: Path, name: str) -> Path:
    """Begins to train a recipe; gives the run folder.

    Raises:
        TrainingRuns: another one runs in this home.
        NotWritten: the disk is full or fails; nothing is left then.
    """
    folder = home / "runs" / f"{name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    with writing(folder.parent), _alone(home):
        folder.mkdir(parents=True)
        try:
            _launch(folder, _command(home, "train", "run", str(recipe), "--folder", str(folder)))
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return folder


def resume(home: Path, folder: Path) -> None:
    """Goes on with a run that was stopped, from its newest checkpoint.

    Raises:
        TrainingRuns: one runs in this home.
        NotWritten: the disk is full or fails.
    """
    with writing(folder), _alone(home):
        _launch(folder, _command(home, "train", "resume", str(folder)))


def stop(folder: Path) -> None:
    """Asks a run to end after the step it makes; it keeps a checkpoint."""
    process = _process(folder)
    if process is not None:
        (folder / _ASKED_TO_STOP).touch()
        process.terminate()


def runs(home: Path) -> list[Path]:
    """The run folders of a home, the newest last, those that a terminal began among them."""
    marks = {path.parent: path.stat().st_mtime for path in (home / "runs").glob("*/recipe.json")}
    marks |= {path.parent: path.stat().st_mtime for path in (home / "runs").glob(f"*/{_PROCESS}")}
    return sorted(marks, key=lambda folder: (marks[folder], folder.name))


def find(home: Path, name: Any) -> Path:
    """The run folder of that name.

    Raises:
        NoSuchRun: the home has none.
    """
    found = next((folder for folder in runs(home) if folder.name == name), None)
    if found is None:
        raise NoSuchRun(str(name))
    return found


def running(home: Path) -> Path | None:
    """The run that is being made in a home now, whoever began it."""
    return next((folder for folder in reversed(runs(home)) if _process(folder) is not None), None)


def newest(home: Path) -> Path | None:
    """The run that is being made, else the newest one; None in a home without runs."""
    found = runs(home)
    return running(home) or (found[-1] if found else None)


def standing(folder: Path) -> Standing:
    """How a run stands, by its files and by whether its process lives."""
    if _process(folder) is not None:
        return Standing("running")
    facts = read(folder / "run.json")
    if facts.get("state") == "finished" and (folder / "report.json").is_file():
        return Standing("finished")
    said = read(folder / _OUTPUT)
    code, sentence = _error_in(said if "error" in said else {"error": facts} if "message" in facts else None)
    if code == "killed" and (folder / _ASKED_TO_STOP).exists():
        return Standing("stopped", "interrupted", _STOPPED)
    if code == "killed" and folder.is_dir() and shutil.disk_usage(folder).free < _LEAST_FREE_BYTES:
        return Standing("failed", "disk_full", _FULL)
    return Standing("stopped" if code == "interrupted" else "failed", code, sentence)


def can_resume(folder: Path) -> bool:
    """Whether a run that ended early has a checkpoint to go on from."""
    return any((folder / "checkpoints").glob("checkpoint-*"))


def read(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where there is none."""
    try:
        return _parsed(path.read_bytes()) or {}
    except OSError:
        return {}


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Holds the right to begin a training in a home, so that two pages do not begin one at the same moment."""
    (home / "runs").mkdir(parents=True, exist_ok=True)
    with FileLock(home / "runs" / _LOCK):
        if (busy := running(home)) is not None:
            raise TrainingRuns(busy.name)
        yield


def _command(home: Path, *words: str) -> list[str]:
    return [sys.executable, str(_DOOR), *words, "--json", "--home", str(home)]


def _launch(folder: Path, command: list[str]) -> None:
    (folder / _ASKED_TO_STOP).unlink(missing_ok=True)
    with (folder / _OUTPUT).open("wb") as output, (folder / _LOG).open("ab") as log:
        child = _begun(command, output, log)
    try:
        _lower_priority(child.pid)
        (folder / _PROCESS).write_text(json.dumps({"process": child.pid}), encoding="utf-8")
    except OSError:
        child.kill()  # nothing would find it again
        child.wait()
        raise
    # Collects the ended process, which would otherwise stay in the system's list as long as the server lives.
    threading.Thread(target=child.wait, name="hearth-training", daemon=True).start()


def _begun(command: list[str], output: IO[bytes], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """The process in a group of its own: what ends the server does not reach it."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=log, start_new_session=True)


def _lower_priority(process_id: int) -> None:
    try:
        psutil.Process(process_id).nice(_NICE if os.name == "posix" else psutil.BELOW_NORMAL_PRIORITY_CLASS)
    except psutil.Error:
        return  # it has ended already


def _process(folder: Path) -> psutil.Process | None:
    """The living process of a run, None where it has ended."""
    for path in (folder / _PROCESS, folder / "run.json"):
        facts = read(path)
        if "process" not in facts or facts.get("state", "running") != "running":
            continue
        try:
            process = psutil.Process(int(facts["process"]))
            same = process.create_time() <= path.stat().st_mtime + _CLOCK_SECONDS
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except (psutil.Error, OSError):
            continue
    return None


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _error_in(value: dict[str, Any] | None) -> tuple[str, str]:
    error = (value or {}).get("error", {})
    return str(error.get("code", "killed")), str(error.get("message", _KILLED))
