"""Every shipped recipe on the real data: its small form runs to its report, its full form passes its own limits."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from training.checks import check_data
from training.data import load_data
from training.recipe import SHIPPED, load_recipe
from training.run import run
from training.tasks import open_task

pytestmark = [pytest.mark.real_model, pytest.mark.shared, pytest.mark.timeout(300)]


NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))


@pytest.mark.usefixtures("shared", "no_kept_models")
@pytest.mark.parametrize("name", NAMES)
def test_the_small_form_runs_to_its_report(name: str, embedded_home: Path, tmp_path: Path) -> None:
    recipe = load_recipe(name, small=True)
    report = run(recipe, home=embedded_home, folder=tmp_path / "run")
    assert report["training"]["steps"] == recipe.training.steps
    assert math.isfinite(report["model"]["score"])
    assert math.isfinite(report["training"]["last_loss"])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "finished"
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
    said = [json.loads(line)["said"] for line in (tmp_path / "run" / "predictions.jsonl").open()]
    assert len(said) == report["model"]["rows"]


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("name", NAMES)
def test_t02_the_full_form_does_not_stumble_over_its_own_data(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    task = open_task(recipe)
    splits = load_data(recipe, task.columns, tmp_path, task.layout)
    found = check_data(recipe, task.columns, splits)
    task.prepare(splits)
    assert min(found.rows.values()) > 0
