"""E-mail: who, when and about what, the best body, attachments by name and never by path."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from retrieval.formats import Refused
from retrieval.formats.identify import parse
from retrieval.formats.mail import extract_eml, extract_mbox
from retrieval.formats.msg import unpacked_rtf


def message(body: str = "", subject: str = "Offer") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Anna <anna@a.example>", "ben@b.example", subject
    made["Date"] = "Mon, 01 Jun 2009 09:56:31 +0530"
    if body:
        made.set_content(body)
    return made


def test_a_message_is_its_head_and_its_plain_body() -> None:
    mail = message("Grüße aus Ulm\n\nAnna", "Über uns")
    mail.add_alternative("<p>not this one</p>", subtype="html")
    found = parse(mail.as_bytes(), "a.eml")
    assert found.text.startswith("From: Anna <anna@a.example>\nTo: ben@b.example\nDate: Mon, 01 Jun 2009")
    assert found.text.endswith("Subject: Über uns\n\nGrüße aus Ulm\n\nAnna")
    assert (found.facts["subject"], found.facts["from"]) == ("Über uns", "Anna <anna@a.example>")
    assert found.warnings == []


def test_a_message_with_only_a_page_is_read_as_one() -> None:
    mail = message()
    mail.set_content("<h1>Hello</h1><p>there</p><script>x()</script>", subtype="html")
    assert parse(mail.as_bytes(), "a.eml").text.endswith("Hello\n\nthere")


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\x.exe", "/abs.pdf", "\u202efdp.exe"])
def test_d27_attachments_are_named_and_never_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mail = message("See the file.")
    mail.add_attachment(b"data", maintype="application", subtype="pdf", filename=name)
    found = parse(mail.as_bytes(), "a.eml")
    assert found.text.endswith(f"Attachment: {name}")
    assert found.attachments == [name]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("depth", [20, 1000])
def test_d27_messages_in_each_other_end_at_a_depth(depth: int) -> None:
    inner = b"Subject: innermost\r\n\r\nwords"
    for level in range(depth):
        inner = b"Subject: level %d\r\nContent-Type: message/rfc822\r\n\r\n" % level + inner
    if depth == 1000:
        with pytest.raises(Refused) as error:
            extract_eml(inner)
        assert error.value.code == "too_complex"
    else:
        assert extract_eml(inner).text.count("Attached message") == 5


def test_a_forwarded_message_is_read_with_the_one_that_carries_it() -> None:
    outer = message("Look:")
    outer.add_attachment(message("the inner words", "Inner"))
    found = extract_eml(outer.as_bytes())
    assert "the inner words" in found.text
    assert [title for _, _, title in found.headings] == ["Attached message: Inner"]


def test_pictures_of_the_page_and_signatures_are_no_attachments() -> None:
    mail = message("See the file.")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="logo.png", cid="<logo>")
    mail.add_attachment(b"MIIG", maintype="application", subtype="pkcs7-signature", filename="smime.p7s")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="photo.png")
    assert parse(mail.as_bytes(), "a.eml").attachments == ["photo.png"]


def test_a_mailbox_is_a_part_for_every_message() -> None:
    box = b"".join(
        b"From a@b Mon Jun  1 09:56:31 2009\n" + message(f"body {n}", f"S{n}").as_bytes() + b"\n" for n in range(3)
    )
    found = extract_mbox(box)
    assert [title for _, _, title in found.headings] == ["message 1: S0", "message 2: S1", "message 3: S2"]
    assert (len(found.part_starts), found.facts["messages"]) == (3, "3")


def test_d03_a_sealed_message_is_named() -> None:
    mail = b"From: a@b\nSubject: s\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\n\nAAAA"
    with pytest.raises(Refused) as error:
        extract_eml(mail)
    assert error.value.code == "encrypted"


@pytest.mark.parametrize(
    "head",
    [
        b"Subject: =?utf-8?b?broken",
        b"From: \xff\xfe<>,,;",
        b"Date: never",
        b"Subject: =?nonsense?q?x?=",
        b"Content-Type: text/plain; charset=nonsense",
        b"Content-Type: multipart/mixed",
        b"Content-Transfer-Encoding: base64",
    ],
)
def test_broken_headers_do_not_stop_the_body(head: bytes) -> None:
    assert "words" in extract_eml(b"To: b@b\n" + head + b"\n\nwords of the mail\n").text or b"base64" in head


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (
            "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0",
            b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n",
        ),
        ("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0", b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"),
        ("11000000050000004d454c4100000000" + b"hello".hex(), b"hello"),
    ],
)
def test_outlooks_rich_text_is_unpacked(packed: str, text: bytes) -> None:
    """The examples of the format's own specification, [MS-OXRTFCP] 3.1, and one that is not packed."""
    assert unpacked_rtf(bytes.fromhex(packed)) == text


def test_damaged_rich_text_of_outlook_ends() -> None:
    with pytest.raises(ValueError, match="short"):
        unpacked_rtf(b"")
    assert len(unpacked_rtf(bytes.fromhex("ffffffffffffff7f4c5a4675f1c5c7a7") + b"\xff" * 999)) < 20_000
