"""The judge of support in the assistant: given by the house, asked about every sentence, shared by users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent.assembly import House
from agent.assistant import Assistant
from agent.settings import Settings
from retrieval import Library
from tests.agent.test_assistant import LIGHTHOUSE
from tests.doubles import HashEmbeddings
from tests.doubles_model import ScriptedChatModel


class Judge:
    """Believes every claim but those with a word."""

    def __init__(self, doubted: str) -> None:
        self.doubted = doubted
        self.claims: list[str] = []

    def judge(self, claims: Sequence[str], passages: Sequence[str]) -> list[float]:
        self.claims += claims
        return [0.1 if self.doubted in claim else 0.95 for claim in claims]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    (tmp_path / "lighthouse.txt").write_text(LIGHTHOUSE, encoding="utf-8")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add([tmp_path / "lighthouse.txt"])
        yield library


def test_what_the_judge_doubts_is_removed_though_the_words_are_there(library: Library, tmp_path: Path) -> None:
    judge = Judge(doubted="tall")
    model = ScriptedChatModel(replies=["1847. The lighthouse was built by Ida Holm. The lamp is 41 metres tall."])
    settings = Settings(home=tmp_path, max_new_tokens=64, relevance_floor=0.2)
    assistant = Assistant(model, library, settings, judge=lambda: judge)
    answer = assistant.ask("When was the lighthouse of Varn built?")
    assert answer.text == "1847 [1]. The lighthouse was built by Ida Holm [1]."
    assert judge.claims == [
        "When was the lighthouse of Varn built? 1847.",
        "The lighthouse was built by Ida Holm.",
        "The lamp is 41 metres tall.",
    ]
    own = assistant.for_user("ada")
    assert own.support_judge() is judge


def test_a_house_has_a_judge_where_a_model_serves_the_role(tmp_path: Path) -> None:
    house = House(Settings(home=tmp_path, profile="tiny"))
    assert (house.judge() is None) == (house.roles().serving("support").name is None)
