"""What an interrupted run leaves beside its checkpoints, and how a resumed one treats it (T05, T06, T07, T08)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_run import equal, stopped_after, weights
from training import fingerprint
from training import run as running
from training.checkpoint import newest_checkpoint, read_place
from training.errors import Interrupted, NotKept
from training.recipe import Recipe
from training.run import resume, run
from training.steps import Steps

Make = Callable[..., Recipe]
EVERY_STEP = {"training__checkpoint_every_seconds": 1e-9}


def course(folder: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines if line["event"] == "step"]


def stopped(recipe: Recipe, step: int, folder: Path, patch: pytest.MonkeyPatch) -> None:
    with stopped_after(step, patch), pytest.raises(Interrupted):
        run(recipe, home=folder.parent, folder=folder)


def test_t05_metrics_of_steps_that_are_made_again_stand_once(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(opinion_recipe(), home=tmp_path, folder=tmp_path / "whole")
    folder = tmp_path / "killed"
    stopped(opinion_recipe(), 3, folder, monkeypatch)
    with (folder / "metrics.jsonl").open("a") as metrics:  # steps after the checkpoint, the last line cut off
        metrics.write('{"event": "step", "step": 4, "loss": 9.0}\n{"event": "step", "st')
    report = resume(folder, home=tmp_path)
    assert course(folder) == course(tmp_path / "whole")
    assert [step for step, _ in course(folder)] == list(range(1, 7))
    assert report["training"]["last_loss"] == course(folder)[-1][1]


def test_t05_a_run_that_had_stopped_early_makes_no_further_step(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores: Iterator[float] = iter([0.5, 0.9, 0.7, 0.6])
    monkeypatch.setattr(running.Run, "_judge", lambda self, learner, splits, step: (next(scores), {}))
    recipe = opinion_recipe(training__evaluate_every_steps=1, training__patience=2, training__steps=20)

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running.Run, "_finish", killed)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert resume(tmp_path / "run", home=tmp_path)["training"]["steps"] == 4


def test_t07_a_damaged_best_checkpoint_is_named(opinion_recipe: Make, tmp_path: Path) -> None:
    scores: Iterator[float] = iter([0.9, 0.5, 0.4, 0.3, 0.2, 0.1])
    folder, told = tmp_path / "run", list[dict[str, Any]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running.Run, "_judge", lambda self, learner, splits, step: (next(scores), {}))
        run(opinion_recipe(training__evaluate_every_steps=1), home=tmp_path, folder=folder)
    os.truncate(folder / "checkpoints" / "checkpoint-0000001" / "weights.safetensors", 10)
    resume(folder, home=tmp_path, show=told.append)
    assert [line["message"] for line in told if line["event"] == "warning"] == [
        "The best checkpoint checkpoint-0000001 is damaged (weights.safetensors has 10 bytes and "
        f"{(folder / 'checkpoints' / 'checkpoint-0000006' / 'weights.safetensors').stat().st_size:,} were written); "
        "the newest serves instead."
    ]


def test_t07_a_damaged_checkpoint_of_a_later_step_does_not_push_whole_ones_out(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, folder = opinion_recipe(**EVERY_STEP), tmp_path / "run"
    stopped(recipe, 5, folder, monkeypatch)
    checkpoints = folder / "checkpoints"
    (checkpoints / "checkpoint-0000005").rename(checkpoints / "checkpoint-0000009")
    os.truncate(checkpoints / "checkpoint-0000009" / "state.json", 0)
    resume(folder, home=tmp_path)
    assert sorted(path.name[-1] for path in checkpoints.iterdir()) == ["5", "6"]


def test_t06_a_disk_that_fills_up_in_the_metrics_is_a_sentence_too(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(opinion_recipe(), home=tmp_path, folder=tmp_path / "whole")
    recipe, folder, original = opinion_recipe(**EVERY_STEP), tmp_path / "full", Steps._write

    def full(self: Steps, line: dict[str, Any]) -> None:
        if line["step"] == 4:
            raise OSError(28, "No space left on device")
        original(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "_write", full)
        with pytest.raises(NotKept, match=r"step 4 .*No space.*from checkpoint-0000003"):
            run(recipe, home=tmp_path, folder=folder)
    newest = newest_checkpoint(folder / "checkpoints")
    assert newest is not None
    assert read_place(newest).step == 3
    resume(folder, home=tmp_path)
    assert equal(weights(folder), weights(tmp_path / "whole"))


def test_t08_code_that_only_tells_of_a_run_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Path(fingerprint.__file__).parent
    known = {path.stem for path in room.glob("*.py")}
    assert known >= fingerprint._TELLING
    assert not fingerprint._TELLING & {"steps", "trainer", "loop", "batches", "data", "learner", "run", "checkpoint"}
    (tmp_path / "training").mkdir()
    copies = {name: tmp_path / "training" / f"{name}.py" for name in ("steps", "report", "fingerprint")}
    for name, path in copies.items():
        path.write_text((room / f"{name}.py").read_text())
    monkeypatch.setattr(fingerprint, "__file__", str(copies["fingerprint"]))
    code = fingerprint._code.__wrapped__
    before = code()
    copies["report"].write_text("# other words")
    assert code() == before
    copies["steps"].write_text("# other steps")
    assert code() != before
