"""Word documents: what a reader sees, under the headings and numbers that Word shows."""

from __future__ import annotations

import pytest

from retrieval.formats import Refused
from retrieval.formats.docx import extract_docx
from retrieval.formats.identify import parse
from tests.retrieval.formats.files import W, docx, paragraph, table

STYLES = f"""<w:styles xmlns:w="{W}">
<w:style w:styleId="Ueberschrift1"><w:name w:val="heading 1"/></w:style>
<w:style w:styleId="Mine"><w:name w:val="My own"/><w:basedOn w:val="Ueberschrift1"/></w:style>
<w:style w:styleId="Deep"><w:name w:val="Deep"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>
<w:style w:styleId="Loop1"><w:name w:val="l"/><w:basedOn w:val="Loop2"/></w:style>
<w:style w:styleId="Loop2"><w:name w:val="l"/><w:basedOn w:val="Loop1"/></w:style>
</w:styles>"""
NOTE = (
    '<w:{kind}s xmlns:w="'
    + W
    + '"><w:{kind} w:id="7" w:author="Anna"><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:{kind}></w:{kind}s>'
)


def test_headings_come_from_styles_however_they_are_called() -> None:
    body = paragraph("Install", "Mine") + paragraph("Take it.") + paragraph("Linux", "Deep") + paragraph("x", "Loop1")
    found = extract_docx(docx(body, {"word/styles.xml": STYLES}, [("s", "styles", "styles.xml")]))
    assert found.text == "Install\n\nTake it.\n\nLinux\n\nx"
    assert [(level, title) for _, level, title in found.headings] == [(1, "Install"), (2, "Linux")]


def test_a_tables_rows_repeat_the_names_of_their_columns() -> None:
    rows = [("Name", "Town", "Age"), ("Anna", "Ulm", "31"), ("Ben", "", "40")]
    text = extract_docx(docx(table(rows))).text
    assert text == "Name | Town | Age\nName: Anna | Town: Ulm | Age: 31\nName: Ben | Age: 40"


def test_a_form_of_two_columns_is_no_table_with_a_header() -> None:
    rows = [("Name", "Anna Berg"), ("Town", "Ulm")]
    assert extract_docx(docx(table(rows))).text == "Name | Anna Berg\nTown | Ulm"
    assert extract_docx(docx(table(rows, "<w:tblHeader/>"))).text == "Name | Anna Berg\nName: Town | Anna Berg: Ulm"


def test_inserted_text_is_read_and_deleted_text_is_not() -> None:
    body = (
        "<w:p><w:r><w:t>Pay </w:t></w:r><w:del><w:r><w:delText>10</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>20</w:t></w:r></w:ins><w:r><w:t> euros</w:t><w:tab/><w:t>now</w:t></w:r>"
        "<w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
    )
    assert extract_docx(docx(body)).text == "Pay 20 euros\tnow"


def test_notes_and_comments_stand_where_they_are_pointed_at() -> None:
    marks = '<w:r><w:footnoteReference w:id="7"/></w:r><w:r><w:commentReference w:id="7"/></w:r>'
    parts = {
        "word/footnotes.xml": NOTE.format(kind="footnote", text="the note"),
        "word/comments.xml": NOTE.format(kind="comment", text="is it so?"),
    }
    related = [("f", "footnotes", "footnotes.xml"), ("c", "comments", "comments.xml")]
    text = extract_docx(docx(paragraph("Said", extra=marks) + paragraph("After"), parts, related)).text
    assert text == "Said[7]\n\n[7] the note\n\n[Comment by Anna: is it so?]\n\nAfter"


def test_a_text_box_is_read_once_and_headers_stand_at_the_end() -> None:
    box = f"<w:txbxContent>{paragraph('in the box')}</w:txbxContent>"
    body = (
        '<w:p><w:r><mc:AlternateContent xmlns:mc="m"><mc:Choice>' + box + "</mc:Choice><mc:Fallback>" + box
        + "</mc:Fallback></mc:AlternateContent></w:r></w:p>" + paragraph("Body")
    )  # fmt: skip
    header = f'<w:hdr xmlns:w="{W}">{paragraph("ACME 2024")}{paragraph("12")}</w:hdr>'
    found = extract_docx(docx(body, {"word/header1.xml": header}, [("h", "header", "header1.xml")]))
    assert found.text == "in the box\n\nBody\n\nACME 2024"
    assert (found.headings, found.part_starts) == ([(18, 1, "Headers and footers")], [0, 18])


def test_list_numbers_are_counted_as_word_does() -> None:
    levels = "".join(
        f'<w:lvl w:ilvl="{depth}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/><w:lvlText w:val="{pattern}"/></w:lvl>'
        for depth, kind, pattern in ((0, "decimal", "%1."), (1, "lowerLetter", "%1.%2)"))
    )
    numbering = (
        f'<w:numbering xmlns:w="{W}"><w:abstractNum w:abstractNumId="4">{levels}</w:abstractNum>'
        '<w:num w:numId="2"><w:abstractNumId w:val="4"/></w:num></w:numbering>'
    )
    body = "".join(
        f'<w:p><w:pPr><w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="2"/></w:numPr></w:pPr>'
        f"<w:r><w:t>{text}</w:t></w:r></w:p>"
        for depth, text in ((0, "one"), (1, "inner"), (1, "next"), (0, "two"), (1, "again"))
    )
    found = extract_docx(docx(body, {"word/numbering.xml": numbering}, [("n", "numbering", "numbering.xml")]))
    assert found.text.split("\n\n") == ["1. one", "1.a) inner", "1.b) next", "2. two", "2.a) again"]


def test_properties_are_facts_and_nothing_outside_is_fetched() -> None:
    core = (
        '<cp:coreProperties xmlns:cp="c" xmlns:dc="d"><dc:title>Plan</dc:title><dc:creator>Anna</dc:creator>'
        "</cp:coreProperties>"
    )
    found = parse(docx(paragraph("Body"), {"docProps/core.xml": core}), "a.docx")
    assert found.facts == {"kind": "docx", "title": "Plan", "author": "Anna"}
    assert found.described()["positions"] == []


def test_a_document_without_its_main_part_is_named() -> None:
    from tests.retrieval.formats.files import relations, zip_of

    broken = zip_of({"[Content_Types].xml": "<Types/>", "_rels/.rels": relations([]), "word/styles.xml": "<x/>"})
    with pytest.raises(Refused, match="main part is missing") as error:
        parse(broken, "a.docx")
    assert error.value.code == "corrupt"
