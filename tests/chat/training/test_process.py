"""The process of a training: begun beside the page, found again, stopped, gone on with, and one at a time in a home."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from chat.training import process, words
from chat.training.errors import CommandFailed, NoSuchRun, NotWritten, TrainingRuns
from chat.training.progress import Metrics
from tests.models.conftest import save_tiny_encoder
from tests.training.conftest import opinions, write_rows
from training.toml import to_toml

SECONDS = 60


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"))


def recipe(folder: Path, encoder: Path, **training: Any) -> Path:
    """A recipe over a few rows for a tiny encoder."""
    write_rows(folder / "rows.jsonl", opinions(120))
    table = {
        "name": "opinions",
        "base": str(encoder),
        "task": {"kind": "sequence-classification"},
        "data": {"train": "rows.jsonl"},
        "training": {"steps": 6, "batch_rows": 8, "precision": "fp32", "threads": 1} | training,
    }
    path = folder / "recipe.toml"
    path.write_text(to_toml(table))
    return path


def until(folder: Path, state: str) -> process.Standing:
    """How the run stands once it stands so."""
    deadline = time.monotonic() + SECONDS
    while (now := process.standing(folder)).state != state:
        assert time.monotonic() < deadline, (now, (folder / "output.log").read_text())
        time.sleep(0.05)
    return now


def until_step(folder: Path, step: int) -> Metrics:
    """The run's metrics once it has made so many steps."""
    metrics, deadline = Metrics(folder), time.monotonic() + SECONDS
    while metrics.step is None or metrics.step["step"] < step:
        assert time.monotonic() < deadline, (folder / "output.log").read_text()
        time.sleep(0.02)
        metrics.read()
    return metrics


def test_a_run_is_begun_found_stopped_and_gone_on_with(tmp_path: Path, encoder: Path) -> None:
    home = tmp_path / "home"
    assert process.newest(home) is None
    folder = process.start(home, recipe(tmp_path, encoder, steps=100_000), "opinions")
    assert (process.newest(home), process.find(home, folder.name)) == (folder, folder)
    child = psutil.Process(json.loads((folder / "process.json").read_text())["process"])
    assert child.nice() == os.nice(0) + 10 or child.nice() == 10
    assert os.getpgid(child.pid) != os.getpgid(0)
    with pytest.raises(TrainingRuns, match="one training runs at a time"):
        process.start(home, tmp_path / "recipe.toml", "other")

    metrics = until_step(folder, 3)
    told = words.so_far(folder.name, metrics)
    assert "of 100,000 · loss " in told
    assert " left" in told
    assert [path.name for path in metrics.draw()] == ["loss.png"]

    process.stop(folder)
    stopped = until(folder, "stopped")
    assert stopped.code == "interrupted"
    assert "`interrupted`" in words.ended(folder.name, stopped, {})
    assert process.can_resume(folder)
    assert process.running(home) is None

    before = metrics.step
    assert before is not None
    process.resume(home, folder)
    until_step(folder, before["step"] + 20)
    process.stop(folder)
    until(folder, "stopped")


def test_what_a_command_says_of_its_failure_reaches_the_page(tmp_path: Path, encoder: Path) -> None:
    home, file = tmp_path / "home", recipe(tmp_path, encoder)
    write_rows(tmp_path / "rows.jsonl", [{**row, "label": "good"} for row in opinions(60)])
    with pytest.raises(CommandFailed, match="the only label is 'good'") as failed:
        asyncio.run(process.ask(home, "train", "check", str(file)))
    assert failed.value.code == "one_class"
    folder = process.start(home, file, "opinions")
    assert until(folder, "failed").code == "one_class"
    assert not process.can_resume(folder)


def test_a_killed_run_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "opinions-1"
    folder.mkdir(parents=True)
    own = os.getpid()
    (folder / "process.json").write_text(json.dumps({"process": own}))
    assert process.running(tmp_path) == folder
    ages_ago = psutil.Process(own).create_time() - 3600
    os.utime(folder / "process.json", (ages_ago, ages_ago))  # this process began later: it has the dead one's number
    assert process.running(tmp_path) is None
    assert process.standing(folder).code == "killed"
    with pytest.raises(NoSuchRun):
        process.find(tmp_path, "../opinions-1")


def test_a_run_stopped_before_its_first_step_was_stopped_and_did_not_fail(tmp_path: Path, encoder: Path) -> None:
    folder = process.start(tmp_path / "home", recipe(tmp_path, encoder), "opinions")
    process.stop(folder)
    stopped = until(folder, "stopped")
    assert stopped.code == "interrupted"
    assert not process.can_resume(folder)


@pytest.mark.parametrize("at", ["folder", "process"])
def test_k04_a_full_disk_at_the_start_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "runs").mkdir()
    begun: list[Any] = []

    def sleeping(*_: Any) -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen(["sleep", "60"]))
        return begun[0]

    monkeypatch.setattr(process, "_begun", sleeping)
    monkeypatch.setattr(Path, "mkdir" if at == "folder" else "write_text", full)
    with pytest.raises(NotWritten, match=r"runs could not be written \(no space left on device\): free some space"):
        process.start(tmp_path, tmp_path / "recipe.toml", "reviews")
    monkeypatch.undo()
    assert [path for path in (tmp_path / "runs").iterdir() if path.is_dir()] == []
    assert [child.returncode is not None for child in begun] == ([True] if at == "process" else [])


def test_k04_a_run_that_could_not_say_why_it_ended_is_told_by_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process.standing(tmp_path).code == "killed"
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    assert process.standing(tmp_path).code == "disk_full"


def test_metrics_are_taken_up_line_by_line(tmp_path: Path) -> None:
    metrics, path = Metrics(tmp_path), tmp_path / "metrics.jsonl"
    metrics.read()
    assert metrics.step is None
    step = {"event": "step", "step": 1, "steps": 9, "loss": 0.5}
    path.write_text(json.dumps(step) + '\n{"event": "step", "st')
    metrics.read()
    assert metrics.step == step
    judged = {"event": "evaluation", "step": 2, "score": 0.75, "best": True}
    path.write_text("".join(json.dumps(line) + "\n" for line in (step, {**step, "step": 2}, judged)))
    metrics.read()
    assert metrics.step["step"] == 2
    assert (metrics.judged, metrics.best) == (judged, 0.75)
    path.write_text(json.dumps(step) + "\n")  # gone on with from an earlier checkpoint
    metrics.read()
    assert (metrics.step, metrics.judged) == (step, None)
