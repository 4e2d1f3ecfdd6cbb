"""Plain text: which encoding it is in, and the characters that may not go further.

Strict UTF-8 first; a guess is always named in a warning, with the number of bytes it could not explain.
"""

from __future__ import annotations

import re
import unicodedata

from retrieval.formats import Extracted
from retrieval.formats.kinds import wide_encoding

_GUESS_SAMPLE = 200_000
_ESCAPED = re.compile(rb"\x1b[$(]")
_NEWLINES = re.compile("\r\n?|\x85|\u2028|\u2029|\v|\f")
_SOFT_BREAK = re.compile("\ufffe\n?")
"""PDFium writes U+FFFE where a line ends inside a hyphenated word."""
_FORBIDDEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\uffff]|\u00ad|\ufeff")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}


def clean(text: str) -> str:
    """The text with one kind of line end and without controls, lone surrogates and non-characters, composed (NFC)."""
    text = _NEWLINES.sub("\n", text)
    text = _FORBIDDEN.sub("", _SOFT_BREAK.sub("", text))
    if text.isascii():
        return text
    if any(chr(code) in text for code in _LIGATURES):
        text = text.translate(_LIGATURES)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def decode(data: bytes, declared: str | None = None) -> tuple[str, list[tuple[str, str]]]:
    """The text of some bytes, and a warning naming the encoding where it had to be guessed.

    Args:
        declared: an encoding the document itself names; taken only if every byte fits it.
    """
    wide = wide_encoding(data)
    if wide is not None:
        return _replacing(data, wide)
    for encoding in ("utf-8-sig", declared):
        if encoding is None or (encoding == "utf-8-sig" and _ESCAPED.search(data[:_GUESS_SAMPLE])):
            continue
        try:
            return data.decode(encoding), []
        except (UnicodeDecodeError, LookupError):
            continue
    return _guessed(data)


def _guessed(data: bytes) -> tuple[str, list[tuple[str, str]]]:
    if _mostly_utf8(data):
        return _replacing(data, "utf-8")
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_GUESS_SAMPLE]).best()
    encoding = best.encoding if best is not None else "cp1252"
    text, warnings = _replacing(data, encoding)
    return text, warnings or [("encoding_guessed", f"was read as {encoding}, which is a guess")]


def _mostly_utf8(data: bytes) -> bool:
    """Whether a few broken bytes stand in what is otherwise UTF-8 with characters beyond ASCII."""
    text = data[:_GUESS_SAMPLE].decode("utf-8", "replace")
    broken = text.count("\ufffd")
    beyond = sum(1 for character in text if character > "\x7f") - broken
    return beyond > 4 * broken


def _replacing(data: bytes, encoding: str) -> tuple[str, list[tuple[str, str]]]:
    text = data.decode(encoding, "replace")
    lost = text.count("\ufffd") - data.count("\ufffd".encode())
    if lost <= 0:
        return text, []
    return text, [("encoding_guessed", f"was read as {encoding}; {lost} places could not be decoded")]


def extract_text(data: bytes) -> Extracted:
    """A plain text file."""
    text, warnings = decode(data)
    return Extracted(clean(text), warnings=warnings)
