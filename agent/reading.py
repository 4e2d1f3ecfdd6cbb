"""A reader beside the writer: the sentence that answers, where a small chat model's own words miss it.

A small model often writes what no passage says, or what one says of something else; a trained reader only points at the
words that answer. Which of the two is taken is decided by how sure the reader is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.events import Source
from agent.grounding import Grounded, Span, content_words, of_one_quote, sentences
from models.errors import PromptTooLong

SURE = 0.3
"""From this probability on the reader's sentence takes the place of what the writer says without its words.

On 200 questions of SQuAD articles kept apart, with the passages that search gives, it is for 70 %, and 82 % of these
sentences hold an accepted answer; of the others 60 % do. Where the tuned writer says that the passages do not answer, a
reader as sure as this is believed (training/LOG.md).
"""
_OF_THE_PASSAGE_BEFORE = 0.3  # found on the same questions: alone, the reader is as sure of passages about other things
_LONGEST_SENTENCE_WORDS = 60


class Extraction(Protocol):
    """Words of a text with their probability and place; no place where there are none."""

    @property
    def answer(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def start(self) -> int | None: ...


class Reader(Protocol):
    """A model that points at the words of a text that answer a question (`models/tasks/extractor.py`)."""

    @property
    def name(self) -> str: ...
    def many(self, questions: Sequence[str], texts: Sequence[str], *, can_abstain: bool = True) -> Sequence[Extraction]:
        """The words for each question in the text beside it, in order."""
        ...


ReaderSource = Callable[[], Reader | None]
"""Gives the reader, if one serves."""


@dataclass(frozen=True)
class Reading:
    """The sentence of a passage (its index) that holds the words which answer, and how sure the reader is of them."""

    words: str
    score: float
    passage: int
    sentence: Span


def read(reader: Reader, question: str, texts: Sequence[str]) -> Reading | None:
    """What the reader finds in passages, best first; the further behind a passage, the surer it must be.

    None where that is no sentence to show, or the question is too long for the reader.
    """
    if not texts:
        return None
    try:
        found = reader.many([question] * len(texts), texts, can_abstain=False)
    except PromptTooLong:
        return None
    best = max(range(len(texts)), key=lambda index: found[index].score * _OF_THE_PASSAGE_BEFORE**index)
    words, text, start = found[best].answer, texts[best], found[best].start
    if start is None or not content_words(words):
        return None
    span = next((span for span in sentences(text) if span.start <= start < span.end), None)
    if span is None or text.startswith("#", span.start):
        return None
    long = len(text[span.start : span.end].split()) > _LONGEST_SENTENCE_WORDS
    return None if long else Reading(words, found[best].score, best, span)


def amended(
    grounded: Grounded, found: Reading, passages: Sequence[Source], texts: Sequence[str], *, briefly: bool = False
) -> Grounded:
    """What the writer said where it holds the reader's words; else the sentence that does.

    A reader that is not sure changes nothing that a passage supports.

    Args:
        grounded: the writer's answer after its check.
        found: what the reader points at.
        passages, texts: as for `grounding.ground`.
        briefly: the writer answers in a few words or not at all: a sure reader's words take their place and cite the
            sentence.
    """
    sure = found.score >= SURE
    if grounded.sources and not sure:
        return grounded
    if grounded.sources and not briefly and content_words(found.words) <= content_words(grounded.text):
        return grounded
    words = found.words if briefly and sure else None
    return of_one_quote(passages[found.passage], texts[found.passage], found.sentence, said=sure, words=words)
