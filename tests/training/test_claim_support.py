"""Claim support: its rows by part, what a row is to the model, its scores, and a run whose adapter judges."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.utils.class_weight import compute_sample_weight
from transformers import AutoTokenizer, BertModel

from models.adapted import is_adapted
from models.tasks import SupportJudge
from models.tasks.evidence import weighed
from models.tasks.roles import SUPPORT_TREES
from tests.models.tiny_tasks import save_bert
from tests.training.test_claims import ASKED, HARBOUR, RAILWAY
from tests.training.tiny import tiny_recipe
from training.claims import SUPPORTED, UNSUPPORTED
from training.data import load_data, part_of_group
from training.recipe import Recipe
from training.run import run
from training.tasks import open_task
from training.tasks.claim_support import grown

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
        titles = {str(lines[row["_line"] - 1]["title"]).replace(" ", "_") for row in part}
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
    assert judge.config[SUPPORT_TREES]
    said = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").open()]
    assert {one["said"]["label"] for one in said} <= {SUPPORTED, UNSUPPORTED}


def test_the_reader_learns_what_true_claims_say_and_that_some_is_nowhere(recipe: Recipe) -> None:
    task = open_task(recipe)
    task.attach(AutoTokenizer.from_pretrained(str(recipe.base)), 48)

    def learned(claim: str, label: str, kind: str) -> list[str]:
        row = {"text": "ada wrote notes in London", "claim": claim, "label": [label], "kind": [kind]}
        return [
            task.tokenizer.decode(one["input_ids"][one["spans"][0][0] : one["spans"][0][1] + 1])
            for one in task.features([row])
        ]

    assert learned("Where did ada write? London.", SUPPORTED, "answer") == ["london"]
    assert learned("ada wrote in London.", SUPPORTED, "sentence") in (["london"], ["ada wrote"], ["wrote"], ["ada"])
    assert learned("Who ran? London.", UNSUPPORTED, "unanswerable") == [task.tokenizer.cls_token]
    assert learned("Who wrote? London.", UNSUPPORTED, "another answer") == []


def test_trees_tell_apart_what_one_number_decides(recipe: Recipe) -> None:
    draw = random.Random(0)
    numbers = [[draw.random(), draw.random()] for _ in range(400)]
    trees = grown(numbers, [second > 0.3 for _, second in numbers], seed=1)
    assert json.loads(json.dumps(trees)) == trees
    held = [[draw.random(), draw.random()] for _ in range(200)]
    right = [(weighed(trees, row) >= 0.5) == (row[1] > 0.3) for row in held]
    assert sum(right) >= 195


def test_the_trees_are_those_of_scikit_learn() -> None:
    draw = random.Random(2)
    numbers = [[round(draw.random(), 3) for _ in range(3)] for _ in range(300)]
    supported = [a * b > c / 3 for a, b, c in numbers]
    model = GradientBoostingClassifier(n_estimators=80, max_depth=3, subsample=0.7, init="zero", random_state=5)
    model.fit(numbers, supported, compute_sample_weight("balanced", supported))
    trees = grown(numbers, supported, seed=5)
    expected = model.predict_proba(numbers)[:, 1]
    assert [weighed(trees, row) for row in numbers] == pytest.approx(list(expected), abs=1e-3)


def test_balanced_accuracy_counts_either_side_alike(recipe: Recipe) -> None:
    task = open_task(recipe)
    kinds = ["answer"] * 8 + ["another answer", "something else"]
    rows = [{"label": [SUPPORTED if kind == "answer" else UNSUPPORTED], "kind": [kind]} for kind in kinds]
    said = [{"label": SUPPORTED}] * 6 + [{"label": UNSUPPORTED}] * 2 + [{"label": SUPPORTED}, {"label": UNSUPPORTED}]
    scores = task.scores(rows, said)
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
