"""Tool calls and answers in a form hold with any model, also one with random weights: the grammar sees to it."""

from __future__ import annotations

import json
from enum import Enum
from functools import reduce
from operator import add
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from models.chat import LocalChatModel, open_chat_model
from models.constrained import closed_schema
from models.errors import BadOption
from models.tool_calls import CallParser, offer
from tests.models.conftest import save_tiny_chat

Short = Annotated[str, Field(max_length=8)]  # a random model ends no text by itself


@tool
def weather(city: Short, unit: Short = "c") -> str:
    """The weather in a city."""
    return f"{city} {unit}"


@tool
def plus(a: int, b: int) -> int:
    """The sum of two whole numbers."""
    return a + b


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Boat(BaseModel):
    """A boat."""

    name: Short
    colour: Colour
    length_metres: int = Field(ge=1, le=99)
    crew: list[Short] = Field(max_length=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalChatModel:
    home = tmp_path_factory.mktemp("forms")
    return LocalChatModel(model=str(save_tiny_chat(home / "model", context=2048)), home=home, max_new_tokens=600)


def test_a_required_call_is_always_a_valid_call_of_an_offered_tool(model: LocalChatModel) -> None:
    for seed in range(5):
        message = model.bind_tools([weather, plus], tool_choice="any").invoke("x", temperature=2.0, seed=seed)
        assert isinstance(message, AIMessage)
        assert message.invalid_tool_calls == []
        assert message.tool_calls
        for call in message.tool_calls:
            {"weather": weather, "plus": plus}[call["name"]].invoke(call["args"])
        assert message.response_metadata["finish_reason"] == "tool_calls"
        assert message.content == ""


def test_a_named_tool_is_the_one_that_is_called(model: LocalChatModel) -> None:
    for choice in ("plus", {"type": "function", "function": {"name": "plus"}}):
        message = model.bind_tools([weather, plus], tool_choice=choice).invoke("x")
        assert [call["name"] for call in message.tool_calls] == ["plus"]


@pytest.mark.parametrize("message", ['Say "good day" \\ now\nin French, très bien', "x"])
def test_an_argument_is_words_of_a_text_where_it_must_be(model: LocalChatModel, message: str) -> None:
    parameters = {
        "type": "object",
        "properties": {"text": {"type": "string", "x-substring-of": message}, "to": {"enum": ["German", "French"]}},
    }
    translate = {"type": "function", "function": {"name": "translate", "description": "x", "parameters": parameters}}
    bound = model.bind_tools([translate], tool_choice="translate")
    for seed in range(5):
        answer = bound.invoke(message, temperature=2.0, seed=seed)
        assert isinstance(answer, AIMessage)
        assert answer.tool_calls[0]["args"]["text"] in message
        assert answer.tool_calls[0]["args"]["to"] in ("German", "French")
    tools = offer([translate], "translate")
    assert "x-substring-of" not in json.dumps(tools.shown)
    assert "x-substring-of" in json.dumps(tools.tools)


def test_with_none_the_tools_are_not_shown(model: LocalChatModel) -> None:
    alone = model.invoke("x", max_new_tokens=10)
    hidden = model.bind_tools([plus], tool_choice="none").invoke("x", max_new_tokens=10)
    assert hidden.content == alone.content
    assert hidden.usage_metadata == alone.usage_metadata


def test_where_the_model_may_choose_it_gives_text_or_a_valid_call(model: LocalChatModel) -> None:
    for seed in range(8):
        message = model.bind_tools([plus]).invoke("x", temperature=1.5, seed=seed, max_new_tokens=200)
        assert message.content or message.tool_calls or message.usage_metadata["output_tokens"] == 0
        assert message.invalid_tool_calls == []


async def test_streamed_calls_are_those_of_invoke(model: LocalChatModel) -> None:
    bound = model.bind_tools([plus], tool_choice="any")
    whole = bound.invoke("x")
    streamed = reduce(add, list(bound.stream("x")))
    over_async = reduce(add, [chunk async for chunk in bound.astream("x")])
    for message in (streamed, over_async):
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [
            (call["name"], call["args"]) for call in whole.tool_calls
        ]


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
def test_structured_output_is_the_class_asked_for(model: LocalChatModel, method: Any) -> None:
    for seed in range(3):
        boat = model.with_structured_output(Boat, method=method).invoke("x", temperature=2.0, seed=seed)
        assert isinstance(boat, Boat)


def test_structured_output_with_raw_keeps_both(model: LocalChatModel) -> None:
    given = model.with_structured_output(Boat.model_json_schema(), include_raw=True).invoke("x")
    assert given["parsed"] == json.loads(given["raw"].content)
    assert given["parsing_error"] is None
    assert Boat.model_validate(given["parsed"])


@pytest.mark.real_model
def test_an_answer_in_a_form_is_whole_within_its_tokens(prepared_models: Path) -> None:
    model = open_chat_model(home=prepared_models, max_new_tokens=128)

    class Joke(BaseModel):
        setup: str
        punchline: str

    joke = model.with_structured_output(Joke).invoke("Tell me a joke about cats.")
    assert isinstance(joke, Joke)


def test_a_choice_and_a_pattern_are_kept_to(model: LocalChatModel) -> None:
    options = ["positive", "negative", 'with "quotes" and é']
    for seed in range(4):
        form = {"type": "choice", "choice": options}
        assert model.invoke("x", response_format=form, temperature=2.0, seed=seed).content in options
    form = {"type": "regex", "regex": "[0-9]{4}-[0-9]{2}"}
    year, _, month = str(model.invoke("x", response_format=form).content).partition("-")
    assert (len(year), len(month)) == (4, 2)
    assert (year + month).isdecimal()


@pytest.mark.parametrize(
    "form",
    [
        {"type": "xml"},
        "json",
        {"type": "choice", "choice": []},
        {"type": "regex", "regex": "(("},
        {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}},
    ],
)
def test_a_form_that_cannot_be_is_refused_before_the_model_runs(model: LocalChatModel, form: Any) -> None:
    with pytest.raises(BadOption) as caught:
        model.invoke("x", response_format=form)
    assert caught.value.code == "bad_option"


def test_a_tool_choice_that_is_not_offered_is_refused_when_bound(model: LocalChatModel) -> None:
    with pytest.raises(BadOption, match="weather"):
        model.bind_tools([weather], tool_choice="wether")


def test_a_reply_is_split_the_same_wherever_the_stream_is_cut() -> None:
    reply = (
        'Let me look.\n<tool_call>\n{"name": "plus", "arguments": {"a": 1, "b": 2}}\n</tool_call>\n'
        '<tool_call>\n{"name": "weather", "arguments": {"city": "<Köln>"}}\n</tool_call>'
    )
    for size in (1, 2, 3, 7, 11, len(reply)):
        parser = CallParser(["plus", "weather"])
        pieces = [reply[start : start + size] for start in range(0, len(reply), size)]
        chunks = [chunk for piece in pieces for chunk in parser.feed(piece)] + parser.flush()
        message = reduce(add, chunks)
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [
            ("plus", {"a": 1, "b": 2}),
            ("weather", {"city": "<Köln>"}),
        ]
        assert str(message.content).strip() == "Let me look."


@pytest.mark.parametrize(
    "written",
    [
        "{not json}",
        '{"name": "unknown", "arguments": {}}',
        '{"name": "plus", "arguments": [1]}',
        '{"arguments": {}}',
        "3",
    ],
)
def test_a_broken_call_is_an_invalid_call_and_no_error(written: str) -> None:
    parser = CallParser(["plus"])
    message = reduce(add, parser.feed(f"<tool_call>{written}</tool_call>") + parser.flush(), AIMessageChunk(content=""))
    assert message.tool_calls == []
    assert len(message.invalid_tool_calls) == 1


def test_a_call_that_was_cut_off_is_invalid() -> None:
    parser = CallParser(["plus"])
    chunks = parser.feed('<tool_call>\n{"name": "plus", "argu') + parser.flush()
    assert len(reduce(add, chunks, AIMessageChunk(content="")).invalid_tool_calls) == 1


def test_the_same_call_twice_counts_once() -> None:
    call = '<tool_call>\n{"name": "plus", "arguments": {"a": 1, "b": 2}}\n</tool_call>\n'
    parser = CallParser(["plus"])
    message = reduce(add, parser.feed(call * 3) + parser.flush())
    assert len(message.tool_calls) == 1
    assert message.content == ""


def test_plain_text_passes_with_its_angle_brackets() -> None:
    parser = CallParser(["plus"])
    text = "a < b, <b>bold</b> and <tool_cal is no tag"
    chunks = [chunk for letter in text for chunk in parser.feed(letter)] + parser.flush()
    assert "".join(str(chunk.content) for chunk in chunks) == text


def test_open_texts_share_the_tokens_and_stated_bounds_stay() -> None:
    schema = {
        "type": "object",
        "properties": {
            "short": {"type": "string", "maxLength": 5},
            "long": {"type": "string"},
            "list": {"type": "array", "items": {"type": "string"}},
            "count": {"type": "integer", "minimum": 0},
            "kind": {"enum": ["a", "b"]},
        },
    }
    closed = closed_schema(schema, 320)["properties"]
    assert closed["short"] == {"type": "string", "maxLength": 5}
    assert closed["long"]["maxLength"] == 2 * 320 // 5  # the list counts as four texts
    assert closed["list"]["maxItems"] == 10
    assert closed["count"]["minimum"] == 0
    assert closed["count"]["maximum"] == 10**15
    assert closed["kind"] == {"enum": ["a", "b"]}
    assert closed_schema(schema, 320)["additionalProperties"] is False


def test_whatever_a_model_writes_is_whole_before_its_tokens_end(model: LocalChatModel) -> None:
    schema = {
        "type": "object",
        "properties": {
            "place": {"type": "string"},
            "ratio": {"type": "number"},
            "parts": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
            "note": {"type": "string"},
        },
        "required": ["place", "ratio", "parts"],
    }
    tokenizer, most = model.load().tokenizer, 160
    tools = [{"type": "function", "function": {"name": "put", "parameters": schema}}]
    constraint = offer(tools, "put").constraint(most)
    assert constraint is not None
    chance = torch.Generator().manual_seed(3)
    short = torch.tensor([len(tokenizer.decode([index])) == 1 for index in range(len(tokenizer))])
    for _ in range(10):
        processor = constraint.processor(tokenizer, len(tokenizer), [tokenizer.eos_token_id], most)
        written: list[int] = []
        while not written or written[-1] != tokenizer.eos_token_id:
            scores = torch.rand(1, len(tokenizer), generator=chance) + short  # a letter or digit at a time
            written.append(int(processor(torch.tensor([[0, *written]]), scores).argmax()))
            assert len(written) <= most
        parser = CallParser(["put"])
        (chunk,) = parser.feed(tokenizer.decode(written[:-1]))
        arguments = json.loads(chunk.tool_call_chunks[0]["args"] or "")
        Draft202012Validator(schema).validate(arguments)
        assert arguments["place"]  # an empty text would say that there is none


def test_the_offer_follows_every_way_to_ask() -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("a", "b")]
    assert (offer(tools, None).names, offer(tools, None).required) == (("a", "b"), False)
    assert offer(tools, "none").names == ()
    assert offer(tools, "required").required
    assert offer(tools, True).names == ("a", "b")
    assert offer(tools, "b").names == ("b",)
    assert offer([], "any").required is False
