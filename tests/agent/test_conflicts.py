"""Documents that contradict each other: both values shown with both places, and nothing made of mere differences."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.assistant import Assistant
from agent.conflicts import values, with_conflicts
from agent.events import Source
from agent.grounding import ground
from agent.settings import Settings
from retrieval import Library
from tests.doubles import HashEmbeddings
from tests.doubles_model import ScriptedChatModel


def source(number: int, text: str, document: str = "") -> Source:
    name = document or f"{number}.txt"
    return Source(number, name, name, "default", None, None, 0, len(text), text, 1.0)


def shown(question: str, answer: str, *texts: str, document: str = "") -> str:
    """The answer with what contradicts it; the first text is its source."""
    sources = [source(number, text, document) for number, text in enumerate(texts, start=1)]
    return with_conflicts(question, ground(answer, question, sources, texts, 0.6), sources, texts).text


BUILT = "When was the lighthouse of Varn built?"
FIRST = (BUILT, "It was built in 1847.", "The lighthouse of Varn was built in 1847.")
FEE = ("How much was the Varn fee?", "The fee was 1,200 euros.", "The Varn fee was 1,200 euros.")
DEADLINE = ("When is the Varn deadline?", "On 3 March.", "The Varn deadline is 3 March.")


@pytest.mark.parametrize(
    ("question", "answer", "first", "second"),
    [
        (
            BUILT,
            "It was built in 1847.",
            "The lighthouse of Varn was built in 1847.",
            "Varn's lighthouse, built in 1852.",
        ),
        (
            "How many metres tall is the lighthouse of Varn?",
            "The lighthouse of Varn is 41 metres tall.",
            "The lighthouse of Varn is 41 metres tall.",
            "At 38.5 metres the lighthouse of Varn is tall for its time: 38.5 metres tall, to be exact.",
        ),
        (
            "What is the deadline for the Varn offer?",
            "The deadline is 3 March 2024.",
            "The deadline for the Varn offer is 3 March 2024.",
            "Offer Varn: the deadline is April 5, 2024.",
        ),
        (
            "What was the revenue of Holm in 2023?",
            "Revenue was 5 million.",
            "The revenue of Holm in 2023 was 5 million.",
            "In 2023 Holm had revenue of 7 million.",
        ),
        (
            "What is the penalty rate in the contract?",
            "The penalty rate is 5 %.",
            "The penalty rate in the contract is 5 %.",
            "The contract has a penalty rate of 7%.",
        ),
    ],
)
def test_another_value_is_shown_beside_the_answer(question: str, answer: str, first: str, second: str) -> None:
    text = shown(question, answer, first, second)
    assert "[1]" in text
    assert "But 2.txt says otherwise: “" in text
    assert text.endswith("” [2]")


@pytest.mark.parametrize(
    ("question", "answer", "first", "second"),
    [
        # the same value, written otherwise
        (*FEE, "Varn fee: 1200 euro"),
        (*DEADLINE, "Varn: the deadline is March 3rd."),
        (*DEADLINE, "The deadline of Varn is 2024-03-03."),
        (*FIRST, "2. Varn's lighthouse, when it was built."),
        # another thing, another kind, another year asked about, or no value asked for
        (*FIRST, "The lighthouse of Lund, built in 1901."),
        (*FIRST, "The lighthouse of Varn was painted in 1901."),
        (*FIRST, "The lighthouse of Varn was built by 300 workers."),
        (*FIRST, "The lighthouse of Varn was built."),
        (
            "What was the revenue of Holm in 2023?",
            "Revenue was 5 million.",
            "The revenue of Holm in 2023 was 5 million.",
            "The revenue of Holm in 2022 was 4 million.",
        ),
        (
            "Who built the lighthouse of Varn?",
            "Ida Holm.",
            "Ida Holm built the lighthouse of Varn in 1847.",
            "Per built the lighthouse of Varn in 1901.",
        ),
    ],
)  # fmt: skip
def test_what_only_differs_is_no_conflict(question: str, answer: str, first: str, second: str) -> None:
    assert "otherwise" not in shown(question, answer, first, second)


def test_one_document_does_not_contradict_itself() -> None:
    text = shown(
        BUILT, "It was built in 1847.",
        "The lighthouse of Varn was built in 1847.", "The lighthouse of Varn was built in 1901.", document="same.txt",
    )  # fmt: skip
    assert "otherwise" not in text


def test_values_by_kind() -> None:
    assert values("1,200 metres in 1847, 5 % or €5 by 2024-03-01 and 3 March 2024") == {
        "metre": {"1200"}, "year": {"1847"}, "%": {"5"}, "€": {"5"}, "date": {"03-01", "03-03"},
    }  # fmt: skip
    assert values("in 1847 and 1848", "what was in 1847?") == {"year": {"1848"}}
    assert values("") == {}


def test_the_answer_cites_both_documents(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("The lighthouse of Varn was built in 1847 by Ida Holm.", encoding="utf-8")
    (tmp_path / "new.txt").write_text("The lighthouse of Varn was built in 1852, says the guide.", encoding="utf-8")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add([tmp_path / "old.txt", tmp_path / "new.txt"])
        settings = Settings(home=tmp_path, relevance_floor=0.1)
        answer = Assistant(ScriptedChatModel(replies=["It was built in 1847."]), library, settings).ask(BUILT)
        assert answer.text == (
            "It was built in 1847 [1].\n\n"
            "But new.txt says otherwise: “The lighthouse of Varn was built in 1852, says the guide.” [2]"
        )
        assert [source.document for source in answer.sources] == ["old.txt", "new.txt"]
        for cited in answer.sources:
            assert library.text(cited.document_id)[cited.start : cited.end] == cited.quote
