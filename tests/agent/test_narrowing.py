"""A tool's schema narrowed to what a message says, each case worked out by hand."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

from agent.arguments import by_model
from agent.narrowing import narrowed, numbers, without_unsaid

UNIT = {"type": "string", "enum": ["feet", "meter"]}


def members(message: str, required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """The members left, each as its choices."""
    schema = {"type": "object", "properties": properties, "required": list(required)}
    found = narrowed(schema, message)["properties"]
    return {name: one.get("enum") or one.get("items", {}).get("enum") for name, one in found.items()}


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("3.5 and .25 of 10,000, then 1e-9", [3.5, 0.25, 10_000, 1e-9]),
        ("between -5 and 5, 3-4 people", [-5, 5, 3, 4]),
        ("two adults, Twelve eggs, twice", [2, 12, 2]),
        ("$1.2M, €5k and 2 million", [1_200_000, 5000, 2_000_000]),
        ("at 300K, 6mm, the 2nd floor of B1004", [300, 6, 2]),
        ("nobody says one's number here", [1]),
        ("", []),
    ],
)
def test_the_numbers_of_a_message(message: str, found: list[float]) -> None:
    assert [value for value, _ in numbers(message)] == found


def test_a_percentage_is_a_fraction_where_the_member_may_be_one() -> None:
    message = "8% a year, 2.5 percent of it"
    rate = {"type": "number", "description": "The yearly rate."}
    assert members(message, rate=rate) == {"rate": [0.08, 0.025]}
    assert members(message, rate={**rate, "description": "The rate in percent."}) == {"rate": [8, 2.5]}
    assert members(message, rate={**rate, "description": "As a decimal, 5% is 0.05."}) == {"rate": [0.08, 0.025]}
    assert members(message, rate={"type": "integer"}) == {"rate": [8]}


def test_named_choices_are_left_and_wanted() -> None:
    found = narrowed({"type": "object", "properties": {"unit": UNIT}, "required": []}, "How tall in Feet is it?")
    assert found["properties"]["unit"]["enum"] == ["feet"]
    assert found["required"] == ["unit"]
    diet = {"type": "string", "enum": ["vegan", "Gluten Free", "none"]}
    assert members("gluten-free recipes", diet=diet) == {"diet": ["Gluten Free"]}
    assert members("recipes for vegans", diet=diet) == {"diet": ["vegan"]}
    assert members("find a key", key={"type": "string", "enum": ["A", "C"]}) == {}
    assert members("in A minor", key={"type": "string", "enum": ["A", "C"]}) == {"key": ["A"]}


def test_what_may_be_left_out_and_is_not_said_is_left_out() -> None:
    count = {"type": "integer"}
    assert members("How tall is it?", unit=UNIT, count=count) == {}
    assert members("How tall is it?", ("unit", "count"), unit=UNIT, count=count) == {
        "unit": ["feet", "meter"],
        "count": None,
    }
    kept = {"on": {"type": "boolean"}, "text": {"type": "string"}, "odd": {"enum": [1, "a"]}, "any": {}}
    assert narrowed({"type": "object", "properties": kept}, "How tall?")["properties"] == kept


def test_numbers_that_are_left_are_those_that_may_be_left_out() -> None:
    number = {"type": "integer"}
    schema = {"type": "object", "properties": dict.fromkeys(("year", "top", "page"), number), "required": ["year"]}
    for message, kept, wanted in (
        ("in 2020", ["year"], ["year"]),
        ("the top 5 of 2020", ["year", "top", "page"], ["year"]),
        ("the top 5 of 2020, page 2", ["year", "top", "page"], ["year", "top", "page"]),
        ("1, 2, 3 and 4 of 2020", ["year", "top", "page"], ["year"]),
    ):
        found = narrowed(schema, message)
        assert (list(found["properties"]), found["required"]) == (kept, wanted)
    schema["properties"]["list"] = {"type": "array", "items": number}
    assert "top" not in narrowed(schema, "1, 2, 3 and 4 of 2020")["properties"]


def test_examples_of_a_description_are_choices_once_they_are_named() -> None:
    mode = {"type": "string", "description": "The mode, 'static' or \"very dynamic\". Default 'static'."}
    schema = {"type": "object", "properties": {"mode": mode}, "required": []}
    found = narrowed(schema, "a very dynamic analysis")
    assert (found["properties"]["mode"]["enum"], found["required"]) == (["very dynamic"], ["mode"])
    assert narrowed(schema, "an analysis") == schema


def test_a_yes_or_no_is_yes_where_its_name_is_said() -> None:
    schema = {"type": "object", "properties": {"include_owners": {"type": "boolean"}}, "required": []}
    found = narrowed(schema, "Records of 3 Main Street, owner too")
    assert (found["properties"]["include_owners"]["enum"], found["required"]) == ([True], ["include_owners"])
    for message in ("Records of 3 Main Street", "Records without the owners", "Records, don't show owners"):
        assert narrowed(schema, message) == schema


def test_lists_hold_what_is_named_and_bracketed_lists_are_taken_whole() -> None:
    wanted = {"type": "array", "items": {"type": "string", "enum": ["price", "rating", "size"]}}
    found = narrowed({"type": "object", "properties": {"show": wanted}}, "its size and prices")["properties"]["show"]
    assert (found["items"]["enum"], found["minItems"], found["maxItems"]) == (["price", "size"], 2, 2)
    assert members("everything", show=wanted) == {"show": ["price", "rating", "size"]}
    values = {"type": "array", "items": {"type": "integer"}}
    assert members("of [3,4,-5] and [1, 2]", values=values) == {"values": [[3, 4, -5], [1, 2]]}
    assert members("of 3, 4 and -5.0 or 6", values=values) == {"values": [[3, 4, -5]]}
    assert members("the 2nd, 3rd, and 4th floors", values=values) == {"values": [[2, 3, 4]]}
    assert members("of 3 and 4", values=values) == {"values": [3, 4]}


def test_what_is_said_and_out_of_bounds_leaves_no_empty_choice() -> None:
    assert members("two or 7", ("top",), top={"type": "integer", "minimum": 5}) == {"top": [7]}
    assert members("only two", ("top",), top={"type": "integer", "minimum": 5}) == {"top": None}
    show = {"type": "array", "items": {"type": "string", "enum": ["price", "size"]}, "minItems": 2}
    assert narrowed({"type": "object", "properties": {"show": show}}, "its size")["properties"] == {"show": show}


def test_whatever_the_narrowed_schema_accepts_the_tool_accepts() -> None:
    tool: dict[str, Any] = {
        "type": "object",
        "properties": {
            "unit": UNIT,
            "count": {"type": "integer", "minimum": 3},
            "rate": {"type": "number"},
            "list": {"type": "array", "items": {"type": "number"}},
            "name": {"type": "string"},
        },
        "required": ["rate", "name"],
        "additionalProperties": False,
    }
    Draft202012Validator.check_schema(narrow := narrowed(tool, "Is 7% of [1, 2.5] in feet at least 4 or 2?"))
    choices = {name: [*one.get("enum", ["words"]), None] for name, one in narrow["properties"].items()}
    accepted = 0
    for values in itertools.product(*choices.values()):
        value = {name: one for name, one in zip(choices, values, strict=True) if one is not None}
        if Draft202012Validator(narrow).is_valid(value):
            accepted += 1
            assert Draft202012Validator(tool).is_valid(value)
    assert accepted > 10


def test_texts_that_may_be_left_out_stay_only_where_a_word_of_them_was_said() -> None:
    schema = {
        "properties": {"who": {"type": "string"}, "team": {"type": "string"}, "unit": UNIT, "n": {"type": "integer"}},
        "required": ["who"],
    }
    given = {"who": "nobody", "team": "Lakers", "unit": "feet", "n": 9}
    assert without_unsaid(given, schema, "his career") == {"who": "nobody", "unit": "feet", "n": 9}
    assert without_unsaid(given, schema, "his career with the LAKERS!") == given


def test_the_model_is_offered_what_was_said_and_held_to_it() -> None:
    offered: list[Any] = []

    class Model:
        def bind_tools(self, tools: Any, **_: Any) -> Any:
            offered.extend(tools)
            call = {"name": "size", "args": {"unit": "feet", "city": "Rome"}, "id": "1"}
            return RunnableLambda(lambda _, **more: AIMessage("", tool_calls=[call]))

    parameters = {"type": "object", "properties": {"unit": UNIT, "city": {"type": "string"}}, "required": ["unit"]}
    tool = {"type": "function", "function": {"name": "size", "description": "Sizes.", "parameters": parameters}}
    given = by_model(Model(), tool, "How many feet is it?", threading.Event())  # type: ignore[arg-type]
    assert given == {"unit": "feet"}
    assert offered[0]["function"]["parameters"]["properties"]["unit"]["enum"] == ["feet"]
    assert parameters["properties"]["unit"] == UNIT  # type: ignore[index]
