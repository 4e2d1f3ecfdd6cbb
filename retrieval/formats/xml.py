"""XML of any kind: its words line by line, and the word processor's and spreadsheet's XML as what they are."""

from __future__ import annotations

import re

from lxml import etree  # type: ignore[import-untyped]

from retrieval.formats import Extracted
from retrieval.formats.archive import FlatPackage
from retrieval.formats.composer import Composer
from retrieval.formats.docx import read_docx
from retrieval.formats.numbers import number_text
from retrieval.formats.tables import labelled
from retrieval.formats.xmltree import all_inside, attribute, inside, local, parse_loosely

_SPACES = re.compile(r"\s+")
_MOST_TITLE = 80
_TITLES = frozenset(("title", "name", "heading", "head"))


def extract_xml(data: bytes) -> Extracted:
    """An XML file; positions are the titles that its elements have.

    Raises:
        Refused: corrupt or unsafe_xml.
    """
    root = parse_loosely(data)
    composer = Composer()
    composer.facts = {"encoding": str(root.getroottree().docinfo.encoding or "utf-8").lower(), "root": local(root)}
    if local(root) == "package" and inside(root, "part") is not None:
        extracted = read_docx(FlatPackage(root))
        extracted.facts = {**composer.facts, **extracted.facts}
        return extracted
    if local(root) == "Workbook":
        return _flat_excel(root, composer)
    _write(composer, root)
    return composer.extracted()


def _write(composer: Composer, root: etree._Element) -> None:
    """Every text on a line of its own, mixed text joined; a title stands as a heading at its depth."""
    words: list[str] = []
    walker = etree.iterwalk(root, events=("start", "end"))
    depth = 0
    for event, element in walker:
        if event == "start":
            depth += 1
            if not _is_mixed(element.getparent()):
                _flush(composer, words)
            words.append(element.text or "")
            continue
        depth -= 1
        name = local(element)
        if name in _TITLES and len(element) == 0 and 0 < len("".join(words).strip()) <= _MOST_TITLE:
            composer.heading(_SPACES.sub(" ", "".join(words)), min(depth, 9) or 1)
            words.clear()
        elif not _is_mixed(element.getparent()):
            _flush(composer, words, name if len(element) == 0 else "")
        words.append(element.tail or "")
    _flush(composer, words)


def _is_mixed(element: etree._Element | None) -> bool:
    """Whether words stand between the element's children, as in prose."""
    if element is None:
        return False
    return any((child.tail or "").strip() for child in element) or bool((element.text or "").strip() and len(element))


def _flush(composer: Composer, words: list[str], name: str = "") -> None:
    text = _SPACES.sub(" ", "".join(words)).strip()
    words.clear()
    if text:
        composer.line(f"{name}: {text}" if name and len(text) <= _MOST_TITLE else text)


def _flat_excel(root: etree._Element, composer: Composer) -> Extracted:
    """A workbook in one XML file of 2003."""
    for sheet in all_inside(root, "Worksheet"):
        names = [value for key, value in sheet.attrib.items() if key.endswith("}Name")]
        composer.sheet(str(names[0]) if names else "Sheet")
        rows = (
            (number, [_cell(cell) for cell in all_inside(row, "Cell")])
            for number, row in enumerate(all_inside(sheet, "Row"), start=1)
        )
        composer.lines(labelled(rows), numbered=True)
    return composer.extracted("row")


def _cell(cell: etree._Element) -> str:
    data = inside(cell, "Data")
    text = "".join(data.itertext()) if data is not None else ""
    kind = attribute(data, "Type") if data is not None else None
    if kind == "DateTime":
        return text.removesuffix(".000").removesuffix("T00:00:00")
    return number_text(text) if kind == "Number" else text
