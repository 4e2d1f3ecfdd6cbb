"""Spans of answers: layouts, tokens by hand, windows, the margin by brute force, and the served class at the end."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from models.tasks.extractor import Extractor
from tests.training.tiny import tiny_recipe
from training.errors import DataError, OneClass, TooLong
from training.run import run
from training.tasks import open_task
from training.tasks.answer_rows import laid_out
from training.tasks.question_answering import QuestionAnswering, answer_tokens, best_margin, nearest_sentence

TASK = {"kind": "question-answering"}
TEXT = "ada lovelace wrote notes in london about a machine"
ROW = {"question": "who wrote the notes ?", "context": TEXT, "answers": {"text": ["ada lovelace"], "answer_start": [0]}}


def task_for(folder: Path, bert: Path, max_tokens: int = 48) -> QuestionAnswering:
    task = open_task(tiny_recipe(folder, bert, [ROW], TASK, training={"max_tokens": max_tokens}))
    assert isinstance(task, QuestionAnswering)
    task.attach(AutoTokenizer.from_pretrained(bert), 48)
    return task


def one(values: dict[str, Any]) -> dict[str, Any]:
    return next(laid_out(values))


@pytest.mark.parametrize(
    ("given", "answers", "starts"),
    [
        ({"text": ["london", "in london"], "answer_start": [28, 25]}, ["london", "in london"], [28, 25]),
        ([{"text": "london", "answer_start": 28}], ["london"], [28]),
        ({"text": ["notes"], "answer_start": [3]}, ["notes"], [19]),  # a wrong start: the first place counts
        ("notes", ["notes"], [19]),
        (["a", "nowhere"], ["a"], [0]),
        ([], [""], [-1]),
        (None, [""], [-1]),
    ],
)
def test_every_layout_of_answers_is_read(given: Any, answers: list[str], starts: list[int]) -> None:
    row = one({"question": "q", "context": TEXT, "answers": given})
    assert (row["answers"], row["starts"], row["text"]) == (answers, starts, TEXT)


def test_natural_questions_are_read() -> None:
    row = one({"text": "who", "long_answer": TEXT, "short_answers": ["london"], "answers": ["London, England"]})
    assert (row["question"], row["text"], row["answers"], row["starts"]) == ("who", TEXT, ["london"], [28])


def test_nested_articles_and_impossible_questions() -> None:
    qas = [
        {"question": "who", "answers": [{"text": "ada", "answer_start": 0}]},
        {"question": "when", "answers": [], "is_impossible": True},
        {"question": "why", "answers": [{"text": "ada", "answer_start": 0}], "is_impossible": True},
    ]
    rows = list(laid_out({"title": "T", "paragraphs": [{"context": TEXT, "qas": qas}]}))
    assert [row["answers"] for row in rows] == [["ada"], [""], [""]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"question": "q", "context": TEXT, "answers": ["paris"]}, "'paris' does not stand in the text"),
        ({"question": "q", "passage": TEXT, "answers": []}, r"expected 'question', 'context' and 'answers'"),
    ],
)
def test_t01_what_cannot_be_read_is_named_with_its_line(
    values: dict[str, Any], words: str, tmp_path: Path, bert: Path
) -> None:
    with pytest.raises(DataError, match=rf"rows\.jsonl, line 2: .*{words}"):
        run(tiny_recipe(tmp_path, bert, [ROW, values], TASK), home=tmp_path, folder=tmp_path / "run")


def test_t03_questions_without_one_answer_teach_nothing(tmp_path: Path, bert: Path) -> None:
    rows = [{"question": f"who {at}", "context": TEXT, "answers": []} for at in range(4)]
    with pytest.raises(OneClass):
        run(tiny_recipe(tmp_path, bert, rows, TASK), home=tmp_path, folder=tmp_path / "run")


def test_t04_a_question_without_room_for_text_is_named(tmp_path: Path, bert: Path) -> None:
    row = ROW | {"question": "who wrote " * 30}
    with pytest.raises(TooLong, match=r"rows\.jsonl, line 1: the question leaves no room"):
        run(
            tiny_recipe(tmp_path, bert, [row], TASK, data={"split": {"test": 0.0, "validation": 0.0}}),
            home=tmp_path,
            folder=tmp_path / "run",
        )


def test_the_answer_s_tokens_by_hand(tmp_path: Path, bert: Path) -> None:
    task = task_for(tmp_path, bert)
    feature = task.feature(one(ROW))
    tokens = AutoTokenizer.from_pretrained(bert).convert_ids_to_tokens(feature["input_ids"])
    assert tokens[:9] == ["[CLS]", "who", "wrote", "the", "notes", "?", "[SEP]", "ada", "lovelace"]
    assert feature["spans"] == [[7, 8]]
    assert "⟦ada lovelace⟧ wrote" in task.example(feature)
    none = task.feature(one(ROW | {"answers": []}))
    assert none["spans"] == [[0, 0]]


def test_a_long_text_becomes_windows_and_only_those_with_the_answer_learn_it(tmp_path: Path, bert: Path) -> None:
    task = task_for(tmp_path, bert, 24)
    text = "the river runs past old towns . " * 6 + "ada lovelace " + "people look for fish " * 6
    row = one(ROW | {"context": text, "answers": ["ada lovelace"]})
    features = list(task.features([row]))
    tokenizer = AutoTokenizer.from_pretrained(bert)
    answer = tokenizer.convert_tokens_to_ids(["ada", "lovelace"])
    learned = 0
    for feature in features:
        (start, end), ids = feature["spans"][0], feature["input_ids"]
        if (start, end) == (0, 0):
            assert not any(ids[at : at + 2] == answer for at in range(len(ids)))
        else:
            assert ids[start : end + 1] == answer
            learned += 1
    assert len(features) > 4
    assert learned >= 1


def test_answers_are_drawn_by_the_seed_alone(tmp_path: Path, bert: Path) -> None:
    task = task_for(tmp_path, bert)
    feature = task.feature(one(ROW | {"answers": ["ada", "ada lovelace", "lovelace"]}))
    assert feature["spans"] == [[7, 7], [7, 8], [8, 8]]
    batches = [task.collate([feature] * 4, seed)["spans"].tolist() for seed in range(20)]
    assert batches == [task.collate([feature] * 4, seed)["spans"].tolist() for seed in range(20)]
    assert {tuple(span) for batch in batches for span in batch} == {(7, 7), (7, 8), (8, 8)}


def test_padding_can_be_no_answer(tmp_path: Path, bert: Path) -> None:
    task = task_for(tmp_path, bert)
    short = task.feature(one(ROW | {"context": "ada lovelace"}))
    alone, padded = task.collate([short], 0), task.collate([short, task.feature(one(ROW))], 0)

    class Model:
        def __call__(self, input_ids: torch.Tensor, **_: Any) -> Any:
            logits = torch.arange(input_ids.shape[1], dtype=torch.float32).repeat(len(input_ids), 1)
            return type("Output", (), {"start_logits": logits, "end_logits": -logits})

    rest = task.loss(Model(), task.collate([task.feature(one(ROW))], 0))
    assert task.loss(Model(), padded).item() == pytest.approx((task.loss(Model(), alone) + rest).item())


def test_the_margin_is_the_best_of_all() -> None:
    draw = random.Random(9)
    for _ in range(50):
        gains = [(draw.choice([0.1, 0.5, draw.random()]), draw.uniform(-1, 1)) for _ in range(draw.randint(1, 12))]

        def total(margin: float, gains: list[tuple[float, float]] = gains) -> float:
            return sum(gain for own, gain in gains if own <= margin)

        best = max(total(margin) for margin in [-1.0, *(own for own, _ in gains)])
        assert total(best_margin(gains)) == pytest.approx(best)


def test_the_baseline_s_sentence() -> None:
    row = {"question": "Where did she live?", "text": "Ada wrote notes. She did live in London. Fish swim."}
    assert nearest_sentence(row) == "She did live in London."


def questions(count: int) -> list[dict[str, Any]]:
    """The word before "about" answers; one in three texts has none."""
    draw = random.Random(6)
    filler = "the river runs past old towns and people look for fish".split()
    rows = []
    for at in range(count):
        words = draw.choices(filler, k=7)
        answer = draw.choice(["ada", "london", "babbage", "machine"])
        if at % 3:
            place = draw.randrange(6)
            words[place : place + 2] = [answer, "about"]
        text = " ".join(words)
        rows.append({"question": "who about ?", "context": text, "answers": [answer] if at % 3 else []})
    return rows


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_a_tiny_reader_learns_to_answer_and_to_abstain(tmp_path: Path, bert: Path) -> None:
    recipe = tiny_recipe(
        tmp_path, bert, questions(240), TASK, data={"limits": {"leaks": 1.0}}, training={"steps": 180, "batch_rows": 16}
    )
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < report["training"]["first_loss"] / 2
    assert report["model"]["metrics"]["balanced_accuracy"] > 0.8
    assert report["model"]["score"] > 0.7 > report["baseline"]["score"]
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    served = Extractor(str(tmp_path / "run" / "model"), home=tmp_path)
    assert served.no_answer_margin == config["no_answer_margin"]
    assert served("who about ?", "the river london about old towns fish").answer == "london"
    assert served("who about ?", "the river runs past old towns fish").answer == ""


def test_answers_outside_a_window_are_none(bert: Path) -> None:
    from models.tasks.extractor import question_windows

    tokenizer = AutoTokenizer.from_pretrained(bert)
    text = "notes in london"
    window = question_windows(tokenizer, ["who ?"], [text], 32)[0]
    row = {"answers": ["london", "notes in", ""], "starts": [9, 0, -1]}
    assert answer_tokens(window, row) == [(6, 6), (4, 5), None]
    cut = type(window)(0, window.inputs, window.offsets, [body and at < 6 for at, body in enumerate(window.body)], [])
    assert answer_tokens(cut, row) == [None, (4, 5), None]
