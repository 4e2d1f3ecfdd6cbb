"""What a library does, it does the same in a folder and on a server: changes, filters, ranks, scores."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrieval import Library, TextDocument
from retrieval.errors import BadFilter, IndexModelMismatch, NotFound
from tests.doubles import HashEmbeddings
from tests.pdf import write_pdf
from tests.retrieval.test_where import CASES

WORDS = [f"w{number:02}x" for number in range(30)]


def test_an_empty_library_reads_as_empty(either: Library) -> None:
    assert either.documents() == []
    assert either.collections() == []
    assert either.search("anything") == []
    assert either.verify() == {"checked": 0, "problems": [], "repaired": []}
    with pytest.raises(NotFound):
        either.remove(["nothing"])


def test_documents_come_change_move_and_go(either: Library, write: Callable[..., Path], folder: Path) -> None:
    """K01: the same file twice changes nothing; a changed one is replaced, a vanished one removed, a moved one kept."""
    first = write("a.txt", "Pears are green.")
    write("b.txt", "Plums are blue.")
    write("copy.txt", "Plums are blue.")
    report = either.add([folder])
    assert (report.added, [note.code for note in report.warnings]) == (["a.txt", "b.txt"], ["duplicate"])
    again = either.add([folder])
    assert (again.unchanged, again.did_something) == (3, False)
    first.write_text("Pears are yellow in autumn.")
    assert either.add([folder]).changed == ["a.txt"]
    assert [hit.page_content for hit in either.search("pears", top_k=1)] == ["Pears are yellow in autumn."]
    first.rename(folder / "c.txt")
    assert either.add([folder]).moved == ["c.txt"]
    (folder / "b.txt").unlink()
    (folder / "copy.txt").unlink()
    assert either.add([folder]).removed == ["b.txt"]
    kept = either.find("c.txt")[0]
    assert either.text(kept.document_id) == "Pears are yellow in autumn."
    moved = either.move(kept.document_id, "thread:1")
    assert (moved.document_id, moved.collection) == (kept.document_id, "thread:1")
    assert either.search("pears") == []
    assert len(either.search("pears", collections=["thread:1"])) == 1
    assert [record.document for record in either.remove([kept.document_id])] == ["c.txt"]
    assert either.search("pears", collections=["thread:1"]) == []
    assert either.verify()["problems"] == []


def test_pages_and_unusable_files(either: Library, folder: Path, write: Callable[..., Path]) -> None:
    write_pdf(folder / "a.pdf", [f"a page about pears {number}" for number in range(1, 6)])
    write("empty.txt", "")
    report = either.add([folder])
    assert [(note.document, note.code) for note in report.failed] == [("empty.txt", "empty_file")]
    found = either.search("pears", where={"page": {"$gte": 4}})
    assert {hit.metadata["page"] for hit in found} == {4, 5}
    record = either.find("a.pdf")[0]
    assert either.page_of(record.document_id, len(either.text(record.document_id)) - 1) == 5
    assert sorted(row.status for row in either.documents()) == ["empty_file", "ready"]
    assert [row.bytes for row in either.describe_collections()] == [sum(row.bytes for row in either.documents())]


def test_vectors_of_another_model_are_refused_and_made_anew(either: Library, tmp_path: Path, request: Any) -> None:
    """K08: refused with both names in search and ingest; after a re-embedding the new model finds everything."""
    either.add_texts([TextDocument(f"d{n}", f"apple pie {n} with cream") for n in range(20)])
    place = tmp_path / "library" if (tmp_path / "library").exists() else request.getfixturevalue("address")
    with Library.open(place, HashEmbeddings("other", 32)) as other:
        for attempt in (lambda: other.search("apple"), lambda: other.add_texts([TextDocument("new", "words")])):
            with pytest.raises(IndexModelMismatch) as caught:
                attempt()
            assert caught.value.code == "index_model_mismatch"
        report = other.reembed()
        assert (report.swapped, report.embedded, report.remaining) == (True, 20, 0)
        assert other.search("apple pie 7", top_k=1)[0].metadata["document"] == "d7"
        assert other.verify()["problems"] == []
        other.add_texts([TextDocument("new", "quite other words")])
        assert len(other.search("apple", top_k=50)) == 21
    with pytest.raises(IndexModelMismatch):
        either.search("apple")


def test_it_is_a_vector_store(either: Library) -> None:
    store = either.as_vector_store()
    store.add_texts(["red apples", "green pears"], [{"n": 1}, {"n": 2}], ids=["a", "b"])
    assert [found.id for found in store.similarity_search("green pears", 1)] == ["b"]
    assert [found.metadata for found in store.get_by_ids(["b", "a"])] == [{"n": 2}, {"n": 1}]
    store.delete(["a"])
    assert [found.id for found in store.similarity_search("apples", 5)] == ["b"]


def test_both_find_the_same_in_the_same_order(on_server: Library, tmp_path: Path) -> None:
    """Every mode, every filter, both searches: ranks, scores and coverage."""
    chance = random.Random(5)
    with Library.open(tmp_path / "library", HashEmbeddings()) as in_folder:
        for collection in ("one", "two"):
            texts = [
                TextDocument(
                    f"{collection}{number}",
                    " ".join(chance.sample(WORDS * 3, 12)),
                    {"year": 2000 + number % 20, "kind": chance.choice(["letter", "report"]), "seen": number % 3 == 0}
                    | ({"tags": chance.sample(["red", "green", "blue"], 2)} if number % 2 else {}),
                )
                for number in range(150)
            ]
            for library in (in_folder, on_server):
                assert len(library.add_texts(texts, collection=collection).added) == 150
        for mode in ("dense", "sparse", "hybrid"):
            for where in (None, *(where for where, _ in CASES)):
                query = f"where is {WORDS[3]} and {WORDS[8]}"
                expected, found = (
                    library.search(query, top_k=20, mode=mode, where=where)  # type: ignore[arg-type]
                    for library in (in_folder, on_server)
                )
                assert _standing(found) == pytest.approx(_standing(expected), rel=1e-4), (mode, where)
        scoped = [library.search(WORDS[5], collections=["two"]) for library in (in_folder, on_server)]
        assert [hit.id for hit in scoped[0]] == [hit.id for hit in scoped[1]]
        explained = [library.explain(WORDS[5], top_k=3) for library in (in_folder, on_server)]
        assert [row.keys() for row in explained[0]] == [row.keys() for row in explained[1]]


def _standing(hits: list[Any]) -> list[float]:
    return [
        value
        for hit in hits
        for value in (int(hit.id), *(hit.metadata[name] or 0 for name in ("score", "dense_score", "sparse_coverage")))
    ]


@pytest.mark.parametrize("where", [{"year": {"$like": 3}}, {"$and": {"a": 1}}, {"a'b": 1}, {"year": {"$gt": [1]}}])
def test_a_filter_that_is_not_known_is_named(on_server: Library, where: dict[str, Any]) -> None:
    on_server.add_texts([TextDocument("a", "apples")])
    with pytest.raises(BadFilter):
        on_server.search("apples", where=where)


def test_words_are_never_read_as_a_language(either: Library) -> None:
    either.add_texts(
        [TextDocument("a'; DROP TABLE documents;--", "it's a \\ 'quoted' & | ! <-> :* word, 100 % 日本語")]
    )
    for query in ("'quoted' & | !", "it's \\", "word:*", "%s ? $1", "日本", "a\x00word"):
        assert len(either.search(query)) == 1, query
    hostile = {"document": "' OR 1=1 --"}
    assert either.search("word", where=hostile) == []
    assert either.verify()["problems"] == []
