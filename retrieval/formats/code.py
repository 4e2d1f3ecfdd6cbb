"""Source code: kept as it is, with its classes and functions as headings and its lines as positions."""

from __future__ import annotations

import re

from retrieval.formats import Extracted
from retrieval.formats.text import clean, decode

_MODIFIERS = (
    r"(?:(?:export|default|public|private|protected|internal|static|final|abstract|async|virtual|override|sealed|inline"
    r"|const|constexpr|extern|unsafe|pub(?:\([a-z]+\))?|open|data|partial|readonly|declare|local|suspend|synchronized)\s+)*"
)
_KEYWORDS = (
    r"class|interface|struct|enum|trait|impl|module|namespace|object|record|protocol|extension|union|contract|package"
    r"|def|func|function|fun|fn|sub|proc|procedure|macro_rules!|macro|type"
)
_NAMED = re.compile(
    rf"(?P<indent>[ \t]*){_MODIFIERS}(?P<kind>{_KEYWORDS})\b\*?(?:\s*<[^>\n]*>)?\s*(?P<receiver>\([^)\n]*\)\s*)?"
    r"(?P<name>[A-Za-z_$~][\w$.:!?<>', ]{0,100}?)?\s*(?=[({:;=]|$|\bextends\b|\bimplements\b|\bwhere\b|\bfor\b)",
)
_TYPED = re.compile(
    rf"(?P<indent>[ \t]*){_MODIFIERS}(?:[A-Za-z_][\w:<>,\[\]*& ]*[\s*&]+)(?P<name>~?[A-Za-z_][\w:]*)\s*\([^;{{}}\n]*\)"
    r"\s*(?:const|noexcept|override|final|throws [\w., ]+)?\s*\{?[ \t]*$",
)
_ARROW = re.compile(
    r"(?P<indent>[ \t]*)(?:export\s+)?(?:const|let|var)\s+(?P<name>[\w$]+)\s*=\s*(?:async\s*)?"
    r"(?:function\b|\([^)\n]*\)\s*(?::[^=\n]+)?=>|[\w$]+\s*=>)",
)
_SQL = re.compile(
    r"(?P<indent>)CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+)?(?P<kind>TABLE|VIEW|FUNCTION|PROCEDURE|INDEX|TRIGGER)"
    r"\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>[\w.\"`]+)",
    re.IGNORECASE,
)
_SHELL = re.compile(r"(?P<indent>[ \t]*)(?:function\s+)?(?P<name>[\w-]+)\s*\(\)\s*\{")
_NO_NAMES = frozenset("if for while switch return else catch do try new delete throw sizeof case await yield".split())
_MAX_LEVEL = 9
_LONGEST_LINE = 300
"""Longer lines are data, and could keep the patterns busy."""


def extract_code(data: bytes) -> Extracted:
    """A program's source."""
    decoded = decode(data)
    text = clean(decoded.text)
    facts = {"encoding": decoded.encoding}
    return Extracted(text, headings=_headings(text), warnings=decoded.warnings, numbered_as="line", facts=facts)


def _headings(text: str) -> list[tuple[int, int, str]]:
    """(offset, level by indentation, name) of what the source defines."""
    headings: list[tuple[int, int, str]] = []
    open_indents: list[int] = []
    at = 0
    for line in text.split("\n"):
        found = _definition(line) if 3 < len(line) < _LONGEST_LINE else None
        if found is not None:
            indent, name = found
            open_indents = [one for one in open_indents if one < indent]
            open_indents.append(indent)
            headings.append((at, min(len(open_indents), _MAX_LEVEL), name))
        at += len(line) + 1
    return headings


def _definition(line: str) -> tuple[int, str] | None:
    """(indentation, name) of what a line defines; None for any other line."""
    for pattern in (_NAMED, _TYPED, _ARROW, _SQL, _SHELL):
        match = pattern.match(line)
        name = _name(match) if match else ""
        if match and name:
            return len(match["indent"].expandtabs(4)), name
    return None


def _name(match: re.Match[str]) -> str:
    facts = match.groupdict()
    name = " ".join((facts.get("name") or "").split())
    if not name or name.split()[0] in _NO_NAMES:
        return ""
    kind = facts.get("kind") or ""
    return f"{kind} {name}".strip()
