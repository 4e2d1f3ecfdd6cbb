"""Decides which tool a message needs, or none.

For now by rule: a greeting or thanks needs no tool, everything else is looked up where there are documents.
"""

from __future__ import annotations

import re

from agent.errors import UnknownTool

AUTO, NONE, SEARCH = "auto", "none", "search"
KNOWN = (AUTO, NONE, SEARCH)

_SMALL_TALK = re.compile(
    r"(?:\W|\b(?:hi|hello|hey|hiya|yo|howdy|good (?:morning|afternoon|evening|night)|greetings|thanks?|thank you|thx|ty"
    r"|cheers|bye|goodbye|see you|ok(?:ay)?|cool|great|nice|perfect|awesome|lol|sorry|please|there|so much"
    r"|very much|a lot|again|you|how are you(?: doing)?(?: today)?|what'?s up|who are you|what can you do|hearth"
    r"|to meet you)\b)+",
    re.IGNORECASE,
)


def choose_tool(message: str, *, wanted: str, has_documents: bool) -> str | None:
    """The tool for a message: `search`, or None for a plain reply.

    Args:
        message: the person's words.
        wanted: `auto`, `none` or a tool's name; a name is obeyed.
        has_documents: whether there is anything to search.

    Raises:
        UnknownTool: `wanted` is no tool's name.
    """
    if wanted not in KNOWN:
        raise UnknownTool(wanted, KNOWN)
    if wanted == NONE:
        return None
    if wanted == SEARCH:
        return SEARCH
    return SEARCH if has_documents and not _SMALL_TALK.fullmatch(message.strip()) else None
