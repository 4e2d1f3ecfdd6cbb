"""Archives and XML made to swell, to loop, to read other files: refused before they cost anything."""

from __future__ import annotations

import random
import struct
import time
import zlib

import pytest

from retrieval.errors import DOCUMENT_ERRORS
from retrieval.formats import Refused
from retrieval.formats.archive import Archive
from retrieval.formats.identify import parse
from tests.retrieval.formats.files import MAKERS, W, docx, paragraph, pptx, row, shape, xlsx, zip_of


def code_of(data: bytes, name: str = "a.docx") -> str:
    """ "ready", or the code of the reason."""
    try:
        parse(data, name)
    except Refused as error:
        return error.code if error.code in DOCUMENT_ERRORS else f"the unknown code {error.code}"
    return "ready"


@pytest.mark.parametrize("kind", ["docx", "xlsx", "pptx"])
def test_d11_a_bomb_is_refused_from_its_directory(kind: str) -> None:
    filling = "x" * (40 << 20)
    made = {
        "docx": lambda: docx(paragraph(filling)),
        "xlsx": lambda: xlsx({"Sheet1": row(1, filling)}),
        "pptx": lambda: pptx([shape(filling)]),
    }[kind]()
    assert len(made) < 100_000
    began = time.monotonic()
    assert code_of(made, f"a.{kind}") == "expands_too_much"
    assert time.monotonic() - began < 0.1


def raw_zip(names: list[bytes], packed: bytes, checksum: int, claimed_bytes: int) -> bytes:
    """An archive of one deflated member that all entries of the directory point at."""
    facts = struct.pack("<HHHHHIIIH", 20, 0, 8, 0, 0, checksum, len(packed), claimed_bytes, len(names[0]))
    member = b"PK\x03\x04" + facts + b"\x00\x00" + names[0] + packed
    directory = b""
    for name in names:
        facts = struct.pack("<HHHHHIIIH", 20, 0, 8, 0, 0, checksum, len(packed), claimed_bytes, len(name))
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + facts + b"\x00" * 16 + name
    counts = struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(directory), len(member), 0)
    return member + directory + b"PK\x05\x06" + counts


def deflated(content: bytes) -> bytes:
    packing = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packing.compress(content) + packing.flush()


def test_d12_no_more_is_unpacked_than_the_directory_claims() -> None:
    honest = b"<x/>"
    assert Archive(raw_zip([b"a"], deflated(honest), zlib.crc32(honest), 4)).read("a") == honest
    lying = Archive(raw_zip([b"a"], deflated(b"x" * (50 << 20)), 0, 10))
    with pytest.raises(Refused) as error:
        lying.read("a")
    assert error.value.code == "corrupt"


def test_d13_entries_that_lie_over_each_other_are_refused() -> None:
    content = b"words " * 1000
    made = raw_zip([b"%02d" % number for number in range(40)], deflated(content), zlib.crc32(content), len(content))
    assert code_of(made) == "expands_too_much"


def test_d14_ten_thousand_and_one_entries_are_refused_at_once() -> None:
    many = zip_of({f"word/{number}": b"" for number in range(10_001)}, compress=False)
    began = time.monotonic()
    assert code_of(many) == "too_complex"
    assert time.monotonic() - began < 0.1


def test_d14_an_archive_in_an_archive_is_never_opened() -> None:
    inner = zip_of({"secret.txt": b"x" * 100})
    for _ in range(5):
        inner = zip_of({"inner.zip": inner})
    assert code_of(inner, "a.zip") == "unsupported_type"
    assert code_of(inner, "a.docx") == "type_mismatch"
    parts = {"word/embeddings/inner.zip": inner.decode("latin-1")}
    assert parse(docx(paragraph("Body"), parts), "a.docx").text == "Body"


def test_d03_an_encrypted_archive_is_named() -> None:
    data = bytearray(docx(paragraph("Body")))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    assert code_of(bytes(data)) == "encrypted"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_d04_a_cut_off_office_file_is_corrupt(share: float) -> None:
    data = docx("".join(paragraph(f"Paragraph {number}") for number in range(200)))
    assert code_of(data[: int(len(data) * share)]) == "corrupt"


@pytest.mark.parametrize("kind", MAKERS)
def test_d05_damaged_bytes_anywhere_end_in_text_or_a_named_reason(kind: str) -> None:
    chance = random.Random(kind)
    sound = MAKERS[kind]("some words. " * 20)
    assert code_of(sound, f"a.{kind}") == "ready"
    for _ in range(60):
        broken = bytearray(sound[: chance.randrange(1, len(sound))] if chance.random() < 0.3 else sound)
        for _ in range(chance.randrange(1, 8)):
            at = chance.randrange(len(broken) + 1)
            broken[at : at + chance.randrange(2)] = bytes(chance.randrange(256) for _ in range(chance.randrange(3)))
        assert "unknown" not in code_of(bytes(broken), f"a.{kind}")


HOSTILE = {
    "a document type": f'<!DOCTYPE w:document [<!ELEMENT x ANY>]><w:document xmlns:w="{W}"/>',
    "an external entity": '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><d>&x;</d>',
    "laughs": "<!DOCTYPE d [<!ENTITY a '" + "l" * 99 + "'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{('&' + chr(97 + n) + ';') * 10}'>" for n in range(9)) + "]><d>&j;</d>",
    "depth": f'<w:document xmlns:w="{W}">' + "<w:p>" * 200_000 + "</w:p>" * 200_000 + "</w:document>",
    "one word": f'<w:document xmlns:w="{W}"><w:body><w:p><w:r><w:t>' + "".join(map(chr, range(97, 123))) * 2_000_000
    + "</w:t></w:r></w:p></w:body></w:document>",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_d15_unsafe_xml_is_refused(kind: str) -> None:
    base = dict(
        Archive(docx("")).read(name) and (name, Archive(docx("")).read(name)) for name in Archive(docx("")).names
    )
    made = zip_of({**base, "word/document.xml": HOSTILE[kind]}, compress=False)  # type: ignore[dict-item]
    began = time.monotonic()
    assert code_of(made) == "unsafe_xml"
    assert time.monotonic() - began < 3


def test_d15_a_sheet_with_entities_is_refused_too() -> None:
    made = xlsx({"Sheet1": row(1, "a")})
    archive = Archive(made)
    parts = {name: archive.read(name) or b"" for name in archive.names}
    sheet = (
        b'<!DOCTYPE d [<!ENTITY x "aaaa">]><worksheet><sheetData><row><c><v>&x;</v></c></row></sheetData></worksheet>'
    )
    assert code_of(zip_of({**parts, "xl/worksheets/sheet1.xml": sheet}), "a.xlsx") == "unsafe_xml"


def test_relations_out_of_the_archive_lead_nowhere() -> None:
    related = [("s", "styles", "../../../../etc/passwd"), ("n", "numbering", "file:///etc/passwd")]
    assert parse(docx(paragraph("Body"), {}, related), "a.docx").text == "Body"
