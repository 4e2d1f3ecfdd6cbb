"""Ties an answer to its passages: each sentence is checked against a passage's own sentence, and cited or removed.

Where a model judges support, its probability decides, and a number or name that stands in no passage fails a sentence
whatever the model says. Without one the share of a sentence's content words and numbers that one source sentence and
its neighbours hold decides; that share also chooses the quote. Citations are made here from the passages themselves,
never taken from the model's text, so a citation that does not resolve cannot appear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent.events import Source
from models.errors import PromptTooLong

_WORD = re.compile(r"\w+(?:[.,]\d+)*", re.UNICODE)
# A sentence ends at . ! ? (with closing quotes) before a space, or at a line break; a dot after an initial,
# a title or a known abbreviation does not end one.
_BREAK = re.compile(r"(?<=[.!?。！？।])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？।])|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|No|Nos|Fig|Eq|Inc|Ltd|Co|Corp|approx|ca|cf|e\.g|i\.e|al|etc|U\.S))\.$"
)
_MODEL_CITATION = re.compile(r"\s*\[\d+(?:\s*[,;-]\s*\d+)*\]")
# What makes a sentence whole enough to be judged without its question; present tenses look like plurals and do not.
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|had|can|could|will|would|may|might|must|do|does|did|[a-z]{2,}ed)\b")
_WHOLE_WORDS = 4
_TITLE_WORDS = 5
# What a model says of the passages where they do not answer: nothing that a passage could support.
_PLACE = r"(?:in|from|by) (?:the|your|these|any|this|given)(?: (?:given|provided))?(?: of the)?"
_READ = r"(?:passages?|documents?|texts?|context)"
_SILENT = re.compile(
    rf"^\W*not {_PLACE} {_READ}|\b(?:answer|question|information)\b.* (?:is|are|was|were)(?: not|n't)"
    rf"(?: \w+){{0,3}} {_PLACE} {_READ}|\b{_READ} (?:do|does|did)(?: not|n't) (?:\w+ )?"
    r"(?:answer|say|mention|state|provide|contain|specify|tell|give|include|address|discuss)\b",
    re.IGNORECASE,
)
_ASKS_WHAT_LACKS = re.compile(r"\b(?:not|no|missing|lacks?|absent|without)\b|n['’]t\b", re.IGNORECASE)
_STOP_WORDS = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being below between both but by
    can could did do does doing down during each few for from further had has have having he her here hers him his how
    i if in into is it its itself just may me might more most my no nor not now of off on once only or other our out
    over own same shall she should so some such than that the their them then there these they this those through to
    too under until up very was we were what when where which while who whom whose why will with would you your
    according answer passage passages document documents mentioned states stated text question given based provided
    s t don
    """.split()
)


class Judge(Protocol):
    """A model that says how likely each passage supports the claim beside it (`models/tasks/support.py`)."""

    def judge(self, claims: Sequence[str], passages: Sequence[str]) -> list[float]:
        """Probabilities from 0 to 1, in order."""
        ...


JudgeSource = Callable[[], Judge | None]
"""Gives the model that judges support, if one serves."""


@dataclass(frozen=True)
class Span:
    """A stretch of a text: `text[start:end]`, end exclusive."""

    start: int
    end: int


@dataclass(frozen=True)
class Grounded:
    """An answer after its check: the text with its citations, the sources it cites and what was taken out."""

    text: str
    sources: tuple[Source, ...]
    removed: tuple[str, ...]

    @property
    def supported(self) -> bool:
        """True where at least one sentence stands and none had to be removed."""
        return bool(self.sources) and not self.removed


def sentences(text: str) -> list[Span]:
    """The sentences of a text as spans without surrounding white space, in order."""
    spans, start = [], 0
    for match in _BREAK.finditer(text):
        if "\n" not in match.group() and _ABBREVIATION.search(text[start : match.start()]):
            continue
        spans.append(_trimmed(text, start, match.start() if "\n" in match.group() else match.end()))
        start = match.end()
    spans.append(_trimmed(text, start, len(text)))
    return [span for span in spans if span.end > span.start]


def _trimmed(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    return Span(start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip()))


def content_words(text: str) -> set[str]:
    """The words that carry meaning, lowercased and without a plural or possessive s; numbers stay whole."""
    words = {word.casefold() for word in _WORD.findall(text)}
    return {_stem(word) for word in words if word not in _STOP_WORDS}


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def support(claim: set[str], source: set[str]) -> float:
    """The share of the claim's content words that the source holds, 0 where one of its numbers is missing.

    A claim without content words is supported by nothing.
    """
    if not claim or any(word not in source for word in claim if any(char.isdigit() for char in word)):
        return 0.0
    return len(claim & source) / len(claim)


def quote_for(claim: str, question: str, passage: str) -> tuple[float, Span]:
    """The sentence of the passage that best supports the claim, and how well (0 to 1).

    Words that only repeat the question prove nothing, so the rest of the claim decides where there is a rest. A
    sentence is judged together with its neighbours, since names are often given one sentence earlier; among equals
    the one nearer to the claim alone, then to the question, is quoted.
    """
    spans = sentences(passage)
    words = [content_words(passage[span.start : span.end]) for span in spans]
    asked = content_words(question)
    said = content_words(claim)
    wanted = (said - asked) or said
    best: tuple[tuple[float, float, float], Span] = ((0.0, 0.0, 0.0), Span(0, 0))
    for index in range(len(spans)):
        around = set[str]().union(*words[max(0, index - 1) : index + 2])
        rank = (support(wanted, around), support(wanted, words[index]), support(asked, words[index]))
        if rank > best[0]:
            best = (rank, _below_headings(passage, spans[index:]))
    return best[0][0], best[1]


def _below_headings(passage: str, spans: Sequence[Span]) -> Span:
    """The first of the spans that is no Markdown heading: a heading says nothing by itself."""
    return next((span for span in spans if not passage.startswith("#", span.start)), spans[0])


def strip_citations(text: str) -> str:
    """The text without `[1]`-like marks, whoever wrote them."""
    return _MODEL_CITATION.sub("", text).strip()


def unmarked(text: str) -> str:
    """A name or quote of a document with `(7)` for each `[7]`, which would look like a citation of the answer's."""
    return re.sub(r"\[(\d+(?:\s*[,;-]\s*\d+)*)\]", r"(\1)", text)


def declines(text: str, question: str) -> bool:
    """Whether a text says, in every sentence, that the passages do not answer the question.

    Asked what a document lacks, the same words are an answer.
    """
    said = [text[span.start : span.end] for span in sentences(text)]
    return bool(said) and not _ASKS_WHAT_LACKS.search(question) and all(map(_SILENT.search, said))


def closest_quote(question: str, passages: Sequence[Source], texts: Sequence[str]) -> Grounded:
    """The sentence nearest to the question, quoted, for when nothing the model wrote could be supported."""
    found = [quote_for(question, "", text) for text in texts]
    best = max(range(len(found)), key=lambda index: found[index][0])
    span = found[best][1] if found[best][1].end else sentences(texts[best])[0]
    return of_one_quote(passages[best], texts[best], _below_a_title(texts[best], span))


def _below_a_title(text: str, span: Span) -> Span:
    """The sentence under a short line without an end, which is a title and says nothing; any other span as it is."""
    line = text[span.start : span.end]
    below = next((later for later in sentences(text) if later.start >= span.end), None)
    is_title = len(line.split()) <= _TITLE_WORDS and line[-1].isalnum() and text.startswith("\n", span.end)
    return below if below and is_title else span


def of_one_quote(passage: Source, text: str, span: Span, *, said: bool = False, words: str | None = None) -> Grounded:
    """An answer of one quote of a passage: `said` as the answer itself, or as what the closest passage says.

    `words` of the quote are the answer where they are given, and it is what they cite.
    """
    source = replace(quoting(passage, text, span), number=1)
    quote = unmarked(source.quote if words is None else words)
    return Grounded(cite(quote, 1) if said else f"The closest passage says: “{quote}” [1]", (source,), ())


def ground(
    answer: str,
    question: str,
    passages: Sequence[Source],
    texts: Sequence[str],
    floor: float,
    judge: Judge | None = None,
) -> Grounded:
    """Check every sentence of an answer against the passages and number what it rests on.

    Args:
        answer: what the model wrote; citation marks in it are ignored.
        question: what was asked, to choose between equally good quotes and to complete a short answer.
        passages: the passages shown to the model, in the order shown.
        texts: the passages' texts, same order and length.
        floor: the least probability of support, or without a judge the least share of a sentence's content that must
            stand in its source.
        judge: the model that judges support, where one serves.
    """
    kept: list[tuple[str, Source]] = []
    removed: list[str] = []
    clean = strip_citations(answer)
    # A small model likes to repeat itself: a sentence counts once.
    for sentence in dict.fromkeys(clean[span.start : span.end] for span in sentences(clean)):
        silent = declines(sentence, question)
        source = None if silent else supporting(sentence, question, passages, texts, floor, judge)
        if source is None:
            removed.append(sentence)
        else:
            kept.append((sentence, source))
    return _numbered(kept, removed)


def supporting(
    sentence: str,
    question: str,
    passages: Sequence[Source],
    texts: Sequence[str],
    floor: float,
    judge: Judge | None = None,
) -> Source | None:
    """The passage that best supports a sentence, narrowed to the quote that does; None below the floor.

    Args:
        sentence: without citation marks.
        question, passages, texts, floor, judge: as for `ground`.
    """
    if not texts:
        return None
    found = [quote_for(sentence, question, text) for text in texts]
    scores = _judged(sentence, question, texts, judge) if judge else None
    if scores is None:
        scores = [score for score, _ in found]
    best = max(range(len(texts)), key=lambda index: (scores[index], found[index][0]))
    if scores[best] < floor:
        return None
    span = found[best][1]
    if not span.end:  # said in words that the passage does not use: the sentence nearest to the question is shown
        span = quote_for(question, "", texts[best])[1]
    return quoting(passages[best], texts[best], span if span.end else sentences(texts[best])[0])


def _judged(sentence: str, question: str, texts: Sequence[str], judge: Judge) -> list[float] | None:
    """How likely each passage supports the sentence; 0 for all where a number or name of it stands in none of them.

    None where the sentence is too long to be judged.
    """
    if invented(sentence, question, texts):
        return [0.0] * len(texts)
    claim = sentence if is_whole(sentence) else f"{question.strip()} {sentence}"
    try:
        return judge.judge([claim] * len(texts), texts)
    except PromptTooLong:
        return None


def is_whole(sentence: str) -> bool:
    """Whether a sentence says something by itself; "42." and "In Paris." need their question."""
    return len(sentence.split()) >= _WHOLE_WORDS and bool(_VERB.search(sentence))


def invented(sentence: str, question: str, texts: Sequence[str]) -> set[str]:
    """The numbers of a sentence that no passage holds, and the names that neither they nor the question hold.

    A name is a word with a capital letter that does not begin the sentence.
    """
    held = set[str]().union(*(content_words(text) for text in texts))
    words = _WORD.findall(sentence)
    numbers = {word for word in words if any(char.isdigit() for char in word)}
    names = {word for word in words[1:] if word[0].isupper()} - numbers
    return (content_words(" ".join(numbers)) - held) | (content_words(" ".join(names)) - held - content_words(question))


def quoting(passage: Source, text: str, span: Span) -> Source:
    """The passage narrowed to one quote of its text, its offsets counted in the document."""
    start, end = passage.start + span.start, passage.start + span.end
    return replace(passage, start=start, end=end, quote=text[span.start : span.end])


def _numbered(kept: Sequence[tuple[str, Source]], removed: Sequence[str]) -> Grounded:
    """Number the sources by their first citation, one number a quote."""
    numbers: dict[tuple[str, int, int], Source] = {}
    cited = []
    for sentence, source in kept:
        key = (source.document_id, source.start, source.end)
        source = numbers.setdefault(key, replace(source, number=len(numbers) + 1))
        cited.append(cite(sentence, source.number))
    return Grounded(" ".join(cited), tuple(numbers.values()), tuple(removed))


def cite(sentence: str, number: int) -> str:
    """`The sky is blue.` becomes `The sky is blue [1].`"""
    mark = re.search(r"[.!?。！？।]+[\"'”’)\]]*$", sentence)
    cut = mark.start() if mark else len(sentence)
    return f"{sentence[:cut]} [{number}]{sentence[cut:]}"
