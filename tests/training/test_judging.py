"""Judging again: runs, entries on the rows that their cards tell of, and other models beside them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hearth import main
from models.registry import Registry
from tests.training.conftest import opinions, write_rows
from training.errors import RunNotFound
from training.judging import judge_again
from training.publish import publish
from training.recipe import SHIPPED, Recipe, load_recipe
from training.run import run

Make = Callable[..., Recipe]
pytestmark = pytest.mark.usefixtures("float32", "no_kept_models")


@pytest.fixture
def published(
    opinion_recipe: Make, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The report of a run by a recipe among Hearth's own, its model in the registry, the run folder gone."""
    opinion_recipe()
    (tmp_path / "opinions.toml").write_text(
        f'base = "{encoder_folder}"\n[task]\nkind = "sequence-classification"\n[data]\ntrain = "rows.jsonl"\n'
        'split = { test = 0.3 }\n[training]\nsteps = 30\nlearning_rate = 3e-3\nprecision = "fp32"\nthreads = 1\n'
    )
    monkeypatch.setattr("training.recipe.SHIPPED", tmp_path)
    report = run(load_recipe("opinions"), home=tmp_path, folder=tmp_path / "run")
    publish(tmp_path / "run", home=tmp_path, force=True)
    shutil.rmtree(tmp_path / "run")
    return report


def test_an_entry_is_judged_on_its_recipes_rows_beside_its_card(published: dict[str, Any], tmp_path: Path) -> None:
    again = judge_again("opinions", home=tmp_path)
    assert again["metrics"] == again["card"] == published["model"]["metrics"]
    assert again["interval"] == published["model"]["interval"]
    assert again["rows"] == published["model"]["rows"]
    assert again["simple"]["metrics"] == published["baseline"]["metrics"]
    assert again["same_data"] is True


def test_other_data_than_the_cards_is_told(
    published: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "rows.jsonl", opinions(120, seed=1))
    assert judge_again("opinions@1", home=tmp_path)["same_data"] is False
    assert main(["train", "evaluate", "opinions@1", "--home", str(tmp_path)]) == 0
    assert "interval, on CHANGED data." in capsys.readouterr().out


def test_another_model_on_the_same_rows(published: dict[str, Any], tmp_path: Path) -> None:
    again = judge_again("opinions", home=tmp_path, model=str(Registry(tmp_path).resolve("opinions").folder))
    assert again["metrics"] == published["model"]["metrics"]
    assert (again["card"], again["same_data"]) == (None, None)


def test_a_recipe_alone_needs_a_model(published: dict[str, Any], tmp_path: Path) -> None:
    recipe = str(shutil.copy(tmp_path / "opinions.toml", tmp_path / "alone.toml"))
    with pytest.raises(RunNotFound, match="name one with --model"):
        judge_again(recipe, home=tmp_path)
    assert judge_again(recipe, home=tmp_path, model="opinions")["metrics"] == published["model"]["metrics"]


def test_an_entry_of_a_recipe_that_makes_other_rows_has_none_to_be_judged_on(
    published: dict[str, Any], tmp_path: Path
) -> None:
    run(load_recipe("opinions", {"data.split.test": 0.2}), home=tmp_path, folder=tmp_path / "other")
    publish(tmp_path / "other", home=tmp_path, force=True)
    with pytest.raises(RunNotFound, match="no recipe of Hearth's made"):
        judge_again("opinions@2", home=tmp_path)
    with pytest.raises(RunNotFound, match="The run nothing is not there"):
        judge_again("nothing", home=tmp_path)


def test_what_ships_names_its_recipe_and_the_data_of_its_card(tmp_path: Path) -> None:
    shipped = [version for version in Registry(tmp_path).versions() if version.shipped]
    assert len(shipped) >= 8
    for version in shipped:
        assert (SHIPPED / f"{version.facts.recipe}.toml").is_file(), version.label
        assert f": {version.facts.data}." in version.card, version.label


@pytest.mark.real_model
def test_the_router_that_ships_is_what_its_card_says(embedded_home: Path) -> None:
    again = judge_again("router", home=embedded_home)
    assert again["same_data"] is True
    low, high = again["interval"]
    assert low <= again["card"]["accuracy"] <= high
    assert again["rows"] == 600
