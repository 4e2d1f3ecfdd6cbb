"""What a person may want to ask after an answer: by rule, from the documents it cites, at the cost of no model.

Every suggestion can be answered: it names a document that is there, and a heading that stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from agent.events import Answer, Source
from agent.grounding import content_words
from retrieval.errors import RetrievalError

MOST = 3


class Outlined(Protocol):
    """The part of a library that is looked at."""

    def positions(self, document_id: str) -> list[tuple[int, str]]:
        """What a document's passages stand under, with where each begins."""


_HEADING_CHARACTERS = 60
_NUMBERING = re.compile(r"^[\divxIVX]+(?:\.\d+)*[.)]?\s+")
_NO_SUBJECT = re.compile(
    r"^(?:rows?|lines?|slides?|sheets?|cells?|pages?|messages?|attachment|at|function|class)\b", re.IGNORECASE
)
_FROM_DOCUMENTS = ("search", "answer", "summarize")


def suggestions(question: str, answer: Answer, library: Outlined) -> list[str]:
    """At most three questions that go on from an answer; none after one that rests on no document.

    Args:
        question: what was asked, whose subject is not suggested again.
        answer: what was answered.
        library: where the cited documents are.
    """
    if answer.tool not in _FROM_DOCUMENTS or answer.abstained or not answer.sources:
        return []
    found = list(dict.fromkeys([*_headings(question, answer.sources, library), *_wholes(question, answer)]))
    return found[:MOST]


def _headings(question: str, sources: Sequence[Source], library: Outlined) -> Iterator[str]:
    """The two headings that follow the first cited passage in its document, else come before it."""
    first = sources[0]
    try:
        places = library.positions(first.document_id)
    except RetrievalError:
        return
    asked = content_words(question) | content_words(first.position or "")
    after = [place for start, place in places if start > first.start]
    before = [place for start, place in places if start <= first.start]
    offered = 0
    for place in dict.fromkeys([*after, *reversed(before)]):
        heading = _NUMBERING.sub("", place.rpartition(" > ")[2].strip(" .:#"))
        words = content_words(heading)
        if words - asked and 2 < len(heading) <= _HEADING_CHARACTERS and not _NO_SUBJECT.match(heading):
            yield f"What does {first.document} say about “{heading}”?"
            offered += 1
        if offered == MOST - 1:
            return


def _wholes(question: str, answer: Answer) -> Iterator[str]:
    """What can be asked of whole documents."""
    names = list(dict.fromkeys(source.document for source in answer.sources))
    if len(names) > 1:
        yield f"Compare {names[0]} and {names[1]}"
    if answer.tool != "summarize":
        yield f"Summarize {names[0]}"
