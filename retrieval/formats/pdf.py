"""PDF: the text of each page, and an honest word where there is none.

PDFium repairs what it can; pages it cannot read are named, and a file that is only pictures is called that.
"""

from __future__ import annotations

import re

import pypdfium2
import pypdfium2.raw as pdfium

from retrieval.formats import Extracted, Refused
from retrieval.formats.text import clean

MAX_PAGES = 20_000
_CATALOG = re.compile(rb"(\d+)\s+(\d+)\s+obj\s*<<[^>]{0,500}?/Type\s*/Catalog\b")
_PAGE_GAP = "\n\n"
_NAMED = 12


def extract_pdf(data: bytes) -> Extracted:
    """The text of a PDF, page by page.

    Raises:
        Refused: encrypted, corrupt, or no_text.
    """
    document = _open(data)
    count = min(len(document), MAX_PAGES)
    texts, broken, pictures = [], [], []
    for number in range(count):
        try:
            text, has_picture = _page(document, number)
        except pypdfium2.PdfiumError:
            text, has_picture = "", False
            broken.append(number + 1)
        texts.append(text)
        if has_picture and not text:
            pictures.append(number + 1)
    if not any(texts):
        raise _why_empty(count, broken, pictures)
    return _joined(texts, _warnings(data, len(document), broken, pictures))


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


def _page(document: pypdfium2.PdfDocument, number: int) -> tuple[str, bool]:
    """The clean text of a page, and whether a page without text shows a picture."""
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            text = clean(text_page.get_text_bounded()).strip()
        finally:
            text_page.close()
        if text:
            return text, False
        kinds = [pdfium.FPDF_PAGEOBJ_IMAGE]
        return text, next(iter(page.get_objects(filter=kinds, max_depth=3)), None) is not None
    finally:
        page.close()


def _why_empty(count: int, broken: list[int], pictures: list[int]) -> Refused:
    if len(broken) == count:
        return Refused("corrupt", "is a damaged PDF: none of its pages could be read.")
    if pictures:
        return Refused("no_text", "holds pictures of pages and no text: it looks scanned, and OCR is not installed.")
    return Refused("no_text", "is a PDF without any text.")


def _warnings(data: bytes, pages: int, broken: list[int], pictures: list[int]) -> list[tuple[str, str]]:
    warnings = []
    if broken:
        warnings.append(("partial", f"is damaged: {_named(broken)} could not be read, the others were."))
    if b"%%EOF" not in data[-2048:]:
        warnings.append(("partial", f"is cut off before its end: pages 1 to {pages} were recovered, later ones not."))
    if pages > MAX_PAGES:
        warnings.append(("partial", f"has {pages} pages; only the first {MAX_PAGES} were read."))
    if pictures:
        warnings.append(("no_text", f"has no text on {_named(pictures)}, which looks scanned; OCR is not installed."))
    return warnings


def _named(pages: list[int]) -> str:
    shown = ", ".join(str(page) for page in pages[:_NAMED])
    more = f" and {len(pages) - _NAMED} more" if len(pages) > _NAMED else ""
    return f"page {shown}" if len(pages) == 1 else f"pages {shown}{more}"


def _joined(texts: list[str], warnings: list[tuple[str, str]]) -> Extracted:
    starts, at = [], 0
    for text in texts:
        starts.append(at)
        at += len(text) + len(_PAGE_GAP)
    return Extracted(_PAGE_GAP.join(texts), page_starts=starts, warnings=warnings)
