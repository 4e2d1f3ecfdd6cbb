"""The library's verbs: arguments in, one JSON value and readable lines out."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retrieval import Library
from retrieval.commands import add_verbs, shown
from tests.pdf import write_pdf


@dataclass
class House:
    """The door's house, with nothing in it but a library."""

    opened: Library
    settings: Any

    def library(self) -> Library:
        return self.opened


@pytest.fixture
def hearth(library: Library):  # type: ignore[no-untyped-def]
    """Run a verb: (its JSON value, what a person reads)."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true")
    parser = argparse.ArgumentParser()
    add_verbs(parser.add_subparsers(), common)
    house = House(library, SimpleNamespace(collection="default"))

    def run(*words: str) -> tuple[Any, str]:
        options = parser.parse_args(words)
        value = json.loads(json.dumps(options.handler(options, house)))
        return value, options.render(value)

    return run


def test_ingest_reports_in_the_contracts_shape(hearth, folder: Path) -> None:  # type: ignore[no-untyped-def]
    (folder / "a.txt").write_text("apples are red")
    (folder / "empty.txt").write_text("")
    value, text = hearth("ingest", str(folder))
    assert {"added", "changed", "removed", "unchanged", "failed", "chunks", "seconds"} <= set(value)
    assert value["added"] == ["a.txt"]
    assert value["failed"] == [{"document": "empty.txt", "code": "empty_file", "message": "empty.txt is empty."}]
    assert "1 added" in text
    assert "failed empty_file: empty.txt is empty." in text


def test_documents_are_listed_shown_and_removed(hearth, folder: Path) -> None:  # type: ignore[no-untyped-def]
    assert hearth("documents", "list") == ([], "No documents yet; bring some in with `hearth ingest PATH`.")
    hearth("ingest", str(write_pdf(folder / "a.pdf", ["apples", "pears"])))
    listed, text = hearth("documents", "list")
    assert {"document", "pages", "chunks", "bytes", "sha256", "added", "document_id"} <= set(listed[0])
    assert (listed[0]["document"], listed[0]["pages"], listed[0]["chunks"]) == ("a.pdf", 2, 2)
    assert "2 pages, 2 chunks" in text
    shown_value, shown_text = hearth("documents", "show", "a.pdf")
    assert shown_value["text"] == "apples\n\npears"
    assert shown_text.endswith("apples\n\npears")
    removed, _ = hearth("documents", "remove", listed[0]["document_id"])
    assert [row["document"] for row in removed] == ["a.pdf"]
    assert hearth("documents", "list")[0] == []


def test_search_and_explain(hearth, folder: Path) -> None:  # type: ignore[no-untyped-def]
    hearth("ingest", str(write_pdf(folder / "a.pdf", ["about apples", "about pears"])))
    found, text = hearth("search", "pears", "--top-k", "1", "--mode", "sparse")
    assert {"document", "page", "start", "end", "text", "score", "document_id"} <= set(found[0])
    assert (found[0]["page"], found[0]["text"]) == (2, "about pears")
    assert text.startswith("1. a.pdf, page 2")
    ranks, table = hearth("explain", "pears")
    assert (ranks[0]["sparse_rank"], ranks[0]["fused_rank"]) == (1, 1)
    assert "a.pdf, page 2" in table
    assert hearth("search", "pears", "--collection", "other") == ([], "Nothing found.")


@pytest.mark.parametrize("words", [("search", "x", "--top-k", "0"), ("search", "x", "--mode", "fast"), ("ingest",)])
def test_wrong_usage_ends_with_status_two(hearth, words: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit) as error:
        hearth(*words)
    assert error.value.code == 2


def test_f02_names_are_shown_escaped() -> None:
    assert shown("a\x1b[31m\u202eb") == "a\\x1b[31m\\u202eb"
    assert shown("naïve 文字.pdf") == "naïve 文字.pdf"
