"""XML of documents as trees, without entities, outside references or depth without end."""

from __future__ import annotations

import io
from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]

from retrieval.formats import Refused

_SAFE = {"resolve_entities": False, "load_dtd": False, "no_network": True, "huge_tree": False, "remove_comments": True}
_UNSAFE_WORDS = ("depth", "huge", "entity", "amplification", "loop")


def parse_xml(data: bytes) -> etree._Element:
    """The root of an office document's part.

    Raises:
        Refused: unsafe_xml for a document type, which no office document has, and for nesting or words without end;
            corrupt.
    """
    try:
        root = etree.fromstring(data, etree.XMLParser(remove_pis=True, **_SAFE))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise refusal(error) from error
    refuse_doctype(root)
    return root


def parse_loosely(data: bytes) -> etree._Element:
    """The root of XML from anywhere: a document type may be named, and what is broken is passed over.

    Raises:
        Refused: unsafe_xml where entities are declared; corrupt where nothing can be read.
    """
    try:
        root = etree.fromstring(data, etree.XMLParser(recover=True, **_SAFE))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise refusal(error) from error
    if root is None:
        raise Refused("corrupt", "is damaged: there is no sound XML in it.")
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and next(iter(declared.iterentities()), None) is not None:
        raise Refused("unsafe_xml", "declares entities, by which a file can swell or read other files.")
    return root


def elements(data: bytes, *names: str) -> Iterator[etree._Element]:
    """The elements of these local names as they end, forgotten afterwards: for parts too large for a tree.

    Raises:
        Refused: as `parse_xml`.
    """
    found = etree.iterparse(io.BytesIO(data), events=("end",), tag=[f"{{*}}{name}" for name in names], **_SAFE)
    try:
        first = True
        for _, element in found:
            if first:
                refuse_doctype(element)
                first = False
            yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise refusal(error) from error


def refuse_doctype(element: etree._Element) -> None:
    """Refuse a document type with declarations in it.

    Raises:
        Refused: unsafe_xml.
    """
    declared = element.getroottree().docinfo.internalDTD
    if declared is not None:
        raise Refused("unsafe_xml", "declares a document type or entities inside, which no office document needs.")


def refusal(error: Exception) -> Refused:
    """What is wrong with XML that could not be parsed."""
    words = str(error)
    if any(word in words.lower() for word in _UNSAFE_WORDS):
        return Refused("unsafe_xml", "holds XML that is nested or swollen beyond what a document may be.")
    return Refused("corrupt", "is damaged: a part of it is no sound XML.")


def local(element: etree._Element) -> str:
    """An element's name without its namespace; "" for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: etree._Element, name: str) -> str | None:
    """An attribute by its name, whichever namespace it is in."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return None


def inside(element: etree._Element | None, *path: str) -> etree._Element | None:
    """The first child of a child ... by local names; None where one is missing."""
    for name in path:
        if element is None:
            return None
        element = next((child for child in element if local(child) == name), None)
    return element


def all_inside(element: etree._Element | None, name: str) -> Iterator[etree._Element]:
    """Every descendant of a local name."""
    if element is not None:
        yield from element.iter(f"{{*}}{name}")
