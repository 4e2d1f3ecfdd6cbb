"""Electronic books: the chapters in reading order, their headings as positions."""

from __future__ import annotations

from urllib.parse import unquote

from retrieval.formats import Extracted, Refused
from retrieval.formats.archive import Archive, resolved
from retrieval.formats.composer import Composer
from retrieval.formats.html import visible_blocks, write_blocks
from retrieval.formats.xmltree import all_inside, inside, local, parse_loosely

_FONT_ALGORITHMS = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")


def extract_epub(data: bytes) -> Extracted:
    """A book.

    Raises:
        Refused: corrupt, encrypted (also by a shop's protection), unsafe_xml or expands_too_much.
    """
    archive = Archive(data)
    _refuse_protected(archive)
    part = _package(archive)
    package = parse_loosely(archive.read(part) or b"")
    items = {str(item.get("id")): str(item.get("href", "")) for item in all_inside(inside(package, "manifest"), "item")}
    composer = Composer()
    described = inside(package, "metadata")
    for item in described if described is not None else ():
        if local(item) in ("title", "creator", "language") and item.text:
            composer.facts.setdefault({"creator": "author"}.get(local(item), local(item)), item.text.strip()[:500])
    for reference in all_inside(inside(package, "spine"), "itemref"):
        chapter = archive.read(resolved(part, unquote(items.get(str(reference.get("idref")), ""))))
        if chapter is not None:
            write_blocks(composer, visible_blocks(chapter, composer))
    return composer.extracted()


def _refuse_protected(archive: Archive) -> None:
    rules = archive.read("META-INF/encryption.xml") or b""
    for font in _FONT_ALGORITHMS:
        rules = rules.replace(font, b"")
    if archive.has("META-INF/rights.xml") or b'Algorithm="http' in rules:
        raise Refused("encrypted", "is a book with copy protection, which cannot be read here.")


def _package(archive: Archive) -> str:
    tree = parse_loosely(archive.read("META-INF/container.xml") or b"<container/>")
    found = next(all_inside(tree, "rootfile"), None)
    named = None if found is None else found.get("full-path")
    if not named or not archive.has(named):
        raise Refused("corrupt", "is a damaged book: its list of chapters is missing.")
    return str(named)
