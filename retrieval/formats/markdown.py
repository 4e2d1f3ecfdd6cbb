"""Markdown: kept as it is written, with its headings found so that a passage can name its section.

Headings inside code fences are none.
"""

from __future__ import annotations

import re

from retrieval.formats import Extracted
from retrieval.formats.text import clean, decode

_LINE = re.compile(
    r"""^(?:(?P<fence>\ {0,3}(?:`{3,}|~{3,}))
          | (?P<marks>\ {0,3}\#{1,6})[ \t]+(?P<title>[^\n]*?)[ \t]*\#*[ \t]*$
          | (?P<under>(?!\s*[-*+>|])\S[^\n]*)\n(?P<rule>=+|-{2,})[ \t]*$)""",
    re.MULTILINE | re.VERBOSE,
)


def extract_markdown(data: bytes) -> Extracted:
    """A Markdown file."""
    decoded = decode(data)
    text = clean(decoded.text)
    headings = headings_of(text)
    facts = {"encoding": decoded.encoding}
    counted = "" if headings else "line"
    return Extracted(text, headings=headings, warnings=decoded.warnings, numbered_as=counted, facts=facts)


def headings_of(text: str) -> list[tuple[int, int, str]]:
    """(offset, level, title) of every heading, both the # kind and the underlined kind."""
    found: list[tuple[int, int, str]] = []
    fence = ""
    for match in _LINE.finditer(text):
        mark = (match["fence"] or "").strip()
        if mark:
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence):
                fence = ""
        elif not fence:
            level = len(match["marks"].strip()) if match["marks"] else 1 if match["rule"][0] == "=" else 2
            title = (match["title"] if match["marks"] else match["under"]).strip()
            if title:
                found.append((match.start(), level, title))
    return found
