"""Tools that this home adds, called by hand: those of MCP servers and of the tasks a model was configured for.

`/shop_price item=lamp days=3`, or the words alone where one text is wanted; options are taken by plain code, by the
tool's own schema, and never by a model. A picture or recording dropped with the command is the file that it works on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.arguments import valid
from agent.tools import NAMES

if TYPE_CHECKING:
    from chainlit.types import CommandDict
    from langchain_core.tools import BaseTool

_TYPED = re.compile(r"/([a-z0-9_-]+)(?!\S)[ \t]*(.*)\Z", re.DOTALL | re.IGNORECASE)
_OPTION = re.compile(r"""(?<!\S)(\w+)=("[^"]*"|'[^']*'|\S+)""")
_LONGEST_DOES = 90
DESCRIBE_PICTURE = "describe_image"
"""The tool of the vision role, which answers a question about a picture."""


@dataclass(frozen=True)
class ByHand:
    """A call that a person wrote: the tool, what it is called with, and how to write it where that does not do."""

    tool: str
    arguments: dict[str, Any]
    hint: str = ""


def added(tools: Mapping[str, BaseTool]) -> list[BaseTool]:
    """The tools that are not Hearth's own, which have commands of their own."""
    return [tool for name, tool in tools.items() if name not in NAMES]


def menu(tools: Mapping[str, BaseTool]) -> list[CommandDict]:
    """Those tools as Chainlit's menu shows them, with their options."""
    return [
        {
            "id": tool.name,
            "icon": "wrench",
            "description": f"{_does(tool)} {_options(tool)}".strip(),
            "button": False,
            "persistent": False,
            "selected": False,
        }
        for tool in added(tools)
    ]


def name_called(text: str, chosen: str | None) -> str:
    """The name of the command of a message; empty for a plain one."""
    typed = _TYPED.match(text.strip())
    return chosen or (typed[1] if typed else "")


def called(text: str, chosen: str | None, tools: Mapping[str, BaseTool], files: Sequence[str] = ()) -> ByHand | None:
    """The call in a message; None where it names none of the added tools.

    Args:
        text: the person's words, without a command that was chosen from the menu.
        chosen: its name.
        tools: what may be called, by name.
        files: paths of what was dropped with it.
    """
    by_name = {tool.name.lower(): tool for tool in added(tools)}
    tool = by_name.get(name_called(text, chosen).lower())
    if tool is None:
        return None
    typed = _TYPED.match(text.strip())
    words = text.strip() if chosen or typed is None else typed[2].strip()
    given = _arguments(tool, words, files)
    fits = given is not None and valid(tool, given)
    return ByHand(tool.name, given or {}, "" if fits else f"Write it as `/{tool.name} {_usage(tool)}`. {_does(tool)}")


def about_picture(question: str, files: Sequence[tuple[str, str]], tools: Mapping[str, BaseTool]) -> ByHand | None:
    """A question asked of one dropped picture, where a model serves vision; `files` are (path, media type)."""
    pictures = [path for path, kind in files if kind.startswith("image/")]
    if DESCRIBE_PICTURE not in tools or len(files) != 1 or not pictures:
        return None
    return ByHand(DESCRIBE_PICTURE, {"image": pictures[0], "text": question})


def _arguments(tool: BaseTool, words: str, files: Sequence[str]) -> dict[str, Any] | None:
    """What the words and files say, by the tool's schema; None where a value is not of its kind."""
    members = _members(tool)
    given: dict[str, Any] = {}
    for name, value in _OPTION.findall(words):
        if name in members:
            try:
                given[name] = _value(value.strip("\"'"), members[name])
            except ValueError:
                return None
    rest = " ".join(_OPTION.sub(lambda found: "" if found[1] in members else found[0], words).split())
    waiting = list(files)
    for name, member in members.items():
        if name not in given and waiting and "path" in str(member.get("description", "")):
            given[name] = waiting.pop(0)
    texts = [name for name, member in members.items() if member.get("type") == "string" and name not in given]
    wanted = [name for name in texts if name in _required(tool)] or texts
    if rest and not wanted:
        return None
    return given | ({wanted[0]: rest} if rest else {})


def _value(text: str, member: Mapping[str, Any]) -> Any:
    """A written value as its schema wants it.

    Raises:
        ValueError: it is not of that kind.
    """
    kinds = {one.get("type") for one in member.get("anyOf", [member])}
    if "array" in kinds and not text.startswith("["):
        return [part.strip() for part in text.split(",")]
    if kinds & {"array", "object", "integer", "number", "boolean"} and "string" not in kinds:
        return json.loads(text.lower() if "boolean" in kinds else text)
    return text


def _schema(tool: BaseTool) -> Mapping[str, Any]:
    from langchain_core.utils.function_calling import convert_to_openai_tool

    parameters: Mapping[str, Any] = convert_to_openai_tool(tool)["function"].get("parameters", {})
    return parameters


def _members(tool: BaseTool) -> Mapping[str, Any]:
    members: Mapping[str, Any] = _schema(tool).get("properties", {})
    return members


def _required(tool: BaseTool) -> Sequence[str]:
    required: Sequence[str] = _schema(tool).get("required", ())
    return required


def _usage(tool: BaseTool) -> str:
    """Every option as it is written, those that may be left out in brackets."""
    shown = {
        name: f"{name}={json.dumps(m['default']) if 'default' in m else '…'}" for name, m in _members(tool).items()
    }
    needed = _required(tool)
    return " ".join(text if name in needed else f"[{text}]" for name, text in shown.items())


def _options(tool: BaseTool) -> str:
    usage = _usage(tool)
    return f"({usage})" if usage else ""


def _does(tool: BaseTool) -> str:
    """The first sentence of what a tool says of itself."""
    first = re.split(r"(?<=\.)\s", " ".join(tool.description.split()), maxsplit=1)[0]
    return first if len(first) <= _LONGEST_DOES else first[: _LONGEST_DOES - 1] + "…"
