"""Real documents, hostile ones among them, from the shared data folder."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import DOCUMENT_ERRORS, DocumentError
from retrieval.formats import Extracted
from retrieval.formats.html import extract_html
from retrieval.formats.kinds import KIND_BY_EXTENSION
from retrieval.formats.text import clean, decode
from retrieval.parsing import ParserPool

pytestmark = pytest.mark.shared

_MARKDOWN = "the words are there; the expected string is the Markdown of another program"
_COLUMNS = "the words are there; every row repeats its columns' names instead"
_LAYOUT = "the words are there, in another order of overlapping boxes"
_OLD_WORD = "Word files from before 2007 have no parser; the reason says to save them as .docx"
_NESTED = "archives and documents inside a document are never opened"
_REMOTE = "addresses of remote parts are neither text nor fetched"
MISSED = {
    ("mkd__test.pptx", "![This phrase of the caption is Human-written.](Picture4.jpg)"): _MARKDOWN,
    ("tika__testEXCEL2003.xml", "Col1 Col2 Col3 Col4 string 1 1.10"): _COLUMNS,
    ("tika__testODFwithOOo3.odt", "Apache Tika Tika is part of the Lucene project."): "two paragraphs, apart here",
    ("tika__testPDFTwoTextBoxes.pdf", "Left column line 1 Right column line 1 "): _LAYOUT,
    ("tika__testPDFTwoTextBoxes.pdf",
     "Left column line 1 Right column line 1 Left colu mn line 2 Right column line 2"): _LAYOUT,
    ("tika__testPDFVarious.pdf", "ABCDEE+Calibri"): "the name of a font, no text",
    ("tika__testPDFVarious.pdf", "·\tBullet "): "the sign before a list item is a picture of a symbol font",
    ("tika__testWORD.doc", "Sample Word Document"): _OLD_WORD,
    ("tika__testWORD6.doc", "The quick brown fox jumps over the lazy dog"): _OLD_WORD,
    ("tika__testWORD_2006ml.xml", "Click or tap to enter a date"): "the prompt of an empty field, kept in its glossary",
    ("tika__testWORD_2006ml.xml", "frog"): "deleted in a tracked change",
    ("tika__testWORD_various.docx",
     "Row 1 Col 1 Row 1 Col 2 Row 1 Col 3 Row 2 Col 1 Row 2 Col 2 Row 2 Col 3"): _COLUMNS,
    ("mkd__test_mskanji.csv", "三木英子 | 25 | 大阪 |"): _COLUMNS,
    ("mkd__test_mskanji.csv", "佐藤太郎 | 30 | 東京 |"): _COLUMNS,
    ("mkd__test_mskanji.csv", "髙橋淳 | 35 | 名古屋 |"): _COLUMNS,
    ("tika__testEXCEL_protected_passtika.xls", "This is an Encrypted Excel spreadsheet"): "needs its password",
    ("tika__test_recursive_embedded.docx", "# embed1.zip"): _NESTED,
    ("tika__test_recursive_embedded.docx", "When in the Course"): _NESTED,
    ("tika__test_recursive_embedded.docx", "assume among the powers"): _NESTED,
    ("tika__testExternalRefs.docx", "http://example.com/tracking.png"): _REMOTE,
    ("tika__testExternalRefs.docx", "http://example.net/exploit.wmf"): _REMOTE,
    ("tika__testExternalRefs.docx", "http://example.org/payload.txt"): _REMOTE,
    ("tika__testExternalRefs.docx", "http://test.invalid/cmd.docx"): _REMOTE,
    ("tika__testOverlappingText.pdf", "Text the first timeText the second time"): "both lines are kept, a space apart",
    ("tika__testOverlappingText.pdf", "Text the first timesecond time"): "both overlapping lines are kept",
}  # fmt: skip
"""Expected strings that are not found, each with its reason; all others must be there."""


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (shared / "docs_share/manifest.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def outcomes(shared: Path, rows: list[dict[str, Any]]) -> dict[str, Extracted | DocumentError]:
    """What becomes of every document, each in under 30 seconds and a gibibyte."""
    found: dict[str, Extracted | DocumentError] = {}
    with ParserPool(1) as pool:
        for row in rows:
            path = shared / "docs_share" / row["file"]
            descriptor = os.open(path, os.O_RDONLY)
            began = time.monotonic()
            try:
                found[path.name] = pool.parse(descriptor, path.name)
            except DocumentError as error:
                found[path.name] = error
            finally:
                os.close(descriptor)
            assert _peak_mib(pool) < 1024, path.name
            assert time.monotonic() - began < 30, path.name
    return found


def _peak_mib(pool: ParserPool) -> int:
    """The most memory that a living parser has held."""
    found = [0]
    for child in pool._all:
        status = Path(f"/proc/{child._process.pid}/status")
        if status.exists():
            found += [int(kibibytes) >> 10 for kibibytes in re.findall(r"VmHWM:\s+(\d+)", status.read_text())]
    return max(found)


def test_every_document_ends_in_text_or_a_named_reason(
    rows: list[dict[str, Any]], outcomes: dict[str, Extracted | DocumentError]
) -> None:
    codes = {name: found.code if isinstance(found, DocumentError) else "ready" for name, found in outcomes.items()}
    print(Counter(codes.values()))
    assert set(codes.values()) <= {"ready", *DOCUMENT_ERRORS}
    readable = {row["file"].rpartition("/")[2]: row for row in rows if f".{row['ext']}" in KIND_BY_EXTENSION}
    assert all(codes[name] != "unsupported_type" for name in readable)
    for row in rows:
        name = row["file"].rpartition("/")[2]
        if row["category"] in ("clean", "tables", "structure", "multilingual", "email") and name in readable:
            assert codes[name] == "ready", name
    expected = {
        "pypdf__libreoffice-writer-password.pdf": "encrypted", "unstr__password.pdf": "encrypted",
        "tika__testPDF_protected.pdf": "ready", "unstr__fake-text-all-whitespace.txt": "empty_file",
        "unstr__fake-text-utf-32.txt": "ready", "poi__protected_agile.docx": "encrypted",
        "tika__testEXCEL_protected_passtika.xls": "encrypted", "tika__testEXCEL_protected_passtika.xlsx": "encrypted",
        "tika__testODTEncrypted.odt": "encrypted", "unstr__fake-encrypted.eml": "encrypted",
        "poi__poc-xmlbomb-empty.xlsx": "unsafe_xml", "tika__droste.zip": "unsupported_type",
        "tika__quine.gz": "unsupported_type", "unstr__empty.xlsx": "no_text", "unstr__empty.eml": "empty_file",
    }  # fmt: skip
    assert {name: codes[name] for name in expected} == expected


def test_a_scan_is_never_a_silently_empty_document(outcomes: dict[str, Extracted | DocumentError]) -> None:
    found = outcomes["mkd__MEDRPT-2024-PAT-3847_medical_report_scan.pdf"]
    assert isinstance(found, Extracted)
    assert (found.text.strip(), found.scanned) == ("", [1, 2, 3])


def test_the_expected_strings_are_found_or_their_absence_is_explained(
    rows: list[dict[str, Any]], outcomes: dict[str, Extracted | DocumentError]
) -> None:
    table, unexplained, total = [], [], 0
    for name, words in _expected(rows):
        total += 1
        found = outcomes[name]
        text = found.text if isinstance(found, Extracted) else ""
        facts = " | ".join(found.facts.values()) if isinstance(found, Extracted) else ""
        where = "text" if words in text else "text, other spacing" if _loose(words) in _loose(text) else ""
        where = where or ("facts" if words in facts else "")
        reason = MISSED.get((name, words), "")
        table.append((name, words, where or "-", "" if where else reason))
        if not where and not reason:
            unexplained.append((name, words))
    counts = Counter(where for _, _, where, _ in table)
    print(f"{total} expected strings: {dict(counts)}")
    for line in table:
        if line[2] != "text":
            print(" | ".join(line))
    assert not unexplained
    assert counts["text"] > 0.7 * total


def _expected(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for row in rows:
        for words in row.get("must_include", []):
            yield row["file"].rpartition("/")[2], words


def _loose(text: str) -> str:
    """The text without what only arranges it: spaces, line ends and the bars between cells."""
    return re.sub(r"[\s|]+", " ", text).strip()


def test_the_main_text_of_web_pages_is_found(shared: Path) -> None:
    """F1 over shingles of four words, as the article-extraction benchmark counts it; at least 0.95.

    The columns' names that table rows repeat here count as errors, and are not left out.
    """
    folder = shared / "article_extraction"
    precision, recall = [], []
    with gzip.open(folder / "share.ground_truth.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            page = folder / row["file"] if (folder / row["file"]).exists() else folder / "share" / row["file"]
            found = _shingles(extract_html(gzip.decompress(page.read_bytes())).text)
            true = _shingles(row["articleBody"])
            common = (found & true).total()
            precision.append(common / found.total() if found else float(not true))
            recall.append(common / true.total() if true else float(not found))
    mean_precision, mean_recall = statistics.mean(precision), statistics.mean(recall)
    f1 = 2 * mean_precision * mean_recall / (mean_precision + mean_recall)
    print(f"precision {mean_precision:.4f}, recall {mean_recall:.4f}, F1 {f1:.4f} over {len(recall)} pages")
    assert f1 > 0.955


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[at : at + 4]) for at in range(max(1, len(words) - 3)) if words)


def test_d22_no_encoding_is_misread_in_silence(shared: Path) -> None:
    """Each of the files is read as its true text, or with a warning that names the guess."""
    right = total = 0
    with gzip.open(shared / "encodings/share.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            if row["text"] is None:
                continue
            found = decode(base64.b64decode(row["b64"]))
            total += 1
            right += clean(found.text) == clean(row["text"])
            assert clean(found.text) == clean(row["text"]) or found.warnings, row["name"]
    print(f"{right} of {total} read without any wrong character")
    assert right > 0.8 * total
