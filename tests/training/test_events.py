"""The TensorBoard events of a run are its metrics.jsonl, also after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.test_run import stopped_after
from training import events
from training.errors import Interrupted, MissingExtra
from training.recipe import Recipe
from training.run import resume, run

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="the extra tensorboard is not installed here"
)
Make = Callable[..., Recipe]
pytestmark = pytest.mark.usefixtures("float32", "no_kept_models")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Everything that TensorBoard shows of a folder: tag to (step, value)."""
    found = accumulators.EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(one.step, float(np.float32(one.tensor_proto.float_val[0]))) for one in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }


@pytest.mark.parametrize("loop", ["trainer", "accelerate"])
def test_the_events_are_the_lines(loop: str, opinion_recipe: Make, tmp_path: Path) -> None:
    recipe = opinion_recipe(training__tensorboard=True, training__loop=loop, training__evaluate_every_steps=2)
    run(recipe, home=tmp_path, folder=tmp_path / "run")
    found, kept = scalars(tmp_path / "run"), lines(tmp_path / "run")
    for name in ("loss", "learning_rate", "gradient_norm", "tokens"):
        wanted = [(line["step"], float(np.float32(line[name]))) for line in kept if line["event"] == "step"]
        assert found[f"step/{name}"] == wanted
        assert len(wanted) == 6
    scores = [(line["step"], float(np.float32(line["score"]))) for line in kept if line["event"] == "evaluation"]
    assert found["evaluation/score"] == scores
    assert {step for step, _ in scores} == {2, 4, 6}


def test_an_interrupted_run_goes_on_in_the_same_course(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = opinion_recipe(training__tensorboard=True)
    with stopped_after(3, monkeypatch), pytest.raises(Interrupted):
        run(recipe, home=tmp_path, folder=tmp_path / "run")
    resume(tmp_path / "run", home=tmp_path)
    assert [step for step, _ in scalars(tmp_path / "run")["step/loss"]] == [1, 2, 3, 4, 5, 6]


def test_without_the_option_no_event_is_written(opinion_recipe: Make, tmp_path: Path) -> None:
    run(opinion_recipe(training__steps=1), home=tmp_path, folder=tmp_path / "run")
    assert not list((tmp_path / "run").rglob("events.out*"))


def test_without_the_package_the_extra_is_named_before_anything_runs(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"hearth\[tensorboard\]"):
        run(opinion_recipe(training__tensorboard=True), home=tmp_path, folder=tmp_path / "run")
    assert not (tmp_path / "run" / "data").exists()
