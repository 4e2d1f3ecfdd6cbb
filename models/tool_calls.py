"""Tools offered to a model and the calls it writes: which choice was asked for, the grammar for it, and the parser.

The form is the one that SmolLM2's template here and Qwen's and Hermes' own templates use: a JSON object of `name` and
`arguments` between `<tool_call>` tags. A tokenizer that describes its own form (`response_template`) is read with it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk

from models.constrained import SUBSTRING_OF, Constraint, closed_schema, is_free_text, lark, substring_terminal
from models.errors import BadOption

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_ANY = ("any", "required")
_JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None, "hashmap": "object"}


@dataclass(frozen=True)
class Offer:
    """The tools of one call, in OpenAI's form, and what the caller wants of them.

    `names` are the tools that may be called; `required` says that one must be.
    """

    tools: tuple[dict[str, Any], ...] = ()
    names: tuple[str, ...] = ()
    required: bool = False

    @property
    def shown(self) -> tuple[dict[str, Any], ...]:
        """The tools as the model is shown them: texts whose words an argument must be stand in the messages."""
        return tuple(_without_texts(tool) for tool in self.tools)

    def constraint(self, max_new_tokens: int) -> Constraint | None:
        """The grammar of the answer: calls that the tools' schemas accept, or where none is required plain text."""
        if not self.names:
            return None
        functions = [_function(tool) for tool in self.tools]
        offered = [function for function in functions if function["name"] in self.names]
        rules = [f"one: {' | '.join(f'call_{index}' for index in range(len(offered)))}"]
        for index, function in enumerate(offered):
            rules += _call_grammar(f"call_{index}", function, max_new_tokens)
        if self.required:
            rules.insert(0, f'start: "{OPEN}\\n" one "\\n{CLOSE}"')
        else:
            rules.insert(0, f'start: plain | block ("\\n" block)*\nblock: "{OPEN}\\n" one "\\n{CLOSE}"')
            # A reply that begins with "<" begins a call; a plain reply cannot, so the first token decides.
            rules.append("plain: /([^<](.|\\n)*)?/")
        return lark("\n".join(rules), "tools")


def offer(tools: Sequence[dict[str, Any]] | None, choice: Any) -> Offer:
    """What a call's `tools` and `tool_choice` ask for.

    Args:
        tools: in OpenAI's form.
        choice: None or "auto", "none", "any" or "required", True, a tool's name, or OpenAI's object naming one.

    Raises:
        BadOption: the choice names a tool that is not offered.
    """
    offered = tuple(tools or ())
    names = tuple(_function(tool)["name"] for tool in offered)
    if isinstance(choice, dict):
        choice = (choice.get("function") or choice).get("name") or choice.get("type")
    if choice in (None, False, "auto"):
        return Offer(offered, names)
    if choice == "none":
        return Offer(offered)
    if choice in _ANY or choice is True:
        return Offer(offered, names, required=bool(names))
    if choice not in names:
        raise BadOption("tool_choice", choice, f"auto, none, any or one of the tools {', '.join(names) or '(none)'}")
    return Offer(offered, (choice,), required=True)


def openai_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's form, its types as JSON schema names them and not as Python or Java does."""
    function = tool.get("function", tool)
    parameters = _json_types(function.get("parameters") or {"type": "object", "properties": {}})
    described = {"name": function["name"], "description": function.get("description", ""), "parameters": parameters}
    return {"type": "function", "function": described}


def _json_types(value: Any) -> Any:
    if isinstance(value, list):
        return [_json_types(item) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _json_types(inner) for key, inner in value.items()}
    if isinstance(kind := schema.get("type"), str) and kind.lower() in _JSON_TYPES:
        schema["type"] = _JSON_TYPES[kind.lower()]
        if schema["type"] is None:
            del schema["type"]
    return schema


@dataclass
class CallParser:
    """Splits a streamed reply into plain text and finished tool calls; feed it, then flush it.

    The same call twice counts once: small models like to repeat themselves.
    """

    names: Sequence[str]
    calls: int = 0
    _held: str = ""
    _inside: bool = False
    _written: set[str] = field(default_factory=set)

    def feed(self, text: str) -> list[AIMessageChunk]:
        """What is certain now: text before a call, and every call that has ended."""
        self._held += text
        chunks: list[AIMessageChunk] = []
        while True:
            tag = CLOSE if self._inside else OPEN
            before, found, after = self._held.partition(tag)
            if not found:
                break
            chunks += self._call(before) if self._inside else _text(before.rstrip() if not before.strip() else before)
            self._inside, self._held = not self._inside, after
        if not self._inside:
            kept = _overlap(self._held, OPEN)
            certain = self._held[: len(self._held) - kept]
            # White space between two calls is no text of the answer.
            if certain.strip() or not self.calls:
                chunks += _text(certain)
                self._held = self._held[len(certain) :]
        return chunks

    def flush(self) -> list[AIMessageChunk]:
        """The rest: held-back text, or a call whose end never came."""
        held, self._held = self._held, ""
        if self._inside:
            return self._call(held)
        return _text(held) if held.strip() or not self.calls else []

    def _call(self, written: str) -> list[AIMessageChunk]:
        if written.strip() in self._written:
            return []
        self._written.add(written.strip())
        self.calls += 1
        return [call_chunk(written, self.names, self.calls - 1)]


def call_chunk(written: str, names: Sequence[str], index: int) -> AIMessageChunk:
    """One call as LangChain streams it; what is no call of an offered tool becomes an invalid one, never an error."""
    call_id = f"call_{uuid.uuid4().hex[:24]}"
    try:
        value = json.loads(written)
        name, arguments = value["name"], value.get("arguments", {})
        problem = None if name in names else f"there is no tool {name!r}"
        problem = problem or (None if isinstance(arguments, dict) else "the arguments are no JSON object")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        name, arguments, problem = None, {}, f"no call could be read ({type(error).__name__})"
    if problem:
        # LangChain reads a stream's calls anew from their text; a JSON string is no object, so the call stays invalid.
        text = json.dumps(f"{problem}: {written.strip()}", ensure_ascii=False)
        chunk = tool_call_chunk(name=name, args=text, id=call_id, index=index)
        return AIMessageChunk(content="", tool_call_chunks=[chunk])
    written_arguments = json.dumps(arguments, ensure_ascii=False)
    chunk = tool_call_chunk(name=name, args=written_arguments, id=call_id, index=index)
    return AIMessageChunk(content="", tool_call_chunks=[chunk])


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = tool.get("function", tool)
    return function


def _without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_texts(inner) for key, inner in value.items() if key != SUBSTRING_OF}
    return value


def _call_grammar(rule: str, function: dict[str, Any], max_new_tokens: int) -> list[str]:
    """The rules of one call, the first named `rule`."""
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    properties = parameters.get("properties") or {}
    if any(SUBSTRING_OF in schema for schema in properties.values() if isinstance(schema, dict)):
        return _member_rules(rule, function["name"], properties, max_new_tokens)
    arguments = closed_schema(parameters, max_new_tokens)
    for name in arguments.get("required", ()):
        member = (arguments.get("properties") or {}).get(name)
        if isinstance(member, dict) and is_free_text(member):  # an empty text says that there is none
            member.setdefault("minLength", 1)
    schema = {
        "type": "object",
        "properties": {"name": {"const": function["name"]}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
    return [f"{rule}: {_json_of(schema)}"]


def _member_rules(rule: str, name: str, properties: dict[str, Any], max_new_tokens: int) -> list[str]:
    """A call written member by member, all of them, as a text's part cannot be said in a JSON schema."""
    opening = f'{{"name": {json.dumps(name)}, "arguments": {{'
    parts, rules = [json.dumps(opening)], []
    for index, (member, schema) in enumerate(properties.items()):
        parts.append(json.dumps(f"{', ' if index else ''}{json.dumps(member)}: "))
        value = f"{rule}_{index}"
        parts.append(value)
        if SUBSTRING_OF in schema:
            rules += [
                f'{value}: "\\"" {value.upper()} "\\""',
                f"{value.upper()}: {substring_terminal(schema[SUBSTRING_OF])}",
            ]
        else:
            rules.append(f"{value}: {_json_of(closed_schema(schema, max_new_tokens))}")
    return [f"{rule}: {' '.join(parts)} {json.dumps('}}')}", *rules]


def _json_of(schema: dict[str, Any]) -> str:
    spacing = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    return f"%json {json.dumps({**schema, 'x-guidance': spacing})}"


def _text(text: str) -> list[AIMessageChunk]:
    return [AIMessageChunk(content=text)] if text else []


def _overlap(text: str, tag: str) -> int:
    """How many characters at the text's end could be the beginning of the tag."""
    return next((size for size in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-size:])), 0)
