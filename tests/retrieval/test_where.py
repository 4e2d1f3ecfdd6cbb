"""Filters inside the search: against brute force over all passages, in every mode and at every size of the filter."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import retrieval.sparse
from retrieval import Library, TextDocument
from retrieval.errors import BadFilter
from tests.doubles import HashEmbeddings
from tests.pdf import write_pdf

WORDS = [f"w{number:02}x" for number in range(30)]
Facts = dict[str, Any]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """300 texts with made-up metadata, in two collections."""
    library = Library.open(tmp_path_factory.mktemp("where") / "library", HashEmbeddings())
    chance = random.Random(4)
    for collection in ("one", "two"):
        library.add_texts(
            [
                TextDocument(
                    f"{collection}{number}",
                    " ".join(chance.choices(WORDS, k=12)),
                    {"year": 2000 + number % 20, "kind": chance.choice(["letter", "report"]), "seen": number % 3 == 0}
                    | ({"tags": chance.sample(["red", "green", "blue"], 2)} if number % 2 else {}),
                )
                for number in range(150)
            ],
            collection=collection,
        )
    return library


CASES: list[tuple[Facts, Callable[[str, Facts], bool]]] = [
    ({"document": "one7"}, lambda name, m: name == "one7"),
    ({"document": ["one7", "two9", "none"]}, lambda name, m: name in ("one7", "two9")),
    ({"collection": "two"}, lambda name, m: name.startswith("two")),
    ({"kind": "letter"}, lambda name, m: m["kind"] == "letter"),
    ({"kind": "letter", "year": 2003}, lambda name, m: m["kind"] == "letter" and m["year"] == 2003),
    ({"year": {"$gte": 2005, "$lt": 2009}}, lambda name, m: 2005 <= m["year"] < 2009),
    ({"year": {"$ne": 2005}}, lambda name, m: m["year"] != 2005),
    ({"year": [2001, 2002]}, lambda name, m: m["year"] in (2001, 2002)),
    ({"year": {"$nin": [2001, 2002]}}, lambda name, m: m["year"] not in (2001, 2002)),
    ({"year": {"$gt": "2005"}}, lambda name, m: False),
    ({"seen": True}, lambda name, m: m["seen"]),
    ({"tags": {"$contains": "red"}}, lambda name, m: "red" in m.get("tags", [])),
    ({"tags": None}, lambda name, m: "tags" not in m),
    ({"absent": {"$ne": 1}}, lambda name, m: True),
    ({"absent": {"$nin": [1]}}, lambda name, m: True),
    ({"$or": [{"year": 2001}, {"kind": "report"}]}, lambda name, m: m["year"] == 2001 or m["kind"] == "report"),
    ({"$not": {"kind": "letter"}}, lambda name, m: m["kind"] != "letter"),
    ({"$and": [{"kind": "letter"}, {"$not": {"year": {"$lt": 2010}}}]},
     lambda name, m: m["kind"] == "letter" and m["year"] >= 2010),
    ({"$or": []}, lambda name, m: False),
    ({}, lambda name, m: True),
]  # fmt: skip


@pytest.mark.parametrize(("where", "fits"), CASES, ids=[str(where) for where, _ in CASES])
def test_a_filter_gives_what_brute_force_gives(
    filled: Library, where: Facts, fits: Callable[[str, Facts], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dense, and words in both ways: naming the passages, and asking for more."""
    facts = {record.document: record.metadata for record in filled.documents()}
    for mode, named in (("dense", 0), ("sparse", 0), ("sparse", 10_000)):
        monkeypatch.setattr(retrieval.sparse, "_MOST_NAMED", named)
        everything = filled.search(f"{WORDS[3]} {WORDS[8]}", top_k=1000, mode=mode)  # type: ignore[arg-type]
        expected = [hit.id for hit in everything if fits(hit.metadata["document"], facts[hit.metadata["document"]])]
        found = filled.search(f"{WORDS[3]} {WORDS[8]}", top_k=7, mode=mode, where=where)  # type: ignore[arg-type]
        assert [hit.id for hit in found] == expected[:7]
        scores = {hit.id: hit.metadata["score"] for hit in everything}
        assert [hit.metadata["score"] for hit in found] == pytest.approx([scores[hit.id] for hit in found])
    hybrid = filled.search(f"{WORDS[3]} {WORDS[8]}", top_k=1000, where=where)
    assert {hit.metadata["document"] for hit in hybrid} <= {name for name, m in facts.items() if fits(name, m)}


def test_a_rare_filter_still_fills_the_answer(library: Library) -> None:
    """Far below the candidates of an unfiltered search: what filtering afterwards would lose."""
    library.add_texts([TextDocument(f"b{n}", f"apple pie {n}") for n in range(600)])
    library.add_texts([TextDocument(f"s{n}", f"an apple in quite other words {n}", {"rare": True}) for n in range(5)])
    for mode in ("hybrid", "dense", "sparse"):
        hits = library.search("apple pie", top_k=5, mode=mode, where={"rare": True})  # type: ignore[arg-type]
        assert {hit.metadata["document"] for hit in hits} == {f"s{n}" for n in range(5)}


def test_pages_and_chosen_documents(library: Library, folder: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        write_pdf(folder / name, [f"{name} page about pears {number}" for number in range(1, 6)])
    library.add([folder], metadata={"year": 2020})
    found = library.search("pears", where={"document": "a.pdf", "page": {"$gte": 4}})
    assert {(hit.metadata["document"], hit.metadata["page"]) for hit in found} == {("a.pdf", 4), ("a.pdf", 5)}
    chosen = library.find("b.pdf")[0].document_id
    assert {hit.metadata["document"] for hit in library.search("pears", where={"document_id": [chosen]})} == {"b.pdf"}
    assert len(library.search("pears", where={"year": 2020})) == 10
    library.add([folder / "a.pdf"], metadata={"year": 2021})
    assert len(library.search("pears", where={"year": 2021})) == 5
    library.add([folder])  # without metadata, what is there stays
    assert {record.metadata["year"] for record in library.documents()} == {2020, 2021}
    assert library.verify()["problems"] == []
    retriever = library.as_retriever(where={"document": "a.pdf"}, top_k=2)
    assert {hit.metadata["document"] for hit in retriever.invoke("pears")} == {"a.pdf"}


@pytest.mark.parametrize(
    "where",
    [
        {"year": {"$like": 3}}, {"$maybe": []}, {"$and": {"a": 1}}, {"$in": [1]}, {"year": {"$in": 3}}, {"$not": 3},
        {"year": object()}, {"a'b": 1}, {'a"b': 1}, {"year": {"$gt": [1]}}, {"x": [[1]]},
    ],
)  # fmt: skip
def test_a_filter_that_is_not_known_is_named(filled: Library, where: Facts) -> None:
    with pytest.raises(BadFilter) as error:
        filled.search("w01x", where=where)
    assert error.value.code == "bad_filter"


def test_values_are_never_read_as_sql(filled: Library) -> None:
    for hostile in ("' OR 1=1 --", "one7'; DROP TABLE documents;--", "%"):
        assert filled.search("w01x", where={"document": hostile}) == []
        assert filled.search("w01x", where={hostile.replace("'", ""): 1}) == []
    assert len(filled.documents()) == 300
