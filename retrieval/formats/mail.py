"""E-mail, single messages and mailboxes: who, to whom, when, about what; the best body; attachments by name.

What is attached is handed out file by file, to be parsed like any other; a name never becomes a path.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage, Message
from typing import Any

from retrieval.formats import Extracted, Refused
from retrieval.formats.composer import Composer
from retrieval.formats.html import visible_blocks, write_blocks
from retrieval.formats.text import clean, decode

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_MAX_DEPTH = 5
_MAX_PARTS = 1000
_ENVELOPE = re.compile(rb"(?:^|\n)From [^\n]*\d{4}[^\n]*\r?\n(?=[\w-]+:)")
_MAX_MESSAGES = 20_000
_SIGNATURES = frozenset(("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"))
"""Attached by programs, for programs."""


def extract_eml(data: bytes) -> Extracted:
    """One message.

    Raises:
        Refused: encrypted, where nothing but a sealed body is in it.
    """
    return read_eml(data).extracted()


def extract_mbox(data: bytes) -> Extracted:
    """A mailbox; every message is a part, positions read "message 3: Re: Offer"."""
    return read_mbox(data).extracted()


def read_eml(data: bytes) -> MailWriter:
    """One message, with what is attached to it."""
    writer = MailWriter()
    writer.message(_parsed(data), 0)
    return writer


def read_mbox(data: bytes) -> MailWriter:
    """A mailbox, with what is attached to its messages."""
    writer = MailWriter()
    envelopes = [match.span() for match in _ENVELOPE.finditer(data)] or [(0, 0)]
    ends = [*(begin for begin, _ in envelopes[1:]), len(data)]
    for number, ((_, start), end) in enumerate(zip(envelopes, ends, strict=True), start=1):
        if number > _MAX_MESSAGES:
            writer.composer.warnings.append(
                ("partial", f"holds more than {_MAX_MESSAGES} messages; the first were read.")
            )
            break
        writer.message(_parsed(data[start:end]), 0, number)
    writer.composer.facts = {"messages": str(len(envelopes))}
    return writer


def _parsed(data: bytes) -> Message[Any, Any]:
    try:
        return email.message_from_bytes(data, policy=email.policy.default)
    except RecursionError as error:
        raise Refused("too_complex", "holds messages inside messages without end.") from error


class MailWriter:
    """Writes messages into one document; also those of other containers that hold mail."""

    def __init__(self) -> None:
        self.composer = Composer()
        self.files: list[tuple[str, Callable[[], bytes]]] = []
        """(name, what gives its bytes) of each attachment."""
        self._number = 0
        self._sealed = False
        self._bodies = 0

    def extracted(self) -> Extracted:
        """The document, with its attachments' names and, in a mailbox, those of their messages.

        Raises:
            Refused: encrypted.
        """
        if self._sealed and not self._bodies:
            raise Refused("encrypted", "is an encrypted message; save its readable text and add that.")
        found = self.composer.extracted()
        found.attachments = [name for name, _ in self.files]
        return found

    def head(self, facts: dict[str, str], depth: int, number: int = 0) -> None:
        """The lines above a message."""
        subject = facts.get("Subject", "")
        self._number = number or self._number
        if number:
            self.composer.part(f"message {number}{': ' + subject if subject else ''}")
        elif depth:
            self.composer.heading(f"Attached message: {subject or 'without a subject'}", depth)
        else:
            self.composer.facts.update({name.lower(): value[:500] for name, value in facts.items()})
        self.composer.block("\n".join(f"{name}: {value}" for name, value in facts.items()))

    def body(self, text: str) -> None:
        """A message's words."""
        self._bodies += bool(text.strip())
        for paragraph in re.split(r"\n\s*\n", clean(text)):
            self.composer.block(paragraph)

    def html_body(self, data: bytes) -> None:
        """A message's words, as a page."""
        blocks = visible_blocks(data, self.composer)
        self._bodies += bool(blocks)
        write_blocks(self.composer, blocks)

    def attached(self, name: str, load: Callable[[], bytes]) -> None:
        """Name an attachment, in the text too, so that it can be found."""
        shown = " ".join(clean(name).split())[:200]
        self.files.append((f"message {self._number}: {shown}" if self._number else shown, load))
        self.composer.line(f"Attachment: {shown}")

    def message(self, message: Message[Any, Any], depth: int, number: int = 0) -> None:
        """One message with those inside it."""
        facts = {name: value for name in _HEADERS if (value := _header(message, name))}
        self.head(facts, depth, number)
        plain, pages, others = _sorted(message)
        if any(
            part.get_content_type() in ("application/pkcs7-mime", "application/x-pkcs7-mime") for part in others
        ) or (message.get_content_type() == "multipart/encrypted"):
            self._sealed = True
        for part in plain:
            self.body(self._text(part))
        if not any(self._text(part).strip() for part in plain):
            for part in pages:
                self.html_body(_payload(part))
        for part in others:
            self._other(part, depth)

    def _other(self, part: Message[Any, Any], depth: int) -> None:
        inner = part.get_payload()
        message = inner[0] if isinstance(inner, list) and inner else None
        if part.get_content_type() == "message/rfc822" and isinstance(message, Message) and depth < _MAX_DEPTH:
            self.message(message, depth + 1)
        elif part.get_content_type() not in _SIGNATURES and not _is_shown_in_page(part):
            self.attached(_filename(part) or f"unnamed ({part.get_content_type()})", lambda: _bytes_of(part))

    def _text(self, part: Message[Any, Any]) -> str:
        decoded = decode(_payload(part), part.get_content_charset())
        self.composer.facts.setdefault("encoding", decoded.encoding)
        self.composer.warnings += [warning for warning in decoded.warnings if warning not in self.composer.warnings]
        return decoded.text


def _sorted(message: Message[Any, Any]) -> tuple[list[Message[Any, Any]], ...]:
    """(plain bodies, HTML bodies, everything else) of a message, not looking into the messages it carries."""
    plain, pages, others = [], [], []
    for part in _leaves(message):
        kind = part.get_content_type()
        if part.get_content_disposition() == "attachment" or (_filename(part) and not kind.startswith("text/")):
            others.append(part)
        elif kind == "text/plain" or (kind.startswith("multipart/") and isinstance(part.get_payload(), str)):
            plain.append(part)
        elif kind == "text/html":
            pages.append(part)
        else:
            others.append(part)
    return plain, pages, others


def _leaves(message: Message[Any, Any]) -> Iterator[Message[Any, Any]]:
    """The parts of a message that hold no others, in their order."""
    waiting, count = [message], 0
    while waiting and count < _MAX_PARTS:
        part = waiting.pop()
        count += 1
        inner = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(inner, list):
            waiting += [one for one in reversed(inner) if isinstance(one, Message)]
        else:
            yield part


def _is_shown_in_page(part: Message[Any, Any]) -> bool:
    """Whether a part is a picture that stands in the message's page, such as a logo."""
    return part.get_content_maintype() == "image" and part.get("Content-ID") is not None


def _bytes_of(part: Message[Any, Any]) -> bytes:
    """An attachment's bytes, a message's too."""
    inner = part.get_payload()
    if isinstance(inner, list) and inner and isinstance(inner[0], Message):
        return inner[0].as_bytes()
    return _payload(part)


def _payload(part: Message[Any, Any]) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        found = str(part.get_payload()).encode("utf-8", "surrogateescape")
    return found if isinstance(found, bytes) else b""


def _header(message: Message[Any, Any], name: str) -> str:
    """A header in words; a broken one as it stands."""
    try:
        value = message[name]
        return " ".join(str(value).split()) if value is not None else ""
    except (ValueError, LookupError, IndexError, AttributeError, TypeError):
        raw = dict(message.raw_items()).get(name, "") if isinstance(message, EmailMessage) else ""
        return " ".join(str(raw).split())


def _filename(part: Message[Any, Any]) -> str:
    try:
        return part.get_filename() or ""
    except (ValueError, LookupError, IndexError, AttributeError, TypeError):
        return "unreadable name"
