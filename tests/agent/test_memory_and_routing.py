"""What a thread remembers, and when documents are searched."""

from __future__ import annotations

import pytest

from agent.errors import UnknownTool
from agent.memory import ThreadMemory
from agent.routing import choose_tool


def words(text: str) -> int:
    return len(text.split())


def test_the_newest_whole_turns_that_fit_are_kept_in_order() -> None:
    memory = ThreadMemory()
    for number in range(1, 4):
        memory.add("t", f"question {number}", f"answer {number}")
    assert [message.content for message in memory.messages("t", 8, words)] == [
        "question 2", "answer 2", "question 3", "answer 3",
    ]  # fmt: skip
    assert memory.messages("t", 3, words) == []
    assert memory.messages("other", 100, words) == []


def test_a_question_without_a_thread_is_not_remembered() -> None:
    memory = ThreadMemory()
    memory.add(None, "a", "b")
    assert memory.messages(None, 100, words) == []


def test_the_least_recently_used_thread_is_forgotten() -> None:
    memory = ThreadMemory()
    for number in range(201):
        memory.add(str(number), "q", "a")
    assert memory.messages("0", 100, words) == []
    assert len(memory.messages("200", 100, words)) == 2


@pytest.mark.parametrize("text", ["Hi!", "hello there", "Thanks a lot :)", "ok cool", "who are you?", "👍"])
def test_small_talk_needs_no_tool(text: str) -> None:
    assert choose_tool(text, wanted="auto", has_documents=True) is None


@pytest.mark.parametrize("text", ["hello, what was revenue in 2023?", "Who is Thanksgiving named after?", "leave days"])
def test_everything_else_is_searched_where_there_are_documents(text: str) -> None:
    assert choose_tool(text, wanted="auto", has_documents=True) == "search"
    assert choose_tool(text, wanted="auto", has_documents=False) is None


def test_a_tool_asked_for_is_obeyed_and_an_unknown_one_named() -> None:
    assert choose_tool("hi", wanted="search", has_documents=False) == "search"
    assert choose_tool("what is it?", wanted="none", has_documents=True) is None
    with pytest.raises(UnknownTool, match="auto, none, search"):
        choose_tool("x", wanted="sarch", has_documents=True)
