"""Every shipped recipe in its small form, on the real data and base: it trains, judges through serving and reports."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from training.recipe import SHIPPED, load_recipe
from training.run import run

pytestmark = [pytest.mark.real_model, pytest.mark.shared, pytest.mark.timeout(300)]


@pytest.mark.usefixtures("shared", "no_kept_models")
@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.toml")))
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
