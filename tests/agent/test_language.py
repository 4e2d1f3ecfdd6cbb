"""Questions in other languages: answered in theirs over a translator, or with what to fetch; citations as they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.assembly import House
from agent.assistant import Assistant
from agent.events import ToolStarted
from agent.language import LanguageBridge, foreign_language, knows
from agent.settings import Settings
from models.tasks.errors import LanguageNotSupported
from models.tasks.translator import Translation
from retrieval import Library
from tests.doubles import HashEmbeddings
from tests.doubles_model import ScriptedChatModel

GERMAN = "Wann wurde der Leuchtturm von Varn gebaut?"
ENGLISH = "When was the lighthouse of Varn built?"
ADVICE = "(Fetch another model.)"


class Dictionary:
    """Translates what it was given; refuses any other pair than German and English."""

    def __init__(self, **more: str) -> None:
        self.words = {GERMAN: ENGLISH, "It was built in 1847.": "Er wurde 1847 gebaut.", **more}

    def __call__(self, text: str, *, to: str, source: str | None = None) -> Translation:
        if {source, to} != {"de", "en"}:
            raise LanguageNotSupported("dictionary", source=str(source), target=to, known=("de", "en"))
        return Translation(self.words.get(text, f"<{text}>"), str(source), to, "dictionary")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    (tmp_path / "varn.txt").write_text("The lighthouse of Varn was built in 1847. It is 41 metres tall.", "utf-8")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add([tmp_path / "varn.txt"])
        yield library


def assistant(
    library: Library,
    translator: Dictionary | None,
    reply: str = "It was built in 1847.",
    known: tuple[str, ...] = ("en",),
) -> Assistant:
    bridge = LanguageBridge(lambda: known, lambda: translator, lambda code: f"{ADVICE} {code}")
    settings = Settings(home=Path("unused"), relevance_floor=0.1)
    return Assistant(ScriptedChatModel(replies=[reply]), library, settings, languages=bridge)


def test_a_question_is_translated_to_the_documents_language_and_its_answer_back(library: Library) -> None:
    house = assistant(library, Dictionary())
    events = list(house.stream(GERMAN, tool="search"))
    assert [event.input["query"] for event in events if isinstance(event, ToolStarted)] == [GERMAN, ENGLISH]
    assert ENGLISH in house.chat_model.asked[0][-1].content  # type: ignore[attr-defined]
    answer = events[-1].answer
    assert answer.text == "Er wurde 1847 gebaut [1]."
    [source] = answer.sources
    assert library.text(source.document_id)[source.start : source.end] == source.quote


def test_an_answer_comes_in_the_language_that_was_chosen(library: Library) -> None:
    usual = assistant(library, Dictionary())
    assert usual.languages is not None
    german = replace(usual, languages=replace(usual.languages, answer_in="de"))
    assert german.ask(ENGLISH, tool="search").text == "Er wurde 1847 gebaut [1]."
    english = replace(usual, languages=replace(usual.languages, answer_in="en"))
    assert english.ask(GERMAN, tool="search").text == "It was built in 1847 [1]."
    assert english.ask(ENGLISH, tool="search").text == "It was built in 1847 [1]."
    nobody = replace(
        assistant(library, None), languages=replace(usual.languages, answer_in="de", translator=lambda: None)
    )
    assert nobody.ask(ENGLISH, tool="search").text.endswith(f"{ADVICE} de")


def test_a_sentence_whose_numbers_are_lost_in_translation_stays_as_it_is(library: Library) -> None:
    words = {"It is 41 metres tall.": "Er ist 14 Meter hoch."}
    house = assistant(library, Dictionary(**words), "It was built in 1847. It is 41 metres tall.")
    assert house.ask(GERMAN, tool="search").text == "Er wurde 1847 gebaut [1]. It is 41 metres tall [2]."


@pytest.mark.parametrize("question", [GERMAN, "Quand le phare de Varn a-t-il été construit en Suède ?"])
def test_without_a_translator_for_the_pair_the_answer_says_what_to_fetch(library: Library, question: str) -> None:
    for translator in (None, Dictionary()):
        if translator and question == GERMAN:
            continue
        answer = assistant(library, translator).ask(question, tool="search", over="best")
        assert answer.text.endswith(f"{ADVICE} {foreign_language(question)}")


def test_a_text_unlike_those_the_translator_knows_is_not_translated(library: Library) -> None:
    class Narrow(Dictionary):
        def __call__(self, text: str, *, to: str, source: str | None = None) -> Translation:
            return replace(super().__call__(text, to=to, source=source), advice="Do not rely on this translation.")

    house = assistant(library, Narrow())
    answer = house.ask(GERMAN, tool="search", over="best")
    assert answer.text.endswith(f"{ADVICE} de")
    assert "Er wurde 1847 gebaut" not in answer.text


def test_a_model_that_knows_the_language_is_left_alone(library: Library) -> None:
    for known in (("en", "de"), ("100 and more",), ()):
        answer = assistant(library, None, known=known).ask(GERMAN, tool="search")
        assert ADVICE not in answer.text


def test_documents_in_the_questions_language_need_no_bridge(tmp_path: Path) -> None:
    text = "Der Leuchtturm von Varn wurde 1847 gebaut und ist seitdem das höchste Gebäude der ganzen Gegend."
    (tmp_path / "varn.txt").write_text(text, encoding="utf-8")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add([tmp_path / "varn.txt"])
        house = assistant(library, Dictionary(), "Der Leuchtturm wurde 1847 gebaut.")
        assert house.ask(GERMAN, tool="search").text == "Der Leuchtturm wurde 1847 gebaut [1]."


def test_a_plain_reply_crosses_too_and_the_thread_keeps_what_was_said(tmp_path: Path) -> None:
    with Library.open(tmp_path / "empty", HashEmbeddings()) as library:
        house = assistant(library, Dictionary())
        assert house.ask(GERMAN, thread="t", tool="none").text == "Er wurde 1847 gebaut."
        [turn] = house.memory.turns("t")
        assert (turn.question, turn.answer) == (GERMAN, "Er wurde 1847 gebaut.")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (GERMAN, "de"),
        ("Kto zbudował latarnię w Varn?", "pl"),
        ("¿Quién construyó el faro de Varn?", "es"),
        (ENGLISH, None),
        ("Revenue 2023?", None),
        ("Umsatz 2023?", None),
        ("42", None),
        ("Who is Ida Holm?", None),
    ],
)
def test_a_foreign_language_is_believed_only_where_it_is_clear(text: str, code: str | None) -> None:
    assert foreign_language(text) == code


def test_languages_given_as_a_number_hold_any() -> None:
    assert knows(("100 and more",), "sw")
    assert knows((), "sw")
    assert not knows(("en", "de"), "sw")


def test_a_home_with_the_embedded_models_knows_english_and_names_a_model_to_pull(tmp_path: Path) -> None:
    with House(Settings(home=tmp_path)) as house:
        bridge = LanguageBridge.of(house)
        assert bridge.known() == ("en",)
        crossing = bridge.crossing(GERMAN)
        assert house.answer_languages() == ()
    assert crossing is not None
    assert crossing.translator is None
    assert crossing.question == GERMAN
    assert "do not know German well enough: `hearth models pull " in crossing.advice
