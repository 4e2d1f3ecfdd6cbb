"""Runs: both loops alike, resumed exactly from every step (T05, G9), damage and change noticed (T06 to T11)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from training import checkpoint as checkpoints
from training import fingerprint
from training import run as running
from training.errors import (
    Changed,
    Interrupted,
    NoCheckpoint,
    NonFinite,
    NotKept,
    OutOfMemory,
    RunBusy,
    RunExists,
    RunNotFound,
    TooLong,
)
from training.recipe import Recipe
from training.run import resume, run
from training.run_folder import locked, recipe_of
from training.steps import Steps
from training.tasks.sequence_classification import SequenceClassification

Make = Callable[..., Recipe]
KINDS = {
    "plain": {},
    "accumulated": {"training__accumulation_steps": 3, "training__batch_rows": 3},
    "lora": {"method__kind": "lora", "method__dropout": 0.2, "method__rank": 4},
    "frozen": {"method__kind": "frozen"},
}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """What the newest checkpoint has learned."""
    newest = checkpoints.newest_checkpoint(folder / "checkpoints")
    assert newest is not None
    return load_file(newest / "weights.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@contextmanager
def stopped_after(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs inside are asked to stop once a step is done."""
    original = Steps.done

    def done(self: Steps, *arguments: Any) -> bool:
        self._asked_to_stop = lambda: self.place.step >= step
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "done", done)
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_both_loops_give_the_same_weights(kind: str, opinion_recipe: Make, tmp_path: Path) -> None:
    for loop in ("trainer", "accelerate"):
        run(opinion_recipe(training__loop=loop, **KINDS[kind]), home=tmp_path, folder=tmp_path / loop)
    assert equal(weights(tmp_path / "trainer"), weights(tmp_path / "accelerate"))
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / loop / "metrics.jsonl").open() if '"step", ' in line]
        for loop in ("trainer", "accelerate")
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("loop", ["trainer", "accelerate"])
@pytest.mark.parametrize("kind", ["plain", "accumulated", "lora"])
def test_t05_a_run_stopped_at_any_step_ends_with_the_same_weights(
    kind: str, loop: str, opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = opinion_recipe(training__loop=loop, **KINDS[kind])
    run(recipe, home=tmp_path, folder=tmp_path / "whole")
    for step in range(1, 6):
        folder = tmp_path / f"stopped-{step}"
        with stopped_after(step, monkeypatch), pytest.raises(Interrupted, match=f"after step {step}"):
            run(recipe, home=tmp_path, folder=folder)
        report = resume(folder, home=tmp_path)
        assert report["training"]["steps"] == 6
        assert equal(weights(folder), weights(tmp_path / "whole"))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "weights missing": lambda path: (path / "weights.safetensors").unlink(),
    "optimizer missing": lambda path: (path / "optimizer.safetensors").unlink(),
    "chance missing": lambda path: (path / "chance.safetensors").unlink(),
    "state missing": lambda path: (path / "state.json").unlink(),
    "weights cut": lambda path: os.truncate(path / "weights.safetensors", 100),
    "state empty": lambda path: (path / "state.json").write_text(""),
    "manifest missing": lambda path: (path / "MANIFEST.json").unlink(),
    "manifest cut": lambda path: os.truncate(path / "MANIFEST.json", 50),
    "weights swapped": lambda path: save_file(
        {key: value + 1 for key, value in load_file(path / "weights.safetensors").items()}, path / "weights.safetensors"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_t07_a_damaged_checkpoint_is_passed_over_and_named(
    damage: str, opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = opinion_recipe(training__checkpoint_every_seconds=1e-9)
    run(recipe, home=tmp_path, folder=tmp_path / "whole")
    folder = tmp_path / "damaged"
    with stopped_after(4, monkeypatch), pytest.raises(Interrupted):
        run(recipe, home=tmp_path, folder=folder)
    DAMAGES[damage](folder / "checkpoints" / "checkpoint-0000004")
    told: list[dict[str, Any]] = []
    resume(folder, home=tmp_path, show=told.append)
    assert next(line["message"] for line in told if line["event"] == "warning").startswith(
        "The checkpoint checkpoint-0000004 is damaged"
    )
    assert equal(weights(folder), weights(tmp_path / "whole"))


def test_t06_what_a_killed_save_left_is_swept_and_never_used(opinion_recipe: Make, tmp_path: Path) -> None:
    recipe = opinion_recipe(training__checkpoint_every_seconds=1e-9)
    folder = tmp_path / "run"
    half = folder / "checkpoints" / ".checkpoint-0000099"
    half.mkdir(parents=True)
    (half / "weights.safetensors").write_bytes(b"half")
    run(recipe, home=tmp_path, folder=folder)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "checkpoint-0000005",
        "checkpoint-0000006",
    ]


def test_t06_a_failing_save_leaves_the_one_before(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = opinion_recipe(training__checkpoint_every_seconds=1e-9)
    folder, calls, original = tmp_path / "run", [0], checkpoints.write_manifest

    def full_disk(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise OSError(28, "No space left on device")
        return original(*arguments, **named)

    monkeypatch.setattr(checkpoints, "write_manifest", full_disk)
    with pytest.raises(NotKept, match=r"No space left.*goes on from checkpoint-0000002"):
        run(recipe, home=tmp_path, folder=folder)
    assert json.loads((folder / "run.json").read_text())["state"] == "failed"
    newest = checkpoints.newest_checkpoint(folder / "checkpoints")
    assert newest is not None
    assert newest.name == "checkpoint-0000002"
    assert resume(folder, home=tmp_path)["training"]["steps"] == 6


def test_t08_changed_data_settings_or_libraries_are_named(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with stopped_after(2, monkeypatch), pytest.raises(Interrupted):
        run(opinion_recipe(), home=tmp_path, folder=folder)
    rows = (tmp_path / "rows.jsonl").read_text()
    (tmp_path / "rows.jsonl").write_text(rows.replace("lamp", "lantern"))
    with pytest.raises(Changed, match="the data"):
        resume(folder, home=tmp_path)
    (tmp_path / "rows.jsonl").write_text(rows)
    monkeypatch.setattr(fingerprint, "version", lambda name: "0.0")
    with pytest.raises(Changed, match=r"torch \(.* -> 0\.0\)"):
        resume(folder, home=tmp_path)
    assert resume(folder, home=tmp_path, allow_changed=True)["training"]["steps"] == 6


@pytest.mark.parametrize("loop", ["trainer", "accelerate"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_t09_a_loss_that_is_no_number_stops_the_run_before_the_weights_change(
    bad: float, loop: str, opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, original = [0], SequenceClassification.loss

    def loss(self: SequenceClassification, model: Any, batch: Any) -> torch.Tensor:
        calls[0] += 1
        return original(self, model, batch) * (bad if calls[0] == 4 else 1.0)

    monkeypatch.setattr(SequenceClassification, "loss", loss)
    recipe = opinion_recipe(training__loop=loop, training__checkpoint_every_seconds=1e-9)
    with pytest.raises(NonFinite) as caught:
        run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert caught.value.step == 4
    assert 0 < len(caught.value.rows) <= 8
    assert "checkpoint-0000003" in str(caught.value)
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "run").values())
    assert json.loads((tmp_path / "run" / "run.json").read_text())["code"] == "non_finite"


def test_t10_running_out_of_memory_gives_advice(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(self: SequenceClassification, model: Any, batch: Any) -> torch.Tensor:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(SequenceClassification, "loss", loss)
    with pytest.raises(OutOfMemory, match=r"Step 1 .* 8 rows.*batch_rows"):
        run(opinion_recipe(), home=tmp_path, folder=tmp_path / "run")


def test_t11_one_folder_has_one_run(opinion_recipe: Make, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with locked(folder), pytest.raises(RunBusy):
        run(opinion_recipe(), home=tmp_path, folder=folder)
    run(opinion_recipe(), home=tmp_path, folder=folder)
    with pytest.raises(RunExists, match="resume"):
        run(opinion_recipe(), home=tmp_path, folder=folder)


def test_t04_too_many_long_rows_are_refused_and_counted(opinion_recipe: Make, tmp_path: Path) -> None:
    recipe = opinion_recipe(training__max_tokens=8)
    with pytest.raises(TooLong, match=r"over 8 tokens"):
        run(recipe, home=tmp_path, folder=tmp_path / "run")


def test_a_run_that_is_not_there_or_never_saved(opinion_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(RunNotFound):
        resume(tmp_path / "nowhere", home=tmp_path)
    run(opinion_recipe(), home=tmp_path, folder=tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(NoCheckpoint):
        resume(tmp_path / "run", home=tmp_path)


def test_a_run_folder_knows_its_recipe(opinion_recipe: Make, tmp_path: Path) -> None:
    recipe = opinion_recipe(training__steps=2, method__kind="frozen")
    run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert recipe_of(tmp_path / "run").resolved() == recipe.resolved()


def test_early_stopping_keeps_the_best(opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.5, 0.9, 0.7, 0.6])
    monkeypatch.setattr(running.Run, "_judge", lambda self, learner, splits, step: (next(scores), {}))
    recipe = opinion_recipe(training__evaluate_every_steps=1, training__patience=2, training__steps=20)
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["steps"] == 4
    newest = checkpoints.newest_checkpoint(tmp_path / "run" / "checkpoints")
    assert newest is not None
    assert checkpoints.read_place(newest) == checkpoints.Place(4, 2, 0.9, 2)
    served = load_file(tmp_path / "run" / "model" / "model.safetensors")
    best = load_file(tmp_path / "run" / "checkpoints" / "checkpoint-0000002" / "weights.safetensors")
    assert all(torch.equal(served[name], tensor) for name, tensor in best.items())


def test_judging_on_the_way_changes_nothing(opinion_recipe: Make, tmp_path: Path) -> None:
    for name, every in (("seldom", 0), ("often", 2)):
        run(opinion_recipe(training__evaluate_every_steps=every), home=tmp_path, folder=tmp_path / name)
    assert equal(weights(tmp_path / "seldom"), weights(tmp_path / "often"))


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_a_tiny_classifier_learns_and_its_report_says_so(opinion_recipe: Make, tmp_path: Path) -> None:
    recipe = opinion_recipe(training__steps=120, training__learning_rate=3e-3, gate__minimum=0.9)
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["model"]["score"] >= 0.9 > report["baseline"]["score"]
    assert report["gate"]["open"]
    assert report["training"]["last_loss"] < report["training"]["first_loss"] / 3
    html = (tmp_path / "run" / "report.html").read_text()
    assert html.count("<img ") == 3
    assert "http://" not in html
    said = [json.loads(line)["said"]["label"] for line in (tmp_path / "run" / "predictions.jsonl").open()]
    assert set(said) == {"good", "bad"}
