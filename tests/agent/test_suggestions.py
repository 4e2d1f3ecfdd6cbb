"""Questions that go on from an answer: of headings that are there, of whole documents, and never after silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.events import Answer, Source
from agent.suggestions import MOST, suggestions
from retrieval import Library
from tests.doubles import HashEmbeddings

_HANDBOOK = "\n\n".join(
    f"# {heading}\n\n" + f"About {heading[3:].lower()} there is this to say. " * 40
    for heading in ("1. Working hours", "2. Leave", "3. Sickness", "4. Travel", "5. 2024")
)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        (tmp_path / "handbook.md").write_text(_HANDBOOK)
        library.add([tmp_path / "handbook.md"])
        yield library


def source(library: Library, heading: str) -> Source:
    [record] = library.documents()
    start = library.text(record.document_id).index(f"About {heading}")
    known = (record.document, record.document_id, record.collection, None, heading, start, start + 9, "About", 0.9)
    return Source(1, *known)


def test_the_headings_after_the_cited_one_come_first(library: Library) -> None:
    answer = Answer("25 days [1].", (source(library, "leave"),), supported=True, tool="search")
    assert suggestions("How many days of leave do I have?", answer, library) == [
        "What does handbook.md say about “Sickness”?",
        "What does handbook.md say about “Travel”?",
        "Summarize handbook.md",
    ]


def test_what_was_asked_is_not_suggested_again(library: Library) -> None:
    answer = Answer("Yes [1].", (source(library, "leave"),), supported=True, tool="search")
    offered = suggestions("What does it say about sickness and travel?", answer, library)
    assert "Sickness" not in str(offered)
    assert "Working hours" in str(offered)
    assert len(offered) <= MOST


def test_two_documents_can_be_compared_and_a_summary_is_not_offered_of_a_summary(library: Library) -> None:
    first = source(library, "leave")
    both = (first, replace(first, number=2, document="draft.md", document_id="gone"))
    offered = suggestions("x", Answer("x", both, supported=True, tool="search"), library)
    assert offered[-1] == "Compare handbook.md and draft.md"
    assert "Summarize" not in str(suggestions("x", Answer("x", (first,), tool="summarize"), library))


def test_nothing_is_offered_after_silence_other_tools_or_removed_documents(library: Library) -> None:
    cited = (source(library, "leave"),)
    assert suggestions("x", Answer("x", tool="search", abstained=True), library) == []
    assert suggestions("x", Answer("x", cited, tool="classify"), library) == []
    library.remove([cited[0].document_id])
    assert suggestions("x", Answer("x", cited, tool="search"), library) == ["Summarize handbook.md"]
