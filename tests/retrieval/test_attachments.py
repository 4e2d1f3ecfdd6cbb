"""What is attached to messages: read like any file, each in limits of its own, with positions that name it (D27)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from retrieval import Library
from retrieval.attachments import MAX_ATTACHMENTS, with_attachments
from retrieval.errors import ParserTimeout
from retrieval.formats import Extracted
from retrieval.formats.composer import MAX_CHARACTERS
from retrieval.recognition import DocumentReader
from tests.pdf import pdf_of
from tests.retrieval.formats.files import MAKERS, docx, paragraph, row, shape, xlsx, zip_of
from tests.retrieval.formats.files import pptx as presentation

Attached = tuple[str, bytes]
Read = Callable[..., Extracted]


def mail(*files: Attached, body: str = "See the files.", subject: str = "Offer") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["Subject"] = "Anna <anna@a.example>", subject
    made.set_content(body)
    for name, data in files:
        made.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return made


@pytest.fixture(scope="module")
def reader() -> Iterator[DocumentReader]:
    with DocumentReader(1) as opened:
        yield opened


@pytest.fixture
def read(reader: DocumentReader, tmp_path: Path) -> Read:
    """A message's bytes, parsed as an ingest does."""

    def read_bytes(data: bytes, name: str = "a.eml") -> Extracted:
        file = tmp_path / name
        file.write_bytes(data)
        descriptor = os.open(file, os.O_RDONLY)
        try:
            return reader.read(descriptor, name)
        finally:
            os.close(descriptor)

    return read_bytes


def test_an_attachment_of_every_kind_is_found_at_a_place_that_names_it(library: Library, folder: Path) -> None:
    """Each kind's own words, in a file attached to one message, come back from a search with the file's name."""
    kinds = sorted(MAKERS)
    files = [(f"file.{kind}", MAKERS[kind](f"word{number}word")) for number, kind in enumerate(kinds)]
    (folder / "a.eml").write_bytes(mail(*files).as_bytes())
    report = library.add([folder])
    assert (report.added, report.failed) == (["a.eml"], [])
    for number, kind in enumerate(kinds):
        best = library.search(f"word{number}word", mode="sparse", top_k=1)[0]
        assert f"word{number}word" in best.page_content
        assert best.metadata["position"].startswith(f"attachment file.{kind}")
        text = library.text(best.metadata["document_id"])
        assert text[best.metadata["start"] : best.metadata["end"]] == best.page_content
    [body] = [hit for hit in library.search("See the files", top_k=50) if "From: Anna" in hit.page_content]
    assert body.metadata["position"] is None
    assert library.documents()[0].facts["attachments"] == str(len(kinds))
    assert library.verify()["problems"] == []


def test_pages_slides_and_rows_of_attachments_keep_their_places(library: Library, folder: Path) -> None:
    files = [
        ("report.pdf", pdf_of(["about apples", "about pears"])),
        ("talk.pptx", presentation([shape("plums", "title"), shape("cherries", "title")])),
        ("prices.xlsx", xlsx({"Prices": row(1, "Fruit", "Euro") + row(2, "quince", "3") + row(3, "medlar", "4")})),
    ]
    (folder / "a.eml").write_bytes(mail(*files).as_bytes())
    library.add([folder])

    def place(word: str) -> str:
        return str(library.search(word, mode="sparse", top_k=1)[0].metadata["position"])

    assert place("pears") == "attachment report.pdf > page 2"
    assert place("cherries").startswith("attachment talk.pptx > slide 2")
    assert place("medlar") == "attachment prices.xlsx > Prices, rows 1-3"


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.zip", zip_of({"x.txt": "words"}), "is a zip archive, which cannot be read; unpack it"),
        ("photo.jpg", b"\xff\xd8\xff", "is a picture or a recording"),
        ("broken.docx", docx(paragraph("words"))[:150], "is a damaged"),
        ("empty.txt", b"", "is empty"),
        ("setup.pdf", b"MZ\x90\x00\x03\x00\x00\x00\xff\xff" * 9, "is named .pdf but holds a Windows program"),
        ("scan.pdf", pdf_of([""]), "is a PDF without any text"),
        ("bomb.xml", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares"),
    ],
    ids=["zip", "jpg", "docx", "empty", "program", "scan", "xml"],
)
def test_d27_one_that_cannot_be_read_is_named_and_the_others_are_read(
    read: Read, name: str, data: bytes, why: str
) -> None:
    found = read(mail((name, data), ("good.txt", b"the good words")).as_bytes())
    assert found.text.endswith("the good words")
    [warning] = [words for code, words in found.warnings if code == "attachments"]
    assert warning.startswith(f"has attachments that were not read: {name}, which {why}")
    assert "good.txt" not in warning


def test_d27_a_message_in_a_message_is_read_and_what_is_attached_to_it_is_named(read: Read) -> None:
    """Attached as a message it belongs to the mail; attached as a file it is one, and its own files are only named."""
    inner = mail(("deep.txt", b"deep words"), body="inner words", subject="Inner")
    outer = mail(("inner.eml", inner.as_bytes()))
    outer.add_attachment(inner)
    found = read(outer.as_bytes())
    assert found.text.count("inner words") == 2
    assert found.text.count("deep words") == 1
    assert [title for _, level, title in found.headings if level == 1] == [
        "Attached message: Inner", "attachment inner.eml", "attachment deep.txt",
    ]  # fmt: skip
    assert dict(found.warnings)["attachments"].startswith(
        "has attachments that were not read: deep.txt, which is attached to inner.eml. Save"
    )


def test_d27_a_message_that_carries_itself_over_and_over_ends(read: Read) -> None:
    made = mail(body="innermost")
    for _ in range(6):
        made = mail(("again.eml", made.as_bytes()))
    found = read(made.as_bytes())
    assert "innermost" not in found.text
    assert "again.eml, which is attached to again.eml" in dict(found.warnings)["attachments"]


def test_a_mailboxs_attachments_name_their_message(read: Read) -> None:
    box = b"".join(
        b"From a@b Mon Jun  1 09:56:31 2009\n" + mail((f"{n}.txt", b"words %d" % n)).as_bytes() + b"\n"
        for n in range(1, 3)
    )
    found = read(box, "a.mbox")
    assert [title for _, _, title in found.headings][-2:] == [
        "attachment message 1: 1.txt", "attachment message 2: 2.txt",
    ]  # fmt: skip
    assert found.text.endswith("words 1\n\nwords 2")
    assert found.described()["positions"] == ["message", "attachment"]


def test_d27_too_many_attachments_are_counted() -> None:
    """The first hundred are read; the rest is named, ten by name."""
    names = [f"{number}.txt" for number in range(MAX_ATTACHMENTS + 30)]
    found = with_attachments(Extracted("body", attachments=names), lambda number: Extracted(f"words {number}"))
    assert found.facts["attachments"] == str(MAX_ATTACHMENTS)
    assert found.text.endswith(f"words {MAX_ATTACHMENTS - 1}")
    words = dict(found.warnings)["attachments"]
    assert words.count("one too many") == 10
    assert "; and 20 more. Save them" in words


def test_d27_slow_and_endless_attachments_stop_at_a_limit() -> None:
    """Thirty seconds each by this clock, of which only the first few have a turn."""
    asked: list[int] = []

    def slow(number: int) -> Extracted:
        asked.append(number)
        raise ParserTimeout("x", "took longer than 30 s to read and was given up.")

    ticks = itertools.count(0, 25)
    found = with_attachments(Extracted("body", attachments=["x"] * 9), slow, lambda: float(next(ticks)))
    assert asked == [0, 1]
    assert "x, which took longer than 30 s to read and was given up; " in dict(found.warnings)["attachments"]
    assert "would have taken too long after the others" in dict(found.warnings)["attachments"]
    assert (found.text, found.part_starts) == ("body", [])


def test_attachments_that_hold_too_much_text_together_are_left() -> None:
    half = Extracted("x" * (MAX_CHARACTERS // 2))
    found = with_attachments(Extracted("body", attachments=["a.txt", "b.txt"]), lambda number: half)
    assert found.facts["attachments"] == "1"
    assert "b.txt, which holds more text than fits beside the others" in dict(found.warnings)["attachments"]


def test_warnings_about_an_attachment_name_it(read: Read) -> None:
    found = read(mail(("old.txt", "Grüße aus Köln, es ist schön hier.".encode("cp1252") * 3)).as_bytes())
    [(code, words)] = found.warnings
    assert code == "encoding_guessed"
    assert words.startswith("holds the attachment old.txt, which ")
