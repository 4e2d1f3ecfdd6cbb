"""What a trained model is held against: a simple rule, the model that serves now, or the base before training."""

from __future__ import annotations

from pathlib import Path

from training.data import Splits
from training.evaluation import Judgement, judge
from training.recipe import Recipe
from training.tasks.base import Row, Task


def baseline(recipe: Recipe, task: Task, splits: Splits, rows: list[Row], home: Path) -> tuple[Judgement, str]:
    """The baseline's judgement on these rows, and its name.

    Where no trained model serves the role yet, or it cannot do this job (another set of labels), the simple rule stands
    in for it.
    """
    if recipe.evaluation.baseline == "current" and (current := _current(task, recipe, rows, home)) is not None:
        return current
    return judge(task, rows, task.simple_predictions(splits.train, rows)), task.simple_rule


def _current(task: Task, recipe: Recipe, rows: list[Row], home: Path) -> tuple[Judgement, str] | None:
    from models.errors import ModelError
    from models.registry import Registry

    version = Registry(home).serving(recipe.publish.role or task.role)
    if version is None:
        return None
    try:
        return judge(task, rows, task.predict(version.folder, home, rows)), version.label
    except (ModelError, KeyError):  # another task's model, such as one with other labels
        return None
