"""Real documents, hostile ones among them, from the shared data folder."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from retrieval.errors import DOCUMENT_ERRORS, DocumentError
from retrieval.formats.kinds import KIND_BY_EXTENSION
from retrieval.parsing import ParserPool

pytestmark = pytest.mark.shared

# What upstream takes from form fields, notes, overlapping layers, page titles and CSV tables is not read like that yet.
_NOT_READ_YET = {
    "tika__testPDFVarious.pdf",
    "tika__testPDFTwoTextBoxes.pdf",
    "tika__testOverlappingText.pdf",
    "tika__testHTML.html",
    "mkd__test_mskanji.csv",
}


def test_every_document_ends_in_text_or_a_named_reason(shared: Path) -> None:
    rows = [json.loads(line) for line in (shared / "docs_share/manifest.jsonl").read_text().splitlines()]
    outcomes: dict[str, str] = {}
    with ParserPool(2) as pool:
        for row in rows:
            path = shared / "docs_share" / row["file"]
            descriptor = os.open(path, os.O_RDONLY)
            began = time.monotonic()
            try:
                text = pool.parse(descriptor, path.name).text
                outcomes[path.name] = "ready"
                missed = [words for words in row.get("must_include", []) if words not in text]
                assert not missed or path.name in _NOT_READ_YET, f"{path.name} lacks {missed}"
            except DocumentError as error:
                outcomes[path.name] = error.code
            finally:
                os.close(descriptor)
            assert time.monotonic() - began < 30
    assert set(outcomes.values()) <= {"ready", *DOCUMENT_ERRORS}
    readable = {row["file"].rpartition("/")[2]: row for row in rows if f".{row['ext']}" in KIND_BY_EXTENSION}
    assert all(outcomes[name] != "unsupported_type" for name in readable)
    expected = {
        "pypdf__libreoffice-writer-password.pdf": "encrypted",
        "unstr__password.pdf": "encrypted",
        "tika__testPDF_protected.pdf": "ready",
        "mkd__MEDRPT-2024-PAT-3847_medical_report_scan.pdf": "no_text",
        "unstr__fake-text-all-whitespace.txt": "empty_file",
        "unstr__fake-text-utf-32.txt": "ready",
    }
    assert {name: outcomes[name] for name in expected} == expected


def test_the_main_text_of_web_pages_is_found(shared: Path) -> None:
    """Most of each article's words, and not much else: mean recall and precision of words over 20 pages."""
    from collections import Counter

    from retrieval.formats.html import extract_html

    folder = shared / "article_extraction"
    precision, recall = [], []
    with gzip.open(folder / "share.ground_truth.jsonl.gz", "rt") as lines:
        for row in list(map(json.loads, lines))[:20]:
            page = folder / row["file"] if (folder / row["file"]).exists() else folder / "share" / row["file"]
            found = Counter(extract_html(gzip.decompress(page.read_bytes())).text.split())
            true = Counter(row["articleBody"].split())
            common = (found & true).total()
            precision.append(common / max(1, found.total()))
            recall.append(common / max(1, true.total()))
    assert sum(recall) / len(recall) > 0.93
    assert sum(precision) / len(precision) > 0.85
