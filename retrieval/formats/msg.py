"""Outlook messages: the same lines as an e-mail has, read from the compound file they are kept in."""

from __future__ import annotations

import functools
import io
import struct
from datetime import UTC, datetime, timedelta

import olefile

from retrieval.formats import Extracted, Refused
from retrieval.formats.kinds import kind_by_name
from retrieval.formats.mail import MailWriter
from retrieval.formats.rtf import Reader
from retrieval.formats.text import decode

_SUBJECT, _SENDER, _SENDER_ADDRESS, _SMTP = 0x0037, 0x0C1A, 0x0C1F, 0x5D01
_TO, _CC, _BODY, _HTML, _RTF = 0x0E04, 0x0E03, 0x1000, 0x1013, 0x1009
_LONG_NAME, _SHORT_NAME, _DISPLAY_NAME, _CONTENT, _CONTENT_ID = 0x3707, 0x3704, 0x3001, 0x3701, 0x3712
_SENT, _RECEIVED, _CODEPAGE, _INTERNET_CODEPAGE = 0x0039, 0x0E06, 0x3FFD, 0x3FDE
_TIME_KIND, _INTEGER_KIND = 0x0040, 0x0003
_HEADER_BYTES = 32
_EMBEDDED = "__substg1.0_3701000D"
_MAX_DEPTH = 5
_FIRST_DAY = datetime(1601, 1, 1, tzinfo=UTC)
_RTF_DICTIONARY = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
    b"\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
_MAX_RTF = 64 << 20


def extract_msg(data: bytes) -> Extracted:
    """An Outlook message.

    Raises:
        Refused: corrupt.
    """
    return read_msg(data).extracted()


def read_msg(data: bytes) -> MailWriter:
    """An Outlook message, with what is attached to it.

    Raises:
        Refused: corrupt.
    """
    try:
        ole = olefile.OleFileIO(io.BytesIO(data))
        writer = MailWriter()
        _message(ole, [], writer, 0)
    except (OSError, IndexError, struct.error, ValueError, KeyError) as error:
        raise Refused("corrupt", "is a damaged Outlook message.") from error
    return writer


def _message(ole: olefile.OleFileIO, folder: list[str], writer: MailWriter, depth: int) -> None:
    numbers = _fixed(ole, folder, _HEADER_BYTES if not folder else 24)
    codepage = _codepage(numbers)
    sender, address = _text(ole, folder, _SENDER, codepage), _text(ole, folder, _SMTP, codepage)
    address = address or _text(ole, folder, _SENDER_ADDRESS, codepage)
    if address and address != sender and "@" in address:
        sender = f"{sender} <{address}>".strip()
    facts = {
        "From": sender,
        "To": _text(ole, folder, _TO, codepage),
        "Cc": _text(ole, folder, _CC, codepage),
        "Date": _moment(numbers.get((_SENT, _TIME_KIND)) or numbers.get((_RECEIVED, _TIME_KIND))),
        "Subject": _text(ole, folder, _SUBJECT, codepage),
    }
    writer.head({name: " ".join(value.split()) for name, value in facts.items() if value.strip("\0 ")}, depth)
    _body(ole, folder, writer, codepage)
    for name in sorted({entry[len(folder)] for entry in ole.listdir(storages=True) if _is_attachment(entry, folder)}):
        inside = [*folder, name]
        if ole.exists([*inside, _EMBEDDED, "__properties_version1.0"]) and depth < _MAX_DEPTH:
            _message(ole, [*inside, _EMBEDDED], writer, depth + 1)
        else:
            names = (_text(ole, inside, kind, codepage) for kind in (_LONG_NAME, _SHORT_NAME, _DISPLAY_NAME))
            attached = next((name for name in names if name), "unnamed")
            if kind_by_name(attached) == "image" and _text(ole, inside, _CONTENT_ID, codepage):
                continue  # a picture that stands in the message's page
            content = functools.partial(_stream, ole, inside, _CONTENT, 0x0102)
            writer.attached(attached, content)


def _is_attachment(entry: list[str], folder: list[str]) -> bool:
    return len(entry) > len(folder) and entry[: len(folder)] == folder and entry[len(folder)].startswith("__attach_")


def _body(ole: olefile.OleFileIO, folder: list[str], writer: MailWriter, codepage: str) -> None:
    """The first body that holds words: plain, page, rich text."""
    plain = _text(ole, folder, _BODY, codepage)
    if plain.strip():
        writer.body(plain)
        return
    page = _stream(ole, folder, _HTML, 0x0102) or _text(ole, folder, _HTML, codepage).encode()
    if page.strip():
        writer.html_body(page)
        return
    packed = _stream(ole, folder, _RTF, 0x0102)
    if packed:
        writer.body(Reader(unpacked_rtf(packed)).read().text)


def _stream(ole: olefile.OleFileIO, folder: list[str], number: int, kind: int) -> bytes:
    path = [*folder, f"__substg1.0_{number:04X}{kind:04X}"]
    return bytes(ole.openstream(path).read()) if ole.exists(path) else b""


def _text(ole: olefile.OleFileIO, folder: list[str], number: int, codepage: str) -> str:
    wide = _stream(ole, folder, number, 0x001F)
    if wide:
        return wide.decode("utf-16-le", "replace").rstrip("\0")
    narrow = _stream(ole, folder, number, 0x001E)
    return decode(narrow, codepage).text.rstrip("\0") if narrow else ""


def _fixed(ole: olefile.OleFileIO, folder: list[str], header: int) -> dict[tuple[int, int], int]:
    """The numbers and times of a message: (property, kind) -> value."""
    path = [*folder, "__properties_version1.0"]
    data = ole.openstream(path).read() if ole.exists(path) else b""
    found = {}
    for at in range(header, len(data) - 15, 16):
        kind, number, _, value = struct.unpack_from("<HHIQ", data, at)
        found[number, kind] = value
    return found


def _codepage(numbers: dict[tuple[int, int], int]) -> str:
    for number in (_CODEPAGE, _INTERNET_CODEPAGE):
        value = numbers.get((number, _INTEGER_KIND), 0) & 0xFFFFFFFF
        if value:
            return {65001: "utf-8", 20127: "ascii", 28591: "latin-1", 50220: "iso2022_jp"}.get(value, f"cp{value}")
    return "cp1252"


def _moment(ticks: int | None) -> str:
    """A time counted in tenths of microseconds since 1601, as ISO 8601."""
    if not ticks:
        return ""
    try:
        return (_FIRST_DAY + timedelta(microseconds=ticks // 10)).isoformat(sep=" ", timespec="minutes")
    except OverflowError:
        return ""


def unpacked_rtf(data: bytes) -> bytes:
    """Rich text from Outlook's own compression (Source: [MS-OXRTFCP], section 2.2).

    Raises:
        ValueError: it is cut off or of another kind.
    """
    if len(data) < 16:
        raise ValueError("too short")
    size, kind = struct.unpack_from("<4xI4s", data)
    if kind == b"MELA":
        return data[16 : 16 + size]
    if kind != b"LZFu":
        raise ValueError("not compressed rich text")
    ring = bytearray(_RTF_DICTIONARY.ljust(4096, b"\0"))
    write, at, out = len(_RTF_DICTIONARY), 16, bytearray()
    while at < len(data) and len(out) < min(size, _MAX_RTF):
        flags, at = data[at], at + 1
        for bit in range(8):
            if at >= len(data):
                break
            if not flags >> bit & 1:
                out.append(data[at])
                ring[write] = data[at]
                write, at = (write + 1) % 4096, at + 1
                continue
            if at + 1 >= len(data):
                break
            token, at = data[at] << 8 | data[at + 1], at + 2
            offset, length = token >> 4, (token & 15) + 2
            if offset == write:
                return bytes(out[:size])
            for step in range(length):
                byte = ring[(offset + step) % 4096]
                out.append(byte)
                ring[write] = byte
                write = (write + 1) % 4096
    return bytes(out[:size])
