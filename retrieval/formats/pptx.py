"""Presentations: every slide a part of its own, named by number and title, with tables, charts, notes and comments."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]

from retrieval.formats import Extracted
from retrieval.formats.archive import Archive
from retrieval.formats.composer import Composer
from retrieval.formats.office import drawing_words, main_part, picture_text, properties
from retrieval.formats.tables import labelled
from retrieval.formats.xmltree import all_inside, inside, local

_TITLES = frozenset(("title", "ctrTitle"))
_UNSAID = frozenset(("sldNum", "dt", "sldImg"))


def extract_pptx(data: bytes) -> Extracted:
    """A presentation; positions read "slide 3: Results".

    Raises:
        Refused: corrupt, encrypted, unsafe_xml or expands_too_much.
    """
    archive = Archive(data)
    part = main_part(archive, "ppt/presentation.xml")
    composer = Composer()
    composer.facts = properties(archive)
    relations = archive.relations(part)
    wanted = list(_slide_ids(archive.xml(part)))
    for number, name in enumerate(wanted, start=1):
        member = relations.get(name, ("", ""))[1]
        tree = archive.xml(member) if member else None
        if tree is not None:
            _slide(composer, archive, member, tree, number)
    composer.facts["slides"] = str(len(wanted))
    return composer.extracted()


def _slide_ids(tree: etree._Element | None) -> Iterator[str]:
    """The slides' relations in their order; a slide's own number is an "id" too, but without a namespace."""
    for item in all_inside(tree, "sldId"):
        yield from (str(value) for key, value in item.attrib.items() if key.endswith("}id"))


def _slide(composer: Composer, archive: Archive, member: str, tree: etree._Element, number: int) -> None:
    shapes = list(_shapes(inside(tree, "cSld", "spTree")))
    title = next((" ".join(_words(shape)) for shape in shapes if _placeholder(shape) in _TITLES), "").strip()
    hidden = " (hidden)" if tree.get("show") == "0" else ""
    composer.part(f"slide {number}{hidden}{': ' + title if title else ''}")
    for shape in sorted(shapes, key=lambda one: _placeholder(one) not in _TITLES):
        _shape(composer, archive, member, shape)
    for note in archive.related(member, "notesSlide"):
        notes = inside(archive.xml(note), "cSld", "spTree")
        words = [text for shape in _shapes(notes) for text in _words(shape)]
        if words:
            composer.block("Notes: " + "\n".join(words))
    for kind in ("comments", "threadedComment"):
        for comments in archive.related(member, kind):
            for text in _comments(archive.xml(comments)):
                composer.block(f"[Comment: {text}]")


def _shapes(tree: etree._Element | None) -> Iterator[etree._Element]:
    """The shapes of a slide in their order, groups opened; of alternatives the first."""
    for element in tree if tree is not None else ():
        name = local(element)
        if name in ("sp", "graphicFrame", "pic", "cxnSp"):
            yield element
        elif name == "grpSp":
            yield from _shapes(element)
        elif name == "AlternateContent":
            yield from _shapes(inside(element, "Choice"))


def _placeholder(shape: etree._Element) -> str:
    found = next(all_inside(inside(shape, "nvSpPr"), "ph"), None)
    return "" if found is None else str(found.get("type", "body"))


def _shape(composer: Composer, archive: Archive, member: str, shape: etree._Element) -> None:
    for table in all_inside(shape, "tbl"):
        settings = inside(table, "tblPr")
        header = settings is not None and settings.get("firstRow") == "1"
        rows = [(at, [" ".join(_paragraphs(cell)) for cell in _cells(row)]) for at, row in enumerate(_rows(table), 1)]
        composer.lines(labelled(rows, True if header and len(rows) > 1 else None))
    if local(shape) != "graphicFrame":
        composer.block("\n".join(_words(shape)))
    for text in drawing_words(archive, member, shape):
        composer.block(text)
    for named in all_inside(shape, "cNvPr"):
        composer.block(picture_text(named))


def _rows(table: etree._Element) -> list[etree._Element]:
    return [row for row in table if local(row) == "tr"]


def _cells(row: etree._Element) -> list[etree._Element]:
    return [cell for cell in row if local(cell) == "tc"]


def _words(shape: etree._Element) -> list[str]:
    return [] if _placeholder(shape) in _UNSAID else _paragraphs(inside(shape, "txBody"))


def _paragraphs(body: etree._Element | None) -> list[str]:
    """The paragraphs of a shape or cell."""
    found = []
    for paragraph in all_inside(body, "p"):
        words = [
            "\n" if local(item) == "br" else "".join(word.text or "" for word in all_inside(item, "t"))
            for item in paragraph
            if local(item) in ("r", "br", "fld")
        ]
        found.append("".join(words).strip())
    return [text for text in found if text]


def _comments(tree: etree._Element | None) -> Iterator[str]:
    for comment in all_inside(tree, "cm"):
        text = inside(comment, "text")
        words = [text.text or ""] if text is not None else _paragraphs(inside(comment, "txBody"))
        yield " ".join(words).strip()
