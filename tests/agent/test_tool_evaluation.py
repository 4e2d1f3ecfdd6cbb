"""`eval tools`: the right shares from messages whose answers are known, for Hearth's tools and for tools in a row."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.errors import BadInput
from agent.settings import Settings
from agent.tool_evaluation import evaluate_tools, read_messages
from tests.agent.stub_tools import stub_tools
from tests.doubles_model import ToolCallingModel

AREA = {
    "name": "area",
    "description": "The area of a triangle.",
    "parameters": {
        "type": "dict",
        "properties": {"base": {"type": "integer"}, "height": {"type": "float"}},
        "required": ["base", "height"],
    },
}


def house(*turns: Any) -> Any:
    model = ToolCallingModel(turns=list(turns) or ["no call"])
    return SimpleNamespace(
        settings=Settings(home=Path("/nowhere")),
        chat_model=lambda: model,
        library=lambda: SimpleNamespace(user=None),
        tools=lambda library: stub_tools(library),
        router=lambda: None,
    )


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_own_tools_are_chosen_and_called_as_the_assistant_does(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "message": "hello there", "tool": None},
        {"id": 2, "message": "when was it founded?", "tool": "answer"},
        {
            "id": 3,
            "message": 'translate "good day" to French',
            "tool": "translate",
            "arguments": [{"text": "x", "to": "French"}, {"text": "good day", "to": "French"}],
        },
        {"id": 4, "message": 'Translate "a" to Welsh', "tool": "translate", "arguments": {"text": "b", "to": "Welsh"}},
        {"id": 5, "message": "what does it cost?", "tool": "compare"},
    ]
    scores, judged = evaluate_tools(house(), read_messages(write(tmp_path / "m.jsonl", rows)))
    assert scores == {"tool_accuracy": 0.8, "arguments_valid": 1.0, "arguments_exact": 0.5, "n": 5}
    assert judged[4].to_json()["tool"] == "search"


def test_tools_in_a_row_take_the_place_of_ours(tmp_path: Path) -> None:
    row = {"message": "a triangle of 10 by 5", "tool": "area", "arguments": {"base": 10, "height": 5}, "tools": [AREA]}
    turns = [
        [("area", {"base": 10, "height": 5.0})],
        [("area", {"base": "ten", "height": 5})],
        "I cannot.",
    ]
    scores, judged = evaluate_tools(house(*turns), read_messages(write(tmp_path / "m.jsonl", [row, row, row])))
    assert scores == {"tool_accuracy": 0.6667, "arguments_valid": 0.5, "arguments_exact": 0.5, "n": 3}
    assert [call.tool for call in judged] == ["area", "area", None]


def test_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", [{"message": "a", "tool": None}, {"message": "b"}])
    with pytest.raises(BadInput, match=r"line 2 .* expected message and tool"):
        read_messages(path)
    assert len(read_messages(path, 1)) == 1
    with pytest.raises(BadInput, match="no rows"):
        evaluate_tools(house(), [])
