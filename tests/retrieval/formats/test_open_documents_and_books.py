"""OpenDocument files, books and rich text."""

from __future__ import annotations

import pytest

from retrieval.formats import Refused
from retrieval.formats.epub import extract_epub
from retrieval.formats.identify import parse
from retrieval.formats.odf import extract_odf
from retrieval.formats.rtf import extract_rtf
from tests.retrieval.formats.files import epub, odf


def test_a_text_with_headings_lists_notes_and_a_table() -> None:
    content = """<text:h text:outline-level="2">Part</text:h><text:p>One<text:s text:c="2"/>two<text:note>
    <text:note-citation>1</text:note-citation><text:note-body><text:p>noted</text:p></text:note-body></text:note></text:p>
    <text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>
    <text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>
    <table:table table:name="T"><table:table-header-rows><table:table-row><table:table-cell><text:p>Name</text:p>
    </table:table-cell><table:table-cell><text:p>Age</text:p></table:table-cell></table:table-row>
    </table:table-header-rows><table:table-row><table:table-cell><text:p>Anna</text:p></table:table-cell>
    <table:table-cell><text:p>31</text:p></table:table-cell></table:table-row></table:table>"""
    found = extract_odf(odf("text", content))
    assert found.text == "Part\n\nOne  two[1]\n\n[1] noted\n\n- item\n\nName | Age\nName: Anna | Age: 31"
    assert found.headings == [(0, 2, "Part")]


def test_d16_repeated_cells_and_rows_of_a_sheet_cost_nothing() -> None:
    cell = '<table:table-cell table:number-columns-repeated="{}">{}</table:table-cell>'
    first = cell.format(1, "<text:p>a</text:p>") + cell.format(16383, "")
    empty = '<table:table-row table:number-rows-repeated="1048570"><table:table-cell/></table:table-row>'
    last = cell.format(2, "<text:p>b</text:p>")
    rows = f"<table:table-row>{first}</table:table-row>{empty}<table:table-row>{last}</table:table-row>"
    content = f'<table:table table:name="Stock">{rows}</table:table>'
    found = parse(odf("spreadsheet", content), "a.ods")
    assert found.text == "Stock\n\na\nb | b"
    assert [number for _, number in found.numbered] == [1, 1048572]
    assert found.described()["positions"] == ["sheet", "row"]


def test_d03_a_document_with_a_password_is_named() -> None:
    manifest = "<manifest><file-entry><encryption-data/></file-entry></manifest>"
    with pytest.raises(Refused) as error:
        extract_odf(odf("text", "", {"META-INF/manifest.xml": manifest}))
    assert error.value.code == "encrypted"


def test_a_books_chapters_are_read_in_the_order_of_its_spine() -> None:
    found = parse(epub(["<h1>One</h1><p>first</p>", "<h1>Two</h1><p>second</p><script>no</script>"]), "a.epub")
    assert found.text == "One\n\nfirst\n\nTwo\n\nsecond"
    assert [title for _, _, title in found.headings] == ["One", "Two"]
    assert (found.facts["title"], found.facts["author"]) == ("A book", "A. Writer")


def test_d03_a_book_with_copy_protection_is_named() -> None:
    rules = '<encryption><EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></encryption>'
    with pytest.raises(Refused) as error:
        extract_epub(epub(["x"], {"META-INF/encryption.xml": rules}))
    assert error.value.code == "encrypted"
    fonts = rules.replace("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "http://www.idpf.org/2008/embedding")
    assert extract_epub(epub(["x"], {"META-INF/encryption.xml": fonts})).text == "x"


def test_a_chapter_named_outside_the_book_is_not_there() -> None:
    from tests.retrieval.formats.files import zip_of

    items = '<manifest><item id="a" href="../../../etc/passwd"/></manifest><spine><itemref idref="a"/></spine>'
    package = f"<package>{items}</package>"
    container = '<container><rootfiles><rootfile full-path="c.opf"/></rootfiles></container>'
    book = zip_of({"mimetype": "application/epub+zip", "META-INF/container.xml": container, "c.opf": package})
    assert extract_epub(book).text == ""


def test_d22_rich_text_is_read_in_its_fonts_encodings() -> None:
    data = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset238 Arial CE;}{\f2\fcharset128 MS;}}"
        rb"{\info{\title Plan}{\author Anna}}\f0 caf\'e9 \f1 \'e8\'ed\f2 \'82\'b1\f0\par "
        rb"\u26085?\u26412? \u-10179?\u-8704?\par}"
    )
    found = extract_rtf(data)
    assert found.text == "café číこ\n\n日本 😀"
    assert (found.facts["title"], found.facts["author"]) == ("Plan", "Anna")


def test_rich_text_has_headings_tables_notes_and_no_hidden_words() -> None:
    data = (
        rb"{\rtf1{\stylesheet{\s1\outlinelevel0 heading 1;}{\s0 Normal;}}\pard\s1 Part\par\pard Body{\v secret}"
        rb"{\footnote a note}{\*\generator x}{\pict\bin4 }}}}}\par"
        rb"\trowd\intbl Name\cell Town\cell Age\cell\row\trowd\intbl Anna\cell Ulm\cell 31\cell\row\pard End\par"
        rb"{\header top}{\field{\*\fldinst HYPERLINK}{\fldrslt link}}}"
    )
    found = extract_rtf(data)
    assert found.text.split("\n\n") == [
        "Part", "Body", "[note] a note", "Name | Town | Age\nName: Anna | Town: Ulm | Age: 31", "End", "link", "top",
    ]  # fmt: skip
    assert found.headings[0] == (0, 1, "Part")


@pytest.mark.parametrize("data", [b"{\\rtf1 \\bin999999999 x", b"{\\rtf1 }}}}}} tail", b"{\\rtf"])
def test_damaged_rich_text_ends(data: bytes) -> None:
    assert extract_rtf(data).text in ("", "tail")


def test_rich_text_nested_without_end_is_named() -> None:
    with pytest.raises(Refused) as error:
        extract_rtf(b"{\\rtf1 " + b"{" * 100_000)
    assert error.value.code == "too_complex"
