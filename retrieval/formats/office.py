"""What Word, PowerPoint and Excel files share: their first part, their properties, and drawings with words in them."""

from __future__ import annotations

from lxml import etree  # type: ignore[import-untyped]

from retrieval.formats import Refused
from retrieval.formats.archive import Archive
from retrieval.formats.numbers import number_text
from retrieval.formats.xmltree import all_inside, attribute, inside, local

_PROPERTIES = {
    "title": "title", "subject": "subject", "creator": "author", "keywords": "keywords", "description": "description",
    "created": "created", "modified": "modified",
}  # fmt: skip
_MAX_FACT = 500
_PICTURE_NAME_ENDS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".emf", ".wmf", ".svg")


def main_part(archive: Archive, usual: str) -> str:
    """The member that holds the document itself.

    Raises:
        Refused: corrupt, where there is none.
    """
    named = archive.related("", "officeDocument")
    part = named[0] if named else usual
    if not archive.has(part):
        raise Refused("corrupt", "is a damaged office document: its main part is missing.")
    return part


def properties(archive: Archive) -> dict[str, str]:
    """Title, author, dates ... as the person's program wrote them into the file."""
    tree = archive.xml("docProps/core.xml")
    found = {}
    for item in tree if tree is not None else ():
        name, value = _PROPERTIES.get(local(item)), (item.text or "").strip()
        if name and value:
            found[name] = value[:_MAX_FACT]
    return found


def picture_text(element: etree._Element) -> str:
    """A picture's alternative text as Markdown writes it; "" where nobody wrote one."""
    words = (element.get("descr") or "").strip()
    return f"![{words}]" if words and not words.lower().endswith(_PICTURE_NAME_ENDS) else ""


def drawing_words(archive: Archive, part: str, element: etree._Element) -> list[str]:
    """The words of the charts and diagrams that an element of a part shows."""
    wanted = [*_ids(element, "chart", "id"), *_ids(element, "relIds", "dm")]
    if not wanted:
        return []
    relations = archive.relations(part)
    found = []
    for name in wanted:
        tree = archive.xml(relations[name][1]) if name in relations else None
        found += _chart(tree) if inside(tree, "chart") is not None else _paragraphs(tree)
    return found


def _ids(element: etree._Element, name: str, key: str) -> list[str]:
    return [value for item in all_inside(element, name) if (value := attribute(item, key))]


def _paragraphs(tree: etree._Element | None) -> list[str]:
    """Paragraphs of the drawing language."""
    texts = ("".join(word.text or "" for word in all_inside(item, "t")) for item in all_inside(tree, "p"))
    return [text for text in texts if text.strip()]


def _chart(tree: etree._Element | None) -> list[str]:
    """A chart's titles, then each series as "name: category value, ..."."""
    found = _paragraphs(tree)
    for series in all_inside(tree, "ser"):
        name = " ".join(_cached(inside(series, "tx")))
        categories = _cached(inside(series, "cat"))
        values = _cached(inside(series, "val"))
        if len(categories) == len(values):
            values = [f"{category} {value}" for category, value in zip(categories, values, strict=True)]
        found.append(f"{name}: {', '.join(values)}" if name else ", ".join(values))
    return [text for text in found if text]


def _cached(element: etree._Element | None) -> list[str]:
    return [number_text(value.text) for value in all_inside(element, "v") if value.text]
