"""Decides which tool a message needs, or none: by a learned router where one serves, else by a rule.

The rule knows greetings and the verbs that a request may begin with; everything else is looked up where there are
documents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.errors import UnknownTool

AUTO, NONE, SEARCH, ANSWER = "auto", "none", "search", "answer"
FROM_LIBRARY = (SEARCH, ANSWER)
"""The tools that a question to the documents may be given to; the assistant answers it in its own way."""

_SMALL_TALK = re.compile(
    r"(?:\W|\b(?:hi|hello|hey|hiya|yo|howdy|good (?:morning|afternoon|evening|night)|greetings|thanks?|thank you|thx|ty"
    r"|cheers|bye|goodbye|see you|ok(?:ay)?|cool|great|nice|perfect|awesome|lol|sorry|please|there|so much"
    r"|very much|a lot|again|you|how are you(?: doing)?(?: today)?|what'?s up|who are you|what can you do|hearth"
    r"|to meet you)\b)+",
    re.IGNORECASE,
)
_POLITE = (
    r"\W*(?:(?:please|pls|kindly|hey|hi|hello|hearth|so|and|now|then|ok|okay|"
    r"(?:can|could|would|will) you|i(?:'d| would) like you to|i (?:want|need) you to)\b\W*)*"
)
_OPENINGS = {
    "summarize": r"summari[sz]e|summary of|sum up|tl;?dr|condense|shorten|give me (?:a|the) (?:summary|gist|overview)",
    "translate": r"translate|how (?:do|would|does|can) (?:you|i|one) say|how to say|what is .{1,60} in \w+\s*\?*$",
    "classify": r"classify|categori[sz]e|label|is (?:this|the following) \w+ (?:positive|negative|spam)|which of these",
    "compare": r"compare|what(?:'s| is| are) the differences? between|how do(?:es)? .{1,80} differ",
    "entities": r"(?:list|name|find|which|what) (?:all )?(?:of )?(?:the )?"
    r"(?:people|persons|names|places|companies|organi[sz]ations|entities)\b.{0,40}\b(?:in|mentioned|named)",
    "extract": r"extract|copy out|quote",
    "list_documents": r"(?:list|show)(?: me)?(?: all)?(?: of)?(?: the| my)? (?:documents|files|library)"
    r"|(?:which|what|how many) (?:documents|files|pdfs) (?:do|are|have)",
}
_RULES = {
    tool: re.compile(rf"{_POLITE}(?:{words})(?!\w)", re.IGNORECASE | re.DOTALL) for tool, words in _OPENINGS.items()
}


class Routed(Protocol):
    """One choice with its probability, 0 to 1; `tool` None is a plain reply."""

    @property
    def tool(self) -> str | None:
        """The tool's name."""

    @property
    def probability(self) -> float:
        """How likely it is the right one."""


class Router(Protocol):
    """What chooses among tools."""

    def route(self, message: str, tools: Mapping[str, str]) -> Sequence[Routed]:
        """The tools by probability, best first, given their descriptions by name."""


@dataclass(frozen=True)
class Ruled:
    """A choice made by rule, which knows no doubt."""

    tool: str | None
    probability: float = 1.0


class RuleRouter:
    """Chooses by how a message begins."""

    def route(self, message: str, tools: Mapping[str, str]) -> Sequence[Routed]:
        """The one choice."""
        if _SMALL_TALK.fullmatch(message.strip()):
            return [Ruled(None)]
        return [Ruled(next((tool for tool, rule in _RULES.items() if tool in tools and rule.match(message)), SEARCH))]


def choose_tool(
    message: str,
    *,
    wanted: str,
    has_documents: bool,
    tools: Mapping[str, str] | None = None,
    router: Router | None = None,
) -> str | None:
    """The tool for a message, or None for a plain reply.

    Args:
        message: the person's words.
        wanted: `auto`, `none` or a tool's name; a name is obeyed.
        has_documents: whether there is anything to search.
        tools: the descriptions by name; None knows `search` alone.
        router: who chooses; None goes by rule.

    Raises:
        UnknownTool: `wanted` is no tool's name.
    """
    offered = tools or {SEARCH: ""}
    known = dict.fromkeys((AUTO, NONE, *FROM_LIBRARY, *offered))
    if wanted not in known:
        raise UnknownTool(wanted, tuple(known))
    if wanted != AUTO:
        return None if wanted == NONE else wanted
    best = (router or RuleRouter()).route(message, offered)[0].tool
    return None if best in FROM_LIBRARY and not has_documents else best
