"""Sentences of a text edited so that they stay true, or altered so that the text no longer says them.

A sentence that the text supports loses a parenthesis or a clause or begins otherwise; an unsupported one has a number,
a name or a relation changed. Each change is checked against the text, so that nothing altered stands there after all.
English.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

from models.tasks.askable import askable

Span = tuple[int, int]
_PARENTHESIS = re.compile(r"\s*\([^()]*\)")
_CLAUSE = re.compile(
    r",\s+(?:which|who|whose|where|although|though|while|whereas|with|including|such as|after|before)\b"
)
_OPENING = re.compile(r"((?:In|On|At|By|During|After|Since|Until|From)\b[^,.;:()]{2,50}),\s+")
_PRONOUN = re.compile(r"(?:It|He|She)\b(?= (?:is|was|has|had|became|also)\b)")
_NUMBER = re.compile(r"(?<![\w.,–-])\d[\d,]*(?:\.\d+)?(?![\w–-]|[.,]\d)")
_YEAR = re.compile(r"1\d{3}|20\d\d")
_COUNTS = "two three four five six seven eight nine ten eleven twelve".split()
_COUNT = re.compile(rf"\b(?:{'|'.join(_COUNTS)})\b")
_NEGATABLE = re.compile(r"\b(is|are|was|were|can|could|will|would|may|must|should)\b(?! (?:not|only|no)\b)")
_NEGATED = re.compile(r"\b(is|are|was|were|can|could|will|would|may|must|should|do|does|did) not\b(?! only)")
_OPPOSITES = (
    "increased/decreased increase/decrease increasing/decreasing increases/decreases higher/lower highest/lowest "
    "larger/smaller largest/smallest greater/lesser more/less most/least north/south northern/southern east/west "
    "eastern/western before/after first/last early/late earlier/later oldest/newest older/younger won/lost win/lose "
    "began/ended begins/ends beginning/end opened/closed accepted/rejected accept/reject included/excluded "
    "always/never many/few allowed/prohibited legal/illegal above/below male/female men/women king/queen father/mother "
    "son/daughter brother/sister positive/negative strong/weak strongest/weakest longest/shortest longer/shorter "
    "public/private domestic/foreign inside/outside upper/lower internal/external gained/lost supported/opposed "
    "supports/opposes success/failure successful/unsuccessful possible/impossible dependent/independent "
    "similar/different rich/poor hot/cold winter/summer majority/minority left/right maximum/minimum "
    "better/worse best/worst victory/defeat ally/enemy allies/enemies rural/urban common/rare simple/complex "
    "direct/indirect active/passive ancient/modern buy/sell bought/sold entered/left arrived/departed rose/fell"
)
_PAIRS = [(pair.split("/")[0], pair.split("/")[1]) for pair in _OPPOSITES.split()]
_OPPOSITE = dict(_PAIRS) | {b: a for a, b in _PAIRS}
_SMALL = frozenset(
    "the a an in on at by to from for with as it he she they this these those its his her their there some many most "
    "when while although after before since during if one other such both each all".split()
)
_WORD = re.compile(r"[a-z]+")
_BEFORE_NOUNS = re.compile(r"\b(?:an?|the|of|in|by|with|for|from|into|its|their|his|her|no|some|many|such as|other) $")
_BOTH_WAYS = re.compile(
    r"\b(?:and|or|nor|between|with|border\w*|married|met|equal\w*|as|than|versus|called|named|known|also|is|are|was|were)\b"
)


def lightly_edited(draw: random.Random, sentence: str, *, title: str = "", before: str = "") -> str:
    """The sentence in other words that say no more than it; often itself.

    Args:
        draw: Where chance comes from.
        sentence: One whole sentence.
        title: What the text is about; takes the place of a pronoun where the sentence before names it.
        before: The sentence before.
    """
    text = sentence
    if draw.random() < 0.6:
        text = _PARENTHESIS.sub("", text)
    if draw.random() < 0.4 and (clause := _CLAUSE.search(text)) and _is_whole(text[: clause.start()]):
        text = f"{text[: clause.start()]}."
    if draw.random() < 0.4 and (opening := _OPENING.match(text)) and "," not in text[opening.end() :]:
        rest = text[opening.end() :].rstrip(". ")
        text = f"{_capital(rest)} {opening.group(1)[0].lower()}{opening.group(1)[1:]}."
    if title and before.startswith((title, f"The {title}")) and draw.random() < 0.7:
        text = _PRONOUN.sub(lambda _: title, text, count=1) if _PRONOUN.match(text) else text
    return text if draw.random() > 0.06 else f"According to the document, {_uncapital(text)}"


def _is_whole(text: str) -> bool:
    return len(text.split()) >= 6 and text.count("(") == text.count(")") and text.count('"') % 2 == 0


def changed_number(draw: random.Random, sentence: str, passage: str) -> str | None:
    """The sentence with one number, year or count changed to one that the passage does not hold."""
    found = [*_NUMBER.finditer(sentence), *_COUNT.finditer(sentence)]
    for match in draw.sample(found, len(found)):
        for _ in range(4):
            other = _other_number(draw, match.group())
            if other != match.group() and not re.search(rf"(?<![\d.,]){re.escape(other)}(?!\d)", passage):
                return _replaced(sentence, match.span(), other)
    return None


def _other_number(draw: random.Random, number: str) -> str:
    if number in _COUNTS:
        return draw.choice(_COUNTS)
    if _YEAR.fullmatch(number):
        away = draw.choice((1, 2, 3, 5, 9, 10, 20, 40, 100)) * draw.choice((-1, 1))
        return str(int(number) + (away if 1000 <= int(number) + away <= 2024 else -away))
    places = [at for at, char in enumerate(number) if char.isdigit() and (at == 0 or char != "0")]
    at = draw.choice(places)
    return f"{number[:at]}{draw.choice([d for d in '123456789' if d != number[at]])}{number[at + 1 :]}"


def exchanged_names(draw: random.Random, sentence: str, passage: str) -> str | None:
    """The sentence with two names in each other's place, where what stands between them is no list and no likeness."""
    spans = [span for span, kind in things(sentence, passage) if kind == "name"]
    pairs = [(a, b) for at, a in enumerate(spans) for b in spans[at + 1 :] if _exchangeable(sentence, a, b)]
    if not pairs:
        return None
    (start, end), (from_, to) = draw.choice(pairs)
    first, second = sentence[start:end], sentence[from_:to]
    return f"{sentence[:start]}{second}{sentence[end:from_]}{first}{sentence[to:]}"


def _exchangeable(sentence: str, a: Span, b: Span) -> bool:
    first, second, between = sentence[slice(*a)], sentence[slice(*b)], sentence[a[1] : b[0]]
    words = set(first.lower().split()) & set(second.lower().split())
    verb = re.search(r"\b[a-z]+(?:ed|s)\b|\b(?:wrote|won|led|built|made|took|gave|found|beat|became)\b", between)
    whole = not sentence[: b[1]].endswith(("'s", "’s")) and not first.endswith(("'s", "’s"))
    return whole and not words and bool(verb) and not _BOTH_WAYS.search(between) and not set('()";') & set(between)


def broken_relation(draw: random.Random, sentence: str, passage: str) -> str | None:
    """The sentence with a word turned into its opposite, or a "not" put in or taken out.

    One is put in only half of the times it could be, or the word itself would say what is false.
    """
    words = [found for found in _WORD.finditer(sentence) if found.group() in _OPPOSITE]
    opposites = [_replaced(sentence, found.span(), _OPPOSITE[found.group()]) for found in words]
    if opposites and draw.random() < 0.75:
        return draw.choice(opposites)
    if denied := _NEGATED.search(sentence):
        return _replaced(sentence, denied.span(), denied.group(1))
    if (stated := _NEGATABLE.search(sentence)) and draw.random() < 0.5:
        return _replaced(sentence, stated.span(), f"{stated.group()} not")
    return draw.choice(opposites) if opposites else None


def another_thing(draw: random.Random, sentence: str, passage: str) -> str | None:
    """The sentence with a name, number or year of it changed for another of the same kind from the passage."""
    elsewhere = [(passage[slice(*span)], kind) for span, kind in things(passage, passage)]
    for span, kind in _shuffled(draw, [found for found in things(sentence, passage) if found[1] != "phrase"]):
        own = sentence[slice(*span)]
        others = [
            text for text, other in elsewhere
            if other == kind and text not in sentence and not _shares_a_word(text, own)
        ]  # fmt: skip
        if others:
            return _replaced(sentence, span, draw.choice(nearest_in_length(own, others)))
    return None


def nearest_in_length(own: str, others: Sequence[str]) -> list[str]:
    """The different ones whose number of words is nearest, six at most."""
    size = len(own.split())
    return sorted(dict.fromkeys(others), key=lambda text: abs(len(text.split()) - size))[:6]


def in_one_list(passage: str, a: Span, b: Span) -> bool:
    """Whether two spans of a text overlap, or nothing but commas, "and", names and the like stands between them."""
    (_, end), (start, _) = sorted((a, b))
    between = passage[end:start] if start >= end else ""
    return bool(re.fullmatch(r"(?:\W|\b(?:and|or|the|of|as well as)\b|\b[A-Z0-9]\w*)*", between)) and "." not in between


def things(text: str, passage: str) -> Iterator[tuple[Span, str]]:
    """Spans that may be asked for, with their kind (`gaps.askable`); a first word only where the passage has it, too.

    The first word of a sentence is no name for its capital letter alone, and common words are no phrase where nothing
    before them says that a noun comes.
    """
    for start, end, kind in askable(text):
        word = text[start:end]
        first = start == 0 or text[:start].rstrip(" \"“'(")[-1:] in ".!?"
        if kind == "name" and first and not re.search(rf"[\w,;] {re.escape(word)}\b", passage):
            continue
        if kind == "phrase" and not _BEFORE_NOUNS.search(text[:start]):
            continue
        yield (start, end), kind


ALTERED: dict[str, Callable[[random.Random, str, str], str | None]] = {
    "another name": another_thing,
    "changed number": changed_number,
    "exchanged names": exchanged_names,
    "broken relation": broken_relation,
}
"""The ways to make a sentence that its passage does not support, by the name of the kind."""


def altered(draw: random.Random, sentence: str, passage: str, kinds: Sequence[str]) -> tuple[str, str] | None:
    """The sentence altered by the first kind that can, and that kind; None where none can.

    What comes out stands nowhere in the passage.
    """
    for kind in kinds:
        found = ALTERED[kind](draw, sentence, passage)
        if found is not None and found.rstrip(".").lower() not in passage.lower():
            return found, kind
    return None


def _shares_a_word(first: str, second: str) -> bool:
    return bool(set(first.lower().split()) & set(second.lower().split()))


def _shuffled(draw: random.Random, found: list[tuple[Span, str]]) -> list[tuple[Span, str]]:
    return draw.sample(found, len(found))


def _replaced(text: str, span: Span, other: str) -> str:
    return f"{text[: span[0]]}{other}{text[span[1] :]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _uncapital(text: str) -> str:
    """The first letter small where it is a small word's; a name keeps its own."""
    first = text.split(" ", 1)[0].lower()
    return text[:1].lower() + text[1:] if first in _SMALL else text
