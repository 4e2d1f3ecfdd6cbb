"""Web pages: the words of the page with its headings; scripts, styles and hidden matter are left out.

The main text is found by trafilatura; where that finds little of a page, everything visible is kept instead.
"""

from __future__ import annotations

import re

import trafilatura
from lxml import etree, html  # type: ignore[import-untyped]

from retrieval.formats import Extracted, Refused
from retrieval.formats.text import clean, decode

_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]*encoding\s*=\s*["']([\w.:-]+)""", re.IGNORECASE)
_HEAD = 4096
_LEFT_OUT = frozenset(
    "script style noscript template iframe object embed svg math canvas select button nav title".split()
)
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font hi i ins kbd label mark q ref s samp small span"
    " strike strong sub sup time tt u var wbr".split()
)
_CELLS = frozenset(("td", "th", "cell"))
_SPACES = re.compile(r"\s+")
_ENOUGH = 0.05
"""Of the visible words: less found by trafilatura means that it took the page for something it is not."""
_SMALL_PAGE = 3000

Block = tuple[str, int]
"""(text, heading level; 0 for no heading)"""


def extract_html(data: bytes) -> Extracted:
    """A web page.

    Raises:
        Refused: corrupt, when nothing can be parsed at all.
    """
    found = _CHARSET.search(data[:_HEAD])
    declared = next((name.decode("ascii") for name in found.groups() if name), None) if found else None
    text, warnings = decode(data, declared)
    visible = _blocks(_tree(text))
    main = _main_blocks(text) if _length(visible) > _SMALL_PAGE else []
    blocks = main if _length(main) >= _ENOUGH * _length(visible) else visible
    return _joined(blocks, warnings)


def _tree(text: str) -> etree._Element:
    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
    try:
        return html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise Refused("no_text", "is a web page without any text.") from error


def _main_blocks(text: str) -> list[Block]:
    """The main text as trafilatura sees it."""
    found = trafilatura.bare_extraction(text, include_comments=False, include_tables=True)
    body = getattr(found, "body", None)
    return [] if body is None else _blocks(body)


def _blocks(root: etree._Element) -> list[Block]:
    """The text of a tree, block by block, in reading order; without recursion, as pages nest without limit."""
    blocks: list[Block] = []
    words: list[str] = []
    level = 0

    def flush() -> None:
        text = _SPACES.sub(" ", "".join(words)).strip(" |")
        if text:
            blocks.append((clean(text), level))
        words.clear()

    walker = etree.iterwalk(root, events=("start", "end"))
    for event, element in walker:
        tag = element.tag if isinstance(element.tag, str) else "script"
        if event == "start":
            if tag in _LEFT_OUT or element.get("hidden") is not None:
                walker.skip_subtree()
                continue
            if tag in _CELLS:
                words.append(" | ")
            elif tag not in _INLINE:
                flush()
                level = _heading_level(element, tag) or level
            words.append(element.text or "")
        else:
            if tag not in _INLINE and tag not in _CELLS:
                flush()
                level = 0 if _heading_level(element, tag) else level
            words.append(element.tail or "")
    flush()
    return blocks


def _heading_level(element: etree._Element, tag: str) -> int:
    name = element.get("rend") or "h2" if tag == "head" else tag  # trafilatura's own name for a heading
    return int(name[1]) if len(name) == 2 and name[0] == "h" and name[1] in "123456" else 0


def _length(blocks: list[Block]) -> int:
    return sum(len(text) for text, _ in blocks)


def _joined(blocks: list[Block], warnings: list[tuple[str, str]]) -> Extracted:
    parts, headings, at = [], [], 0
    for text, level in blocks:
        if level:
            headings.append((at, level, text))
        parts.append(text)
        at += len(text) + 2
    return Extracted("\n\n".join(parts), headings=headings, warnings=warnings)
