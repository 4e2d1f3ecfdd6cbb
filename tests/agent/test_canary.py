"""The canary set: what each check asks of an answer, what is counted, and what the shipped prompts are."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from agent.canary import evaluate_canary, failed_checks, read_prompts
from agent.errors import BadInput
from models.prompts import NOT_IN_PASSAGES, chat_messages
from tests.doubles_model import ScriptedChatModel


def house(*replies: str) -> Any:
    model = ScriptedChatModel(replies=list(replies))
    return SimpleNamespace(chat_model=lambda: model, talker=lambda: None, model=model)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        ({"any": ["Paris", "hik*"]}, ["It is PARIS.", "I like hiking"], ["Parisian", "a bike", "", "London"]),
        (
            {"any": ["50 %", "**important**"]},
            ["That is 50 %", "an **important** word"],
            ["50", "*important*", "150 %x"],
        ),
        ({"none": ["document*", "sorry"]}, ["Hello!"], ["In your documents", "I'm sorry."]),
        ({"one_of": ["yes"]}, ["Yes.", " **yes** ", "'Yes'"], ["Yes, it is", "no"]),
        ({"case": ["HELLO"]}, ["It is HELLO!"], ["hello", "HELLOS"]),
        ({"matches": r"^1\..*^2\."}, ["Here:\n1. a\n2. b"], ["1. a 2. b", "2. b\n1. a"]),
        ({"number": 12}, ["12", "7 + 5 = 12.", "It is 12.0"], ["12 and 5", "twelve", "112", "-12"]),
        ({"number": 1250}, ["1,250", "That makes 1250!"], ["1,25", "250"]),
        ({"words": [2, 3]}, ["two words", "three short words"], ["one", "there are four words"]),
        ({"lines": [2, 2]}, ["a\n\nb\n"], ["a", "a\nb\nc"]),
        (
            {"json": {"ok": True}},
            ['{"ok": true}', '```json\n{"ok": true}\n```'],
            ['Here: {"ok": true}', '{"ok": 2}', "{"],
        ),
        ({"any": ["cat"], "words": [1, 2]}, ["A cat"], ["A dog", "The cat is here"]),
    ],
)
def test_each_check(check: dict[str, Any], right: list[str], wrong: list[str]) -> None:
    assert not [answer for answer in right if failed_checks(answer, check)]
    assert not [answer for answer in wrong if not failed_checks(answer, check)]


def test_an_answer_that_looks_into_documents_fails_whatever_is_asked() -> None:
    assert failed_checks(f"{NOT_IN_PASSAGES} 12", {"number": 12}) == ["number"]


def test_shares_are_counted_by_kind_and_the_chat_is_asked_as_it_serves(tmp_path: Path) -> None:
    rows = [
        {
            "id": "a",
            "kind": "chat",
            "prompt": "Where?",
            "before": [["I am in Rome.", "Nice."]],
            "check": {"any": ["Rome"]},
        },
        {"id": "b", "kind": "chat", "prompt": "Capital of Peru?", "check": {"any": ["Lima"]}},
        {"id": "c", "kind": "sum", "prompt": "1 + 1?", "check": {"number": 2}},
    ]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    serving = house("In Rome.", "Cusco.", "It is 2.")
    scores, judged = evaluate_canary(serving, read_prompts(file))
    assert scores == {"passed": 0.6667, "chat": 0.5, "sum": 1.0, "n": 3}
    assert [row.failed for row in judged] == [[], ["any"], []]
    assert serving.model.asked[0] == chat_messages("Where?", [HumanMessage("I am in Rome."), AIMessage("Nice.")])
    assert len(read_prompts(file, 2)) == 2


def test_the_shipped_prompts_are_two_hundred_of_four_kinds() -> None:
    prompts = read_prompts()
    kinds = Counter(prompt.kind for prompt in prompts)
    assert kinds == {"chat": 70, "format": 50, "arithmetic": 40, "refusal": 40}
    assert len({prompt.id for prompt in prompts}) == len({prompt.prompt for prompt in prompts}) == 200
    assert all(failed_checks("", prompt.check) for prompt in prompts)


@pytest.mark.parametrize(
    ("row", "word"), [({"prompt": "a"}, "check"), ({"prompt": "a", "check": {"rhymes": 1}}, "rhymes")]
)
def test_a_row_that_cannot_be_checked_is_told_with_its_line(row: dict[str, Any], word: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(BadInput, match=rf"line 1.*{word}"):
        read_prompts(file)


def test_no_prompts_is_an_error() -> None:
    with pytest.raises(BadInput, match="no rows"):
        evaluate_canary(house("x"), [])
