"""What is on a PDF's pages beside the text, and files that are only pictures or sound."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import retrieval.recognition
from retrieval import Library
from retrieval.errors import DocumentError
from retrieval.formats import Refused
from retrieval.formats.identify import parse
from retrieval.formats.media import extract_image
from retrieval.formats.pdf import extract_pdf
from retrieval.ocr_child import lines_of
from retrieval.recognition import DocumentReader, MediaModels
from tests.doubles import HashEmbeddings
from tests.pdf import write_objects

Write = Callable[[str, "str | bytes"], Path]
WHITE, TINY, FAR = "1 1 1 rg", "/F1 1 Tf", "1 0 0 1 900 900 cm"
IMAGE = b"/Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8"


def pdf(content: str, page: str = "", *objects: bytes, catalog: str = "") -> bytes:
    """A PDF of one page with this content stream; further objects begin at number 6."""
    fixed = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog} >>".encode(),
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 5 0 R {page} "
        f"/Resources << /Font << /F1 3 0 R >> /XObject << /I 6 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content.encode()),
    ]
    return write_objects([*fixed, *objects])


def words(text: str, before: str = "", size: int = 12) -> str:
    return f"q {before} BT /F1 {size} Tf 72 700 Td ({text}) Tj ET Q\n"


def picture(width: int = 600, height: int = 800) -> tuple[str, bytes]:
    """(content that shows it, its object)."""
    data = zlib.compress(b"\x80")
    head = b"<< /Type /XObject /Subtype /Image %s /Filter /FlateDecode /Length %d >>" % (IMAGE, len(data))
    return f"q {width} 0 0 {height} 0 0 cm /I Do Q\n", head + b"\nstream\n" + data + b"\nendstream"


def test_the_outline_gives_headings() -> None:
    outline = [
        b"<< /Type /Outlines /First 7 0 R /Last 7 0 R /Count 1 >>",
        b"<< /Title (Second part) /Parent 6 0 R /Dest [4 0 R /Fit] >>",
    ]
    found = extract_pdf(
        pdf(words("First part") + words("Second part", "1 0 0 1 0 -90 cm"), "", *outline, catalog="/Outlines 6 0 R")
    )
    assert found.headings == [(found.text.index("Second part"), 1, "Second part")]


def test_d06_an_outline_that_loops_ends() -> None:
    outline = [
        b"<< /First 7 0 R /Last 7 0 R >>",
        b"<< /Title (A) /Parent 6 0 R /First 7 0 R /Next 7 0 R /Dest [4 0 R /Fit] >>",
    ]
    assert extract_pdf(pdf(words("Body"), "", *outline, catalog="/Outlines 6 0 R")).text == "Body"


def test_notes_and_form_entries_are_read() -> None:
    notes = [
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (Town) /V (Ulm) /Rect [0 0 9 9] >>",
        b"<< /Type /Annot /Subtype /Text /Contents (check this) /Rect [0 0 9 9] >>",
        b"<< /Type /Annot /Subtype /FreeText /Contents (written on it) /Rect [0 0 9 9] >>",
    ]
    found = extract_pdf(pdf(words("Body"), "/Annots [6 0 R 7 0 R 8 0 R]", *notes))
    assert found.text == "Body\nTown: Ulm\n[Note: check this]\nwritten on it"


def test_d10_nothing_active_is_run_or_fetched() -> None:
    active = [
        b"<< /S /JavaScript /JS (app.alert\\(1\\)) >>",
        b"<< /Type /Annot /Subtype /Link /A << /S /GoToR /F (http://127.0.0.1:1/x.pdf) >> /Rect [0 0 9 9] >>",
    ]
    made = pdf(words("Body"), "/Annots [7 0 R] /AA << /O 6 0 R >>", *active, catalog="/OpenAction 6 0 R")
    assert extract_pdf(made).text == "Body"


def test_d09_a_font_with_a_path_for_its_encoding_is_harmless() -> None:
    made = pdf(words("Body")).replace(
        b"/BaseFont /Helvetica", b"/BaseFont /Helvetica /Encoding /..#2f..#2fetc#2fpasswd"
    )
    assert "root:" not in parse(made, "a.pdf").text


@pytest.mark.parametrize(
    ("content", "hidden"),
    [
        (words("seen"), False), (words("white", WHITE), True), (words("tiny", size=1), True), (words("far", FAR), True),
        ("0 0 0.5 rg 0 600 600 200 re f\n" + words("white on blue", WHITE), False),
        ("1 1 1 rg 0 600 600 200 re f\n" + words("white on white", WHITE), True),
    ],
)  # fmt: skip
def test_d25_text_that_nobody_sees_is_flagged(content: str, hidden: bool) -> None:
    found = extract_pdf(pdf(words("Ordinary words stand here.") + content))
    assert [code for code, _ in found.warnings] == (["hidden_text"] if hidden else [])


def test_d24_invisible_characters_are_kept_and_flagged() -> None:
    tagged = "Hello" + "".join(chr(0xE0000 + ord(letter)) for letter in "obey") + " zero\u200bwidth \u202egnorw"
    found = parse(tagged.encode(), "a.txt")
    assert found.text == tagged
    assert found.warnings == [("hidden_text", "holds characters that a reader does not see in 3 places.")]
    for fine in (
        "שלום \u200f עולם",
        "👨\u200d👩\u200d👧",
        "🏴" + "".join(map(chr, (0xE0067, 0xE0062, 0xE007F))),
        "नि\u200dर",
    ):
        assert parse(fine.encode(), "a.txt").warnings == []


def test_a_pdfs_own_facts_are_kept() -> None:
    facts = b"<< /Title (Plan) /Author (Anna) /CreationDate (D:20240229120000Z) >>"
    found = parse(pdf(words("Body"), "", facts).replace(b"/Root 1 0 R", b"/Root 1 0 R /Info 6 0 R"), "a.pdf")
    assert found.facts == {"kind": "pdf", "title": "Plan", "author": "Anna", "created": "2024-02-29"}


def test_d20_markdown_is_kept_as_text() -> None:
    text = "# T\n\n![x](http://127.0.0.1:1/a.png) <b onclick=x()>b</b> [r][1] <http://a.example>\n\n[1]: http://b.example\n"
    assert parse(text.encode(), "a.md").text == text


def test_d03_a_pdf_with_a_password_is_named() -> None:
    keys = b"/O <%s> /U <%s>" % (b"11" * 32, b"22" * 32)
    locks = b"/Root 1 0 R /ID [<00> <00>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 %s >>" % keys
    locked = pdf(words("Body")).replace(b"/Root 1 0 R", locks)
    with pytest.raises(Refused) as error:
        extract_pdf(locked)
    assert error.value.code == "encrypted"
    assert "password" in error.value.found


def test_d07_a_million_pages_that_are_not_there_are_no_work() -> None:
    found = extract_pdf(pdf(words("Body")).replace(b"/Count 1", b"/Count 1000000"))
    assert (found.text, found.page_starts) == ("Body", [0])
    assert found.warnings == [("partial", "claims to have 1000000 pages; none after page 1 could be read.")]


def test_d02_pages_that_are_pictures_are_named_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval.recognition, "ocr_is_installed", lambda: False)
    show, image = picture()
    assert extract_pdf(pdf(show, "", image)).scanned == [1]
    assert extract_pdf(pdf(show + words("Stamp 7"), "", image)).scanned == [1]
    assert extract_pdf(pdf(picture(60, 80)[0] + words("A small picture beside the words."), "", image)).scanned == []
    assert outcome(tmp_path, "scan.pdf", pdf(show, "", image)) == "no_text"
    mixed = read(tmp_path, "mixed.pdf", pdf(show + words("Stamp 7"), "", image))
    assert mixed.warnings == [
        ("no_text", "has no text on page 1, which looks scanned; OCR is not installed (hearth[ocr])."),
    ]  # fmt: skip


def read(folder: Path, name: str, data: bytes, models: MediaModels | None = None):  # type: ignore[no-untyped-def]
    """A file's text as an ingest reads it."""
    (folder / name).write_bytes(data)
    descriptor = os.open(folder / name, os.O_RDONLY)
    try:
        with DocumentReader(1, models) as reader:
            return reader.read(descriptor, name)
    finally:
        os.close(descriptor)


def outcome(folder: Path, name: str, data: bytes, models: MediaModels | None = None) -> str:
    try:
        return str(read(folder, name, data, models).text)
    except DocumentError as error:
        return error.code


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 30, 20) + b"\x08\x02\x00\x00\x00" + b"\x00" * 40


def test_d28_a_picture_bomb_is_refused_by_its_declared_size() -> None:
    assert extract_image(PNG).facts == {"pixels": "30 x 20"}
    bomb = PNG.replace(struct.pack(">II", 30, 20), struct.pack(">II", 50_000, 50_000))
    with pytest.raises(Refused) as error:
        extract_image(bomb)
    assert (error.value.code, error.value.found) == (
        "too_complex", "has 50000 x 50000 pixels; a picture may have 100 million.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"GIF89a" + struct.pack("<HH", 7, 9) + b"\x00" * 9, "7 x 9"),
        (b"BM" + b"\x00" * 16 + struct.pack("<ii", 7, -9), "7 x 9"),
        (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 9, 7) + b"\x00" * 9, "7 x 9"),
        (b"II*\x00\x08\x00\x00\x00\x02\x00" + struct.pack("<HHIIHHII", 256, 3, 1, 7, 257, 3, 1, 9), "7 x 9"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x08\x00\x00", "7 x 9"),
    ],
)  # fmt: skip
def test_d28_the_size_is_read_from_every_kind_of_picture(data: bytes, size: str) -> None:
    assert extract_image(data).facts["pixels"] == size


def test_d28_svg_is_not_drawn() -> None:
    svg = b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg><text>&x;</text></svg>'
    with pytest.raises(Refused) as error:
        parse(svg, "a.svg")
    assert error.value.code in ("unsupported_type", "unsafe_xml")


def test_a_picture_without_a_model_has_a_named_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval.recognition, "ocr_is_installed", lambda: False)
    assert outcome(tmp_path, "a.png", PNG) == "unsupported_type"
    assert outcome(tmp_path, "a.mp3", b"ID3\x04" + b"\x00" * 99) == "unsupported_type"


def test_guests_describe_pictures_and_write_recordings_down(
    library_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval.recognition, "ocr_is_installed", lambda: False)
    seen: list[tuple[int, str]] = []

    def describe(data: bytes, name: str) -> str:
        seen.append((len(data), name))
        return "A red barn\nin the snow."

    def transcribe(data: bytes, name: str) -> list[tuple[float, str]]:
        return [(0.0, "Good morning. " + "word " * 190), (75.4, "The barn burned down. " + "word " * 60)]

    models = MediaModels(describe, transcribe)
    with Library.open(library_path, HashEmbeddings(), models=models) as library:
        report = library.add([write("barn.png", PNG), write("talk.mp3", b"ID3\x04" + b"\x00" * 99)])
        assert report.added == ["barn.png", "talk.mp3"]
        assert seen == [(len(PNG), "barn.png")]
        hit = library.search("barn burned down", mode="sparse", top_k=1)[0]
        assert (hit.metadata["document"], hit.metadata["position"]) == ("talk.mp3", "at 0:01:15")
        facts = {record.document: record.facts for record in library.documents()}
        assert (facts["barn.png"]["kind"], facts["barn.png"]["read_by"]) == ("image", "vision model")


OCR_CHILD = """
import sys
sys.path.append({root!r})
from retrieval.formats import Extracted, Refused
from retrieval.parser_child import serve

def read(data, request):
    if request["page"] == 2:
        raise Refused("no_text", "holds no words that could be recognised.")
    return Extracted(f"words of page {{request['page']}}")

serve(int(sys.argv[1]), read, 1 << 30, 20)
"""


@pytest.fixture
def ocr_double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "ocr_double.py"
    child.write_text(OCR_CHILD.format(root=str(Path(__file__).resolve().parents[3])))
    monkeypatch.setattr(retrieval.recognition, "_CHILD", child)
    monkeypatch.setattr(retrieval.recognition, "ocr_is_installed", lambda: True)


def test_scanned_pages_are_read_where_ocr_is_installed(tmp_path: Path, ocr_double: None) -> None:
    show, image = picture()
    found = read(tmp_path, "a.pdf", pdf(show + words("Stamp 7"), "", image))
    assert found.text == "Stamp 7\n\nwords of page 1"
    assert found.warnings == [("ocr", "was read by OCR on page 1; single letters may be wrong.")]
    assert found.facts["read_by"] == "OCR"
    assert outcome(tmp_path, "a.png", PNG) == "words of page 1"


@pytest.mark.skipif(not retrieval.recognition.ocr_is_installed(), reason="needs the extra ocr")
def test_a_real_scan_is_read(tmp_path: Path) -> None:
    """Words printed on a page, the page made into a picture, the picture put on a page."""
    import pypdfium2

    printed = pypdfium2.PdfDocument(pdf(words("The barn has 27 doors.", size=24)))[0]
    picture = printed.render(scale=2, grayscale=True).to_numpy().squeeze()
    data = zlib.compress(picture.tobytes())
    size = b"/Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8" % (picture.shape[1], picture.shape[0])
    head = b"<< /Type /XObject /Subtype /Image %s /Filter /FlateDecode /Length %d >>" % (size, len(data))
    scan = pdf("q 600 0 0 800 0 0 cm /I Do Q", "", head + b"\nstream\n" + data + b"\nendstream")
    found = read(tmp_path, "scan.pdf", scan)
    assert "The barn has 27 doors" in found.text
    assert [code for code, _ in found.warnings] == ["ocr"]


def test_words_of_one_line_are_joined_and_wide_gaps_marked() -> None:
    found = [
        (0.0, 0.0, 40.0, 10.0, "Heart"), (44.0, 1.0, 80.0, 11.0, "rate"), (200.0, 0.0, 240.0, 10.0, "78"),
        (0.0, 20.0, 90.0, 30.0, "next line"),
    ]  # fmt: skip
    assert lines_of(list(reversed(found))) == ["Heart rate | 78", "next line"]
