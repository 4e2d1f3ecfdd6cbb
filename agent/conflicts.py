"""Finds documents that give another value than the answer's for what was asked, so that both are shown and cited.

The rule is careful rather than complete: the question asks for a value, and a sentence of another document holds every
word that was asked about, and a value of the same kind, and none of the values that the answer's source gives.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agent.events import Source
from agent.grounding import Grounded, Span, content_words, quoting, sentences, unmarked

_ASKS_A_VALUE = re.compile(
    r"\bhow (?:many|much|old|tall|long|high|far|big|large|wide|deep|heavy|fast|often|late|soon)\b|\bwhen\b|\bsince\b"
    r"|\b(?:what|which) (?:\w+ ){0,2}?(?:year|date|day|time|price|number|amount|cost|fee|rate|percentage|share|total"
    r"|height|length|size|age|deadline|revenue|salary|budget|population|temperature|weight|value|score|period)s?\b"
    r"|\bwhat (?:is|was|are|were) (?:the|our|its|their|his|her)\b",
    re.IGNORECASE,
)
# Words that only ask for the value and stand in no sentence that gives it.
_ONLY_ASKING = frozenset(
    """
    many much old long late soon often year date day time number amount happen happened did value s total
    """.split()
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<month{{0}}>{'|'.join(_MONTHS)})[a-z]*\.?"
_DATE = re.compile(
    r"\b\d{4}-(?P<month0>\d\d)-(?P<day0>\d\d)\b"
    rf"|\b(?P<day1>\d{{1,2}})(?:st|nd|rd|th|\.)? (?:of )?{_MONTH.format(1)}(?:,? \d{{4}})?\b"
    rf"|\b{_MONTH.format(2)} (?P<day2>\d{{1,2}})(?:st|nd|rd|th)?(?:,? \d{{4}})?\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?P<before>[$€£¥] ?)?(?P<number>\d+(?:[.,]\d+)*)(?P<after> ?(?:%|[$€£¥]|[^\W\d_]+))?")
_SCALES = frozenset({"thousand", "million", "billion", "trillion", "k", "m", "bn"})
_SIGNS = frozenset("%$€£¥")
_LEAST_BARE = 10  # a smaller number without a unit mostly counts a list or a section
_YEARS = range(1000, 2101)
Values = dict[str, set[str]]
"""The values in a text by their kind: `date` (month and day), `year`, or a unit's stem."""


def with_conflicts(question: str, grounded: Grounded, passages: Sequence[Source], texts: Sequence[str]) -> Grounded:
    """The answer, and after it one sentence for each document that gives another value, cited.

    Args:
        question: what was asked.
        grounded: the checked answer.
        passages: the passages shown to the model, in the order shown.
        texts: their texts, same order and length.
    """
    asked = {word for word in content_words(question) if word not in _ONLY_ASKING}
    if not grounded.sources or len(asked) < 2 or not _ASKS_A_VALUE.search(question):
        return grounded
    said = values(" ".join(source.quote for source in grounded.sources), question)
    cited = {source.document_id for source in grounded.sources}
    sources, lines = list(grounded.sources), [grounded.text]
    for passage, text in zip(passages, texts, strict=True):
        span = None if passage.document_id in cited else _other(asked, said, question, text)
        if span is None:
            continue
        cited.add(passage.document_id)
        sources.append(replace(quoting(passage, text, span), number=len(sources) + 1))
        quote = " ".join(text[span.start : span.end].split())
        lines.append(f"But {unmarked(passage.document)} says otherwise: “{unmarked(quote)}” [{len(sources)}]")
    return replace(grounded, text="\n\n".join(lines), sources=tuple(sources))


def _other(asked: set[str], said: Values, question: str, text: str) -> Span | None:
    """The first sentence that says all that was asked about with another value of a kind that the answer gives."""
    for span in sentences(text):
        sentence = text[span.start : span.end]
        if asked <= content_words(sentence):
            found = values(sentence, question)
            shared = found.keys() & said.keys()
            if shared and all(not found[kind] & said[kind] for kind in shared):
                return span
    return None


def values(text: str, question: str = "") -> Values:
    """The dates and numbers in a text by kind; what the question itself names is no answer to it."""
    known = _all_values(question)
    found = {kind: numbers - known.get(kind, set()) for kind, numbers in _all_values(text).items()}
    return {kind: numbers for kind, numbers in found.items() if numbers}


def _all_values(text: str) -> Values:
    found: Values = {}
    for match in _DATE.finditer(text):
        month = next(value for name, value in match.groupdict().items() if name.startswith("month") and value)
        day = next(value for name, value in match.groupdict().items() if name.startswith("day") and value)
        number = int(month) if month.isdigit() else _MONTHS.index(month.casefold()) + 1
        found.setdefault("date", set()).add(f"{number:02}-{int(day):02}")
    for match in _NUMBER.finditer(_DATE.sub(lambda date: " " * len(date.group()), text)):
        if (kind_and_number := _kind(match)) is not None:
            found.setdefault(kind_and_number[0], set()).add(kind_and_number[1])
    return found


def _kind(match: re.Match[str]) -> tuple[str, str] | None:
    """A number's kind and its value, so that `1,200 metres` and `1200 metre` are the same; None for a list's number."""
    digits = re.sub(r"[.,](?=\d{3}(?:\D|$))", "", match["number"]).replace(",", ".")
    before, after = ((match[side] or "").strip().casefold() for side in ("before", "after"))
    if after in _SCALES:
        return "scaled", f"{digits} {after[0]}"
    unit = after if after in _SIGNS else next(iter(content_words(after)), before)
    if unit:
        return unit, digits
    if digits.isdigit() and len(digits) == 4 and int(digits) in _YEARS:
        return "year", digits
    return ("", digits) if float(digits.split(".")[0]) >= _LEAST_BARE else None
