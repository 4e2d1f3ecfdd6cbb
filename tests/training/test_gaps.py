"""Questions made of unlabelled texts: what may be asked, and that every answer stands where the row says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.tasks.askable import askable
from tests.training.conftest import write_rows
from tests.training.tiny import tiny_recipe
from training.data import load_data
from training.gaps import LONGEST_PARAGRAPH, SHORTEST_PARAGRAPH, gap_questions
from training.tasks import open_task

HARBOUR = (
    "The old harbour of Port Elsin was built in March 1871 by the engineer Ada Quill and paid for with 4,200 crowns. "
    "Ships from the northern islands landed there for many decades until the railway reached the town."
)
RAILWAY = (
    "Port Elsin got its railway station late, because the engineer of the harbour had sold the land beside the quay. "
    "The first train left the town on a rainy day, with ships whistling, and nobody paid for the ride that morning."
)


def asked(sentence: str) -> set[tuple[str, str]]:
    return {(sentence[start:end], kind) for start, end, kind in askable(sentence)}


def test_names_numbers_dates_and_phrases_may_be_asked() -> None:
    found = asked("The bridge was built by Ada Quill in 4 May 1871 with 320 barges.")
    assert {("Ada Quill", "name"), ("1871", "year"), ("4 May 1871", "year"), ("320 barges", "number")} <= found
    assert ("bridge", "phrase") in found
    assert not {words for words, _ in found} & {"The", "by", "was", "May", "with"}


def test_every_answer_stands_where_the_row_says() -> None:
    rows = list(gap_questions([f"{HARBOUR}\n{RAILWAY}"], 12, seed=4))
    assert len(rows) == 12
    for row in rows:
        answers, context = row["answers"], str(row["context"])
        assert isinstance(answers, dict)
        assert context in (HARBOUR, RAILWAY)
        for text, start in zip(answers["text"], answers["answer_start"], strict=True):
            assert context[start : start + len(text)] == text


def test_a_repeated_name_is_asked_of_the_other_paragraph() -> None:
    rows = [row for seed in range(5) for row in gap_questions([f"{HARBOUR}\n{RAILWAY}"], 30, seed)]
    crossed = [
        row for row in rows
        if row["context"] == RAILWAY and re.search("built|1871|Quill|crowns", str(row["question"]))
    ]  # fmt: skip
    assert crossed, "no question about the harbour was asked of the paragraph about the railway"
    assert {answer for row in crossed for answer in row["answers"]["text"]} <= {
        "Port Elsin",
        "engineer",
        "harbour",
        "paid",
    }


def test_a_question_does_not_hold_its_answer_unless_the_sentence_repeats_it() -> None:
    for row in gap_questions([HARBOUR], 20, seed=2):
        answer = row["answers"]["text"][0]
        if HARBOUR.count(answer) == 1:
            assert answer not in str(row["question"])


def test_the_same_seed_gives_the_same_rows_and_none_is_asked_over_and_over() -> None:
    first, again = (list(gap_questions([HARBOUR, RAILWAY], 500, seed=7)) for _ in range(2))
    assert first == again
    assert list(gap_questions([HARBOUR, RAILWAY], 500, seed=8)) != first
    times = [(row["context"], row["answers"]["text"][0]) for row in first]
    assert max(map(times.count, times)) == 2


@pytest.mark.parametrize("text", ["", "Too short.", "a" * (LONGEST_PARAGRAPH + 1), "b " * (SHORTEST_PARAGRAPH // 4)])
def test_texts_without_a_paragraph_of_a_fit_length_give_nothing(text: str) -> None:
    assert list(gap_questions([text], 5)) == []


def test_a_recipe_asks_articles_and_keeps_those_of_its_test_set_out(tmp_path: Path) -> None:
    articles = [{"title": "Harbour", "text": HARBOUR}, {"title": "Railway", "text": RAILWAY}]
    question = {"title": "Railway", "context": RAILWAY, "question": "What whistled?", "answers": {"text": ["ships"]}}
    write_rows(tmp_path / "test.jsonl", [question])
    recipe = tiny_recipe(
        tmp_path, Path("base"), articles, {"kind": "question-answering", "gaps": 7},
        data={"test": "test.jsonl", "split": {"by": "title", "validation": 0.0}},
    )  # fmt: skip
    task = open_task(recipe)
    splits = load_data(recipe, task.columns, tmp_path / "read", task.layout)
    assert {row["text"] for row in splits.train} == {HARBOUR}
    assert len(splits.train) == 7
    assert splits.dropped == {"of a group that another part's file holds": 7}
    assert [row["question"] for row in splits.test] == ["What whistled?"]
