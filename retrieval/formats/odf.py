"""OpenDocument texts, presentations and spreadsheets: headings, lists, tables as rows, notes, slides."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]

from retrieval.formats import Extracted, Refused
from retrieval.formats.archive import Archive
from retrieval.formats.composer import Composer
from retrieval.formats.tables import labelled
from retrieval.formats.xlsx import MAX_COLUMNS, capped
from retrieval.formats.xmltree import all_inside, attribute, inside, local

_SKIPPED = frozenset(
    "tracked-changes sequence-decls forms annotation-end bookmark ruby-text settings scripts changed-region".split()
)
_CHARACTERS = {"tab": "\t", "line-break": "\n"}
_ASIDES = frozenset(("note", "annotation", "text-box", "table", "frame", "custom-shape", "rect", "ellipse"))
_FACTS = {
    "title": "title", "subject": "subject", "initial-creator": "author", "creator": "author", "date": "modified",
    "description": "description", "keyword": "keywords", "creation-date": "created",
}  # fmt: skip


def extract_odf(data: bytes) -> Extracted:
    """An OpenDocument file of any of the three kinds.

    Raises:
        Refused: corrupt, encrypted, unsafe_xml or expands_too_much.
    """
    archive = Archive(data)
    manifest = archive.read("META-INF/manifest.xml") or b""
    if b"encryption-data" in manifest:
        raise Refused("encrypted", "is protected with a password; save a copy without one and add that.")
    body = inside(archive.xml("content.xml"), "body")
    if body is None:
        raise Refused("corrupt", "is a damaged OpenDocument file: its content is missing.")
    writer = _Writer(Composer())
    for content in body:
        writer.blocks(content, sheets=local(content) == "spreadsheet")
    composer = writer.composer
    _margins(archive, composer)
    for item in all_inside(inside(archive.xml("meta.xml"), "meta"), "*"):
        if (name := _FACTS.get(local(item))) and item.text:
            composer.facts.setdefault(name, item.text.strip()[:500])
    return composer.extracted("row")


class _Writer:
    """Walks the content and writes what it meets."""

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        self._slides = 0

    def blocks(self, container: etree._Element, sheets: bool = False) -> None:
        """The blocks of a container in their order."""
        for element in container:
            name = local(element)
            if name in _SKIPPED or not name:
                continue
            if name == "h":
                self._paragraph(element, int(_digits(attribute(element, "outline-level"), 1)))
            elif name == "p":
                self._paragraph(element, 0)
            elif name == "table":
                self._table(element, sheets)
            elif name == "page":
                self._slide(element)
            elif name == "notes":
                self.composer.block("Notes: " + "\n".join(_texts(element)))
            elif name in ("title", "desc"):
                self.composer.block(f"![{element.text}]" if element.text else "")
            else:
                self.blocks(element, sheets)

    def _paragraph(self, element: etree._Element, level: int) -> None:
        asides: list[etree._Element] = []
        text = _words(element, asides)
        if level and text.strip():
            self.composer.heading(" ".join(text.split()), level)
        else:
            self.composer.block(f"- {text}" if text.strip() and local(element.getparent()) == "list-item" else text)
        for aside in asides:
            self._aside(aside)

    def _aside(self, element: etree._Element) -> None:
        name = local(element)
        if name == "annotation":
            author = inside(element, "creator")
            by = f" by {author.text}" if author is not None and author.text else ""
            self.composer.block(f"[Comment{by}: {' '.join(_texts(element))}]")
        elif name == "note":
            self.composer.block(" ".join([f"[{_citation(element)}]", *_texts(inside(element, "note-body"))]))
        elif name == "table":
            self._table(element, sheet=False)
        else:
            self.blocks(element)

    def _slide(self, element: etree._Element) -> None:
        self._slides += 1
        frames = (frame for frame in all_inside(element, "frame") if attribute(frame, "class") == "title")
        title = next((" ".join(_texts(frame)) for frame in frames), "")
        self.composer.part(f"slide {self._slides}{': ' + title if title else ''}")
        self.composer.facts["slides"] = str(self._slides)
        self.blocks(element)

    def _table(self, element: etree._Element, sheet: bool) -> None:
        name = attribute(element, "name") or "Sheet"
        if sheet:
            self.composer.sheet(name)
            self.composer.facts["sheets"] = str(int(self.composer.facts.get("sheets", "0")) + 1)
        rows = capped(_rows(element), self.composer, name)
        marked = inside(element, "table-header-rows") is not None
        self.composer.lines(labelled(rows, True if marked else None), numbered=sheet)


def _rows(table: etree._Element) -> Iterator[tuple[int, list[str]]]:
    """A table's rows; repeated empty ones, of which a sheet may declare a million, are only counted."""
    number = 1
    for row in _descend(table, "table-row"):
        repeated = _digits(attribute(row, "number-rows-repeated"), 1)
        cells: list[str] = []
        for cell in row:
            if local(cell) in ("table-cell", "covered-table-cell"):
                text = " ".join(_texts(cell))
                times = _digits(attribute(cell, "number-columns-repeated"), 1)
                cells += [text] * min(times, max(0, MAX_COLUMNS - len(cells)))
        times = repeated if any(cells) else 1
        for step in range(min(times, 1000)):
            yield number + step, cells
        number += repeated


def _descend(element: etree._Element, name: str) -> Iterator[etree._Element]:
    for child in element:
        if local(child) == name:
            yield child
        elif local(child) in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _descend(child, name)


def _texts(container: etree._Element | None) -> list[str]:
    """The paragraphs somewhere inside, as plain lines."""
    if container is None:
        return []
    found = (_words(item, None) for item in container.iter("{*}p", "{*}h"))
    return [text for text in found if text.strip()]


def _words(element: etree._Element, asides: list[etree._Element] | None) -> str:
    """The words of a paragraph; what hangs on it is put into `asides`, or left out."""
    words = [element.text or ""]
    for child in element:
        name = local(child)
        if name == "s":
            words.append(" " * min(_digits(attribute(child, "c"), 1), 100))
        elif name in _CHARACTERS:
            words.append(_CHARACTERS[name])
        elif name in _ASIDES:
            if name == "note":
                words.append(f"[{_citation(child)}]")
            if asides is not None:
                asides.append(child)
        elif name and name not in _SKIPPED:
            words.append(_words(child, asides))
        words.append(child.tail or "")
    return "".join(words)


def _citation(note: etree._Element) -> str:
    found = inside(note, "note-citation")
    return (found.text or "").strip() if found is not None else ""


def _margins(archive: Archive, composer: Composer) -> None:
    """Page headers and footers, once at the end."""
    tree = archive.xml("styles.xml")
    texts = [text for name in ("header", "footer") for item in all_inside(tree, name) for text in _texts(item)]
    if texts:
        composer.part("Headers and footers")
        for text in dict.fromkeys(texts):
            composer.block(text)


def _digits(value: str | None, default: int) -> int:
    return int(value) if value and re.fullmatch(r"\d{1,9}", value) else default
