"""Recipes: every key checked, unknown ones named with the known ones, changes on top."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.errors import MissingKey, RecipeError, RecipeNotFound, TrainingError, UnknownKey
from training.recipe import SHIPPED, load_recipe, recipe_from

TABLE: dict[str, Any] = {"task": {"kind": "sequence-classification"}, "data": {"train": "rows.jsonl"}}


def with_change(key: str, value: Any) -> dict[str, Any]:
    """TABLE with one dotted key set."""
    table: dict[str, Any] = {name: dict(part) for name, part in TABLE.items()}
    part, _, name = key.partition(".")
    if name:
        table.setdefault(part, {})[name] = value
    else:
        table[part] = value
    return table


def test_what_a_file_does_not_say_has_its_default() -> None:
    recipe = recipe_from(TABLE, Path("/somewhere/reviews.toml"))
    assert (recipe.name, recipe.seed, recipe.training.batch_rows, recipe.method.kind) == ("reviews", 0, 32, "full")
    assert recipe.data.train == ("rows.jsonl",)


@pytest.mark.parametrize(
    ("key", "named"),
    [("trainin", "training"), ("training.epoch", "epochs"), ("task.problm", "problem"), ("data.split.vaildation", "")],
)
def test_an_unknown_key_names_the_known_ones(key: str, named: str) -> None:
    table = with_change(*(("data.split", {"vaildation": 0.1}) if key.startswith("data.split") else (key, 1)))
    with pytest.raises(UnknownKey) as caught:
        recipe_from(table, Path("r.toml"))
    assert caught.value.key == key
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.batch_rows", 0),
        ("training.batch_rows", "many"),
        ("training.learning_rate", -1.0),
        ("training.epochs", True),
        ("training.loop", "by hand"),
        ("training.warmup", 1.5),
        ("data.split", {"test": 1.0}),
        ("method.rank", 0),
        ("method", "lora"),
        ("seed", 1.5),
        ("task.kind", "poetry"),
    ],
)
def test_an_impossible_value_is_refused_with_its_key(key: str, value: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from(with_change(key, value), Path("r.toml"))
    assert caught.value.key.startswith(key)
    assert caught.value.code == "bad_recipe"


def test_a_recipe_without_data_or_task_says_what_is_missing() -> None:
    with pytest.raises(MissingKey, match=r"no data\.train"):
        recipe_from({"task": TABLE["task"]}, Path("r.toml"))
    with pytest.raises(MissingKey, match=r"no task\.kind .*sequence-classification"):
        recipe_from({"data": TABLE["data"]}, Path("r.toml"))


def test_a_whole_number_may_stand_for_a_rate(tmp_path: Path) -> None:
    assert recipe_from(with_change("training.epochs", 2), tmp_path / "r.toml").training.epochs == 2.0


def test_changes_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('task = {kind = "sequence-classification"}\n[data]\ntrain = "a.csv"\n', encoding="utf-8-sig")
    recipe = load_recipe(path, {"training.steps": 5, "task.pair": True})
    assert recipe.training.steps == 5
    assert recipe.options == {"pair": True}


def test_the_small_form_changes_only_what_its_table_names(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    text = 'task = {kind = "sequence-classification"}\n[data]\ntrain = "a.csv"\n[small]\ntraining.steps = 4\n'
    path.write_text(text + 'data.split = {validation = 0.2}\n"training.batch_rows" = 2\n')
    whole, small = load_recipe(path), load_recipe(path, small=True)
    assert (whole.training.steps, small.training.steps) == (None, 4)
    assert (whole.training.batch_rows, small.training.batch_rows) == (32, 2)
    assert (small.data.split.validation, small.data.split.test) == (0.2, whole.data.split.test)
    assert load_recipe(path, {"training.steps": 5}, small=True).training.steps == 5


def test_a_recipe_without_a_small_form_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('task = {kind = "sequence-classification"}\n[data]\ntrain = "a.csv"\n')
    with pytest.raises(MissingKey, match=r"no small .*training\.steps"):
        load_recipe(path, small=True)


def test_what_is_no_toml_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("name = \n")
    with pytest.raises(RecipeError, match="expected TOML"):
        load_recipe(tmp_path / "r.toml")
    with pytest.raises(RecipeNotFound, match="sst2"):
        load_recipe("sst3")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_reads(path: Path) -> None:
    recipe = load_recipe(path.stem)
    text = path.read_text(encoding="utf-8")
    comes_with_it = all((path.parent / one).resolve().is_relative_to(SHIPPED) for one in recipe.data.train)
    assert comes_with_it or recipe.data.hub or "https://" in text, "people without the files need a name or an address"
    assert load_recipe(path.stem, small=True).training.steps
    assert recipe.data.licence


def test_reading_a_recipe_loads_no_torch() -> None:
    code = "import sys; from training.recipe import load_recipe; load_recipe('sst2'); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_every_error_of_the_room_has_a_code_of_its_own() -> None:
    def below(kind: type[TrainingError]) -> set[type[TrainingError]]:
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    codes = [kind.code for kind in below(TrainingError)]
    assert len(codes) == len(set(codes))
