"""The roles that models serve, each in one line; the one list that profiles, registry, settings and doctor share."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from models.registry_errors import UnknownRole

ROLES: Mapping[str, str] = MappingProxyType(
    {
        "chat": "writes answers and calls tools",
        "embed": "turns passages and questions into vectors",
        "rerank": "puts found passages in order",
        "classify": "gives a text one of the labels it was trained on",
        "zero-shot": "gives a text one of your own labels",
        "translate": "translates",
        "summarize": "summarises",
        "extract": "answers with a span of a text",
        "entities": "finds people, places and other names",
        "support": "judges whether a passage supports a sentence",
        "route": "chooses the tool that a message needs",
        "vision": "describes pictures and answers questions about them",
        "speech": "writes down what is said",
        "fill-mask": "fills a gap with the likeliest word",
        "features": "gives a vector for each token",
        "table-answer": "answers from the cells of a table",
    }
)


def is_role(word: str) -> bool:
    """Whether a word is a role's name."""
    return word in ROLES


def check_role(role: str) -> None:
    """Refuses what is no role.

    Raises:
        UnknownRole: with the nearest roles.
    """
    if role not in ROLES:
        raise UnknownRole(role, difflib.get_close_matches(role.lower(), ROLES, n=2, cutoff=0.4) or list(ROLES))
