"""A whole document summarised with a ledger of its pages, every sentence of the summary linked to the pages it is from.

A sentence that no page supports is taken out; where none is left, the document's own best sentences stand in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agent.documents import WholeText
from agent.events import Progress
from agent.grounding import Span, content_words, quote_for, sentences
from agent.progress import Tell

if TYPE_CHECKING:
    from models.tasks.summarizer import Summarizer, Summary

# Passages of a document that are looked at closely for one sentence; the check may be a model's, so they are few.
_CANDIDATES = 3
_PASSAGE_CHARACTERS = 1500
_NAMED = 20


@dataclass(frozen=True)
class PageQuote:
    """A quote that a sentence rests on; `page` is None in a document without pages, offsets are of its text."""

    page: int | None
    start: int
    end: int
    quote: str


@dataclass(frozen=True)
class LinkedSentence:
    """A sentence of a summary, the quotes it rests on, best first, and how well they support it, 0 to 1."""

    text: str
    quotes: tuple[PageQuote, ...]
    support: float

    @property
    def pages(self) -> tuple[int, ...]:
        """The pages of its quotes, in order."""
        return tuple(sorted({quote.page for quote in self.quotes if quote.page is not None}))


@dataclass(frozen=True)
class UnreadPage:
    """A page that nothing could be read from, and why."""

    page: int
    reason: str


@dataclass(frozen=True)
class DocumentSummary:
    """A document's summary; every page is either among the `pages_read` or named in `unread`."""

    summary: str
    sentences: tuple[LinkedSentence, ...]
    removed: tuple[str, ...]
    pages_read: int
    pages_total: int
    unread: tuple[UnreadPage, ...]
    made: Summary

    def to_json(self) -> dict[str, Any]:
        """The contract's fields first, then the sentences with their pages and how the summary was made."""
        linked = [{**asdict(sentence), "pages": list(sentence.pages)} for sentence in self.sentences]
        return {
            "summary": self.summary,
            "pages_read": self.pages_read,
            "pages_total": self.pages_total,
            "unread": [asdict(page) for page in self.unread],
            "sentences": linked,
            "removed": list(self.removed),
            **{name: value for name, value in self.made.to_json().items() if name != "summary"},
        }


def in_words(value: Mapping[str, Any]) -> str:
    """`DocumentSummary.to_json` for a person: each sentence with its pages behind it, and which pages are not in it."""
    text = " ".join(sentence["text"] + _pages_mark(sentence["pages"]) for sentence in value["sentences"])
    pages = [unread["page"] for unread in value["unread"]]
    if not pages:
        return text
    named = ", ".join(map(str, pages[:_NAMED])) + (f" and {len(pages) - _NAMED} more" if len(pages) > _NAMED else "")
    which = f"page {named} has" if len(pages) == 1 else f"pages {named} have"
    return f"{text}\n\n{value['pages_read']} of {value['pages_total']} pages were read; {which} no text to read."


def _pages_mark(pages: Sequence[int]) -> str:
    return f" (p. {', '.join(map(str, pages))})" if pages else ""


def summarise(
    whole: WholeText,
    summarizer: Summarizer,
    *,
    words: int,
    floor: float,
    own_sentences: Callable[[], Summarizer],
    tell: Tell | None = None,
) -> DocumentSummary:
    """The summary of a document of any length, checked sentence by sentence.

    Args:
        whole: the document.
        summarizer: who writes the summary.
        words: about how many.
        floor: the least support with which a sentence stays.
        own_sentences: who takes over where no sentence stays: a summariser that only repeats the document.
        tell: told of every page that has been read.

    Raises:
        EmptyText: the document holds no text.
    """
    ledger = _Ledger(whole, tell)
    made = summarizer(whole.text, words=words, on_progress=ledger.reach)
    passages = _passages(whole)
    kept, removed = _checked(made.summary, passages, floor)
    if not kept:
        made = own_sentences()(whole.text, words=words)
        kept, _ = _checked(made.summary, passages, 0.0)
    text = " ".join(sentence.text for sentence in kept)
    return DocumentSummary(text, kept, removed, ledger.read, whole.pages_total, ledger.unread(), made)


class _Ledger:
    """Which pages have been read, by how far into the text the reading came."""

    def __init__(self, whole: WholeText, tell: Tell | None) -> None:
        self._whole = whole
        self._tell = tell
        self._reached = 0
        # Where the last thing on each page ends; None where there is nothing on it.
        self._ends = [
            start + len(text) if (text := whole.text[start:end].rstrip()) else None for start, end in whole.pages
        ]

    def reach(self, characters: int, total: int) -> None:
        """The text has been read up to here."""
        self._reached = characters
        if self._tell is None:
            return
        if self._whole.page_starts:
            done, pages = sum(1 for start, _ in self._whole.pages if start < characters), self._whole.pages_total
            self._tell(Progress(done, pages, f"page {done} of {pages} of {self._whole.name}"))
        else:
            self._tell(Progress(characters, total, f"{100 * characters // total} % of {self._whole.name}"))

    @property
    def read(self) -> int:
        """How many pages were read to their end."""
        return sum(1 for end in self._ends if end is not None and end <= self._reached)

    def unread(self) -> tuple[UnreadPage, ...]:
        """The other pages, each with the reason."""
        return tuple(
            UnreadPage(page, "no text could be read from it" if end is None else "the reading did not come so far")
            for page, end in enumerate(self._ends, start=1)
            if end is None or end > self._reached
        )


@dataclass(frozen=True)
class _Passage:
    """A stretch of one page, with its content words."""

    page: int | None
    start: int
    text: str
    words: frozenset[str]


def _passages(whole: WholeText) -> list[_Passage]:
    """The document in stretches of whole sentences, none of which crosses a page's end."""
    found = []
    for number, (page_start, page_end) in enumerate(whole.pages, start=1):
        page = whole.text[page_start:page_end]
        start = end = 0
        for span in [*sentences(page), None]:
            if end > start and (span is None or span.end - start > _PASSAGE_CHARACTERS):
                text = page[start:end]
                number_or_none = number if whole.page_starts else None
                found.append(_Passage(number_or_none, page_start + start, text, frozenset(content_words(text))))
                start = end
            if span is not None:
                start, end = (span.start if end == start else start), span.end
    return found


def _checked(
    summary: str, passages: Sequence[_Passage], floor: float
) -> tuple[tuple[LinkedSentence, ...], tuple[str, ...]]:
    """The sentences that the passages support, linked to them, and those that nothing supports."""
    kept, removed = [], []
    weights, spans = _weights(passages), sentences(summary)
    for span in [span for span in spans if not summary.startswith("#", span.start)] or spans:  # no headings
        linked = _linked(summary[span.start : span.end], passages, weights, floor)
        if linked.quotes and linked.support >= floor:
            kept.append(linked)
        else:
            removed.append(linked.text)
    return tuple(kept), tuple(removed)


def _weights(passages: Sequence[_Passage]) -> dict[str, float]:
    """How much each word tells about where a sentence is from: the fewer passages hold it, the more."""
    counts = Counter(word for passage in passages for word in passage.words)
    return {word: math.log(1 + len(passages) / count) for word, count in counts.items()}


def _linked(sentence: str, passages: Sequence[_Passage], weights: dict[str, float], floor: float) -> LinkedSentence:
    """The sentence with what it rests on: one passage where one is enough, else sentences of several together."""
    wanted = content_words(sentence)
    worth = [(sum(weights[word] for word in wanted & passage.words), -at) for at, passage in enumerate(passages)]
    nearest = [passages[-at] for score, at in sorted(worth, reverse=True)[:_CANDIDATES] if score > 0]
    best = LinkedSentence(sentence, (), 0.0)
    for passage in nearest:
        support, span = quote_for(sentence, "", passage.text)
        if support > best.support:
            best = LinkedSentence(sentence, (_quote(passage, span),), support)
    if best.support >= floor or len(nearest) < 2:
        return best
    several = _covering(wanted, nearest)
    together, _ = quote_for(sentence, "", " ".join(quote.quote for quote in several))
    return LinkedSentence(sentence, several, together) if together > best.support else best


def _covering(wanted: set[str], passages: Sequence[_Passage]) -> tuple[PageQuote, ...]:
    """The nearest sentence of each passage that adds words which the ones before it lack."""
    quotes, missing = [], set(wanted)
    for passage in passages:
        spans = sentences(passage.text)
        found = [content_words(passage.text[span.start : span.end]) & missing for span in spans]
        at = max(range(len(spans)), key=lambda index: len(found[index]))
        if found[at]:
            quotes.append(_quote(passage, spans[at]))
            missing -= found[at]
    return tuple(quotes)


def _quote(passage: _Passage, span: Span) -> PageQuote:
    start, end = passage.start + span.start, passage.start + span.end
    return PageQuote(passage.page, start, end, passage.text[span.start : span.end])
