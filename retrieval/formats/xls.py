"""Excel workbooks of the years before 2007, read by xlrd."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import xlrd  # type: ignore[import-untyped]

from retrieval.formats import Extracted, Refused
from retrieval.formats.composer import Composer
from retrieval.formats.numbers import date_text, is_date_format, number_text
from retrieval.formats.tables import labelled
from retrieval.formats.xlsx import MAX_COLUMNS, capped

_BROKEN = (
    xlrd.XLRDError, xlrd.compdoc.CompDocError, struct.error, AssertionError, IndexError, KeyError, ValueError,
    TypeError, AttributeError, UnicodeDecodeError, NotImplementedError, OverflowError,
)  # fmt: skip
"""What xlrd raises on damaged files: it was written for sound ones."""


def extract_xls(data: bytes) -> Extracted:
    """An old workbook.

    Raises:
        Refused: encrypted or corrupt.
    """
    composer = Composer()
    try:
        book = xlrd.open_workbook(file_contents=data, formatting_info=True, logfile=io.StringIO())
        for sheet in book.sheets():
            composer.sheet(sheet.name, bool(sheet.visibility))
            composer.lines(labelled(capped(_rows(book, sheet), composer, sheet.name)), numbered=True)
    except _BROKEN as error:
        if "encrypted" in str(error).lower():
            raise Refused("encrypted", "is protected with a password; save a copy without one and add that.") from error
        raise Refused("corrupt", "is a damaged workbook that could not be read.") from error
    composer.facts["sheets"] = str(book.nsheets)
    if book.user_name.strip():
        composer.facts["author"] = book.user_name.strip()[:500]
    return composer.extracted("row")


def _rows(book: Any, sheet: Any) -> Iterator[tuple[int, list[str]]]:
    for number in range(sheet.nrows):
        cells = sheet.row(number)[:MAX_COLUMNS]
        yield number + 1, [_text(book, cell) for cell in cells]


def _text(book: Any, cell: Any) -> str:
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return "TRUE" if cell.value else "FALSE"
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, ""))
    if cell.ctype not in (xlrd.XL_CELL_NUMBER, xlrd.XL_CELL_DATE):
        return str(cell.value)
    pattern = _pattern(book, cell.xf_index)
    if cell.ctype == xlrd.XL_CELL_DATE or is_date_format(pattern):
        return date_text(repr(cell.value), pattern or "yyyy-mm-dd", bool(book.datemode))
    return number_text(repr(cell.value), pattern)


def _pattern(book: Any, style: int | None) -> str:
    if style is None or style >= len(book.xf_list):
        return ""
    found = book.format_map.get(book.xf_list[style].format_key)
    return str(found.format_str) if found is not None else ""
