"""Summarizers: their rows, the text they read when serving, the lead baseline, and scores by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.tasks.summarizer import Seq2SeqSummarizer
from tests.training.tiny import tiny_recipe
from training.data import load_data
from training.run import run
from training.tasks import open_task
from training.tasks.summarization import Summarization

TINY = {"width": 32, "inner": 32, "layers": 1, "heads": 2, "dropout": 0.0, "window": 48}
TASK = {"kind": "summarization", "words": 8, "model": TINY, "tokenizer": {"kind": "unigram", "size": 80}}
WORDS = "lamp door book fox dog tree hill road".split()


def rows(count: int) -> list[dict[str, Any]]:
    """A text of two sentences whose first word is its summary."""
    return [
        {"text": f"{WORDS[at % 8]} of {WORDS[at % 5]}. It is {at}.", "summary": WORDS[at % 8]} for at in range(count)
    ]


def test_texts_may_be_sentences_and_summaries_one_or_many(tmp_path: Path) -> None:
    given = [
        {"text": ["One.", "Two."], "references": ["a", ""]},
        {"text": "Three.", "summary": "b"},
        {"text": "Four.", "reference": ["c", "d"]},
    ]
    recipe = tiny_recipe(tmp_path, None, given, TASK, data={"split": {"validation": 0.0, "test": 0.0}})
    task = open_task(recipe)
    found = [(row["text"], row["references"]) for row in load_data(recipe, task.columns, tmp_path, task.layout).train]
    assert found == [("One. Two.", ["a"]), ("Three.", ["b"]), ("Four.", ["c", "d"])]


def test_the_baseline_is_the_first_sentences_of_the_usual_length(tmp_path: Path) -> None:
    given = [{"text": "x", "summary": "one two three four"}] * 3
    recipe = tiny_recipe(tmp_path, None, given, TASK, data={"split": {"validation": 0.0, "test": 0.0}})
    task = open_task(recipe)
    train = load_data(recipe, task.columns, tmp_path, task.layout).train
    texts = ["A b c. D e. F g h i j.", "A b c d e f g h. I."]
    said = task.simple_predictions(train, [{"text": text} for text in texts])
    assert [one["summary"] for one in said] == ["A b c. D e.", "A b c d e f g h."]


def test_scores_are_the_mean_of_each_rows_best_reference(tmp_path: Path) -> None:
    task = open_task(tiny_recipe(tmp_path, None, rows(4), TASK))
    judged = [{"references": ["a b c d", "x"]}, {"references": ["a b"]}]
    said = [{"summary": "a c"}, {"summary": "a b"}]
    # "a c" of "a b c d" in order: precision 2/2, recall 2/4
    assert task.scores(judged, said)["rougeL"] == pytest.approx((2 / 3 + 1) / 2)
    assert task.row_scores(judged, said) == pytest.approx([2 / 3, 1.0])


def test_a_summarizer_learns_and_reads_its_prefix_in_training_as_in_serving(
    tmp_path: Path, float32: None, no_kept_models: None
) -> None:
    recipe = tiny_recipe(
        tmp_path, None, rows(160), TASK | {"prefix": "tldr: "}, training={"steps": 150, "learning_rate": 5e-3},
        data={"split": {"validation": 0.0, "test": 0.3}},
    )  # fmt: skip
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < 0.3 * report["training"]["first_loss"]
    assert report["model"]["score"] > report["baseline"]["score"]
    served = Seq2SeqSummarizer(str(tmp_path / "run" / "model"), home=tmp_path)
    read: list[str] = []
    original = served.generate
    served.generate = lambda texts, **more: read.extend(texts) or original(texts, **more)  # type: ignore[method-assign, func-returns-value]
    served("lamp of fox. It is 3.", words=8)
    task = open_task(recipe)
    assert isinstance(task, Summarization)
    assert read == [task.source_text({"text": "lamp of fox. It is 3."})]
    assert read[0].startswith("tldr: ")
