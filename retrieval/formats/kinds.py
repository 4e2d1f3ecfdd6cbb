"""What a file is: what its name says, and what its bytes say.

Pure functions over the name and the first bytes; `identify` puts the two together and looks into containers.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

Kind = Literal[
    "text", "markdown", "html", "pdf", "docx", "pptx", "xlsx", "xls", "odf", "epub", "rtf", "msg", "eml", "mbox",
    "csv", "json", "jsonl", "xml", "notebook", "code", "image", "audio",
]  # fmt: skip

_CODE = (
    "py pyi pyw js mjs cjs jsx ts mts cts tsx java kt kts scala groovy c h cc cpp cxx hh hpp hxx cs go rs rb php pl pm"
    " swift m mm r jl lua sh bash zsh ps1 bat sql dart ex exs erl hs clj elm f90 f95 vb vue svelte sol proto tf"
    " cmake gradle css scss less toml ini cfg conf yaml yml properties tex bib"
).split()
_EXTENSIONS: dict[Kind, str] = {
    "text": "txt text log rst adoc org srt vtt", "markdown": "md markdown mdown mkd", "html": "html htm xhtml",
    "pdf": "pdf", "docx": "docx docm dotx dotm", "pptx": "pptx pptm ppsx ppsm potx", "xlsx": "xlsx xlsm xltx xltm",
    "xls": "xls xlt", "odf": "odt ott odp otp ods ots fodt", "epub": "epub", "rtf": "rtf", "msg": "msg",
    "eml": "eml emlx mht mhtml", "mbox": "mbox mbx", "csv": "csv tsv tab", "json": "json geojson",
    "jsonl": "jsonl ndjson", "xml": "xml", "notebook": "ipynb", "image": "png jpg jpeg gif bmp tif tiff webp",
    "audio": "wav mp3 m4a flac ogg oga opus aac wma",
}  # fmt: skip
KIND_BY_EXTENSION: dict[str, Kind] = {
    **{f".{extension}": kind for kind, extensions in _EXTENSIONS.items() for extension in extensions.split()},
    **{f".{extension}": "code" for extension in _CODE},
}

OFFICE_KINDS = frozenset(("docx", "pptx", "xlsx", "xls", "odf", "rtf", "epub", "msg"))
"""Kinds that programs save under each other's names; what is inside decides."""
TEXT_KINDS = frozenset(("text", "markdown", "html", "eml", "mbox", "csv", "json", "jsonl", "xml", "notebook", "code"))
MEDIA_KINDS = frozenset(("image", "audio"))

# Formats whose bytes are text but whose text is not the document.
_OTHER_MARKUP = frozenset((".svg", ".ps", ".eps", ".doc", ".ppt"))

_MAGIC: tuple[tuple[bytes, Kind | None, str], ...] = (
    (b"PK\x05\x06", None, "an empty zip archive"), (b"\x7fELF", None, "a program"), (b"MZ", None, "a Windows program"),
    (b"\x89PNG", "image", "a PNG image"), (b"\xff\xd8\xff", "image", "a JPEG image"), (b"GIF8", "image", "a GIF image"),
    (b"II*\x00", "image", "a TIFF image"), (b"MM\x00*", "image", "a TIFF image"),
    (b"\x1f\x8b", None, "a gzip archive"), (b"BZh", None, "a bzip2 archive"),
    (b"7z\xbc\xaf\x27\x1c", None, "a 7-zip archive"), (b"Rar!", None, "a RAR archive"),
    (b"{\\rtf", "rtf", "a rich text document"), (b"SQLite format 3\0", None, "a database"),
    (b"\xca\xfe\xba\xbe", None, "a program"), (b"OggS", "audio", "an audio file"), (b"ID3", "audio", "an audio file"),
    (b"fLaC", "audio", "an audio file"), (b"\xff\xfb", "audio", "an audio file"),
    (b"\xff\xf3", "audio", "an audio file"),
    (b"%!PS", None, "a PostScript file"), (b"AT&TFORM", None, "a DjVu document"),
)  # fmt: skip
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BIFF = re.compile(rb"\x09[\x00\x02\x04]\x06\x00|\x09\x08[\x06\x08\x10]\x00")
_AMBIGUOUS = frozenset((b"MZ", b"BZh", b"ID3"))
_MAIL_HEADER = re.compile(
    rb"(?:Return-Path|Received|Delivered-To|From|Date|Message-ID|MIME-Version|Subject|X-[\w-]+):[^\n]*\r?\n"
    rb"(?:[\w-]+:[^\n]*\r?\n|[ \t][^\n]*\r?\n){2}",
    re.IGNORECASE,
)
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
    return extension_of(name) not in _OTHER_MARKUP


def is_zip(data: bytes) -> bool:
    """Whether the bytes begin as a zip archive with something in it."""
    return data.startswith(_ZIP)


def is_compound(data: bytes) -> bool:
    """Whether the bytes begin as a compound file: the older Office documents, Outlook messages, encrypted documents."""
    return data.startswith(_OLE)


def kind_by_content(data: bytes) -> tuple[Kind | None, str]:
    """The kind the bytes show, and its name in words; None for a kind that we cannot read, or not from here."""
    head = data[:_PDF_WITHIN]
    if b"%PDF-" in head:
        return "pdf", "a PDF"
    if is_zip(data) or is_compound(data):
        return None, "a zip archive" if is_zip(data) else "an old office document"
    for magic, kind, words in _MAGIC:
        if head.startswith(magic) and not (magic in _AMBIGUOUS and looks_like_text(data)):
            return kind, words
    if head.startswith(b"RIFF"):
        return {b"WAVE": ("audio", "an audio file"), b"WEBP": ("image", "a WebP image")}.get(  # type: ignore[return-value]
            head[8:12], (None, "a video or audio file")
        )
    if head[4:8] == b"ftyp":
        return ("audio", "an audio file") if head[8:11] == b"M4A" else (None, "a video or image file")
    if _BIFF.match(head):
        return "xls", "an old Excel workbook"
    if not looks_like_text(data):
        return None, "binary data"
    return _kind_of_text(head)


def _kind_of_text(head: bytes) -> tuple[Kind, str]:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")) or (start.startswith(b"<?xml") and b"<html" in start):
        return "html", "a web page"
    if start.startswith(b"<?xml"):
        return "xml", "XML"
    if _MAIL_HEADER.match(head):
        return "eml", "an e-mail"
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
