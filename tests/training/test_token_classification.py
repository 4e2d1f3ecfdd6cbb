"""Entities: spans and labels as computed by hand, both layouts, windows, and the served class at the end."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from models.tasks.entities import EntityRecognizer
from tests.training.tiny import tiny_recipe
from training.errors import DataError, OneClass
from training.run import run
from training.tasks import open_task
from training.tasks.base import IGNORED
from training.tasks.token_classification import Options as TagOptions
from training.tasks.token_classification import TokenClassification, _Known, _laid_out, marks_of

TASK = {"kind": "token-classification"}
ROW = {"tokens": ["ada", "lovelace", "wrote", "xy", "in", "london", "."]}
BIO = ["B-PER", "I-PER", "O", "B-ART", "O", "B-LOC", "O"]
EXPECTED = [(0, 12, "PER"), (19, 21, "ART"), (25, 31, "LOC")]


def task_for(folder: Path, bert: Path, max_tokens: int = 48) -> TokenClassification:
    recipe = tiny_recipe(folder, bert, [ROW | {"tags": BIO}], TASK, training={"max_tokens": max_tokens})
    task = open_task(recipe)
    assert isinstance(task, TokenClassification)
    task.tags = ("O", "B-ART", "I-ART", "B-LOC", "I-LOC", "B-PER", "I-PER")
    task.attach(AutoTokenizer.from_pretrained(bert), 48)
    return task


@pytest.mark.parametrize(
    "tags",
    [
        BIO,
        ["I-PER", "I-PER", "O", "I-ART", "O", "I-LOC", "O"],  # IOB1
        ["B-PER", "E-PER", "O", "S-ART", "O", "S-LOC", "O"],
        ["PER", "PER", "O", "ART", "O", "LOC", "O"],
    ],
)
def test_every_way_of_tagging_gives_the_same_spans(tags: list[str]) -> None:
    row = _laid_out(ROW | {"tags": tags}, TagOptions())
    assert row["text"] == "ada lovelace wrote xy in london ."
    assert marks_of(row) == EXPECTED


def test_numbers_for_tags_and_other_names_for_types() -> None:
    names = ("O", "B-PER", "I-PER", "B-ART", "B-LOC")
    row = _laid_out(ROW | {"tags": [1, 2, 0, 3, 0, 4, 0]}, TagOptions(tags=names, names={"PER": "person"}))
    assert marks_of(row) == [(0, 12, "person"), *EXPECTED[1:]]


def test_spans_by_offset_are_taken_in_order() -> None:
    spans = [{"start": 6, "end": 10, "label": "B"}, {"start": 0, "end": 3, "label": "A"}]
    row = _laid_out({"text": "ada, rome.", "spans": spans[1:]}, TagOptions())
    assert marks_of(row) == [(0, 3, "A")]
    assert marks_of(_laid_out({"text": "ada in rome", "spans": spans}, TagOptions())) == [(0, 3, "A"), (6, 10, "B")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "same length"),
        ({"tokens": ["a"], "tags": [3]}, r"task\.tags"),
        ({"tokens": ["a"], "tags": [None]}, "no text"),
        ({"text": "abc", "spans": [{"start": 0, "end": 9, "label": "A"}]}, "outside a text of 3"),
        ({"text": "abc", "spans": [{"begin": 0}]}, "no {start, end, label}"),
        (
            {"text": "abc", "spans": [{"start": 0, "end": 2, "label": "A"}, {"start": 1, "end": 3, "label": "A"}]},
            "overlaps the next",
        ),
        ({"words": ["a"]}, "'tokens' and 'tags'"),
    ],
)
def test_t01_what_cannot_be_read_is_named_with_its_line(
    values: dict[str, Any], words: str, tmp_path: Path, bert: Path
) -> None:
    recipe = tiny_recipe(tmp_path, bert, [ROW | {"tags": BIO}, values], TASK)
    with pytest.raises(DataError, match=rf"rows\.jsonl, line 2: .*{words}"):
        run(recipe, home=tmp_path, folder=tmp_path / "run")


def test_t03_rows_without_one_entity_teach_nothing(tmp_path: Path, bert: Path) -> None:
    rows = [{"tokens": ["the", word], "tags": ["O", "O"]} for word in "river towns boats fish".split()]
    with pytest.raises(OneClass, match="no row has an entity"):
        run(tiny_recipe(tmp_path, bert, rows, TASK), home=tmp_path, folder=tmp_path / "run")


def test_labels_stand_on_first_tokens_only(tmp_path: Path, bert: Path) -> None:
    task = task_for(tmp_path, bert)
    feature = task.feature(_laid_out(ROW | {"tags": BIO}, TagOptions()))
    tokens = AutoTokenizer.from_pretrained(bert).convert_ids_to_tokens(feature["input_ids"])
    assert tokens == ["[CLS]", "ada", "lovelace", "wrote", "x", "##y", "in", "london", ".", "[SEP]"]
    tag = task.tags.index
    by_hand = [tag("B-PER"), tag("I-PER"), 0, tag("B-ART"), IGNORED, 0, tag("B-LOC"), 0]
    assert feature["labels"] == [IGNORED, *by_hand, IGNORED]
    batch = task.collate([feature, task.feature(_laid_out({"tokens": ["the"], "tags": ["O"]}, TagOptions()))], 0)
    assert batch["labels"].shape == batch["input_ids"].shape
    assert task.items(batch) == 8
    assert "lovelace ⟦I-PER⟧ wrote" in task.example(feature)


def test_long_texts_become_several_features_without_losing_a_word(tmp_path: Path, bert: Path) -> None:
    tokens = ["ada" if at % 7 == 0 else "river" for at in range(100)]
    row = _laid_out({"tokens": tokens, "tags": ["B-PER" if one == "ada" else "O" for one in tokens]}, TagOptions())
    task = task_for(tmp_path, bert, 16)
    features = list(task.features([row]))
    assert len(features) > 6
    assert all(len(one["input_ids"]) <= 16 for one in features)
    person = task.tags.index("B-PER")
    ada = AutoTokenizer.from_pretrained(bert).convert_tokens_to_ids("ada")
    for one in features:
        assert [label == person for label in one["labels"]] == [token == ada for token in one["input_ids"]]
    assert sum(label != IGNORED for one in features for label in one["labels"]) >= 100


def test_the_baseline_finds_the_longest_known_entity() -> None:
    rows = [
        _laid_out({"tokens": ["new", "york", "city"], "tags": ["B-LOC", "I-LOC", "O"]}, TagOptions()),
        _laid_out({"tokens": ["new", "york", "times"], "tags": ["B-ORG", "I-ORG", "I-ORG"]}, TagOptions()),
    ]
    known = _Known(rows)  # type: ignore[arg-type]
    text = "a  new york times in new york"
    assert [(text[start:end], label) for start, end, label in known.find(text)] == [
        ("new york times", "ORG"),
        ("new york", "LOC"),
    ]


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_a_tiny_recognizer_learns_and_is_served(tmp_path: Path, bert: Path) -> None:
    draw = random.Random(5)
    rows = []
    for _ in range(160):
        tokens = draw.choices("the river runs past old towns and people look for fish".split(), k=6)
        tags = ["O"] * 6
        at = draw.randrange(5)
        if draw.random() < 0.5:
            tokens[at : at + 2], tags[at : at + 2] = ["ada", "lovelace"], ["I-PER", "I-PER"]
        else:
            tokens[at], tags[at] = "london", "I-LOC"
        rows.append({"tokens": tokens, "tags": tags})
    recipe = tiny_recipe(tmp_path, bert, rows, TASK, training={"steps": 80, "batch_rows": 16})
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < report["training"]["first_loss"] / 3
    assert report["model"]["score"] > 0.9
    assert report["model"]["metrics"]["f1_PER"] > 0.9
    served = EntityRecognizer(str(tmp_path / "run" / "model"), home=tmp_path)
    assert [(one.text, one.label) for one in served("london people look ada lovelace for")] == [
        ("london", "LOC"),
        ("ada lovelace", "PER"),
    ]
