"""Our chat template for SmolLM2: the exact text of each kind of conversation, and the part the model writes itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from models.errors import UnsupportedContent
from models.loading import load_tokenizer
from models.prompts import count_tokens, render

TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Look something up.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
    },
}
START, END = "<|im_start|>", "<|im_end|>"


@pytest.fixture(scope="module")
def tokenizer(tiny_chat_folder: Path) -> Any:
    return load_tokenizer(tiny_chat_folder)


def text(tokenizer: Any, *messages: BaseMessage, tools: list[dict[str, Any]] | None = None) -> str:
    return str(tokenizer.decode(render(tokenizer, messages, model="tiny", tools=tools)))


def test_no_persona_is_added(tokenizer: Any) -> None:
    assert text(tokenizer, HumanMessage("hi")) == f"{START}user\nhi{END}\n{START}assistant\n"


def test_a_conversation_keeps_its_roles_and_order(tokenizer: Any) -> None:
    shown = text(tokenizer, SystemMessage("Be brief."), HumanMessage("a"), AIMessage("b"), HumanMessage("c"))
    assert shown == (
        f"{START}system\nBe brief.{END}\n{START}user\na{END}\n{START}assistant\nb{END}\n"
        f"{START}user\nc{END}\n{START}assistant\n"
    )


def test_tools_stand_in_the_system_turn_after_its_own_words(tokenizer: Any) -> None:
    shown = text(tokenizer, SystemMessage("Be brief."), HumanMessage("a"), tools=[TOOL])
    system = shown.partition(END)[0]
    assert system.startswith(f"{START}system\nBe brief.\n\n# Tools\n\n")
    listed = system.partition("<tools>\n")[2].partition("\n</tools>")[0]
    assert json.loads(listed) == TOOL
    assert text(tokenizer, HumanMessage("a"), tools=[TOOL]).startswith(f"{START}system\n# Tools\n\n")
    assert shown.endswith(f"{END}\n{START}user\na{END}\n{START}assistant\n")


def test_calls_and_their_results_are_shown_as_qwen_shows_them(tokenizer: Any) -> None:
    calls = [{"name": "search", "args": {"query": word}, "id": word} for word in ("fox", "dog")]
    shown = text(
        tokenizer,
        HumanMessage("a"),
        AIMessage("Let me look.", tool_calls=calls),
        ToolMessage("one", tool_call_id="fox"),
        ToolMessage("two", tool_call_id="dog"),
    )
    assert shown == (
        f"{START}user\na{END}\n{START}assistant\nLet me look.\n"
        '<tool_call>\n{"name": "search", "arguments": {"query": "fox"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "search", "arguments": {"query": "dog"}}\n</tool_call>'
        f"{END}\n{START}user\n<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>{END}\n"
        f"{START}assistant\n"
    )


def test_a_call_without_words_starts_at_once(tokenizer: Any) -> None:
    call = {"name": "search", "args": {}, "id": "1"}
    shown = text(tokenizer, HumanMessage("a"), AIMessage("", tool_calls=[call]), ToolMessage("x", tool_call_id="1"))
    assert f"{START}assistant\n<tool_call>\n" in shown


def test_the_generated_part_is_marked_for_training(tokenizer: Any) -> None:
    conversation = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "the answer"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "more"},
    ]
    encoded = tokenizer.apply_chat_template(conversation, return_dict=True, return_assistant_tokens_mask=True)
    ids = [i for i, own in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if own]
    assert tokenizer.decode(ids) == f"the answer{END}more{END}"


def test_roles_come_from_a_short_list(tokenizer: Any) -> None:
    assert text(tokenizer, ChatMessage(role="user", content="hi")) == text(tokenizer, HumanMessage("hi"))
    with pytest.raises(UnsupportedContent, match="developer"):
        text(tokenizer, ChatMessage(role="developer", content="hi"))


def test_text_parts_are_joined(tokenizer: Any) -> None:
    parts = HumanMessage([{"type": "text", "text": "one "}, "two"])
    assert text(tokenizer, parts) == text(tokenizer, HumanMessage("one two"))


def test_counting_in_pieces_is_counting(tokenizer: Any) -> None:
    words = "the lazy dog reads passages " * 5000
    assert count_tokens(tokenizer, words) == pytest.approx(len(tokenizer.encode(words)), rel=0.001)
    assert count_tokens(tokenizer, f"{START}{END}") > 2
    assert count_tokens(tokenizer, words, at_most=10) < 20_000
