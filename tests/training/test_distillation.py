"""Learning from a larger model: its thoughts of every label by hand, and its answers as data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.chat import open_chat_model
from models.tasks.classifier import TextClassifier
from tests.training.tiny import tiny_recipe
from training.errors import RecipeError
from training.recipe import Recipe
from training.run import run
from training.tasks import open_task
from training.tasks.distilled_classification import softened_loss
from training.teaching import teach


def test_the_softened_loss_by_hand() -> None:
    teacher = [0.9, 0.1]
    logits = [1.0, -1.0]
    soft = [math.sqrt(one) for one in teacher]  # temperature 2: the power 1/2
    wanted = [one / sum(soft) for one in soft]
    raised = [math.exp(one / 2) for one in logits]
    said = [one / sum(raised) for one in raised]
    by_hand = 4 * sum(a * math.log(a / b) for a, b in zip(wanted, said, strict=True))
    found = softened_loss(torch.tensor([logits]), torch.tensor([teacher]), 2.0)
    assert float(found) == pytest.approx(by_hand, rel=1e-5)
    agreeing = torch.tensor([teacher]).log()
    assert float(softened_loss(agreeing, torch.tensor([teacher]), 3.0)) == pytest.approx(0.0, abs=1e-6)


def test_a_student_learns_its_teachers_opinions(
    opinion_recipe: Callable[..., Recipe], tmp_path: Path, float32: None, no_kept_models: None
) -> None:
    run(opinion_recipe(training__steps=8, training__learning_rate=5e-3), home=tmp_path, folder=tmp_path / "teacher")
    folder = tmp_path / "teacher" / "model"
    options = {"task__kind": "distilled-classification", "task__teacher": str(folder), "task__teacher_weight": 1.0}
    recipe = opinion_recipe(**options)
    lines: list[dict[str, Any]] = []
    run(recipe, home=tmp_path, folder=tmp_path / "student", show=lines.append)
    losses = [line["loss"] for line in lines if line["event"] == "step"]
    assert losses[-1] < losses[0]
    # what the student was shown of a row is what the teacher says when it serves
    student = open_task(recipe)
    student.labels = ("bad", "good")  # type: ignore[attr-defined]
    student._home = tmp_path  # type: ignore[attr-defined]
    said = TextClassifier(str(folder), home=tmp_path)("the lamp is bright 7")
    opinion = student._opinions([{"text": "the lamp is bright 7"}])[0]  # type: ignore[attr-defined]
    assert opinion == [next(one.score for one in said.labels if one.label == label) for label in ("bad", "good")]
    # and a teacher with other labels is refused before anything is learned
    renamed = open_task(opinion_recipe(task__names={"good": "yes", "bad": "no"}, **options))
    renamed.labels, renamed._home = ("bad", "good"), tmp_path  # type: ignore[attr-defined]
    with pytest.raises(RecipeError, match="with the labels bad, good, expected one with no, yes"):
        renamed._opinions([{"text": "x"}])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "task.teacher = nothing"),
        ({"teacher": "t", "temperature": 0.0}, "task.temperature = 0.0"),
        ({"teacher": "t", "problem": "multi"}, "task.problem = 'multi'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], problem: str, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        tmp_path, Path("base"), [{"text": "a", "label": "b"}], {"kind": "distilled-classification"} | options
    )
    with pytest.raises(RecipeError, match=problem):
        open_task(recipe)


def test_a_teachers_answers_become_rows_once(tmp_path: Path, tiny_chat_folder: Path, no_kept_models: None) -> None:
    rows = [{"prompt": f"Say {word}.", "completion": "never shown"} for word in ("one", "two", "three")]
    whole = {"split": {"validation": 0.0, "test": 0.0}}
    recipe = tiny_recipe(tmp_path, Path("base"), rows, {"kind": "chat", "max_new_tokens": 400}, data=whole)
    target = tmp_path / "taught.jsonl"
    report = teach(recipe, str(tiny_chat_folder), target, home=tmp_path)
    taught = [json.loads(line) for line in target.read_text().splitlines()]
    assert report["rows"] == report["asked"] == 3
    assert len(taught) == 3 - report["cut_off"]
    again = teach(recipe, str(tiny_chat_folder), target, home=tmp_path)
    assert again["asked"] == report["cut_off"]
    task = open_task(recipe)
    served = open_chat_model(str(tiny_chat_folder), home=tmp_path, max_new_tokens=400)
    for row in taught:
        asked = task.messages({"messages": row["messages"][:-1]})  # type: ignore[attr-defined]
        assert row["messages"][-1]["content"] == str(served.invoke(asked).content).strip()


def test_only_a_chat_recipe_can_be_taught(opinion_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"task\.kind = 'sequence-classification', expected chat"):
        teach(opinion_recipe(), "x", tmp_path / "t.jsonl", home=tmp_path)
