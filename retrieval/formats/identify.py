"""Which parser a document needs: its content decides, and a name that says something quite different is refused.

A program hidden under a document's name is never taken for one; an office document saved under another office
program's name is read as what it is.
"""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

from retrieval.formats import Extracted, Refused
from retrieval.formats.kinds import (
    MEDIA_KINDS,
    OFFICE_KINDS,
    TEXT_KINDS,
    Kind,
    could_be_text,
    extension_of,
    is_compound,
    is_zip,
    kind_by_content,
    kind_by_name,
)
from retrieval.formats.text import invisible_places

_PARSERS: dict[Kind, tuple[str, str]] = {
    "text": ("text", "extract_text"), "markdown": ("markdown", "extract_markdown"), "html": ("html", "extract_html"),
    "pdf": ("pdf", "extract_pdf"), "docx": ("docx", "extract_docx"), "pptx": ("pptx", "extract_pptx"),
    "xlsx": ("xlsx", "extract_xlsx"), "xls": ("xls", "extract_xls"), "odf": ("odf", "extract_odf"),
    "epub": ("epub", "extract_epub"), "rtf": ("rtf", "extract_rtf"), "msg": ("msg", "extract_msg"),
    "eml": ("mail", "extract_eml"), "mbox": ("mail", "extract_mbox"), "csv": ("delimited", "extract_delimited"),
    "json": ("jsons", "extract_json"), "jsonl": ("jsons", "extract_jsonl"), "xml": ("xml", "extract_xml"),
    "notebook": ("notebook", "extract_notebook"), "code": ("code", "extract_code"), "image": ("media", "extract_image"),
    "audio": ("media", "extract_audio"),
}  # fmt: skip
_CARRIERS: dict[Kind, tuple[str, str]] = {
    "eml": ("mail", "read_eml"), "mbox": ("mail", "read_mbox"), "msg": ("msg", "read_msg"),
}  # fmt: skip
_OFFICE_TYPES: tuple[tuple[str, str, Kind], ...] = (
    ("word/", "wordprocessingml", "docx"), ("ppt/", "presentationml", "pptx"), ("xl/", "spreadsheetml", "xlsx"),
)  # fmt: skip
_ODF_TYPES = b"application/vnd.oasis.opendocument."
_EXPORTED_AS_WORKBOOK: dict[Kind, Kind] = {"html": "html", "xml": "xml", "text": "csv"}
_OLD_STREAMS: tuple[tuple[str, Kind | None, str], ...] = (
    ("Workbook", "xls", "an old Excel workbook"), ("Book", "xls", "an old Excel workbook"),
    ("__properties_version1.0", "msg", "an Outlook message"),
    ("WordDocument", None, "an old Word document; save it as .docx and add that"),
    ("PowerPoint Document", None, "an old presentation; save it as .pptx and add that"),
)  # fmt: skip

_ZIP = "a zip archive; unpack it and add the files in it"
_ELSE = "save what it says as a PDF or a text and add that"


def parse(data: bytes, name: str) -> Extracted:
    """The text of a document; its kind becomes a fact.

    Raises:
        Refused: it cannot be used, or its name and content disagree.
    """
    if not data.strip(b" \t\r\n\f\v\x00"):
        raise Refused("empty_file", "is empty.")
    kind = identify(data, name)
    module, function = _PARSERS[kind]
    extract: Any = getattr(import_module(f"retrieval.formats.{module}"), function)  # each costs time only when needed
    extracted: Extracted = extract(data)
    extracted.facts = {"kind": kind, **extracted.facts}
    if kind_by_name(name) not in (kind, None) and kind in OFFICE_KINDS | {"html"}:
        found = f"is named {extension_of(name)} but is of the kind {kind}; it was read as that."
        extracted.warnings.append(("other_kind", found))
    hidden = invisible_places(extracted.text)
    if hidden:
        extracted.warnings.append(("hidden_text", f"holds characters that a reader does not see in {hidden} places."))
    if not extracted.text.strip() and not extracted.scanned and kind not in MEDIA_KINDS:
        raise Refused("no_text", "holds no text.")
    return extracted


def parse_attachment(data: bytes, name: str, number: int) -> Extracted:
    """The text of a file that a message carries, counted from 0 as in `Extracted.attachments`.

    Raises:
        Refused: it cannot be used.
    """
    module, function = _CARRIERS[identify(data, name)]
    inside, load = getattr(import_module(f"retrieval.formats.{module}"), function)(data).files[number]
    return parse(load(), inside)


def identify(data: bytes, name: str) -> Kind:
    """The kind to read a document as.

    Raises:
        Refused: unsupported_type, type_mismatch or encrypted; for containers also what `Archive` refuses.
    """
    promised = kind_by_name(name)
    kind, words = _content(data)
    chosen = _agreed(promised, kind, name)
    if chosen is not None:
        return chosen
    if promised is None or (kind is None and promised in OFFICE_KINDS and "save it" in words):
        what, _, advice = words.partition("; ")
        raise Refused("unsupported_type", f"is {what}, which cannot be read; {advice or _ELSE}.")
    what = words.partition(";")[0]
    found = f"is named {extension_of(name) or 'so'} but holds {what}; give it the right extension or leave it out."
    raise Refused("type_mismatch", found)


def _agreed(promised: Kind | None, kind: Kind | None, name: str) -> Kind | None:
    """The kind that a name and a content together mean; None where they contradict each other."""
    if kind is None:
        return None
    if kind not in TEXT_KINDS:
        related = any({promised, kind} <= family for family in (OFFICE_KINDS, MEDIA_KINDS))
        return kind if related or promised in (kind, None) else None
    if promised is None:
        return kind if could_be_text(name) or kind in ("html", "xml") else None
    if promised in TEXT_KINDS:
        return "html" if (promised, kind) == ("xml", "html") else promised
    if promised in ("xls", "xlsx"):  # what many web sites call a workbook
        return _EXPORTED_AS_WORKBOOK.get(kind)
    return None


def _content(data: bytes) -> tuple[Kind | None, str]:
    if is_zip(data):
        return _zip_kind(data)
    if is_compound(data):
        return _compound_kind(data)
    return kind_by_content(data)


def _zip_kind(data: bytes) -> tuple[Kind | None, str]:
    from retrieval.formats.archive import Archive

    archive = Archive(data)
    declared = (archive.read("mimetype") or b"")[:200].strip()
    if declared.startswith(_ODF_TYPES):
        return "odf", "an OpenDocument file"
    if declared == b"application/epub+zip" or archive.has("META-INF/container.xml"):
        return "epub", "an electronic book"
    types = archive.read("[Content_Types].xml")
    if types is None:
        return ("odf", "an OpenDocument file") if archive.has("content.xml") else (None, _ZIP)
    if b"ms-excel.sheet.binary" in types:
        return None, "a binary Excel workbook; save it as .xlsx and add that"
    for folder, words, kind in _OFFICE_TYPES:
        if words.encode() in types or any(member.lower().startswith(folder) for member in archive.names):
            return kind, "an office document"
    return None, "a package of another program"


def _compound_kind(data: bytes) -> tuple[Kind | None, str]:
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(data)) as ole:
            if ole.exists("EncryptedPackage"):
                raise Refused("encrypted", "is protected with a password; save a copy without one and add that.")
            for stream, kind, words in _OLD_STREAMS:
                if ole.exists(stream):
                    return kind, words
    except (OSError, IndexError, ValueError, TypeError) as error:
        raise Refused("corrupt", "is a damaged office document.") from error
    return None, "an old office document of an unknown program"
