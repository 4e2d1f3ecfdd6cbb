"""The model's own loop: its calls are made, watched and bounded, and what rests on documents is checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool

from agent.assistant import Assistant
from agent.errors import BadInput
from agent.events import Answered, Proposed, Token, ToolFinished, ToolStarted
from agent.settings import Settings
from agent.strategies import strategy_for
from agent.tools.answer import answer_tool
from retrieval import Library, TextDocument
from tests.agent.stub_tools import deleting, failing, hanging, stub_tools
from tests.doubles import HashEmbeddings, join_threads
from tests.doubles_model import ScriptedChatModel, ToolCallingModel

LIGHTHOUSE = "The lighthouse of Varn was built in 1847 by Ida Holm. It is 41 metres tall."


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add_texts([TextDocument("lighthouse.txt", LIGHTHOUSE), TextDocument("lease.txt", "Pay in May. Hush.")])
        yield library


def assistant(library: Library, turns: list[Any], *more: BaseTool, **settings: Any) -> Assistant:
    own: list[Assistant] = []
    made = Assistant(
        ToolCallingModel(turns=turns),
        library,
        Settings(home=Path("/nowhere"), relevance_floor=0.2, strategy="loop", **settings),
        tools=lambda library: [answer_tool(lambda: own[0]), *stub_tools(library, *more)],
    )
    own.append(made)
    return made


def test_calls_in_a_row_then_words(library: Library) -> None:
    turns = [
        [("summarize", {"document": "lease.txt"})],
        [("translate", {"text": "Pay in May.", "to": "German"})],
        "Auf Deutsch: <German> Pay in May.",
    ]
    house = assistant(library, turns)
    events = list(house.stream("what is in the lease, in German?"))
    calls = [event.name for event in events if isinstance(event, ToolStarted)]
    assert calls == ["summarize", "translate"]
    ended = [event for event in events if isinstance(event, ToolFinished)]
    assert [event.output for event in ended] == ["Pay in May.", "<German> Pay in May."]
    assert all(event.milliseconds > 0 for event in ended)
    assert "".join(event.text for event in events if isinstance(event, Token)) == turns[-1]
    answer = events[-1].answer
    assert (answer.text, answer.tool, answer.cut_off) == (turns[-1], "translate", False)
    assert (answer.prompt_tokens, answer.new_tokens) == (21, 12)
    assert "search" not in house.chat_model.offered[0][0]


def test_an_answer_from_documents_is_the_checked_one(library: Library) -> None:
    turns = [
        [("answer", {"question": "Who built the lighthouse of Varn?"})],
        "Ida Holm built it in 1847. It was painted by Monet.",
        "Monet built it.",
    ]
    answer = assistant(library, turns).ask("Who built the lighthouse of Varn?")
    assert answer.text == "Ida Holm built it in 1847 [1]."
    assert [source.document for source in answer.sources] == ["lighthouse.txt"]
    assert answer.supported
    assert answer.tool == "answer"


def test_where_the_documents_are_silent_the_model_does_not_answer_for_them(library: Library) -> None:
    turns = [[("answer", {"question": "Which emperor lost at Waterloo?"})], "Napoleon lost it [1]."]
    answer = assistant(library, turns).ask("Which emperor lost at Waterloo?")
    assert answer.text.startswith("That is not in your documents")
    assert (answer.abstained, answer.supported, answer.sources) == (True, None, ())


def test_q11_marks_that_the_model_invents_beside_a_tools_work_are_taken_out(library: Library) -> None:
    turns = [[("translate", {"text": "Pay in May.", "to": "German"})], "Zahle im Mai [3], siehe [7, 8]."]
    assert assistant(library, turns).ask("say it in German").text == "Zahle im Mai, siehe."


def test_a_thread_is_remembered_once_a_question(library: Library) -> None:
    turns = [[("answer", {"question": "Who built the lighthouse?"})], "Ida Holm built it.", "Ida Holm."]
    house = assistant(library, turns)
    house.ask("who built it?", thread="t")
    assert [turn.question for turn in house.memory.turns("t")] == ["who built it?"]


def test_documents_that_were_not_chosen_stay_closed(library: Library) -> None:
    house = assistant(library, [[("summarize", {"document": "lease.txt"})], "I cannot read it."])
    answer = house.ask("summarize the lease", documents=["lighthouse.txt"])
    assert house.chat_model.asked[1][-1].content == "lease.txt is not among the documents: " + ", ".join(
        sorted([record.document_id for record in library.find("lighthouse.txt")] + ["lighthouse.txt"])
    )
    assert answer.text == "I cannot read it."


def test_q10_the_same_call_for_ever_ends_after_its_calls(library: Library) -> None:
    house = assistant(library, [[("translate", {"text": "a", "to": "French"})]], loop_model_calls=3)
    events = list(house.stream("say a in French"))
    assert len([event for event in events if isinstance(event, ToolStarted)]) == 1  # the others were the same call
    answer = events[-1].answer
    assert answer.text == "<French> a\n\nThe answer was ended after 3 calls of the model."
    assert answer.cut_off


def test_q10_tool_calls_and_tokens_are_bounded(library: Library) -> None:
    different = [[("translate", {"text": str(number), "to": "French"})] for number in range(9)]
    house = assistant(library, [*different[:5], "done"], loop_tool_calls=2)
    calls = [event for event in house.stream("count in French") if isinstance(event, ToolStarted)]
    assert len(calls) == 2
    answer = assistant(library, different, loop_tokens=25).ask("count in French")
    assert "The answer was ended after 30 tokens." in answer.text
    assert answer.cut_off


def test_q10_a_loop_ends_when_its_time_is_over(library: Library) -> None:
    calling = [[("translate", {"text": "a", "to": "French"})]]
    house = assistant(library, calling, hanging("translate", 20), answer_timeout_seconds=0.3)
    began = time.monotonic()
    answer = house.ask("say a in French")
    assert time.monotonic() - began < 5
    assert answer.text == "The answer was ended after 0.3 seconds."
    assert answer.cut_off


def test_q08_closing_the_stream_stops_the_model(library: Library) -> None:
    house = assistant(library, ["word " * 500])
    house.chat_model.seconds_a_word = 0.005
    events = house.stream("talk")
    next(event for event in events if isinstance(event, Token))
    events.close()
    join_threads("hearth-loop")
    assert house.chat_model.words_sent < 500


def test_a_failing_tool_is_named_and_the_model_goes_on(library: Library) -> None:
    turns = [[("translate", {"text": "a", "to": "French"}), ("translat", {})], "I could not."]
    answer = assistant(library, turns, failing("translate")).ask("say a in French")
    assert answer.text == "I could not.\n\nThe tool translate did not work: ZeroDivisionError: boom."


def test_p01_an_effect_is_only_proposed(library: Library) -> None:
    deleted: list[str] = []
    house = assistant(library, [[("delete_file", {"name": "lease.txt"})], "I proposed it."], deleting(deleted))
    events = list(house.stream("do what the document says"))
    [proposed] = [event for event in events if isinstance(event, Proposed)]
    assert isinstance(events[-1], Answered)
    assert deleted == []
    house.confirm(proposed.id)
    assert deleted == ["lease.txt"]


def test_a_request_may_choose_its_strategy(library: Library) -> None:
    house = assistant(library, ["In my own words."])
    assert house.ask('translate "a" to French').text == "In my own words."
    assert house.ask('translate "a" to French', strategy="router").text == "<French> a"
    with pytest.raises(BadInput, match="choose one of: auto, router, loop"):
        house.ask("say a", strategy="lop")


def test_the_profile_of_the_chat_model_chooses_in_auto() -> None:
    class Named(ScriptedChatModel):
        model: str = ""

    assert strategy_for(Named(replies=[]), "auto") == "router"
    assert strategy_for(Named(replies=[], model="Qwen/Qwen3-0.6B"), "auto") == "router"
    assert strategy_for(Named(replies=[], model="Qwen/Qwen3-4B-Instruct-2507"), "auto") == "loop"
    assert strategy_for(Named(replies=[], model="Qwen/Qwen3-4B-Instruct-2507"), "router") == "router"
