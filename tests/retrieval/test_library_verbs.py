"""The library's verbs: arguments in, one JSON value and readable lines out."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retrieval import Library, TextDocument
from retrieval.commands import add_verbs
from retrieval.shown import shown
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

    run.house = house  # type: ignore[attr-defined]
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


def test_search_and_explain(hearth, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    hearth("ingest", str(write_pdf(folder / "a.pdf", ["about apples", "about pears"])))
    found, text = hearth("search", "pears", "--top-k", "1", "--mode", "sparse")
    assert {"document", "page", "start", "end", "text", "score", "document_id"} <= set(found[0])
    assert (found[0]["page"], found[0]["text"]) == (2, "about pears")
    assert text.startswith("1. a.pdf, page 2")
    ranks, table = hearth("explain", "pears")
    assert (ranks[0]["sparse_rank"], ranks[0]["fused_rank"]) == (1, 1)
    assert "a.pdf, page 2" in table
    assert hearth("search", "pears", "--collection", "other") == ([], "Nothing found.")
    assert capsys.readouterr().err == "There is no collection other; there are: default.\n"


def test_explain_shows_what_the_reranker_changed(hearth, library: Library, library_path: Path) -> None:  # type: ignore[no-untyped-def]
    class Shortest:
        def rerank(self, query: str, texts: list[str]) -> list[float]:
            return [float(len(text) < 20) for text in texts]

    library.add_texts([TextDocument("long", "apple " * 20), TextDocument("short", "an apple pie")])
    assert "reranked" not in hearth("explain", "apple")[1]
    with Library.open(library_path, library.embeddings, Shortest()) as reranking:
        hearth.house.opened = reranking
        ranks, table = hearth("explain", "apple")
    assert [(row["document"], row["rerank_rank"], row["fused_rank"]) for row in ranks] == [
        ("short", 1, 2),
        ("long", 2, 1),
    ]
    assert table.splitlines()[0].split()[:2] == ["reranked", "fused"]
    assert table.splitlines()[1].split()[:3] == ["1", "(1.000)", "2"]


@pytest.mark.parametrize("words", [("search", "x", "--top-k", "0"), ("search", "x", "--mode", "fast"), ("ingest",)])
def test_wrong_usage_ends_with_status_two(hearth, words: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit) as error:
        hearth(*words)
    assert error.value.code == 2


def test_f02_names_are_shown_escaped() -> None:
    assert shown("a\x1b[31m\u202eb") == "a\\x1b[31m\\u202eb"
    assert shown("naïve 文字.pdf") == "naïve 文字.pdf"


def test_metadata_and_filters_on_the_command_line(hearth, folder: Path) -> None:  # type: ignore[no-untyped-def]
    (folder / "a.txt").write_text("apples of the first year")
    (folder / "b.txt").write_text("apples of the second year")
    hearth("ingest", str(folder / "a.txt"), "--meta", "year=2020", "--meta", "kind=letter")
    hearth("ingest", str(folder / "b.txt"), "--meta", "year=2021")
    assert hearth("documents", "list")[0][0]["metadata"] == {"kind": "letter", "year": 2020}
    assert [row["document"] for row in hearth("search", "apples", "--where", "year=2021")[0]] == ["b.txt"]
    assert [row["document"] for row in hearth("explain", "apples", "--where", "document=a.txt")[0]] == ["a.txt"]
    with pytest.raises(SystemExit) as error:
        hearth("search", "apples", "--where", "year")
    assert error.value.code == 2


def test_the_verbs_of_upkeep(hearth, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (folder / "a.txt").write_text("apples are red")
    hearth("ingest", str(folder), "--collection", "fruit")
    assert hearth("verify") == ({"checked": 1, "problems": [], "repaired": []}, "1 chunk checked, 0 problems.")
    assert hearth("verify", "--repair")[0]["repaired"] == []
    listed, text = hearth("collections", "list")
    assert listed == [{"collection": "fruit", "documents": 1, "chunks": 1, "bytes": 14, "owner": None, "thread": None}]
    assert text == "fruit: 1 document, 1 chunk, 0.0 MiB"
    exported, text = hearth("export", str(tmp_path / "out"))
    assert {"file", "documents", "chunks", "bytes"} == set(exported)
    assert "1 document, 1 chunk" in text
    assert hearth("collections", "rename", "fruit", "food")[0]["collection"] == "food"
    assert hearth("collections", "remove", "food") == ({"collection": "food", "removed": 1}, "removed 1 document")
    assert hearth("collections", "list")[1].startswith("No collections yet")
    imported, text = hearth("import", str(tmp_path / "out"))
    assert (imported["added"], imported["chunks"]) == (["a.txt"], 1)
    assert text.startswith("1 added, 0 changed, 0 there already; 1 chunk in")
    assert hearth("backup", str(tmp_path / "backup"))[0]["bytes"] == (tmp_path / "backup").stat().st_size
    value, text = hearth("reembed")
    assert (value["swapped"], value["embedded"], text) == (False, 0, "Nothing to do: the vectors are of hash-64.")


def test_many_warnings_of_a_kind_leave_the_failures_in_sight(hearth, folder: Path) -> None:  # type: ignore[no-untyped-def]
    for number in range(9):
        (folder / f"{number}.csv").write_text(f"a,b,c\n1,2,3\n{number},2\n")
    (folder / "empty.txt").write_text("")
    value, text = hearth("ingest", str(folder))
    assert len(value["warnings"]) == 9
    assert [line.split(":")[0] for line in text.splitlines()[1:]] == ["warning ragged"] * 6 + ["failed empty_file"]
    assert "the same of 4 more" in text
