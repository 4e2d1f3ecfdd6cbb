"""What a PDF's page holds beside its text: notes, form entries, scans and hidden words; and the document's outline."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from retrieval.formats.text import clean

_MAX_ANNOTATIONS = 2000
_MAX_OUTLINE = 5000
_FEW_CHARACTERS = 100
_SCAN_SHARE = 0.5
_TINY_POINTS = 2.0
_WHITE = 250
_MAX_OBJECTS = 3000
_MAX_DEPTH = 3

Box = tuple[float, float, float, float]
"""(left, bottom, right, top), in points from the lower left corner"""


def outline(document: pypdfium2.PdfDocument, texts: list[str], starts: list[int]) -> list[tuple[int, int, str]]:
    """(offset, level from 1, title) of the bookmarks in the order of the text; one not found there is at its page."""
    found = []
    for mark in itertools.islice(document.get_toc(), _MAX_OUTLINE):
        destination = mark.get_dest()
        index = destination.get_index() if destination is not None else None
        title = " ".join(clean(mark.get_title()).split())[:200]
        if title and index is not None and 0 <= index < len(texts):
            within = texts[index].find(title)
            found.append((starts[index] + max(0, within), mark.level + 1, title))
    return sorted(dict.fromkeys(found), key=lambda heading: heading[0])


def notes_on(page: pypdfium2.PdfPage) -> Iterator[str]:
    """The notes and the filled form fields of a page, as lines."""
    for number in range(min(pdfium.FPDFPage_GetAnnotCount(page), _MAX_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        if not annotation:
            continue
        try:
            text = _annotation(annotation)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
        if text:
            yield text


def _annotation(annotation: object) -> str:
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind == pdfium.FPDF_ANNOT_WIDGET:
        value = _string(annotation, b"V")
        name = _string(annotation, b"TU") or _string(annotation, b"T")
        return f"{name}: {value}" if name and value else value
    if kind in (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP):
        return ""
    words = _string(annotation, b"Contents")
    return words if kind == pdfium.FPDF_ANNOT_FREETEXT or not words else f"[Note: {words}]"


def _string(annotation: object, key: bytes) -> str:
    """A text value of an annotation's dictionary."""
    length = pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    if length <= 2:
        return ""
    buffer = ctypes.create_string_buffer(length)
    pointer = ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR))
    pdfium.FPDFAnnot_GetStringValue(annotation, key, pointer, length)
    return clean(buffer.raw[: length - 2].decode("utf-16-le", "replace")).strip()


def is_scan(page: pypdfium2.PdfPage, characters: int) -> bool:
    """Whether a page with so few characters shows a picture, which with some characters must fill it."""
    if characters > _FEW_CHARACTERS:
        return False
    pictures = page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=_MAX_DEPTH)
    if not characters:
        return next(iter(pictures), None) is not None
    width, height = page.get_size()
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in map(_bounds, itertools.islice(pictures, 50)))
    return bool(sum(areas) > _SCAN_SHARE * width * height)


def has_hidden_text(page: pypdfium2.PdfPage) -> bool:
    """Whether some text is off the page, tiny, or white with nothing behind it."""
    width, height = page.get_size()
    behind: list[Box] = []
    kinds = [pdfium.FPDF_PAGEOBJ_TEXT, pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_SHADING]
    for item in itertools.islice(page.get_objects(filter=kinds, max_depth=_MAX_DEPTH), _MAX_OBJECTS):
        if item.type != pdfium.FPDF_PAGEOBJ_TEXT:
            if item.type != pdfium.FPDF_PAGEOBJ_PATH or not _is_white(item):
                behind.append(_bounds(item))
            continue
        left, bottom, right, top = _bounds(item)
        if right - left < 1:
            continue
        across, up = (left + right) / 2, (bottom + top) / 2
        if not (0 <= across <= width and 0 <= up <= height) or _is_tiny(item):
            return True
        if _is_white(item) and not any(a <= across <= c and b <= up <= d for a, b, c, d in behind):
            return True
    return False


def _is_tiny(item: pypdfium2.PdfObject) -> bool:
    size = ctypes.c_float()
    if not pdfium.FPDFTextObj_GetFontSize(item, size):
        return False
    matrix = item.get_matrix()
    scale = max(abs(matrix.a), abs(matrix.b), abs(matrix.c), abs(matrix.d))
    return bool(0 < size.value * scale < _TINY_POINTS)


def _is_white(item: pypdfium2.PdfObject) -> bool:
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not pdfium.FPDFPageObj_GetFillColor(item, red, green, blue, alpha):
        return False
    return min(red.value, green.value, blue.value) >= _WHITE


def _bounds(item: pypdfium2.PdfObject) -> Box:
    left, bottom, right, top = item.get_bounds()
    return float(left), float(bottom), float(right), float(top)
