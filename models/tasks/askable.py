"""What of an English sentence could be asked for: years, numbers, names and the ends of its runs of common words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

WORD = re.compile(r"[^\W_]+(?:[-'’.,][^\W_]+)*")
_YEAR = re.compile(r"1\d{3}|20\d\d")
_MONTHS = frozenset("January February March April May June July August September October November December".split())
PLAIN = frozenset(
    "a an the of in on at to for from by with and or but nor is are was were be been being has have had do does did it "
    "its this that these those he she his her they their them as which who whom whose what when where how not no than "
    "then also such can could may might will would shall should must into over under between during after before about "
    "more most some any all each both either other another one two first".split()
)
"""Words that say nothing by themselves."""
_Fits = Callable[[str, int], bool]


def askable(sentence: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and kind ("year", "number", "name" or "phrase") of what could be asked of a sentence."""
    words = [(match.start(), match.end(), match.group()) for match in WORD.finditer(sentence)]
    yield from _numbers(sentence, words)
    yield from _runs(sentence, words, _is_name, "name")
    yield from _runs(sentence, words, _is_common, "phrase")


def _numbers(sentence: str, words: Sequence[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    for at, (start, end, word) in enumerate(words):
        if _YEAR.fullmatch(word):
            yield start, end, "year"
            first = at
            while first > 0 and at - first < 2 and (words[first - 1][2] in _MONTHS or words[first - 1][2].isdigit()):
                first -= 1
            if any(one in _MONTHS for _, _, one in words[first:at]):
                yield words[first][0], end, "year"
        elif word[0].isdigit():
            yield start, end, "number"
            if at + 1 < len(words) and _is_common(words[at + 1][2], at + 1) and sentence[end : words[at + 1][0]] == " ":
                yield start, words[at + 1][1], "number"


def _runs(
    sentence: str, words: Sequence[tuple[int, int, str]], fits: _Fits, kind: str
) -> Iterator[tuple[int, int, str]]:
    """Runs of words that fit, with single blanks between them: names whole, common words as ends of up to three."""
    at = 0
    while at < len(words):
        if not fits(words[at][2], at):
            at += 1
            continue
        last = at
        while (
            last + 1 < len(words)
            and fits(words[last + 1][2], last + 1)
            and sentence[words[last][1] : words[last + 1][0]] == " "
        ):
            last += 1
        for first in [at] if kind == "name" else range(max(at, last - 2), last + 1):
            yield words[first][0], words[last][1], kind
        at = last + 1


def _is_name(word: str, at: int) -> bool:
    return word[0].isupper() and word not in _MONTHS and not (at == 0 and word.lower() in PLAIN)


def _is_common(word: str, at: int) -> bool:
    return word[0].islower() and word not in PLAIN
