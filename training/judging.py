"""Judging again: a run's model, a registry entry on the rows that its card tells of, or any model on either's rows."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import load_data
from training.errors import RecipeNotFound, RunNotFound
from training.evaluation import judge, judge_folder
from training.recipe import Recipe, load_recipe
from training.report import judged_rows
from training.run_folder import find_run, recipe_of
from training.tasks import open_task

if TYPE_CHECKING:
    from models.registry_facts import Facts


@dataclass(frozen=True)
class _Subject:
    """What a name stands for: a recipe, which gives the rows, and the model that it made."""

    recipe: Recipe
    model: Path | None
    facts: Facts | None = None


def judge_again(name: str, *, home: Path, model: str | None = None) -> dict[str, Any]:
    """Judges a model on the test part of a recipe's data, beside the simple rule and, for an entry, its card.

    Args:
        name: A run's name or folder, `last`, a registry entry, or a recipe, which needs a `model`.
        home: The data folder.
        model: Judge this entry, model or folder instead of the run's or entry's own.

    Returns:
        The metrics with the main one's 95 % interval; `simple` has those of the simple rule, `card` those that the
        entry was added with, and `same_data` says whether the rows are what they were then (None: not known).

    Raises:
        RunNotFound: nothing of this name, no model of it yet, or an entry that no recipe of Hearth's made.
        DataNotFound: the recipe's data is not on this machine.
        ModelNotFound: no such model.
    """
    subject = _subject(name, home)
    task = open_task(subject.recipe)
    with tempfile.TemporaryDirectory(prefix="hearth-judge-") as folder:
        splits = load_data(subject.recipe, task.columns, Path(folder), task.layout)
        task.prepare(splits)
        part, rows = judged_rows(splits)
        judged = getattr(splits, part).fingerprint
        wanted = _folder_of(model, home) if model else subject.model
        if wanted is None or not wanted.is_dir():
            raise RunNotFound(name, "has no model yet; name one with --model")
        judgement = judge_folder(task, wanted, home, rows)
        simple = judge(task, rows, task.simple_predictions(splits.train, rows))
    facts = subject.facts if model is None else None
    return judgement.to_json() | {
        "judged_on": part,
        "model": model or name,
        "simple": {"by": task.simple_rule, "metrics": simple.metrics},
        "card": dict(facts.metrics) if facts else None,
        "same_data": judged.startswith(facts.data) if facts and facts.data else None,
    }


def _subject(name: str, home: Path) -> _Subject:
    from models.registry import Registry

    try:
        folder = find_run(name, home)
        return _Subject(recipe_of(folder), folder / "model")
    except RunNotFound as no_run:
        if version := Registry(home).look_up(name):
            if version.facts.recipe is None:
                raise RunNotFound(name, "is an entry that no recipe of Hearth's made; name its run") from no_run
            return _Subject(load_recipe(version.facts.recipe), version.folder, version.facts)
        try:
            return _Subject(load_recipe(name), None)
        except RecipeNotFound:
            raise no_run from None


def _folder_of(model: str, home: Path) -> Path:
    from models.catalog import find
    from models.prepare import folder_of

    return folder_of(find(model, None, home), home)
