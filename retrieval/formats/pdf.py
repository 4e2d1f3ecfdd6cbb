"""PDF: the text of each page, with the notes and form entries on it, and an honest word where there is none.

PDFium repairs what it can; pages it cannot read are named, and pages that are only pictures are called that.
"""

from __future__ import annotations

import re

import pypdfium2
import pypdfium2.raw as pdfium

from retrieval.formats import Extracted, Refused
from retrieval.formats.pdf_extras import has_hidden_text, is_scan, notes_on, outline
from retrieval.formats.text import clean

MAX_PAGES = 20_000
_CATALOG = re.compile(rb"(\d+)\s+(\d+)\s+obj\s*<<[^>]{0,500}?/Type\s*/Catalog\b")
_PAGE_GAP = "\n\n"
_NAMED = 12
_GIVEN_UP = 50
_FACTS = ("Title", "Author", "Subject", "Keywords")
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)(\d\d)")


def extract_pdf(data: bytes) -> Extracted:
    """The text of a PDF, page by page.

    Raises:
        Refused: encrypted, corrupt, or no_text.
    """
    document = _open(data)
    pages = _Pages(document)
    if not any(pages.texts) and not pages.scanned:
        if len(pages.broken) == len(pages.texts):
            raise Refused("corrupt", "is a damaged PDF: none of its pages could be read.")
        raise Refused("no_text", "is a PDF without any text.")
    starts, at = [], 0
    for text in pages.texts:
        starts.append(at)
        at += len(text) + len(_PAGE_GAP)
    extracted = Extracted(_PAGE_GAP.join(pages.texts), page_starts=starts, scanned=pages.scanned)
    extracted.headings = outline(document, pages.texts, starts)
    extracted.warnings = _warnings(data, len(document), pages)
    extracted.facts = _facts(document)
    return extracted


class _Pages:
    """The pages' texts, and the 1-based numbers of those with something to say about."""

    def __init__(self, document: pypdfium2.PdfDocument) -> None:
        self.texts: list[str] = []
        self.broken: list[int] = []
        self.scanned: list[int] = []
        self.hidden: list[int] = []
        self.lost_after: int | None = None
        for number in range(1, min(len(document), MAX_PAGES) + 1):
            try:
                self.texts.append(self._page(document, number))
            except pypdfium2.PdfiumError:
                self.texts.append("")
                self.broken.append(number)
                if self.broken[-_GIVEN_UP:] == list(range(number - _GIVEN_UP + 1, number + 1)):
                    self._give_up(number - _GIVEN_UP)
                    return

    def _give_up(self, last: int) -> None:
        """So many pages in a row cannot be read: a damaged or lying count."""
        self.lost_after = last
        del self.texts[last:]
        self.broken = [number for number in self.broken if number <= last]

    def _page(self, document: pypdfium2.PdfDocument, number: int) -> str:
        page = document[number - 1]
        try:
            text_page = page.get_textpage()
            try:
                text = clean(text_page.get_text_bounded()).strip()
            finally:
                text_page.close()
            if is_scan(page, len(text)):
                self.scanned.append(number)
            elif text and has_hidden_text(page):
                self.hidden.append(number)
            return "\n".join(filter(None, (text, *notes_on(page))))
        finally:
            page.close()


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            found = "is protected with a password; save a copy without one and add that."
            raise Refused("encrypted", found) from error
        document = _reopened(data)
    if len(document) == 0:
        raise Refused("corrupt", "is a damaged PDF: no page could be found in it.")
    return document


def _reopened(data: bytes) -> pypdfium2.PdfDocument:
    """A file that lost its end with the trailer in it: PDFium finds the objects again once it knows the first one."""
    catalog = _CATALOG.search(data)
    trailer = b"\nendobj\ntrailer\n<< /Root %s %s R >>\n%%%%EOF\n" % catalog.groups() if catalog else b""
    try:
        return pypdfium2.PdfDocument(data + trailer)
    except pypdfium2.PdfiumError as error:
        raise Refused("corrupt", "is a damaged PDF that could not be repaired.") from error


def _facts(document: pypdfium2.PdfDocument) -> dict[str, str]:
    found = {name.lower(): clean(document.get_metadata_value(name)).strip()[:500] for name in _FACTS}
    date = _DATE.match(clean(document.get_metadata_value("CreationDate")))
    found["created"] = "-".join(date.groups()) if date else ""
    return {name: value for name, value in found.items() if value}


def _warnings(data: bytes, count: int, pages: _Pages) -> list[tuple[str, str]]:
    warnings = []
    if pages.broken:
        warnings.append(("partial", f"is damaged: {_named(pages.broken)} could not be read, the others were."))
    if b"%%EOF" not in data[-2048:]:
        warnings.append(("partial", f"is cut off before its end: pages 1 to {count} were recovered, later ones not."))
    if pages.lost_after is not None:
        found = f"claims to have {count} pages; none after page {pages.lost_after} could be read."
        warnings.append(("partial", found))
    elif count > MAX_PAGES:
        warnings.append(("partial", f"has {count} pages; only the first {MAX_PAGES} were read."))
    if pages.hidden:
        found = f"holds text that a reader does not see (white, tiny or off the page) on {_named(pages.hidden)}."
        warnings.append(("hidden_text", found))
    return warnings


def _named(pages: list[int]) -> str:
    shown = ", ".join(str(page) for page in pages[:_NAMED])
    more = f" and {len(pages) - _NAMED} more" if len(pages) > _NAMED else ""
    return f"page {shown}" if len(pages) == 1 else f"pages {shown}{more}"
