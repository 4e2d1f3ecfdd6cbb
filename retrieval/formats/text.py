"""Plain text: which encoding it is in, and the characters that may not go further.

Strict UTF-8 first; a guess is always named in a warning, with the number of bytes it could not explain.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

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


_MEANT_BY = {
    "iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "us-ascii": "cp1252", "iso-8859-9": "cp1254",
    "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "x-sjis": "cp932", "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949", "tis-620": "cp874",
}  # fmt: skip
"""What web pages and mail mean by the names they give, as browsers read them (Source: WHATWG Encoding Standard)."""
_INVISIBLE = re.compile(
    "(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+|[\u202d\u202e]|(?<=[A-Za-z])[\u200b-\u200d\u2060]+(?=[A-Za-z])"
)
"""Tag characters (but not those of a flag), overrides of the direction, and zero width inside a Latin word."""


def invisible_places(text: str) -> int:
    """How many places of a text hold characters that a reader does not see but a model reads."""
    return 0 if text.isascii() else sum(1 for _ in _INVISIBLE.finditer(text))


class Decoded(NamedTuple):
    """The text of some bytes, the encoding they were read in, and warnings where that had to be guessed."""

    text: str
    encoding: str
    warnings: list[tuple[str, str]]


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """The text of some bytes.

    Args:
        declared: an encoding the document itself names; taken only if every byte fits it.
    """
    wide = wide_encoding(data)
    if wide is not None:
        return _replacing(data, wide)
    wider = _MEANT_BY.get(declared.lower()) if declared else None
    for encoding in ("utf-8-sig", wider, declared):
        if encoding is None or (encoding == "utf-8-sig" and _ESCAPED.search(data[:_GUESS_SAMPLE])):
            continue
        try:
            return Decoded(data.decode(encoding), _named(encoding, data), [])
        except (UnicodeDecodeError, LookupError):
            continue
    return _guessed(data)


def _named(encoding: str, data: bytes) -> str:
    if encoding != "utf-8-sig":
        return encoding.lower()
    return "ascii" if data.isascii() else "utf-8"


def _guessed(data: bytes) -> Decoded:
    if _mostly_utf8(data):
        return _replacing(data, "utf-8")
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_GUESS_SAMPLE]).best()
    encoding = best.encoding if best is not None else "cp1252"
    decoded = _replacing(data, encoding)
    warnings = decoded.warnings or [("encoding_guessed", f"was read as {encoding}, which is a guess")]
    return decoded._replace(warnings=warnings)


def _mostly_utf8(data: bytes) -> bool:
    """Whether a few broken bytes stand in what is otherwise UTF-8 with characters beyond ASCII."""
    text = data[:_GUESS_SAMPLE].decode("utf-8", "replace")
    broken = text.count("\ufffd")
    beyond = sum(1 for character in text if character > "\x7f") - broken
    return beyond > 4 * broken


def _replacing(data: bytes, encoding: str) -> Decoded:
    text = data.decode(encoding, "replace")
    lost = text.count("\ufffd") - data.count("\ufffd".encode())
    if lost <= 0:
        return Decoded(text, encoding, [])
    found = f"was read as {encoding}; {lost} places could not be decoded"
    return Decoded(text, encoding, [("encoding_guessed", found)])


def extract_text(data: bytes) -> Extracted:
    """A plain text file; positions are its lines."""
    decoded = decode(data)
    facts = {"encoding": decoded.encoding}
    return Extracted(clean(decoded.text), warnings=decoded.warnings, numbered_as="line", facts=facts)
