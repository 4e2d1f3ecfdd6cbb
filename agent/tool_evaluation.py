"""The choice of a tool and of its arguments judged on a file of messages, by the way that the assistant itself takes.

Hearth's own tools are chosen by the router that serves; tools given in a row by the same router where a learned one
serves, else by the model, and their arguments are written under their schemas.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from agent.arguments import Asked, by_model
from agent.errors import BadInput
from agent.evaluation import read_lines
from agent.routing import ANSWER, SEARCH, Router, choose_tool
from agent.strategies.use import ToolUse
from models.prompts import call_messages
from models.tool_calls import openai_tool

if TYPE_CHECKING:
    from agent.assembly import House


@dataclass(frozen=True)
class Message:
    """One row: the tool that is right (None: no tool), the accepted arguments if judged, and tools offered instead."""

    id: str
    message: str
    tool: str | None
    arguments: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class JudgedCall:
    """What was chosen for a message; `valid` and `exact` are None where no arguments were judged."""

    id: str
    message: str
    expected: str | None
    tool: str | None
    right: bool
    arguments: Mapping[str, Any] | None = None
    valid: bool | None = None
    exact: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """The row as it stands in the table by message."""
        return asdict(self)


def evaluate_tools(
    house: House, messages: Sequence[Message], on_judged: Callable[[], object] = lambda: None
) -> tuple[dict[str, Any], list[JudgedCall]]:
    """`{tool_accuracy, arguments_valid, arguments_exact, n}` and a row a message.

    A library with documents is taken for granted, `search` and `answer` count as the same. Arguments are judged over
    the rows that have some and whose tool was right; a share of nothing is None.

    Raises:
        BadInput: there are no messages.
    """
    if not messages:
        raise BadInput("The messages file has no rows; expected lines of {id, message, tool}.")
    use = ToolUse(house.chat_model(), house.settings, house.library(), house.tools, house.router)
    judged = []
    for message in messages:
        judged.append(_offered(message, house.chat_model(), house.router()) if message.tools else _own(message, use))
        on_judged()
    called = [row for row in judged if row.valid is not None]
    return {
        "tool_accuracy": _share([row.right for row in judged]),
        "arguments_valid": _share([bool(row.valid) for row in called]),
        "arguments_exact": _share([bool(row.exact) for row in called if row.exact is not None]),
        "n": len(judged),
    }, judged


def read_messages(path: Path, limit: int | None = None) -> list[Message]:
    """The rows of a messages file.

    Raises:
        BadInput: a row lacks its message or its tool, with its line.
    """
    return list(itertools.islice(_rows(path), limit))


def _rows(path: Path) -> Iterator[Message]:
    for number, row in read_lines(path):
        if not isinstance(row.get("message"), str) or not row["message"].strip() or "tool" not in row:
            raise BadInput(f"{path.name}, line {number} has the columns {sorted(row)}; expected message and tool.")
        accepted = row.get("arguments")
        accepted = accepted if isinstance(accepted, list) else [] if accepted is None else [accepted]
        tools = tuple(openai_tool(tool) for tool in row.get("tools") or ())
        yield Message(str(row.get("id", number)), row["message"], row["tool"], tuple(accepted), tools)


def _own(row: Message, use: ToolUse) -> JudgedCall:
    router = use.router() if use.router else None
    offered = use.toolbox.descriptions
    name = choose_tool(row.message, wanted="auto", has_documents=True, tools=offered, router=router)
    right = name == (SEARCH if row.tool == ANSWER else row.tool)
    if not (row.arguments and right and name):
        return JudgedCall(row.id, row.message, row.tool, name, right)
    steps = use.plan(name, Asked(row.message), threading.Event()).steps
    given = steps[0].arguments if steps else {}
    return JudgedCall(row.id, row.message, row.tool, name, right, given, bool(steps), _accepted(given, row.arguments))


def _offered(row: Message, model: BaseChatModel, router: Router | None) -> JudgedCall:
    functions = {tool["function"]["name"]: tool["function"] for tool in row.tools}
    descriptions = {name: function["description"] or name for name, function in functions.items()}
    given: Mapping[str, Any] = {}
    if router is not None:
        name = choose_tool(row.message, wanted="auto", has_documents=True, tools=descriptions, router=router)
        if name is not None and functions[name]["parameters"].get("properties"):
            given = by_model(model, {"type": "function", "function": functions[name]}, row.message, threading.Event())
    else:
        said = model.bind_tools(list(row.tools)).invoke(call_messages(row.message))
        calls = said.tool_calls if isinstance(said, AIMessage) else []
        name, given = (calls[0]["name"], calls[0]["args"]) if calls else (None, {})
    right = name == row.tool
    valid = _is_valid(functions[name]["parameters"], given) if name else None
    exact = _accepted(given, row.arguments) if right and name and row.arguments else None
    return JudgedCall(row.id, row.message, row.tool, name, right, given, valid, exact)


def _is_valid(schema: dict[str, Any], arguments: Mapping[str, Any]) -> bool:
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(schema).is_valid(dict(arguments)))


def _accepted(given: Mapping[str, Any], accepted: Sequence[Mapping[str, Any]]) -> bool:
    plain = {name: _plain(value) for name, value in given.items()}
    return any(plain == {name: _plain(value) for name, value in one.items()} for one in accepted)


def _plain(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _share(marks: Sequence[bool]) -> float | None:
    return round(sum(marks) / len(marks), 4) if marks else None
