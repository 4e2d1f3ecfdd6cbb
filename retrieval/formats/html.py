"""Web pages: the words of the page with its headings and tables; scripts, styles and hidden matter are left out.

The main text is found by trafilatura; where that finds little of a page, everything visible is kept instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import trafilatura
from lxml import etree, html  # type: ignore[import-untyped]

from retrieval.formats import Extracted, Refused
from retrieval.formats.composer import Composer
from retrieval.formats.tables import labelled
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
_ROWS = frozenset(("tr", "row"))
_SPACES = re.compile(r"\s+")
_ENOUGH = 0.05
"""Of the visible words: less found by trafilatura means that it took the page for something it is not."""
_SMALL_PAGE, _SMALL_SOURCE, _MARKUP = 3000, 5000, 10
"""A page with few words and little markup around them, such as a person writes or a program exports, is all content."""
_LONGEST_CELL = 1000
_LONGEST_TITLE = 200
_MOST_COLUMNS = 100


class Block(NamedTuple):
    """A piece of a page: `level` above 0 for a heading, `row` for a row of a table."""

    text: str
    level: int = 0
    row: bool = False


def extract_html(data: bytes) -> Extracted:
    """A web page.

    Raises:
        Refused: no_text, when nothing can be parsed at all.
    """
    composer = Composer()
    text, tree = _read(data, composer)
    visible = list(_Walk(tree).blocks())
    words = _length(visible)
    whole = words < _SMALL_PAGE and len(text) < max(_SMALL_SOURCE, _MARKUP * words)
    main = [] if whole else _main_blocks(text)
    write_blocks(composer, main if _length(main) >= _ENOUGH * words else visible)
    extracted = composer.extracted()
    title = _SPACES.sub(" ", clean(tree.findtext(".//title") or "")).strip()[:_LONGEST_TITLE]
    if title:
        extracted.facts["title"] = title
        if all(level > 1 for _, level, _ in extracted.headings):
            extracted.headings.insert(0, (0, 1, title))  # a passage's position then names the page at least
    return extracted


def visible_blocks(data: bytes, composer: Composer) -> list[Block]:
    """Everything a reader of a page or chapter sees; nothing where it cannot be parsed."""
    try:
        return list(_Walk(_read(data, composer)[1]).blocks())
    except Refused:
        return []


def write_blocks(composer: Composer, blocks: Iterable[Block]) -> None:
    """Add blocks to a document."""
    for block in blocks:
        if block.level:
            composer.heading(block.text, block.level)
        elif block.row:
            composer.line(block.text)
        else:
            composer.block(block.text)


def _read(data: bytes, composer: Composer) -> tuple[str, etree._Element]:
    """The page's source and tree; its encoding becomes a fact."""
    found = _CHARSET.search(data[:_HEAD])
    declared = next((name.decode("ascii") for name in found.groups() if name), None) if found else None
    decoded = decode(data, declared)
    composer.warnings += decoded.warnings
    composer.facts["encoding"] = decoded.encoding
    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
    try:
        return decoded.text, html.document_fromstring(decoded.text.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise Refused("no_text", "is a web page without any text.") from error


def _main_blocks(text: str) -> list[Block]:
    """The main text as trafilatura sees it."""
    found = trafilatura.bare_extraction(text, include_comments=False, include_tables=True, favor_precision=True)
    body = getattr(found, "body", None)
    return [] if body is None else list(_Walk(body).blocks())


class _Walk:
    """The text of a tree, block by block in reading order; without recursion, as pages nest without limit."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._words: list[str] = []
        self._level = 0

    def blocks(self) -> Iterator[Block]:
        """Headings, paragraphs and the rows of tables."""
        walker = etree.iterwalk(self._root, events=("start", "end"))
        for event, element in walker:
            tag = element.tag if isinstance(element.tag, str) else "script"
            if event == "end":
                yield from self._end(element, tag)
            elif _hidden(element, tag):
                walker.skip_subtree()
            elif tag == "table" and (rows := _data_rows(element)):
                yield from self._flushed()
                yield from rows
                walker.skip_subtree()
            else:
                yield from self._start(element, tag)
        yield from self._flushed()

    def _start(self, element: etree._Element, tag: str) -> Iterator[Block]:
        if tag in _CELLS:
            self._words.append(" | ")
        elif tag not in _INLINE:
            yield from self._flushed()
            self._level = _heading_level(element, tag) or self._level
        self._words.append(element.text or "")

    def _end(self, element: etree._Element, tag: str) -> Iterator[Block]:
        if tag not in _INLINE and tag not in _CELLS:
            yield from self._flushed()
            self._level = 0 if _heading_level(element, tag) else self._level
        self._words.append(element.tail or "")

    def _flushed(self) -> Iterator[Block]:
        text = _SPACES.sub(" ", "".join(self._words)).strip(" |")
        self._words.clear()
        if text:
            yield Block(clean(text), self._level)


def _hidden(element: etree._Element, tag: str) -> bool:
    return tag in _LEFT_OUT or element.get("hidden") is not None


def _heading_level(element: etree._Element, tag: str) -> int:
    name = element.get("rend") or "h2" if tag == "head" else tag  # trafilatura's own name for a heading
    return int(name[1]) if len(name) == 2 and name[0] == "h" and name[1] in "123456" else 0


def _data_rows(table: etree._Element) -> list[Block]:
    """The rows of a table of values; none for one that only lays the page out."""
    if table.find(".//table") is not None:
        return []
    rows = [row for row in table.iter() if row.tag in _ROWS]
    cells = _grid(rows)
    widths = [sum(map(bool, row)) for row in cells]
    if len(rows) < 2 or max(widths, default=0) < 2 or any(len(text) > _LONGEST_CELL for row in cells for text in row):
        return []
    heads = [[_is_head(cell) for cell in row if cell.tag in _CELLS] for row in rows]
    first = next((at for at, row in enumerate(cells) if any(row)), 0)
    header: bool | None = None
    if any(any(row) for row in heads):
        header = len(heads[first]) > 1 and all(heads[first])
    caption = " ".join(clean(_inner(item)) for item in table.iter("caption"))
    texts = [text for _, text in labelled(enumerate(cells, 1), header)]
    return [*([Block(caption)] if caption else []), *(Block(clean(text), row=True) for text in texts)]


def _is_head(cell: etree._Element) -> bool:
    return bool(cell.tag == "th" or cell.get("role") == "head")


def _grid(rows: list[etree._Element]) -> list[list[str]]:
    """Cell texts by row and column; a cell that spans rows stands in each of them, one that spans columns once."""
    grid: list[list[str]] = []
    spanning: dict[int, tuple[int, str]] = {}
    for row in rows:
        cells: list[str] = []
        for cell in (one for one in row if one.tag in _CELLS):
            _continue_spans(cells, spanning)
            text, height = _inner(cell), _count(cell.get("rowspan"))
            for step in range(min(_count(cell.get("colspan")), _MOST_COLUMNS - len(cells))):
                if height > 1:
                    spanning[len(cells)] = (height - 1, text if not step else "")
                cells.append(text if not step else "")
        _continue_spans(cells, spanning)
        grid.append(cells)
    return grid


def _continue_spans(cells: list[str], spanning: dict[int, tuple[int, str]]) -> None:
    while len(cells) in spanning:
        left, text = spanning.pop(len(cells))
        if left > 1:
            spanning[len(cells)] = (left - 1, text)
        cells.append(text)


def _count(value: str | None) -> int:
    return max(1, min(int(value), 1000)) if value and re.fullmatch(r"\d{1,6}", value) else 1


def _inner(element: etree._Element) -> str:
    """The words inside an element, on one line."""
    words, walker = [], etree.iterwalk(element, events=("start", "end"))
    for event, item in walker:
        tag = item.tag if isinstance(item.tag, str) else "script"
        if event == "start":
            if _hidden(item, tag):
                walker.skip_subtree()
                continue
            words.append((" " if tag not in _INLINE else "") + (item.text or ""))
        elif item is not element:
            words.append((" " if tag not in _INLINE else "") + (item.tail or ""))
    return _SPACES.sub(" ", "".join(words)).strip()


def _length(blocks: list[Block]) -> int:
    return sum(len(block.text) for block in blocks)
