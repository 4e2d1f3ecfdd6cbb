"""Workbooks and presentations: rows that stand for themselves, values as they are shown, slides by number."""

from __future__ import annotations

import pytest

from retrieval.formats.identify import parse
from retrieval.formats.numbers import date_text, is_date_format, number_text
from retrieval.formats.pptx import extract_pptx
from retrieval.formats.xlsx import MAX_ROWS, extract_xlsx
from retrieval.splitters import Splitter
from tests.doubles import HashEmbeddings
from tests.retrieval.formats.files import pptx, row, shape, xlsx

STYLES = (
    '<numFmts><numFmt numFmtId="170" formatCode="dd/mm/yyyy hh:mm"/></numFmts>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="170"/><xf numFmtId="10"/></cellXfs>'
)


def test_every_row_says_what_its_values_are() -> None:
    rows = row(1, "Stock list") + row(2, "Name", "Town", "Age") + row(3, "Anna", "Ulm", "31") + row(7, "x", "y", "2")
    found = extract_xlsx(xlsx({"People": rows, "Sheet2": "", "Old!": row(1, "secret")}))
    assert found.text.split("\n\n") == [
        "People",
        "Stock list\nName | Town | Age\nName: Anna | Town: Ulm | Age: 31\nx | y | 2",
        "Old",
        "secret",
    ]
    assert [title for _, _, title in found.headings] == ["People", "Old (hidden)"]
    assert [number for _, number in found.numbered] == [1, 2, 3, 7, 1]
    assert len(found.part_starts) == 2


def test_a_passage_of_a_sheet_is_named_by_sheet_and_rows() -> None:
    rows = row(1, "Name", "Town", "Age") + "".join(row(n, f"Name{n}", f"Town{n}", str(n)) for n in range(2, 60))
    found = extract_xlsx(xlsx({"People": rows, "Other": row(1, "alone")}))
    chunks = Splitter(HashEmbeddings().token_spans, 60, 10).split_extracted(found)
    assert chunks[0].position is not None
    assert chunks[0].position.startswith("People, rows 1-")
    assert chunks[-1].position == "Other, row 1"
    for chunk in chunks[1:-1]:
        first, last = (int(number) for number in str(chunk.position).rpartition(" ")[2].split("-"))
        lines = chunk.text.split("\n")
        assert lines[0].startswith(f"Name: Name{first} | Town: Town{first}")
        assert lines[-1].endswith(f"Age: {last}")


def test_values_are_read_as_excel_shows_them() -> None:
    cells = (
        '<row r="1"><c r="A1" t="s"><v>1</v></c><c r="B1" s="1"><v>45292</v></c><c r="C1" s="2"><v>45292.75</v></c>'
        '<c r="D1" s="3"><v>0.125</v></c><c r="E1" t="b"><v>1</v></c><c r="F1"><v>0.1</v></c>'
        '<c r="G1"><f>A1*2</f><v>84</v></c><c r="H1"><f>SUM(A:A)</f></c><c r="I1" t="e"><v>#DIV/0!</v></c></row>'
    )
    text = extract_xlsx(xlsx({"Sheet1": cells}, ["zero", "one"], STYLES)).text
    assert text == "one | 2024-01-01 | 2024-01-01 18:00 | 12.5% | TRUE | 0.1 | 84 | =SUM(A:A) | #DIV/0!"


@pytest.mark.parametrize(
    ("raw", "pattern", "shown"),
    [
        ("1", "yyyy-mm-dd", "1900-01-01"), ("59", "d/m/yy", "1900-02-28"), ("61", "d/m/yy", "1900-03-01"),
        ("0.5", "h:mm", "12:00"), ("1.25", "[h]:mm:ss", "30:00:00"), ("45292", "[$-407]d. mmmm yyyy", "2024-01-01"),
        ("-1", "yyyy", "-1"), ("1e300", "yyyy", "1e300"), ("nan", "yyyy", "nan"), ("43830", "mmm-yy", "2019-12-31"),
    ],
)  # fmt: skip
def test_day_counts_become_dates(raw: str, pattern: str, shown: str) -> None:
    assert is_date_format(pattern)
    assert date_text(raw, pattern) == shown


def test_day_counts_from_1904_are_dates_too() -> None:
    assert date_text("0", "yyyy-mm-dd", from_1904=True) == "1904-01-01"


def test_what_is_no_date_stays_a_number() -> None:
    assert not any(map(is_date_format, ("General", "0.00", '#,##0 "days"', "[Red]0", "", '0.0"h"')))
    assert [number_text(raw) for raw in ("1.1000000000000001", "3.0", "1e999", "12345678901234567", "x")] == [
        "1.1", "3", "1e999", "1.23456789012346e+16", "x",
    ]  # fmt: skip


def test_d16_a_declared_range_costs_nothing_and_rows_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    far = row(1, "first") + '<row r="1048576"><c r="XFD1048576"><v>7</v></c><c r="B1048576"><v>5</v></c></row>'
    found = extract_xlsx(xlsx({"Sheet1": far}))
    assert found.text == "first\n5"
    assert [number for _, number in found.numbered] == [1, 1048576]
    assert MAX_ROWS >= 100_000
    monkeypatch.setattr("retrieval.formats.xlsx.MAX_ROWS", 5)
    many = extract_xlsx(xlsx({"Sheet1": "".join(row(n, f"t{n}") for n in range(1, 20))}))
    assert many.text.split("\n") == ["t1", "t2", "t3", "t4", "t5"]
    assert [code for code, _ in many.warnings] == ["partial"]


def test_d16_a_formula_is_text_and_is_never_computed() -> None:
    cells = '<row r="1"><c r="A1"><f>WEBSERVICE("http://127.0.0.1:1/")</f></c><c r="B1"><f>1+1</f></c></row>'
    assert extract_xlsx(xlsx({"Sheet1": cells})).text == '=WEBSERVICE("http://127.0.0.1:1/") | =1+1'


def test_slides_are_parts_with_number_and_title() -> None:
    notes = (
        '<p:notes xmlns:p="p" xmlns:a="a"><p:cSld><p:spTree>'
        + shape("Say it slowly")
        + "</p:spTree></p:cSld></p:notes>"
    )
    grid = (
        "<p:graphicFrame><a:tbl><a:tr><a:tc><a:p><a:r><a:t>{}</a:t></a:r></a:p></a:tc></a:tr>"
        "<a:tr><a:tc><a:p><a:r><a:t>{}</a:t></a:r></a:p></a:tc></a:tr></a:tbl></p:graphicFrame>"
    ).format("Year", "2024")
    picture = '<p:pic><p:nvPicPr><p:cNvPr id="1" name="P" descr="A red barn"/></p:nvPicPr></p:pic>'
    slides = [
        shape("Point one\nPoint two") + shape("Results", "title") + shape("7", "sldNum"),
        "<p:grpSp>" + shape("Grouped") + "</p:grpSp>" + grid + picture,
        "!" + shape("Not shown", "title"),
    ]
    parts = {"ppt/notesSlides/n.xml": notes}
    found = extract_pptx(pptx(slides, parts, [("n", "notesSlide", "../notesSlides/n.xml")]))
    assert found.text.split("\n\n") == [
        "Results", "Point one\nPoint two", "Notes: Say it slowly", "Grouped", "Year\n2024", "![A red barn]",
        "Not shown",
    ]  # fmt: skip
    assert [title for _, _, title in found.headings] == ["slide 1: Results", "slide 2", "slide 3 (hidden): Not shown"]
    chunks = Splitter(HashEmbeddings().token_spans).split_extracted(found)
    assert [chunk.position for chunk in chunks] == [title for _, _, title in found.headings]
    assert parse(pptx(slides), "a.pptx").described()["positions"] == ["slide"]


def test_d21_an_office_document_under_another_office_name_is_read_as_what_it_is() -> None:
    found = parse(xlsx({"Sheet1": row(1, "alone")}), "a.docx")
    assert (found.text, found.facts["kind"], [code for code, _ in found.warnings]) == ("alone", "xlsx", ["other_kind"])
    page = parse(b"<html><body><table><tr><td>a</td><td>b</td></tr></table></body></html>", "report.xls")
    assert (page.text, page.facts["kind"]) == ("a | b", "html")
