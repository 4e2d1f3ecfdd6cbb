"""Writes small real PDF files with text on numbered pages, so that tests need no fixture files."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path


def write_pdf(path: Path, pages: Sequence[str]) -> Path:
    """Write `pdf_of` these pages to a file."""
    path.write_bytes(pdf_of(pages))
    return path


def pdf_of(pages: Sequence[str]) -> bytes:
    """A PDF 1.4 with one page a text, in Helvetica, lines wrapped at 80 characters; Latin-1 text only."""
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for index, text in enumerate(pages):
        content = _content(text)
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources} /Contents {5 + 2 * index} 0 R >>"
        objects += [page.encode(), b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)]
    return write_objects(objects)


def write_objects(objects: Sequence[bytes]) -> bytes:
    """A PDF 1.4 of these objects, numbered from 1; the first is the catalog."""
    body, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, value in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, value)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(body))
    return bytes(body + head + table + trailer)


def _content(text: str) -> bytes:
    lines = [line for paragraph in text.split("\n") for line in textwrap.wrap(paragraph, 80) or [""]]
    shown = b" ".join(b"(%s) Tj T*" % _escaped(line) for line in lines)
    return b"BT /F1 12 Tf 14 TL 72 720 Td %s ET" % shown


def _escaped(line: str) -> bytes:
    text = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return text.encode("cp1252", errors="replace")
