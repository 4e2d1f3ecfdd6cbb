"""What a tool is called with: taken from the message by plain code where it is beyond doubt, else by the chat model.

The model writes under a grammar: a text can only be words of the message, a language one that exists, and the whole is
always what the tool's schema accepts.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ValidationError

from agent import message_parts
from agent.narrowing import narrowed, without_unsaid
from models.prompts import call_messages
from retrieval.records import DocumentRecord

_BACK = re.compile(
    r"\b(?:that|this|it|(?:your|the|that) (?:last |previous )?(?:answer|reply|response)|above|the same)\b",
    re.IGNORECASE,
)
_THE_DOCUMENT = re.compile(
    r"\b(?:the|this|that|my) (?:\w+ )?(?:document|file|pdf|paper|report|text|docx?)\b", re.IGNORECASE
)
_FEW_WORDS = 8
"""A quote shorter than this, beside a document's name, is part of the request."""
_LEAST_WORDS = {"translate": 4}
_LEAST_WORDS_OTHERWISE = 14
"""Words of a message below which there is no text to be found in it beside the request."""
_MEMBERS = {"classify": ("text",), "entities": ("text",), "summarize": ("text",), "extract": ("text",)}


@dataclass(frozen=True)
class DocumentText:
    """The whole text of a document, read when the tool is called."""

    record: DocumentRecord


@dataclass(frozen=True)
class DocumentId:
    """A document that a tool finds by its id, as others may have its name; a person is shown the name."""

    record: DocumentRecord


@dataclass(frozen=True)
class Asked:
    """A message, the documents that it may mean, and the thread's last answer, for `that` and `it`."""

    message: str
    records: Sequence[DocumentRecord] = ()
    last_answer: str | None = None

    @cached_property
    def parts(self) -> message_parts.Parts:
        """The request and the texts beside it."""
        return message_parts.parts(self.message)

    @cached_property
    def named(self) -> tuple[DocumentRecord, ...]:
        """The documents that the message names, in the order named."""
        return named_documents(self.message, self.records)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The texts that the message is about; short quotes beside a document's name are part of the request."""
        texts = self.parts.texts
        if self.named and not any(len(text.split()) >= _FEW_WORDS for text in texts):
            return ()
        if texts or self.last_answer is None or self.documents or not _BACK.search(self.message):
            return texts
        return (self.last_answer,)

    @cached_property
    def documents(self) -> tuple[DocumentRecord, ...]:
        """The documents named; else, for `the document`, the only one there is."""
        if self.named or self.parts.texts:
            return self.named
        only = len(self.records) == 1 and _THE_DOCUMENT.search(self.message)
        return (self.records[0],) if only else ()

    @property
    def request(self) -> str:
        """The message without the texts that it is about."""
        return self.parts.head if self.texts else self.message


def named_documents(
    message: str, records: Sequence[DocumentRecord], *, loosely: bool = False
) -> tuple[DocumentRecord, ...]:
    """The documents whose file name stands in a message, in that order.

    Where none does, and with `loosely` also beside those, a name without its ending counts.
    """
    found = _found(message, {record.document_id: (record.document,) for record in records})
    if loosely or not found:
        found |= _found(message, {record.document_id: _stems(record) for record in records})
    by_id = {record.document_id: record for record in records}
    return tuple(by_id[document_id] for document_id in sorted(found, key=lambda one: found[one]))


def _found(message: str, names: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Where in the message each document is named first, by its id."""
    places = {}
    for document_id, own in names.items():
        at = [re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", message, re.IGNORECASE) for name in own]
        if starts := [match.start() for match in at if match]:
            places[document_id] = min(starts)
    return places


def _stems(record: DocumentRecord) -> tuple[str, ...]:
    stem = record.document.rpartition(".")[0] or record.document
    return tuple(name for name in {stem, re.sub(r"[_-]+", " ", stem)} if len(name) >= 4)


def known(tool: str, asked: Asked) -> dict[str, Any]:
    """The arguments of one of Hearth's own tools that are beyond doubt; of several documents, the first."""
    request = asked.request
    match tool:
        case "search":
            return {"query": asked.message}
        case "answer":
            return {"question": asked.message}
        case "summarize":
            words = message_parts.wanted_words(request)
            return _source(asked) | ({"words": words} if words else {})
        case "translate":
            return _translation(asked)
        case "classify":
            labels = message_parts.labels(request)
            return _text(asked) | ({"labels": labels} if labels else {})
        case "extract":
            return {"question": request.strip(" :") or asked.message, **_source(asked)}
        case "entities":
            return _text(asked)
        case "compare":
            return _two(asked)
    return {}


def _source(asked: Asked) -> dict[str, Any]:
    if asked.texts:
        return {"text": "\n".join(asked.texts)}
    return {"document": DocumentId(asked.documents[0])} if asked.documents else {}


def _text(asked: Asked) -> dict[str, Any]:
    if asked.texts:
        return {"text": "\n".join(asked.texts)}
    return {"text": DocumentText(asked.documents[0])} if asked.documents else {}


def _translation(asked: Asked) -> dict[str, Any]:
    request = asked.request
    found = _text(asked)
    if not found and (spoken := message_parts.spoken_part(asked.message)) and not _BACK.fullmatch(spoken):
        found = {"text": spoken}
    languages = {"to": message_parts.target_language(request), "source": message_parts.source_language(request)}
    return found | {name: language for name, language in languages.items() if language}


def _two(asked: Asked) -> dict[str, Any]:
    texts = list(asked.texts)
    if len(texts) == 1:  # `one / other`, or one a line
        halves = re.split(r"\s+/\s+|\s+(?:vs\.?|versus)\s+|\n+", texts[0])
        texts = [half.strip() for half in halves] if len(halves) == 2 else texts
    named = asked.documents
    if len(named) == 1 and not texts:
        named = named_documents(asked.message, asked.records, loosely=True)
    documents = [DocumentId(record) for record in named]
    if len(texts) >= 2:
        return {"first": texts[0], "second": texts[1]}
    if len(documents) >= 2:
        return {"first_document": documents[0], "second_document": documents[1]}
    first: dict[str, Any] = {"first_document": documents[0]} if documents else {}
    return first | ({"second" if documents else "first": texts[0]} if texts else {})


def open_members(tool: str, arguments: Mapping[str, Any], asked: Asked) -> dict[str, dict[str, Any]]:
    """The schemas of what one of Hearth's own tools still lacks and the message may hold; empty where it lacks nothing.

    Texts have to be words of the message, languages must exist.
    """
    from models.constrained import SUBSTRING_OF

    words: dict[str, Any] = {"type": "string", SUBSTRING_OF: asked.message}
    members: dict[str, dict[str, Any]] = {}
    if tool == "translate":
        members = {"text": words, "to": {"enum": message_parts.language_names()}}
    elif tool == "compare":
        given = sum(name.startswith(("first", "second")) for name in arguments)
        members = {} if given == 2 else {"first": words, "second": words}
        if "first_document" in arguments:
            members.pop("first", None)
    elif tool in _MEMBERS and "document" not in arguments:
        members = dict.fromkeys(_MEMBERS[tool], words)
    return {name: schema for name, schema in members.items() if name not in arguments}


def may_hold(tool: str, asked: Asked) -> bool:
    """Whether the message has words enough to hold a text for the tool beside the request itself."""
    return len(asked.message.split()) >= _LEAST_WORDS.get(tool, _LEAST_WORDS_OTHERWISE)


def by_model(
    model: BaseChatModel,
    tool: BaseTool | Mapping[str, Any],
    message: str,
    cancel: threading.Event,
    members: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The arguments as the model writes them in a call of this one tool.

    Args:
        model: the chat model.
        tool: a tool, or one in OpenAI's form.
        message: what to take them from.
        cancel: ends the model's work.
        members: write these arguments only, all of them, by these schemas; None writes the tool's own schema, narrowed
            to what the message says.

    Returns:
        The arguments; empty where the model calls no tools or was stopped.
    """
    schema = convert_to_openai_tool(tool if isinstance(tool, BaseTool) else dict(tool))
    function = schema["function"]
    own = function.get("parameters") or {}
    if members is None:
        parameters = narrowed(own, message)
    else:
        parameters = {"type": "object", "properties": dict(members), "required": list(members)}
    schema = {"type": "function", "function": {**function, "parameters": parameters}}
    try:
        bound = model.bind_tools([schema], tool_choice=function["name"])
    except NotImplementedError:
        return {}
    said = bound.invoke(call_messages(message), cancel=cancel)
    calls = said.tool_calls if isinstance(said, AIMessage) else []
    given = {name: value for name, value in (calls[0]["args"] if calls else {}).items() if value != ""}
    return without_unsaid(given, own, message) if members is None else given


def valid(tool: BaseTool, arguments: Mapping[str, Any]) -> bool:
    """Whether a tool's schema accepts the arguments; one given as JSON is asked for its required members alone."""
    schema = tool.args_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        try:
            later = (DocumentText, DocumentId)
            schema.model_validate({n: "text" if isinstance(v, later) else v for n, v in arguments.items()})
        except ValidationError:
            return False
        return True
    required = schema.get("required", ()) if isinstance(schema, dict) else ()
    return all(name in arguments for name in required)
