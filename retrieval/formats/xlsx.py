"""Excel workbooks: every sheet a part, every row a line with its columns' names, values as Excel last showed them.

Sheets are read as a stream and only the cells that are written count, whatever range a sheet declares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]

from retrieval.formats import Extracted
from retrieval.formats.archive import Archive
from retrieval.formats.composer import Composer
from retrieval.formats.numbers import date_text, is_date_format, number_text
from retrieval.formats.office import main_part, properties
from retrieval.formats.tables import labelled
from retrieval.formats.xmltree import all_inside, attribute, elements, inside, local

MAX_ROWS = 200_000
MAX_COLUMNS = 1_000
_COLUMN = re.compile(r"([A-Za-z]{1,3})\d*")
_BUILTIN_FORMATS = {
    9: "0%", 10: "0.00%", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm", 19: "h:mm:ss",
    20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss",
}  # fmt: skip
_BUILTIN_FORMATS.update(dict.fromkeys((*range(27, 32), *range(34, 37), *range(50, 59)), "yyyy-mm-dd"))


def extract_xlsx(data: bytes) -> Extracted:
    """A workbook; positions read "Prices, rows 2-14".

    Raises:
        Refused: corrupt, encrypted, unsafe_xml or expands_too_much.
    """
    archive = Archive(data)
    part = main_part(archive, "xl/workbook.xml")
    workbook = archive.xml(part)
    composer = Composer()
    composer.facts = properties(archive)
    cells = _Cells(archive, part, workbook)
    relations = archive.relations(part)
    sheets = list(all_inside(workbook, "sheet"))
    for sheet in sheets:
        kind, member = relations.get(attribute(sheet, "id") or "", ("", ""))
        sheet_data = archive.read(member) if kind == "worksheet" else None
        if sheet_data is None:
            continue
        name = sheet.get("name", "Sheet")
        composer.sheet(name, sheet.get("state", "visible") != "visible")
        rows = capped(cells.rows(sheet_data), composer, name)
        composer.lines(labelled(rows), numbered=True)
        for text in _comments(archive, member):
            composer.block(text)
    composer.facts["sheets"] = str(len(sheets))
    return composer.extracted("row")


def capped(rows: Iterator[tuple[int, list[str]]], composer: Composer, sheet: str) -> Iterator[tuple[int, list[str]]]:
    """Rows up to the limit, with a warning where there are more."""
    for count, row in enumerate(rows):
        if count == MAX_ROWS:
            composer.warnings.append(
                ("partial", f"has more than {MAX_ROWS} rows on the sheet {sheet}; the first were read.")
            )
            return
        yield row


class _Cells:
    """A workbook's shared words and formats, and the rows of its sheets made of them."""

    def __init__(self, archive: Archive, part: str, workbook: etree._Element | None) -> None:
        self._words: list[str] = []
        for member in archive.related(part, "sharedStrings"):
            self._words = [_rich(item) for item in elements(archive.read(member) or b"", "si")]
        self._formats: list[str] = []
        for member in archive.related(part, "styles"):
            self._formats = _formats(archive.xml(member))
        settings = inside(workbook, "workbookPr")
        self._from_1904 = settings is not None and settings.get("date1904") in ("1", "true")

    def rows(self, data: bytes) -> Iterator[tuple[int, list[str]]]:
        """(number, cells) of every row that is written; the row before an omitted one is followed by an empty one."""
        last = 0
        for row in elements(data, "row"):
            given = row.get("r", "")
            number = int(given) if re.fullmatch(r"\d{1,7}", given) else last + 1
            if number > last + 1 and last:
                yield number - 1, []
            last = number
            yield number, self._row(row)

    def _row(self, row: etree._Element) -> list[str]:
        cells: list[str] = []
        for cell in row:
            if local(cell) != "c":
                continue
            at = _column(cell.get("r", ""), len(cells))
            text = self._text(cell)
            if text and at < MAX_COLUMNS:
                cells += [""] * (at - len(cells) + 1)
                cells[at] = text
        return cells

    def _text(self, cell: etree._Element) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return _rich(inside(cell, "is"))
        value = inside(cell, "v")
        raw = value.text if value is not None else None
        if raw is None:
            formula = inside(cell, "f")  # never computed: the formula itself says more than nothing
            return f"={formula.text}" if formula is not None and formula.text else ""
        if kind == "s":
            return self._words[int(raw)] if raw.isdigit() and int(raw) < len(self._words) else ""
        if kind == "b":
            return "TRUE" if raw == "1" else "FALSE"
        if kind in ("str", "e", "d"):
            return str(raw)
        return self._number(raw, cell.get("s", ""))

    def _number(self, raw: str, style: str) -> str:
        pattern = self._formats[int(style)] if style.isdigit() and int(style) < len(self._formats) else ""
        if is_date_format(pattern):
            return date_text(raw, pattern, self._from_1904)
        return number_text(raw, pattern)


def _rich(item: etree._Element | None) -> str:
    """The words of a string in runs, without the reading aids of East Asian text."""
    if item is None:
        return ""
    found = (word for word in item.iter("{*}t") if local(word.getparent()) != "rPh")
    return "".join(word.text or "" for word in found)


def _formats(styles: etree._Element | None) -> list[str]:
    """The number format of every cell style, in the order that cells count them."""
    own = {
        item.get("numFmtId", ""): item.get("formatCode", "") for item in all_inside(inside(styles, "numFmts"), "numFmt")
    }
    found = []
    for style in all_inside(inside(styles, "cellXfs"), "xf"):
        number = style.get("numFmtId", "0")
        found.append(own.get(number) or _BUILTIN_FORMATS.get(int(number) if number.isdigit() else 0, ""))
    return found


def _column(reference: str, following: int) -> int:
    """0-based column of a cell's name such as "AB7"."""
    match = _COLUMN.match(reference)
    if match is None:
        return following
    value = 0
    for letter in match[1].upper():
        value = value * 26 + ord(letter) - 64
    return value - 1


def _comments(archive: Archive, member: str) -> Iterator[str]:
    for part in archive.related(member, "comments"):
        for comment in all_inside(archive.xml(part), "comment"):
            yield f"[Comment on {comment.get('ref', 'a cell')}: {_rich(inside(comment, 'text')).strip()}]"
