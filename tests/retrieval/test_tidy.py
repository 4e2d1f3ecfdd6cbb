"""Neighbours merged and copies left out of what a search gives."""

from __future__ import annotations

from typing import Any

from retrieval import Library, TextDocument

CONTRACT = " ".join(f"clause{n} says that the party pays on time and keeps its word" for n in range(12))


def names(library: Library, query: str, **search: object) -> list[str]:
    return [hit.metadata["document"] for hit in library.search(query, tidy=True, **search)]  # type: ignore[arg-type]


def test_copies_are_left_out_and_the_best_stays(library: Library) -> None:
    library.add_texts([
        TextDocument("contract", CONTRACT), TextDocument("copy", CONTRACT.replace("its word", "their word", 1)),
        TextDocument("shouted", CONTRACT.upper()), TextDocument("other", "the party was at the lake"),
    ])  # fmt: skip
    assert len(library.search("the party pays", top_k=4)) == 4
    found = names(library, "the party pays", top_k=4)
    assert len(found) == 2
    assert found[-1] == "other"


def test_texts_that_differ_in_a_number_are_no_copies(library: Library) -> None:
    library.add_texts([TextDocument(str(year), f"{CONTRACT} The rent of {year} is due.") for year in (2021, 2022)])
    assert sorted(names(library, "the rent")) == ["2021", "2022"]


def test_short_texts_are_copies_only_if_they_are_the_same(library: Library) -> None:
    library.add_texts([TextDocument(n, t) for n, t in (("a", "red apples"), ("b", "Red apples!"), ("c", "red pears"))])
    found = names(library, "red apples")
    assert len(found) == 2
    assert "c" in found


def test_neighbours_become_one_passage_of_the_text(library: Library) -> None:
    sentences = [f"Sentence {n} of the chapter about whales tells of whale number{n}." for n in range(80)]
    library.add_texts([TextDocument("whales", " ".join(sentences)), TextDocument("fish", "a fish is no whale")])
    apart = library.search("chapter about whales", top_k=10)
    together = library.search("chapter about whales", top_k=10, tidy=True)
    text = library.text(library.find("whales")[0].document_id)
    parts = [hit for hit in apart if hit.metadata["document"] == "whales"]
    wholes = [hit for hit in together if hit.metadata["document"] == "whales"]
    assert len(wholes) == -(-len(parts) // 3) < len(parts)
    for hit in wholes:
        assert hit.page_content == text[hit.metadata["start"] : hit.metadata["end"]]
    assert together[0].metadata["score"] == apart[0].metadata["score"]
    covered = {at for hit in wholes for at in range(hit.metadata["start"], hit.metadata["end"])}
    assert all(hit.metadata["start"] in covered and hit.metadata["end"] - 1 in covered for hit in parts)


def test_tidying_shows_no_more_text_than_was_asked_for(library: Library) -> None:
    sentences = [f"Sentence {n} of the chapter about whales tells of whale number{n}." for n in range(80)]
    library.add_texts([TextDocument("whales", " ".join(sentences)), TextDocument("fish", "a fish is no whale")])
    for top_k in (1, 2, 4):
        apart = library.search("chapter about whales", top_k=top_k)
        together = library.search("chapter about whales", top_k=top_k, tidy=True)
        covered = {(hit.metadata["document"], at) for hit in apart for at in _characters(hit.metadata)}
        assert {(hit.metadata["document"], at) for hit in together for at in _characters(hit.metadata)} == covered
        for hit in together:
            parts = [other.metadata for other in apart if _is_within(other.metadata, hit.metadata)]
            places = [{name: part[name] for name in ("start", "end", "page", "position")} for part in parts]
            places.sort(key=lambda place: int(place["start"]))
            assert hit.metadata.get("parts", places) == places
            assert ("parts" in hit.metadata) == (len(parts) > 1)
            for signal in ("dense_score", "sparse_coverage"):
                assert hit.metadata[signal] == max(part[signal] for part in parts)


def _is_within(part: dict[str, Any], whole: dict[str, Any]) -> bool:
    return part["document"] == whole["document"] and whole["start"] <= part["start"] < part["end"] <= whole["end"]


def _characters(place: dict[str, Any]) -> range:
    return range(place["start"], place["end"])


def test_tidying_still_gives_as_many_as_asked_for(library: Library) -> None:
    library.add_texts(
        [TextDocument(f"copy{n}", CONTRACT.replace("its word", f"{'k' * (n + 1)} word", 1)) for n in range(4)]
    )
    library.add_texts([TextDocument(f"d{n}", f"party in town{chr(97 + n) * 3} with friends") for n in range(6)])
    assert len(names(library, "party", top_k=4)) == 4


def test_the_retriever_can_tidy(library: Library) -> None:
    library.add_texts([TextDocument("a", CONTRACT), TextDocument("b", CONTRACT.upper())])
    assert len(library.as_retriever(tidy=True).invoke("party")) == 1
