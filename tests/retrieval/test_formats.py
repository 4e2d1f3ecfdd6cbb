"""What each parser makes of a file: text, pages, headings, encodings, and the characters that may not pass."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from retrieval.formats import Refused, kinds
from retrieval.formats.html import extract_html
from retrieval.formats.identify import parse
from retrieval.formats.markdown import extract_markdown, headings_of
from retrieval.formats.pdf import extract_pdf
from retrieval.formats.text import clean, decode
from tests.pdf import write_pdf

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 20
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 20


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_d22_unicode_encodings_are_read_without_a_guess(encoding: str) -> None:
    text = "Plain words, naïve café.\n" * 20
    found = decode(text.encode(encoding))
    assert (found.text, found.warnings) == (text, [])
    assert found.encoding.replace("-", "") in encoding.replace("-", "")


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp1251", RUSSIAN), ("shift_jis", JAPANESE), ("gb18030", "我能吞下玻璃而不伤身体。" * 30)]
)
def test_d22_legacy_encodings_are_read_and_the_guess_is_named(encoding: str, text: str) -> None:
    found, named, warnings = decode(text.encode(encoding))
    assert found == text
    assert [code for code, _ in warnings] == ["encoding_guessed"]
    assert f"was read as {named}" in warnings[0][1]


def test_d22_an_escape_coded_encoding_is_not_taken_for_ascii() -> None:
    found, _, warnings = decode(JAPANESE.encode("iso2022_jp"))
    assert found == JAPANESE
    assert warnings


def test_d22_broken_bytes_in_utf8_are_counted() -> None:
    data = ("straße " * 30).encode() + b"\xff\xfe broken \xff"
    found, _, warnings = decode(data)
    assert found.startswith("straße")
    assert warnings == [("encoding_guessed", "was read as utf-8; 3 places could not be decoded")]


def test_d23_controls_surrogates_and_noncharacters_go() -> None:
    assert clean("a\x00b\x07c\ud800d\uffffe\x9ff") == "abcdef"
    assert clean("one\r\ntwo\rthree\x85four\ffive") == "one\ntwo\nthree\nfour\nfive"
    assert clean("hyphen\ufffe\nated ﬁne e\u0301") == "hyphenated fine é"
    assert clean(clean("x\u00ad\ufeffy")) == "xy"


def test_markdown_headings_of_both_kinds_but_not_in_code() -> None:
    text = "# One #\ntext\n\nTwo\n---\n```\n# not\n```\n### Three\n- item\n---\n"
    assert [(level, title) for _, level, title in headings_of(text)] == [(1, "One"), (2, "Two"), (3, "Three")]
    assert extract_markdown(text.encode()).text == text


def test_d19_html_gives_only_its_words() -> None:
    page = b"""<html><head><title>t</title><style>p{}</style><meta http-equiv=refresh content='0;url=http://x'></head>
    <body onload='x()'><nav>Menu</nav><h1>Top <i>line</i></h1><script>alert(1)</script><p>One&nbsp;two<br>three</p>
    <table><tr><th>k</th><td>v</td></tr></table><iframe src=data:x></iframe><p hidden>secret</p>tail</body></html>"""
    found = extract_html(page)
    assert found.text == "Top line\n\nOne two\n\nthree\n\nk | v\n\ntail"
    assert found.headings == [(0, 1, "Top line")]


def test_d19_deep_nesting_ends() -> None:
    text = "<div>" * 100_000 + "deep" + "</div>" * 100_000
    with contextlib.suppress(Refused):
        assert extract_html(text.encode()).text in ("deep", "")


def test_html_declares_its_encoding() -> None:
    page = f"<html><head><meta charset='windows-1251'></head><body><p>{RUSSIAN}</p></body></html>".encode("cp1251")
    found = extract_html(page)
    assert RUSSIAN.strip() in found.text
    assert found.warnings == []


def test_pdf_pages_begin_where_they_are_said_to(tmp_path: Path) -> None:
    pages = ["First page (with brackets).", "", "Third page."]
    found = extract_pdf(write_pdf(tmp_path / "a.pdf", pages).read_bytes())
    ends = [*found.page_starts[1:], len(found.text)]
    assert [found.text[a:b].strip() for a, b in zip(found.page_starts, ends, strict=True)] == pages


def test_d02_a_pdf_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as error:
        extract_pdf(write_pdf(tmp_path / "a.pdf", ["", ""]).read_bytes())
    assert error.value.code == "no_text"


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.98])
def test_d04_a_truncated_pdf_is_recovered_in_part_or_named(tmp_path: Path, share: float) -> None:
    pages = [f"Page {number} speaks of subject{number}. " * 30 for number in range(1, 9)]
    data = write_pdf(tmp_path / "a.pdf", pages).read_bytes()
    cut = data[: int(len(data) * share)]
    if share == 0.01:
        with pytest.raises(Refused) as error:
            extract_pdf(cut)
        assert error.value.code in ("corrupt", "no_text")
    else:
        found = extract_pdf(cut)
        assert "subject1" in found.text
        assert [code for code, _ in found.warnings].count("partial") >= 1


@pytest.mark.parametrize("damage", [b"junk before\n", b""])
def test_d05_a_broken_table_of_contents_is_repaired(tmp_path: Path, damage: bytes) -> None:
    data = write_pdf(tmp_path / "a.pdf", ["Words that survive."]).read_bytes()
    broken = damage + data.replace(b"startxref\n", b"startxref\n9")
    assert "Words that survive." in extract_pdf(broken).text


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.txt", b"plain words", "text"),
        ("a.pdf", b"\n%PDF-1.7 ...", "pdf"),
        ("a.html", b"  <!DOCTYPE html><p>", "html"),
        ("a.txt", "words".encode("utf-16-le") * 9, "text"),
        ("a.bin", b"MZ\x90\x00\x03\x00\x00\x00\x04\x00" * 50, None),
        ("a.png", b"\x89PNG\r\n\x1a\n", "image"),
        ("a.docx", b"PK\x03\x04rest", None),
        ("a.txt", b"MZ is also how a sentence can begin.", "text"),
    ],
)
def test_d21_the_content_says_what_a_file_is(name: str, data: bytes, kind: str | None) -> None:
    assert kinds.kind_by_content(data)[0] == kind


def test_d22_a_declared_encoding_is_read_as_browsers_read_it() -> None:
    page = b"<html><head><meta charset=iso-8859-1></head><body><p>\x93Quoted\x94 \x80 20</p></body></html>"
    found = extract_html(page)
    assert (found.text, found.facts["encoding"]) == ("“Quoted” € 20", "cp1252")


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        ("WordDocument", "is an old Word document, which cannot be read; save it as .docx and add that."),
        ("PowerPoint Document", "is an old presentation, which cannot be read; save it as .pptx and add that."),
    ],
)
def test_an_office_document_from_before_2007_says_what_to_save_it_as(
    stream: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Compound:
        """A compound file with one stream."""

        def __init__(self, _: object) -> None: ...
        def __enter__(self) -> Compound:
            return self

        def __exit__(self, *_: object) -> None: ...
        def exists(self, name: str) -> bool:
            return name == stream

    monkeypatch.setattr("olefile.OleFileIO", Compound)
    for name in ("a.doc", "a.ppt", "a", "a.docx"):
        with pytest.raises(Refused) as error:
            parse(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", name)
        assert (error.value.code, error.value.found) == ("unsupported_type", sentence)
