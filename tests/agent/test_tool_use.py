"""The assistant uses its tools: the router's choice, arguments from the message, several steps, failures in words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool

from agent.assistant import Assistant
from agent.errors import UnknownProposal, UnknownTool
from agent.events import Answered, Proposed, ToolFinished, ToolStarted
from agent.routing import Ruled
from agent.settings import Settings
from retrieval import Library, TextDocument
from tests.agent.stub_tools import deleting, failing, hanging, stub_tools
from tests.doubles import HashEmbeddings
from tests.doubles_model import ScriptedChatModel, ToolCallingModel

REPORT = "Revenue rose to 5 million in 2023. The office moved to Oslo. Nobody was dismissed."


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        texts = {"report.txt": REPORT, "draft.txt": f"{REPORT} Good.", "lease.txt": "Pay in May. Keep quiet."}
        library.add_texts([TextDocument(name, text) for name, text in texts.items()])
        yield library


class To:
    """A router that always chooses the same tool."""

    def __init__(self, tool: str | None) -> None:
        self.tool = tool
        self.offered: Mapping[str, str] = {}

    def route(self, message: str, tools: Mapping[str, str]) -> list[Ruled]:
        self.offered = tools
        return [Ruled(self.tool, 0.9)]


def assistant(
    library: Library, *more: BaseTool, model: Any = None, router: To | None = None, **settings: Any
) -> Assistant:
    return Assistant(
        model or ScriptedChatModel(replies=["A plain reply."]),
        library,
        Settings(home=Path("/nowhere"), relevance_floor=0.2, **settings),
        tools=lambda library: stub_tools(library, *more),
        router=(lambda: router) if router else None,
    )


def finished(house: Assistant, question: str, **options: Any) -> list[tuple[str, dict[str, Any], str | None]]:
    """(tool, what it was given, its error) of every call."""
    events = list(house.stream(question, **options))
    ended = {event.id: event for event in events if isinstance(event, ToolFinished)}
    assert all(event.milliseconds >= 0 for event in ended.values())
    return [(e.name, e.input, ended[e.id].error) for e in events if isinstance(e, ToolStarted)]


def test_a_tools_answer_has_its_text_name_and_data(library: Library) -> None:
    answer = assistant(library).ask('Is this review positive or negative: "The soup was awful"', tool="classify")
    assert answer.tool == "classify"
    assert answer.text.startswith("negative: 0.9")
    assert answer.data[0] == {"label": "negative", "score": 0.9}
    assert answer.to_json()["data"] == answer.data


def test_the_answer_names_the_model_that_did_the_tools_work(library: Library) -> None:
    """As `name@version`, in the order of the steps; the chat model where a rule serves the role."""
    labels = {"classify": "sentiment@2", "zero-shot": "all-minilm-l6-v2", "summarize": "", "translate": "german@1"}
    house = Assistant(
        ScriptedChatModel(replies=["A plain reply."]),
        library,
        Settings(home=Path("/nowhere"), relevance_floor=0.2),
        tools=lambda library: stub_tools(library),
        serving=lambda role, among=(): labels[role],
    )
    review = 'Is this review positive or negative: "The soup was awful"'
    assert house.ask(review, tool="classify").model in ("sentiment@2", "all-minilm-l6-v2")
    assert house.ask("summarize report.txt in German", tool="summarize").model == "german@1"
    assert house.ask("summarize report.txt", tool="summarize").model == house.ask("hello").model


def test_arguments_that_are_given_are_taken_as_they_stand(library: Library) -> None:
    house = assistant(library, deleting([]))
    given = {"text": "good morning", "to": "Latin"}
    assert finished(house, "anything at all", tool="translate", arguments=given) == [("translate", given, None)]
    events = list(house.stream("anything", tool="delete_file", arguments={"name": "lease.txt"}))
    [proposed] = [event for event in events if isinstance(event, Proposed)]
    assert proposed.arguments == {"name": "lease.txt"}


def test_the_router_is_offered_the_tools_and_its_choice_is_taken(library: Library) -> None:
    router = To("translate")
    house = assistant(library, router=router)
    assert house.ask("translate good morning to French").text == "<French> good morning"
    assert set(router.offered) == {"summarize", "translate", "classify", "compare"}
    router.tool = None
    assert house.ask("translate good morning to French").text == "A plain reply."


def test_a_summary_in_another_language_is_two_steps(library: Library) -> None:
    house = assistant(library)
    steps = finished(house, "summarize report.txt in German")
    assert [(name, given) for name, given, _ in steps] == [
        ("summarize", {"document": "report.txt"}),
        ("translate", {"text": "the text of the step before", "to": "German"}),
    ]
    answer = house.ask("Translate a summary of report.txt into German", tool="translate")
    assert answer.text == "<German> Revenue rose to 5 million in 2023."
    assert answer.tool == "translate"


@pytest.mark.parametrize(
    "texts",
    [
        "\n1. Lovely place\n2. The soup was awful\n3. Nice staff",
        " 1. Lovely place 2. The soup was awful 3. Nice staff",
        " a) Lovely place, b) The soup was awful, c) Nice staff",
    ],
)
def test_each_of_several_texts_is_classified(library: Library, texts: str) -> None:
    answer = assistant(library).ask(f"Which of these three reviews are negative?{texts}")
    assert answer.text.splitlines() == [
        "Negative: 2 of 3.",
        "",
        "1. positive (0.90): Lovely place",
        "2. negative (0.90): The soup was awful",
        "3. positive (0.90): Nice staff",
    ]
    assert [part["of"] for part in answer.data] == ["Lovely place", "The soup was awful", "Nice staff"]


def test_each_of_several_documents_is_summarised(library: Library) -> None:
    answer = assistant(library).ask("summarize lease.txt and report.txt in 2 sentences")
    assert answer.text == "lease.txt:\nPay in May.\n\nreport.txt:\nRevenue rose to 5 million in 2023."
    assert [part["data"]["words"] for part in answer.data] == [40, 40]


def test_a_chosen_document_is_meant_though_another_has_its_name(library: Library, tmp_path: Path) -> None:
    (tmp_path / "lease.txt").write_text("The rent is 900 euros. Keep calm.", encoding="utf-8")
    [newer] = library.add([tmp_path / "lease.txt"]).document_ids.values()
    assert len(library.find("lease.txt")) == 2
    question = "summarize lease.txt in 20 words"
    chosen = finished(assistant(library), question, documents=[newer])
    assert chosen == [("summarize", {"document": "lease.txt", "words": 20}, None)]
    assert assistant(library).ask(question, documents=[newer]).text == "The rent is 900 euros."


def test_two_documents_are_compared_in_one_step(library: Library) -> None:
    house = assistant(library)
    assert house.ask("compare report.txt with draft.txt").text == "not the same"
    assert house.ask("compare report.txt with lease").text == "not the same"
    assert house.ask('compare "a b" and "a b"').data == {"same": True}


def test_that_is_the_threads_last_answer(library: Library) -> None:
    model = ScriptedChatModel(replies=["It rained all day. Nobody came. The stalls stayed shut."])
    house = assistant(library, model=model, router=To(None))
    house.ask("how was the market?", thread="t")
    assert house.ask("translate that to Dutch", thread="t", tool="translate").text.startswith(
        "<Dutch> It rained all day."
    )
    shorter = assistant(library, model=model, router=To(None))
    shorter.ask("how was the market?", thread="t")
    answer = shorter.ask("shorter please", thread="t")
    assert (answer.text, answer.tool) == ("It rained all day.", "summarize")
    assert answer.data["words"] == 5
    assert shorter.ask("shorter please").tool is None


def test_what_plain_code_does_not_find_the_model_fills_in(library: Library) -> None:
    model = ToolCallingModel(turns=[[("translate", {"text": "left luggage", "to": "Italian"})]])
    house = assistant(library, model=model, router=To("translate"))
    message = "what would they put on a sign for left luggage where nonna lives"
    assert house.ask(message).text == "<Italian> left luggage"
    assert model.offered == [(["translate"], "translate")]


def test_a_missing_text_is_asked_for(library: Library) -> None:
    answer = assistant(library).ask("classify please", tool="classify")
    assert answer.text.startswith("Which text shall I classify")
    assert answer.tool == "classify"


def test_the_only_document_is_meant_by_the_document(tmp_path: Path) -> None:
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add_texts([TextDocument("lease.txt", "Pay in May. Keep quiet.")])
        assert assistant(library).ask("summarize this document").text == "Pay in May."


def test_q11_a_crashing_tool_is_named_and_the_answer_goes_on(library: Library) -> None:
    house = assistant(library, failing("translate"))
    answer = house.ask('translate "good day" to French')
    assert answer.text == "The tool translate did not work: ZeroDivisionError: boom.\n\nA plain reply."
    assert finished(house, 'translate "good day" to French')[0][2] == "ZeroDivisionError: boom"
    demanded = house.ask('translate "good day" to French', tool="translate")
    assert demanded.text == "The tool translate did not work: ZeroDivisionError: boom."


def test_a_tools_own_error_is_said_and_nothing_is_made_up(library: Library) -> None:
    answer = assistant(library).ask('classify "good day"')
    assert answer.text == "The tool classify did not work: Give labels."


def test_q10_a_hanging_tool_is_left_after_its_time(library: Library) -> None:
    house = assistant(library, hanging("translate", 20), tool_timeout_seconds=0.2)
    began = time.monotonic()
    answer = house.ask("summarize report.txt in German")
    assert time.monotonic() - began < 5
    said = "The tool translate did not work: it took longer than 0.2 seconds and was left."
    assert answer.text == f"Revenue rose to 5 million in 2023.\n\n{said}"


def test_q08_a_stop_ends_a_tool(library: Library) -> None:
    house = assistant(library, hanging("translate", 20))
    events = house.stream('translate "good day" to French')
    assert isinstance(next(events), ToolStarted)
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 1


def test_p01_an_effect_waits_for_the_persons_word(library: Library) -> None:
    deleted: list[str] = []
    model = ToolCallingModel(turns=[[("delete_file", {"name": "report.txt"})]])
    house = assistant(library, deleting(deleted), model=model, router=To("delete_file"))
    events = list(house.stream("delete the report"))
    [proposed] = [event for event in events if isinstance(event, Proposed)]
    assert (proposed.tool, proposed.arguments) == ("delete_file", {"name": "report.txt"})
    assert isinstance(events[-1], Answered)
    assert events[-1].answer.data == {"proposal": proposed.id}
    assert deleted == []
    assert house.confirm(proposed.id).text == "report.txt is deleted."
    assert deleted == ["report.txt"]
    with pytest.raises(UnknownProposal):
        house.confirm(proposed.id)
    assert deleted == ["report.txt"]


def test_an_unknown_tool_is_answered_with_the_known_ones(library: Library) -> None:
    with pytest.raises(UnknownTool, match="auto, none, search, answer, summarize, translate, classify, compare"):
        assistant(library).ask("x y", tool="sumarize")
