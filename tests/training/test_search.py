"""A search tries what the recipe allows on the validation part alone, carries on after an end, and writes a recipe."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hearth import main
from tests.training.conftest import opinions, write_rows
from training import run as running
from training import search as searching
from training import search_trial
from training.dials import Dial, Range, read_dials
from training.errors import (
    MissingExtra,
    MissingKey,
    NothingFound,
    RecipeError,
    SearchDiffers,
    SearchStopped,
    TooFewRows,
    UnknownKey,
)
from training.recipe import load_recipe
from training.steps import Steps
from training.toml import to_toml

optuna = pytest.importorskip("optuna", reason="the extra search is not installed here")
pytestmark = pytest.mark.usefixtures("float32", "no_kept_models")

RANGES = """
[search]
"training.learning_rate" = { low = 1e-6, high = 1e-2, log = true }
method.rank = [2, 4]
"training.batch_rows" = { low = 6, high = 10 }
"""


@pytest.fixture
def recipe(tmp_path: Path, encoder_folder: Path) -> Path:
    """A recipe of six steps with a `[search]` table."""
    write_rows(tmp_path / "rows.jsonl", opinions(120))
    path = tmp_path / "opinions.toml"
    path.write_text(
        f'base = "{encoder_folder}"\nseed = 3\n[task]\nkind = "sequence-classification"\n[data]\ntrain = "rows.jsonl"\n'
        '[method]\nkind = "lora"\nrank = 4\n'
        "[training]\nsteps = 6\nbatch_rows = 8\nlearning_rate = 1e-3\nprecision = 'fp32'\nthreads = 1\n"
        f"checkpoint_every_seconds = 0.0\nevaluate_every_steps = 3\n[small]\ntraining.steps = 2\n{RANGES}"
    )
    return path


def tried(found: Mapping[str, Any]) -> list[Any]:
    return [(row["values"], row["score"], row["state"]) for row in found["trials"]]


def test_the_best_of_three_trials_becomes_a_recipe_that_runs(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def hearth(*words: str) -> Any:
        assert main(["train", *words, "--home", str(tmp_path / "home"), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    found = hearth("search", str(recipe), "--trials", "3")
    assert found["metric"] == "accuracy"
    assert len(found["trials"]) == 3
    assert found["trials"][0]["values"] == {"training.learning_rate": 1e-3, "method.rank": 4, "training.batch_rows": 8}
    for row in found["trials"]:
        assert 1e-6 <= row["values"]["training.learning_rate"] <= 1e-2
        assert row["values"]["method.rank"] in (2, 4)
        assert row["values"]["training.batch_rows"] in range(6, 11)
    whole = [row["score"] for row in found["trials"] if row["state"] == "complete"]
    assert found["best"]["score"] == max(whole)
    best = load_recipe(found["recipe"])
    assert best.training.learning_rate == found["best"]["values"]["training.learning_rate"]
    assert best.name == "opinions"
    trials = Path(found["folder"]) / "trials"
    assert {path.name for path in trials.glob("*/*")} == {"metrics.jsonl"}
    report = hearth("run", found["recipe"])
    assert report["training"]["steps"] == 6
    assert [run["run"] for run in hearth("list")["runs"]] == [report["run"]]


def test_no_trial_sees_the_test_part(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[set[str]] = []
    whole = running.judge_folder

    def seen(task: Any, folder: Path, home: Path, rows: Any, **named: Any) -> Any:
        judged.append({row["text"] for row in rows})
        return whole(task, folder, home, rows, **named)

    monkeypatch.setattr(running, "judge_folder", seen)
    monkeypatch.setattr(running, "write_report", lambda *_: pytest.fail("reported on the test part"))
    splits: list[Any] = []
    load = search_trial.load_data
    monkeypatch.setattr(search_trial, "load_data", lambda *given: splits.append(load(*given)) or splits[-1])
    searching.search(recipe, 1, home=tmp_path)
    validation = {row["text"] for row in splits[0].validation}
    assert judged
    assert all(texts == validation for texts in judged)
    assert not validation & {row["text"] for row in splits[0].test}


def test_a_search_that_is_cut_off_finds_what_an_uninterrupted_one_does(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = searching.search(recipe, 3, home=tmp_path, folder=tmp_path / "whole")
    for trial, step in ((0, 1), (2, 4)):
        done, count = Steps.done, [0]

        def killed(
            self: Steps, *given: Any, done: Any = done, count: list[int] = count, at: Any = (trial, step)
        ) -> bool:
            name = int(self.run.name)
            count[0] += name == at[0]
            if name == at[0] and count[0] == at[1]:
                raise KeyboardInterrupt
            return bool(done(self, *given))

        with monkeypatch.context() as patch:
            patch.setattr(Steps, "done", killed)
            with pytest.raises(KeyboardInterrupt):
                searching.search(recipe, 3, home=tmp_path, folder=tmp_path / "parts")
    assert tried(searching.search(recipe, 3, home=tmp_path, folder=tmp_path / "parts")) == tried(whole)


def scored(monkeypatch: pytest.MonkeyPatch, score: Callable[[float, int], float]) -> None:
    """Every evaluation scores by the learning rate and the step."""

    def judged(self: running.Run, learner: Any, splits: Any, step: int) -> tuple[float, dict[str, float]]:
        return score(self.recipe.training.learning_rate, step), {}

    monkeypatch.setattr(running.Run, "_judge", judged)


def test_bad_trials_are_given_up_early_and_the_best_is_found(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, lambda rate, step: step / 10 - abs(rate - 5e-3))
    monkeypatch.setattr(searching, "_UNPRUNED", 2)
    found = searching.search(recipe, 8, home=tmp_path, changes={"training.evaluate_every_steps": 0})
    states = [row["state"] for row in found["trials"]]
    assert states[:2] == ["complete", "complete"]
    assert "pruned" in states
    best = min(
        (row for row in found["trials"] if row["state"] == "complete"),
        key=lambda row: abs(row["values"]["training.learning_rate"] - 5e-3),
    )
    assert found["best"] == best
    lines = [len((tmp_path / "runs" / "search-opinions" / "trials" / f"{at:03}" / "metrics.jsonl").open().readlines())
             for at in range(8)]  # fmt: skip
    pruned = [count for count, state in zip(lines, states, strict=True) if state == "pruned"]
    assert max(pruned) < max(lines)


def test_values_that_end_in_no_number_count_as_failed(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Steps.check
    monkeypatch.setattr(
        Steps, "check", lambda self, loss, norm: check(self, float("nan") if self.run.name == "001" else loss, norm)
    )
    found = searching.search(recipe, 2, home=tmp_path)
    assert [row["state"] for row in found["trials"]] == ["complete", "fail"]
    assert "not a finite number" in found["trials"][1]["error"]
    monkeypatch.setattr(Steps, "check", lambda self, loss, norm: check(self, float("nan"), norm))
    with pytest.raises(NothingFound, match="None of the 1 trials"):
        searching.search(recipe, 1, home=tmp_path, folder=tmp_path / "none")


def test_an_asked_stop_says_that_the_same_command_carries_on(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Steps.done

    def stopped(self: Steps, *given: Any) -> bool:
        self._asked_to_stop = lambda: True
        return done(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "done", stopped)
        with pytest.raises(SearchStopped, match="within trial 1"):
            searching.search(recipe, 1, home=tmp_path)
    assert len(searching.search(recipe, 1, home=tmp_path)["trials"]) == 1


def test_what_cannot_be_searched_is_refused_before_anything_runs(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = recipe.read_text().replace(RANGES, "")
    for table, error, words in (
        ("", MissingKey, "no search"),
        ("[search]\ntraining.lerning_rate = [1e-3]", UnknownKey, "did you mean learning_rate"),
        ("[search]\ntraining.learning_rate = { low = 1e-3 }", MissingKey, r"learning_rate\.high"),
        ("[search]\ntraining.learning_rate = { low = 1e-2, high = 1e-3 }", RecipeError, "low below high"),
        ("[search]\ntraining.learning_rate = { low = 0.0, high = 1e-3, log = true }", RecipeError, "above 0"),
        ("[search]\ntraining.batch_rows = { low = 2.5, high = 8.0 }", RecipeError, "type int"),
        ("[search]\ntraining.schedule = ['linear', 'cosin']", RecipeError, "'cosin'"),
        ("[search]\ntraining.epochs = 3", RecipeError, "a list of choices, or a range"),
    ):
        recipe.write_text(plain + table)
        with pytest.raises(error, match=words):
            searching.search(recipe, 1, home=tmp_path)
    assert not (tmp_path / "runs").exists()
    monkeypatch.setattr(searching, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"hearth\[search\]"):
        searching.search(recipe, 1, home=tmp_path)


def test_another_recipe_does_not_go_on_with_a_search(recipe: Path, tmp_path: Path) -> None:
    searching.search(recipe, 1, home=tmp_path, small=True)
    with pytest.raises(SearchDiffers, match="another recipe"):
        searching.search(recipe, 1, home=tmp_path)
    recipe.write_text(recipe.read_text().replace("[2, 4]", "[2, 4, 8]"))
    with pytest.raises(SearchDiffers):
        searching.search(recipe, 1, home=tmp_path, small=True)


def test_without_a_validation_part_there_is_nothing_to_search_by(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(TooFewRows, match=r"data\.split\.validation"):
        searching.search(recipe, 1, home=tmp_path, changes={"data.split.validation": 0.0})


def test_a_run_reads_a_recipe_with_a_search_as_it_is(recipe: Path) -> None:
    assert load_recipe(recipe).training.learning_rate == 1e-3


def test_dials_hold_what_they_could_try() -> None:
    rate, rank, words = read_dials(
        {"training": {"learning_rate": {"low": 1e-4, "high": 1, "log": True}, "rank": {"low": 1, "high": 8}},
         "training.schedule": ["linear"]}, "r.toml",
    )  # fmt: skip
    assert (rate.key, rate.range, rate.whole) == ("training.learning_rate", Range(1e-4, 1.0, True), False)
    assert (rank.whole, rank.ends()) == (True, (1, 8))
    assert words == Dial("training.schedule", choices=("linear",))
    assert [rank.holds(value) for value in (1, 8, 2.0, 2.5, 9, None, True, "3")] == [True] * 3 + [False] * 5


@pytest.mark.parametrize(
    "table",
    [
        {"a": 1, "b": 1e-05, "c": 'quo"te\\ \n\t é 🦊 \x7f', "d": True, "e": [1, 2.5], "f": ["x", 'y"']},
        {"name": "n", "data": {"split": {"by": "title", "validation": 0.1}, "train": ["a", "b"]}, "task": {}},
        {"task": {"names": {"0": "no", "a b": "yes", "": "empty"}, "kind": "x"}, "big": 10**15, "huge": float("inf")},
    ],
)
def test_tables_are_written_as_they_are_read(table: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(table)) == table
