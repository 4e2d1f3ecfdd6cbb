"""What a file is: what its name says, and what its bytes say.

Pure functions over the name and the first bytes; the content decides, and a name that says otherwise is refused.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

Kind = Literal["text", "markdown", "html", "pdf"]

KIND_BY_EXTENSION: dict[str, Kind] = {
    ".txt": "text", ".text": "text", ".log": "text", ".rst": "text", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf",
}  # fmt: skip

# Formats whose bytes are text but whose text is not the document; they wait for a parser of their own.
MARKUP_EXTENSIONS = frozenset({".rtf", ".eml", ".mbox", ".svg", ".xml", ".epub", ".ipynb", ".ps", ".tex"})

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive or office document"), (b"PK\x05\x06", "a zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document"), (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"), (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"), (b"\x1f\x8b", "a gzip archive"), (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip archive"), (b"Rar!", "a RAR archive"), (b"{\\rtf", "a rich text document"),
    (b"SQLite format 3\0", "a database"), (b"\xca\xfe\xba\xbe", "a program"), (b"OggS", "an audio file"),
    (b"ID3", "an audio file"), (b"RIFF", "an audio, video or image file"), (b"%!PS", "a PostScript file"),
)  # fmt: skip
_PDF_WITHIN = 1024
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_CONTROL_SHARE = 0.02
_SAMPLE = 65536
_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def extension_of(name: str) -> str:
    """The extension in lower case with its dot, "" for none."""
    return PurePath(name).suffix.lower()


def kind_by_name(name: str) -> Kind | None:
    """The kind that a name promises; None where it promises none that we read."""
    return KIND_BY_EXTENSION.get(extension_of(name))


def could_be_text(name: str) -> bool:
    """Whether a file of unknown extension may be tried as plain text."""
    return extension_of(name) not in MARKUP_EXTENSIONS


def kind_by_content(data: bytes) -> tuple[Kind | None, str]:
    """The kind the bytes show, and its name in words; None for a kind that we cannot read."""
    head = data[:_PDF_WITHIN]
    if b"%PDF-" in head:
        return "pdf", "a PDF"
    for magic, words in _MAGIC:
        if head.startswith(magic) and not (magic in (b"MZ", b"BZh", b"ID3") and looks_like_text(data)):
            return None, words
    if not looks_like_text(data):
        return None, "binary data"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html", "a web page"
    return "text", "text"


def wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 by its byte order mark, or by where the zero bytes of ordinary text stand."""
    if data.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    sample = data[: _SAMPLE // 4 * 4]
    if len(sample) < 4 or not sample.count(0):
        return None
    shares = [sample[at::4].count(0) / max(1, len(sample[at::4])) for at in range(4)]
    even, odd = (shares[0] + shares[2]) / 2, (shares[1] + shares[3]) / 2
    guess = None
    if min(shares[1:]) > 0.7 and shares[0] < 0.2:
        guess = "utf-32-le"
    elif min(shares[:3]) > 0.7 and shares[3] < 0.2:
        guess = "utf-32-be"
    elif odd > 0.3 and even < 0.05:
        guess = "utf-16-le"
    elif even > 0.3 and odd < 0.05:
        guess = "utf-16-be"
    return guess if guess and _reads_well(sample, guess) else None


def _reads_well(sample: bytes, encoding: str) -> bool:
    """Whether a guess gives characters that text has: machine code has zero bytes in patterns too."""
    text = sample.decode(encoding, "replace")
    odd = sum(1 for letter in text if letter == "\ufffd" or (letter < " " and letter not in "\t\n\v\f\r"))
    return odd <= len(text) * _CONTROL_SHARE


def looks_like_text(data: bytes) -> bool:
    """Whether the bytes can be text in some encoding: hardly any control bytes, or the pattern of wide characters."""
    sample = data[:_SAMPLE]
    if sample.startswith(_BOMS) or wide_encoding(sample) is not None:
        return True
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls <= len(sample) * _CONTROL_SHARE
