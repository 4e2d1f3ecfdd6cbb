"""Claim support: its rows by part, what a row is to the model, its scores, and a run whose adapter judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, BertModel

from models.adapted import is_adapted
from models.tasks import SupportJudge
from models.tasks.roles import SUPPORT_TOKENS
from tests.models.tiny_tasks import save_bert
from tests.training.test_claims import ASKED, HARBOUR, RAILWAY
from tests.training.tiny import tiny_recipe
from training.claims import SUPPORTED, UNSUPPORTED
from training.data import load_data, part_of_group
from training.recipe import Recipe
from training.run import run
from training.tasks import open_task

TASK = {"kind": "claim-support", "of_text": 8}
BY_TITLE = {"split": {"by": "title", "validation": 0.2, "test": 0.2}, "limits": {"leaks": 1.0, "contradictions": 1.0}}


def articles() -> list[dict[str, Any]]:
    """Questions and texts of many titles, written in two ways."""
    found: list[dict[str, Any]] = []
    for number in range(14):
        for row in ASKED:
            texts = {name: row[name].replace("Elsin", f"Elsin {number}") for name in ("text", "context") if name in row}
            texts = {name: text.replace("brewery", f"brewery {number}") for name, text in texts.items()}
            found.append({**row, **texts, "title": f"{row['title']}_{number}"})
        found.append({"title": f"Harbour {number}", "text": RAILWAY})
    return found


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    base = save_bert(tmp_path / "base", BertModel, window=600)
    return tiny_recipe(
        tmp_path, base, articles(), TASK, data={**BY_TITLE, "train_rows": 40, "validation_rows": 8, "test_rows": 24},
        training={"steps": 3, "max_tokens": 500}, method={"kind": "lora", "rank": 4, "alpha": 8},
    )  # fmt: skip


def test_a_title_keeps_to_one_part_however_it_is_written(recipe: Recipe, tmp_path: Path) -> None:
    task = open_task(recipe)
    splits = load_data(recipe, task.columns, tmp_path / "read", task.layout)
    lines = articles()
    for name, part in splits.items():
        titles = {str(lines[row["_line"] - 1]["title"]).replace("_", " ") for row in part}
        assert {part_of_group(recipe, title) for title in titles} == {name}
    assert {row["kind"][0] for row in splits.train} >= {"answer", "another answer", "sentence", "unanswerable"}


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_a_run_gives_an_adapter_that_judges_with_its_own_window(recipe: Recipe, tmp_path: Path) -> None:
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["model"]["metric"] == "balanced_accuracy"
    assert {"balanced_accuracy_adversarial", "accuracy_answer"} <= set(report["model"]["metrics"])
    folder = tmp_path / "run" / "model"
    assert is_adapted(folder)
    judge = SupportJudge(str(folder), home=tmp_path)
    assert judge.config[SUPPORT_TOKENS] == judge.read_tokens == 500
    said = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").open()]
    assert {one["said"]["label"] for one in said} <= {SUPPORTED, UNSUPPORTED}


def test_a_row_that_is_cut_is_left_out(recipe: Recipe) -> None:
    task = open_task(recipe)
    task.labels = (SUPPORTED, UNSUPPORTED)  # type: ignore[attr-defined]
    task.attach(AutoTokenizer.from_pretrained(str(recipe.base)), 48)
    row = {"text": "the river runs", "claim": "the river", "label": [SUPPORTED], "kind": ["sentence"]}
    short, long = task.feature(row), task.feature({**row, "text": "the river runs " * 40})
    assert not task.is_empty(short)
    assert task.is_empty(long)
    assert len(long["input_ids"]) == 48
    own = task.tokenizer("the river runs", "the river")
    assert (short["input_ids"], short["token_type_ids"]) == (own["input_ids"], own["token_type_ids"])


def test_balanced_accuracy_counts_either_side_alike(recipe: Recipe) -> None:
    task = open_task(recipe)
    kinds = ["answer"] * 8 + ["another answer", "something else"]
    rows = [{"label": [SUPPORTED if kind == "answer" else UNSUPPORTED], "kind": [kind]} for kind in kinds]
    said = [{"label": SUPPORTED}] * 6 + [{"label": UNSUPPORTED}] * 2 + [{"label": SUPPORTED}, {"label": UNSUPPORTED}]
    scores = task.scores(rows, said)
    assert scores["accuracy"] == pytest.approx(0.7)
    assert scores["balanced_accuracy"] == pytest.approx((6 / 8 + 1 / 2) / 2)
    assert scores["balanced_accuracy_adversarial"] == pytest.approx((6 / 8 + 0) / 2)
    assert scores["accuracy_something_else"] == 1.0
    tally = task.tally(rows, said)
    assert tally is not None
    assert tally.score([sum(column) for column in zip(*tally.counts, strict=True)]) == scores["balanced_accuracy"]


def test_the_simple_rule_counts_the_words_that_the_passage_holds(recipe: Recipe, tmp_path: Path) -> None:
    task = open_task(recipe)
    splits = load_data(recipe, task.columns, tmp_path / "read", task.layout)
    rows = [{"text": HARBOUR, "claim": "Ada Quill built the harbour."}, {"text": HARBOUR, "claim": "Birds sing well."}]
    assert [one["label"] for one in task.simple_predictions(splits.train, rows)] == [SUPPORTED, UNSUPPORTED]
