"""Follow-up questions made of questions that stand alone: what is learned can be told from the thread."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from models.prompts import standing_messages
from training.follow_ups import follow_ups
from training.recipe import load_recipe
from training.tasks import open_task

PASSAGE = (
    "Marie Curie was born in Warsaw in 1867. She moved to Paris in 1891 and studied at the Sorbonne. Curie discovered "
    "radium and polonium with Pierre Curie. The Radium Institute was founded in Paris in 1909, and a second one in "
    "Warsaw in 1932. Its laboratories were led by her sister."
)
ASKED = (
    ("Where was Marie Curie born?", "Warsaw"),
    ("When did Marie Curie move to Paris?", "1891"),
    ("What did Marie Curie discover in 1898?", "radium and polonium"),
    ("Who led the Radium Institute in Warsaw?", "her sister"),
    ("When was the Radium Institute founded in Paris?", "1909"),
    ("When was the Radium Institute founded in Warsaw?", "1932"),
    ("Who funded the Radium Institute in Vienna?", ""),
)


def source_rows() -> Iterator[dict[str, Any]]:
    for question, answer in ASKED:
        yield {"title": "Curie", "context": PASSAGE, "question": question, "answers": [answer] if answer else []}


def made(seeds: int = 40) -> list[dict[str, Any]]:
    return [row for seed in range(seeds) for row in follow_ups(source_rows(), seed)]


def last_turn(row: dict[str, Any]) -> tuple[str, str]:
    """The thread as it is shown, and the last question."""
    spoken, _, last = row["messages"][-1]["content"].rpartition("\nLast question: ")
    return spoken, last


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def test_what_is_learned_is_the_question_as_it_stood() -> None:
    assert {row["answer"] for row in made()} <= {question for question, _ in ASKED}
    assert {kind for row in made() for kind in row["kind"]} == {"pointing", "another", "of another", "clause", "whole"}


def test_all_words_of_the_answer_stand_in_the_thread() -> None:
    small = {"in", "at", "s"}  # "there" and "its" have taken them in
    for row in made():
        spoken, last = last_turn(row)
        assert words(row["answer"]) - small <= words(spoken) | words(last), row["messages"][-1]


def test_each_follow_up_but_those_left_whole_says_less_than_the_question() -> None:
    for row in made():
        _, last = last_turn(row)
        same = words(last) == words(row["answer"])
        assert same == (row["kind"] == ["whole"]), (row["kind"], last)


@pytest.mark.parametrize(
    ("kind", "follow_up", "question"),
    [
        ("pointing", "When did she move to Paris?", "When did Marie Curie move to Paris?"),
        ("pointing", "What did she discover in 1898?", "What did Marie Curie discover in 1898?"),
        ("pointing", "When was it founded in Paris?", "When was the Radium Institute founded in Paris?"),
        ("another", "And in Warsaw?", "When was the Radium Institute founded in Warsaw?"),
        ("clause", "When did that happen?", "When did Marie Curie move to Paris?"),
    ],
)
def test_the_ways_of_asking(kind: str, follow_up: str, question: str) -> None:
    assert (kind, follow_up, question) in {(row["kind"][0], last_turn(row)[1], row["answer"]) for row in made(200)}


def test_they_are_asked_in_the_words_of_serving() -> None:
    row = made(1)[0]
    spoken, last = last_turn(row)
    turns = [tuple(turn.split("\nA: ")) for turn in spoken.removeprefix("Q: ").split("\nQ: ")]
    asked = standing_messages(last, [(question, answer) for question, answer in turns])
    assert [message["content"] for message in row["messages"]] == [message.content for message in asked]


def test_the_same_rows_and_seed_give_the_same_follow_ups() -> None:
    assert list(follow_ups(source_rows(), 3)) == list(follow_ups(source_rows(), 3))
    assert list(follow_ups(source_rows(), 3)) != list(follow_ups(source_rows(), 4))


def test_questions_of_another_article_are_not_in_the_thread() -> None:
    other = {
        "title": "Moon",
        "context": PASSAGE,
        "question": "Where did the Moon landing of 1969 begin?",
        "answers": [],
    }
    rows = [row for row in follow_ups([*source_rows(), other], 5) if row["title"] == "Moon"]
    assert not any(
        "Radium" in row["messages"][-1]["content"].split("Last question")[0].split("\nA: ")[0] for row in rows
    )


def test_scores_tell_the_kinds_apart_and_the_rule_says_what_was_typed() -> None:
    task = open_task(load_recipe("follow_ups"))
    rows = [row for row in made() if row["kind"][0] in ("pointing", "whole")]
    scores = task.scores(rows, [{"answer": row["answer"]} for row in rows])
    assert scores["f1_pointing"] == scores["f1_whole"] == scores["exact"] == 1.0
    typed = task.simple_predictions(None, rows)  # type: ignore[arg-type]
    assert [said["answer"] for said in typed] == [last_turn(row)[1] for row in rows]
