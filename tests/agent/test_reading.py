"""The reader beside the writer: when its sentence takes the place of the writer's, and when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from langchain_core.documents import Document

from agent.answering import Clock, answer_from
from agent.events import Answer, Answered, Source
from agent.grounding import Grounded, ground
from agent.reading import SURE, Reading, amended, read
from agent.settings import Settings
from models.errors import PromptTooLong
from tests.doubles_model import ScriptedChatModel

TEXTS = [
    "# Requests\nRequests for leave go to Maria Lind in the office in Lund. She answers within three days.",
    "Hotels cost at most 120 euros. Journeys under four hours are made by train.",
]
QUESTION = "Who handles requests for leave?"


@dataclass
class Pointer:
    """Points at given words in each text, with a given probability; words that a text lacks have no place."""

    words: Sequence[str]
    scores: Sequence[float]
    name: str = "answers@1"

    def many(self, questions: Sequence[str], texts: Sequence[str], *, can_abstain: bool = True) -> list[Found]:
        assert not can_abstain
        assert set(questions) == {QUESTION}
        return [
            Found(word, score, text.find(word) if word in text else None)
            for word, score, text in zip(self.words, self.scores, texts, strict=True)
        ]


@dataclass
class Found:
    answer: str
    score: float
    start: int | None


def source(number: int) -> Source:
    text = TEXTS[number - 1]
    return Source(number, "handbook.md", "id", "default", None, None, 100, 100 + len(text), text, 1.0)


SOURCES = [source(1), source(2)]


def said(text: str) -> Grounded:
    found = ground(text, QUESTION, SOURCES, TEXTS, 0.6)
    assert found.sources
    return found


def pointed(pointer: Pointer) -> Reading:
    found = read(pointer, QUESTION, TEXTS)
    assert found is not None
    return found


def answered(reply: str, score: float, folder: Path) -> Answer:
    """What is answered where the writer replies so and the reader points at the name with this probability."""
    model = ScriptedChatModel(replies=[reply])
    passages = [Document(text, metadata={"document_id": "id"}) for text in TEXTS]
    given = (QUESTION, passages, SOURCES, Settings(home=folder), Clock(), Event())
    event = list(answer_from(model, *given, reader=Pointer(["Maria Lind", "train"], [score, 0.1])))[-1]
    assert isinstance(event, Answered)
    return event.answer


def test_a_sure_reader_answers_where_the_writer_lacks_its_words() -> None:
    wrong = said("Requests for leave go to the office in Lund.")
    found = amended(wrong, pointed(Pointer(["Maria Lind", "train"], [SURE, 0.9])), SOURCES, TEXTS)
    assert found.text == "Requests for leave go to Maria Lind in the office in Lund [1]."
    (cited,) = found.sources
    assert cited.quote == "Requests for leave go to Maria Lind in the office in Lund."
    assert TEXTS[0][cited.start - 100 : cited.end - 100] == cited.quote


@pytest.mark.parametrize(("score", "author"), [(SURE, "answers@1"), (SURE - 0.1, "ScriptedChatModel")])
def test_the_answer_names_the_reader_where_the_sentence_is_its_own(score: float, author: str, tmp_path: Path) -> None:
    assert answered("Requests for leave go to the office in Lund.", score, tmp_path).model == author


def test_beside_a_writer_of_few_words_a_sure_reader_answers_with_its_own_and_cites_their_sentence(
    tmp_path: Path,
) -> None:
    for reply in ("The office in Lund", "Not in your documents."):
        found = answered(reply, SURE, tmp_path)
        assert (found.text, found.abstained, found.model) == ("Maria Lind [1]", False, "answers@1")
        assert [one.quote for one in found.sources] == ["Requests for leave go to Maria Lind in the office in Lund."]
    assert answered("The office in Lund", SURE - 0.01, tmp_path).text == "The office in Lund [1]"


def test_where_the_writer_declines_and_the_reader_is_not_sure_nothing_is_answered(tmp_path: Path) -> None:
    found = answered("Not in your documents.", SURE - 0.01, tmp_path)
    assert found.abstained
    assert not found.sources


def test_what_holds_the_words_stays_and_so_does_what_an_unsure_reader_would_change() -> None:
    right, other = said("Maria Lind handles requests."), said("Requests for leave go to the office in Lund.")
    assert amended(right, pointed(Pointer(["Maria Lind", "train"], [0.9, 0.1])), SOURCES, TEXTS) is right
    assert amended(other, pointed(Pointer(["Maria Lind", "train"], [SURE - 0.01, 0.1])), SOURCES, TEXTS) is other


def test_where_nothing_could_be_supported_an_unsure_reader_names_the_closest_sentence() -> None:
    nothing = Grounded("", (), ("Napoleon does.",))
    found = amended(nothing, pointed(Pointer(["Maria Lind", "train"], [0.1, 0.1])), SOURCES, TEXTS)
    assert found.text.startswith("The closest passage says: “Requests for leave go to Maria Lind")
    assert read(Pointer(["Nobody", "nowhere"], [0.9, 0.9]), QUESTION, TEXTS) is None


@pytest.mark.parametrize(("scores", "passage"), [((0.4, 0.9), 0), ((0.2, 0.9), 1)])
def test_a_passage_further_behind_must_be_surer(scores: Sequence[float], passage: int) -> None:
    """0.9 x 0.3 is 0.27: less than 0.4 and more than 0.2."""
    found = read(Pointer(["Maria Lind", "train"], scores), QUESTION, TEXTS)
    assert isinstance(found, Reading)
    assert found.passage == passage


def test_a_heading_or_a_question_too_long_for_the_reader_gives_nothing() -> None:
    assert read(Pointer(["Requests", "train"], [0.9, 0.1]), QUESTION, TEXTS) is None
    assert read(Pointer([], []), QUESTION, []) is None

    class Full(Pointer):
        def many(self, questions: Sequence[str], texts: Sequence[str], *, can_abstain: bool = True) -> list[Found]:
            raise PromptTooLong(600, 512)

    assert read(Full([], []), QUESTION, TEXTS) is None
