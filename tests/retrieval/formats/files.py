"""Small real office documents, written part by part, so that tests need no fixture files and can damage any byte."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence

from tests.pdf import pdf_of

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
Relations = Sequence[tuple[str, str, str]]
"""(id, last word of the type, target)"""


def zip_of(parts: Mapping[str, str | bytes], compress: bool = True) -> bytes:
    """A zip archive of these members."""
    data = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(data, "w", kind) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return data.getvalue()


def relations(items: Relations, external: str = "") -> str:
    """A part with relations; `external` adds one to a page of the net."""
    found = "".join(f'<Relationship Id="{a}" Type="{_OFFICE}/{b}" Target="{c}"/>' for a, b, c in items)
    if external:
        found += f'<Relationship Id="x" Type="{_OFFICE}/hyperlink" Target="{external}" TargetMode="External"/>'
    return f'<Relationships xmlns="{_PACKAGE}">{found}</Relationships>'


def docx(body: str, parts: Mapping[str, str] | None = None, related: Relations = ()) -> bytes:
    """A Word document with this body; `parts` are further members, `related` what the document points at."""
    document = f'<w:document xmlns:w="{W}" xmlns:r="{_OFFICE}"><w:body>{body}</w:body></w:document>'
    return zip_of(
        {
            "[Content_Types].xml": _TYPES,
            "_rels/.rels": relations([("r1", "officeDocument", "word/document.xml")]),
            "word/document.xml": document,
            "word/_rels/document.xml.rels": relations(related),
            **(parts or {}),
        }
    )


def paragraph(text: str, style: str = "", extra: str = "") -> str:
    """A Word paragraph."""
    settings = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{settings}<w:r><w:t xml:space="preserve">{text}</w:t></w:r>{extra}</w:p>'


def table(rows: Sequence[Sequence[str]], first: str = "") -> str:
    """A Word table; `first` is put into the first row's settings."""
    made = ""
    for at, row in enumerate(rows):
        cells = "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row)
        made += f"<w:tr>{f'<w:trPr>{first}</w:trPr>' if first and not at else ''}{cells}</w:tr>"
    return f"<w:tbl>{made}</w:tbl>"


def xlsx(sheets: Mapping[str, str], strings: Sequence[str] = (), styles: str = "") -> bytes:
    """A workbook; each sheet is the XML inside its sheetData, a name ending in "!" is a hidden sheet."""
    names, related, parts = "", [], {}
    for number, (name, data) in enumerate(sheets.items(), start=1):
        state = ' state="hidden"' if name.endswith("!") else ""
        names += f'<sheet name="{name.strip("!")}" sheetId="{number}" r:id="r{number}"{state}/>'
        related.append((f"r{number}", "worksheet", f"worksheets/sheet{number}.xml"))
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{_S}"><dimension ref="A1:XFD1048576"/><sheetData>{data}</sheetData></worksheet>'
        )
    related += [("rs", "sharedStrings", "sharedStrings.xml"), ("rf", "styles", "styles.xml")]
    items = "".join(f"<si><t>{text}</t></si>" for text in strings)
    return zip_of(
        {
            "[Content_Types].xml": _TYPES,
            "_rels/.rels": relations([("r1", "officeDocument", "xl/workbook.xml")]),
            "xl/workbook.xml": f'<workbook xmlns="{_S}" xmlns:r="{_OFFICE}"><sheets>{names}</sheets></workbook>',
            "xl/_rels/workbook.xml.rels": relations(related),
            "xl/sharedStrings.xml": f'<sst xmlns="{_S}">{items}</sst>',
            "xl/styles.xml": f'<styleSheet xmlns="{_S}">{styles}</styleSheet>',
            **parts,
        }
    )


def row(number: int, *cells: str) -> str:
    """A sheet's row of texts and numbers from column A on."""
    made = ""
    for at, cell in enumerate(cells):
        name = f"{chr(65 + at)}{number}"
        numeric = cell.replace(".", "").isdigit()
        made += f'<c r="{name}"><v>{cell}</v></c>' if numeric else (
            f'<c r="{name}" t="inlineStr"><is><t>{cell}</t></is></c>' if cell else ""
        )  # fmt: skip
    return f'<row r="{number}">{made}</row>'


def pptx(slides: Sequence[str], parts: Mapping[str, str] | None = None, first_related: Relations = ()) -> bytes:
    """A presentation; each slide is the XML inside its shape tree."""
    identifiers = "".join(f'<p:sldId id="{256 + at}" r:id="s{at}"/>' for at in range(len(slides)))
    presentation = (
        f'<p:presentation xmlns:p="{_P}" xmlns:r="{_OFFICE}"><p:sldIdLst>{identifiers}</p:sldIdLst></p:presentation>'
    )
    members = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": relations([("r1", "officeDocument", "ppt/presentation.xml")]),
        "ppt/presentation.xml": presentation,
        "ppt/_rels/presentation.xml.rels": relations(
            [(f"s{at}", "slide", f"slides/slide{at}.xml") for at in range(len(slides))]
        ),
        "ppt/slides/_rels/slide0.xml.rels": relations(first_related),
    }
    for at, tree in enumerate(slides):
        show = ' show="0"' if tree.startswith("!") else ""
        members[f"ppt/slides/slide{at}.xml"] = (
            f'<p:sld xmlns:p="{_P}" xmlns:a="{_A}" xmlns:r="{_OFFICE}"{show}><p:cSld><p:spTree>{tree.strip("!")}'
            "</p:spTree></p:cSld></p:sld>"
        )
    return zip_of({**members, **(parts or {})})


def shape(text: str, kind: str = "body") -> str:
    """A slide's shape with one paragraph a line."""
    lines = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))
    named = f'<p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
    return f"<p:sp>{named}<p:txBody>{lines}</p:txBody></p:sp>"


def odf(kind: str, content: str, parts: Mapping[str, str] | None = None) -> bytes:
    """An OpenDocument file of kind "text", "spreadsheet" or "presentation"."""
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{urn}:1.0"'
        for name, urn in (("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"),
                          ("presentation", "presentation"), ("manifest", "manifest"))
    )  # fmt: skip
    body = f"<office:body><office:{kind}>{content}</office:{kind}></office:body>"
    return zip_of(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f"<office:document-content {spaces}>{body}</office:document-content>",
            **(parts or {}),
        }
    )


def epub(chapters: Sequence[str], parts: Mapping[str, str] | None = None) -> bytes:
    """A book; each chapter is the inside of its page's body."""
    items = "".join(f'<item id="c{at}" href="c{at}.xhtml"/>' for at in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{at}"/>' for at in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<metadata><dc:title>A book</dc:title><dc:creator>A. Writer</dc:creator></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    pages = {f"OEBPS/c{at}.xhtml": f"<html><body>{text}</body></html>" for at, text in enumerate(chapters)}
    container = '<container><rootfiles><rootfile full-path="OEBPS/content.opf"/></rootfiles></container>'
    members = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "OEBPS/content.opf": package}
    return zip_of({**members, **pages, **(parts or {})})


MAKERS: dict[str, Callable[[str], bytes]] = {
    "txt": lambda words: words.encode(),
    "md": lambda words: f"# Title\n\n{words}".encode(),
    "html": lambda words: f"<html><body><h1>Title</h1><p>{words}</p></body></html>".encode(),
    "docx": lambda words: docx(paragraph(words)),
    "pptx": lambda words: pptx([shape(words, "title")]),
    "xlsx": lambda words: xlsx({"Sheet1": row(1, "Name", "Town", "Age") + row(2, words, "Ulm", "31")}),
    "odt": lambda words: odf("text", f"<text:p>{words}</text:p>"),
    "epub": lambda words: epub([f"<h1>Chapter</h1><p>{words}</p>"]),
    "rtf": lambda words: b"{\\rtf1 " + words.encode() + b"\\par}",
    "csv": lambda words: f"Name,Town,Age\n{words},Ulm,31\n".encode(),
    "tsv": lambda words: f"Name\tTown\tAge\n{words}\tUlm\t31\n".encode(),
    "json": lambda words: json.dumps([{"name": words}]).encode(),
    "jsonl": lambda words: json.dumps({"name": words}).encode() + b"\n{}\n",
    "xml": lambda words: f"<a><b>{words}</b></a>".encode(),
    "ipynb": lambda words: json.dumps({"cells": [{"cell_type": "markdown", "source": words}]}).encode(),
    "py": lambda words: f"def one():\n    return '{words}'\n".encode(),
    "eml": lambda words: f"From: a@b.example\nSubject: {words}\n\nBody\n".encode(),
    "pdf": lambda words: pdf_of([words]),
}
"""A small file of each kind with some words in it, by extension."""
