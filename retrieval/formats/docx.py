"""Word documents: paragraphs under their headings, tables as rows, notes and comments where they are pointed at.

What a reader sees is read: inserted text yes, deleted text no; page headers and footers stand once at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree  # type: ignore[import-untyped]

from retrieval.formats import Extracted
from retrieval.formats.archive import Archive
from retrieval.formats.composer import Composer
from retrieval.formats.docx_styles import Numbering, heading_levels
from retrieval.formats.office import drawing_words, main_part, picture_text, properties
from retrieval.formats.tables import labelled
from retrieval.formats.xmltree import all_inside, attribute, inside, local

_SKIPPED = frozenset(("del", "moveFrom", "Fallback", "instrText", "delText", "pPr", "rPr", "sdtPr", "tblPr", "sectPr"))
_CHARACTERS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011"}
_NOTES = {"footnoteReference": "footnotes", "endnoteReference": "endnotes", "commentReference": "comments"}
_BLOCKS = frozenset(("p", "tbl"))


@dataclass
class _Around:
    """What a paragraph's words may point at."""

    archive: Archive
    part: str
    levels: dict[str, int] = field(default_factory=dict)
    numbering: Numbering = field(default_factory=Numbering)
    notes: dict[tuple[str, str], etree._Element] = field(default_factory=dict)


def extract_docx(data: bytes) -> Extracted:
    """A Word document.

    Raises:
        Refused: corrupt, encrypted, unsafe_xml or expands_too_much.
    """
    return read_docx(Archive(data))


def read_docx(archive: Archive) -> Extracted:
    """A Word document from its parts."""
    part = main_part(archive, "word/document.xml")
    composer = Composer()
    composer.facts = properties(archive)
    body = inside(archive.xml(part), "body")
    around = _around(archive, part)
    if body is not None:
        _write(composer, body, around)
    margins = [member for kind in ("header", "footer") for member in archive.related(part, kind)]
    texts = [text for member in margins for text in _texts(archive.xml(member), _Around(archive, member))]
    texts = [text for text in texts if text.strip(" \t\n.-/|0123456789")]  # page numbers say nothing here
    if texts:
        composer.part("Headers and footers")
        for text in dict.fromkeys(texts):
            composer.block(text)
    return composer.extracted()


def _around(archive: Archive, part: str) -> _Around:
    trees = {kind: archive.xml(member) for kind in ("styles", "numbering") for member in archive.related(part, kind)}
    around = _Around(archive, part, heading_levels(trees.get("styles")), Numbering.read(trees))
    for kind in _NOTES.values():
        for member in archive.related(part, kind):
            tree = archive.xml(member)
            for note in tree if tree is not None else ():
                around.notes[kind, attribute(note, "id") or ""] = note
    return around


def _write(composer: Composer, container: etree._Element, around: _Around) -> None:
    """The blocks of the body in their order."""
    for element in _blocks(container):
        if local(element) == "tbl":
            composer.lines(labelled(_rows(element, around), _has_header(element)))
            continue
        level = _level(element, around)
        paragraph = _Paragraph(around)
        text = around.numbering.mark(element) + paragraph.read(element)
        if level and text.strip():
            composer.heading(" ".join(text.split()), level)
        else:
            composer.block(text)
        for aside in paragraph.asides:
            composer.block(aside)


def _blocks(container: etree._Element) -> Iterator[etree._Element]:
    """Paragraphs and tables of a container, those inside content controls and insertions too."""
    for element in container:
        name = local(element)
        if name in _BLOCKS:
            yield element
        elif name and name not in _SKIPPED:
            yield from _blocks(element)


def _level(paragraph: etree._Element, around: _Around) -> int:
    """Heading level from 1; 0 for a paragraph."""
    settings = inside(paragraph, "pPr")
    outline = inside(settings, "outlineLvl")
    if outline is not None:
        value = attribute(outline, "val") or ""
        return int(value) + 1 if value in tuple("012345678") else 0
    style = inside(settings, "pStyle")
    return around.levels.get(attribute(style, "val") or "", 0) if style is not None else 0


class _Paragraph:
    """The words of one paragraph, and what hangs on it: text boxes, notes, comments, charts."""

    def __init__(self, around: _Around) -> None:
        self._around = around
        self._words: list[str] = []
        self.asides: list[str] = []

    def read(self, element: etree._Element) -> str:
        """Its words in order; `asides` is filled on the way."""
        self._walk(element)
        return "".join(self._words)

    def _walk(self, element: etree._Element) -> None:
        for child in element:
            name = local(child)
            if name in _SKIPPED or not name:
                continue
            if name == "t":
                self._words.append(child.text or "")
            elif name in _CHARACTERS:
                self._words.append(_CHARACTERS[name])
            elif name == "txbxContent":
                self.asides += _texts(child, self._around)
            elif name in _NOTES:
                self._note(_NOTES[name], attribute(child, "id") or "")
            else:
                self._drawing(child, name)
                self._walk(child)

    def _drawing(self, element: etree._Element, name: str) -> None:
        if name == "docPr":
            self.asides += filter(None, [picture_text(element)])
        elif name in ("chart", "relIds"):
            self.asides += drawing_words(self._around.archive, self._around.part, element.getparent())
        elif name == "textpath" and element.get("string"):
            self._words.append(str(element.get("string")))

    def _note(self, kind: str, identifier: str) -> None:
        note = self._around.notes.pop((kind, identifier), None)
        if note is None:
            return
        text = " ".join(_texts(note, self._around)).strip()
        if kind == "comments":
            author = attribute(note, "author")
            self.asides.append(f"[Comment{' by ' + author if author else ''}: {text}]")
        else:
            self._words.append(f"[{identifier}]")
            self.asides.append(f"[{identifier}] {text}")


def _texts(container: etree._Element | None, around: _Around) -> list[str]:
    """The paragraphs and rows of a part beside the body, as plain lines."""
    found = []
    for element in _blocks(container) if container is not None else ():
        if local(element) == "tbl":
            found += [text for _, text in labelled(_rows(element, around))]
        else:
            paragraph = _Paragraph(around)
            found += [paragraph.read(element), *paragraph.asides]
    return [text for text in found if text.strip()]


def _rows(table: etree._Element, around: _Around) -> Iterator[tuple[int, list[str]]]:
    """A table's rows; a cell that spans columns is followed by empty ones, so that names stay above their values."""
    rows = (row for row in _descend(table, "tr"))
    for number, row in enumerate(rows, start=1):
        cells: list[str] = []
        for cell in _descend(row, "tc"):
            cells.append(" ".join(_texts(cell, around)))
            span = attribute(found, "val") if (found := inside(cell, "tcPr", "gridSpan")) is not None else None
            cells += [""] * (min(int(span), 64) - 1 if span and re.fullmatch(r"\d{1,4}", span) else 0)
        yield number, cells


def _descend(element: etree._Element, name: str) -> Iterator[etree._Element]:
    """Rows of a table or cells of a row, those in content controls too, but none of a table inside."""
    for child in element:
        if local(child) == name:
            yield child
        elif local(child) in ("sdt", "sdtContent", "ins", "customXml"):
            yield from _descend(child, name)


def _has_header(table: etree._Element) -> bool | None:
    """True where the table itself says that its first row is a header."""
    first = next(_descend(table, "tr"), None)
    several = len(list(all_inside(table, "tr"))) > 1
    return True if several and first is not None and inside(first, "trPr", "tblHeader") is not None else None
