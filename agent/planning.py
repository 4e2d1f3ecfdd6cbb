"""The steps that a message needs once its tool is known: one, one for each text or document, or a tool after another.

By rule: a language beside a summary makes a translation of it the second step; several texts are classified one by one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from agent import arguments as filling
from agent import message_parts
from agent.arguments import Asked, DocumentId, DocumentText
from agent.grounding import sentences, strip_citations

_SUMMARY = re.compile(r"\b(?:summar(?:y|ies|i[sz]e)|tl;?dr|gist|main points|key points|overview)\b", re.IGNORECASE)
_SHORTER = re.compile(
    r"\W*(?:(?:please|can you|could you|now|ok|and|a bit|much|even|make (?:it|that|this)|say (?:it|that)|that|it|tl;?dr"
    r"|shorter|briefer|shorten|summari[sz]e|in short|too long|pls|your (?:last )?answer)\b\W*)+",
    re.IGNORECASE,
)
_SHORTENS = re.compile(r"\b(?:shorter|briefer|shorten|summari[sz]e|tl;?dr|in short|too long)\b", re.IGNORECASE)
_TITLE_CHARACTERS = 60
_MOST_STEPS = 20
_ASK_FOR = {
    "summarize": "Which text or document shall I summarize? Paste it, or name a document of your library.",
    "translate": "What shall I translate, and into which language? Paste the text, or name a document of your library.",
    "classify": "Which text shall I classify, and into which classes? Paste it, such as: urgent or not: “...”.",
    "extract": "From which text or document shall I copy it? Paste it, or name a document of your library.",
    "entities": "In which text shall I look for names? Paste it, or name a document of your library.",
    "compare": "Which two texts or documents shall I compare? Paste both, or name two documents of your library.",
}


class Previous(Enum):
    """The value of an argument that is the text of the step before."""

    TEXT = "the text of the step before"


@dataclass(frozen=True)
class Step:
    """One call of a tool; `title` tells it from its like where a plan calls a tool several times."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    @property
    def shown(self) -> dict[str, Any]:
        """The arguments as a person is shown them: a document by its name."""
        return {name: _shown(value) for name, value in self.arguments.items()}

    @property
    def continues(self) -> bool:
        """Whether it works on the text of the step before."""
        return Previous.TEXT in self.arguments.values()


@dataclass(frozen=True)
class Plan:
    """The steps in order; `question` is what to ask the person instead where something is missing.

    `wanted` is the label that was asked for, as in `which of these are negative?`.
    """

    steps: tuple[Step, ...] = ()
    question: str = ""
    wanted: str | None = None


def plan(tool: BaseTool, asked: Asked, model: BaseChatModel, cancel: threading.Event, *, own: bool) -> Plan:
    """The plan for a message whose tool is known; the chat model fills in what plain code leaves open.

    Args:
        tool: the tool that the message needs.
        asked: the message with what it may refer to.
        model: the chat model.
        cancel: ends the model's work.
        own: whether it is one of Hearth's own tools; the arguments of another are the model's alone.
    """
    if not own:
        given = filling.by_model(model, tool, asked.message, cancel) if tool.args else {}
        missing = f"I cannot tell from the message what {tool.name} needs; say it with {', '.join(tool.args)}."
        return Plan((Step(tool.name, given),)) if filling.valid(tool, given) else Plan(question=missing)
    given = filling.known(tool.name, asked)
    if open_members := filling.open_members(tool.name, given, asked):
        if not filling.may_hold(tool.name, asked) and set(open_members) - {"to"}:
            return Plan(question=_ASK_FOR[tool.name])
        given |= filling.by_model(model, tool, asked.message, cancel, open_members)
    if set(open_members) - set(given) or not filling.valid(tool, given):
        return Plan(question=_ASK_FOR.get(tool.name, f"What shall I give to {tool.name}?"))
    return _with_language(tool.name, _each(tool.name, given, asked), asked)


def follow_up(message: str, last_answer: str | None) -> Plan | None:
    """The plan for `shorter` and the like after an answer of two sentences or more; None for every other message."""
    if last_answer is None or not _SHORTER.fullmatch(message) or not _SHORTENS.search(message):
        return None
    text = strip_citations(last_answer)
    if len(sentences(text)) < 2:
        return None
    words = max(5, len(text.split()) // 2)
    return Plan((Step("summarize", {"text": text, "words": min(1000, words)}),))


def _each(tool: str, given: Mapping[str, Any], asked: Asked) -> Plan:
    """One step, or one for every text that is classified and every document that is named."""
    wanted = message_parts.asked_label(asked.request) if tool == "classify" else None
    step = Step(tool, given)
    if tool == "classify" and len(asked.texts) > 1:
        steps = [replace(step, arguments={**given, "text": text}, title=text) for text in asked.texts]
        return Plan(tuple(steps[:_MOST_STEPS]), wanted=wanted)
    if tool != "compare" and len(asked.documents) > 1 and not asked.texts:
        name, kind = ("document", DocumentId) if "document" in given else ("text", DocumentText)
        steps = [replace(step, arguments={**given, name: kind(r)}, title=r.document) for r in asked.documents]
        return Plan(tuple(steps[:_MOST_STEPS]), wanted=wanted)
    return Plan((step,), wanted=wanted)


def _with_language(tool: str, made: Plan, asked: Asked) -> Plan:
    """A summary in another language is two steps, whichever of the two tools was chosen."""
    if tool == "summarize" and (language := message_parts.said_language(asked.request)):
        translated = [Step("translate", {"text": Previous.TEXT, "to": language}, step.title) for step in made.steps]
        pairs = zip(made.steps, translated, strict=True)
        return replace(made, steps=tuple(step for pair in pairs for step in pair))
    summary_first = _SUMMARY.search(asked.request) and not asked.texts and asked.documents
    if tool == "translate" and summary_first:
        words = message_parts.wanted_words(asked.request)
        steps = []
        for step, record in zip(made.steps, asked.documents, strict=False):
            source = {"document": DocumentId(record)} | ({"words": words} if words else {})
            steps.append(Step("summarize", source, step.title))
            steps.append(replace(step, arguments={**step.arguments, "text": Previous.TEXT}))
        return replace(made, steps=tuple(steps))
    return made


def short_title(title: str) -> str:
    """A title on one line, cut where it is long."""
    line = " ".join(title.split())
    return line if len(line) <= _TITLE_CHARACTERS else line[: _TITLE_CHARACTERS - 1] + "…"


def _shown(value: Any) -> Any:
    if isinstance(value, DocumentText):
        return f"the text of {value.record.document}"
    if isinstance(value, DocumentId):
        return value.record.document
    return value.value if isinstance(value, Previous) else value
