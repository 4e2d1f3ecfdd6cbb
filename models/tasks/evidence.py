"""What speaks for a claim: the words that it shares with its passage, and what a reader finds there when asked.

Each thing that a claim names where the passage has other words around it is made a question; the reader should answer
with that thing. What both say is weighed by trees that were grown when the judge was trained.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any, TypeAlias

from models.metrics import token_f1
from models.tasks.askable import PLAIN, askable
from models.tasks.extractor import Extraction

Tree: TypeAlias = "float | list[float | Tree]"
"""A number, or [which evidence, threshold, the tree up to the threshold, the tree above it]."""

_WORD = re.compile(r"\w+")
_BETWEEN = re.compile(r"\? (?=\S)")  # a question and the answer that is claimed
_ASKED = {"year": "when", "number": "how many", "name": "what", "phrase": "what"}
_MOST_QUESTIONS = 4
_SAME_F1 = 0.4


def questions_of(claim: str, passage: str) -> list[tuple[str, str]]:
    """Questions whose answers a claim states, each with that answer; a claim may bring its question.

    Only what does not stand in the passage between the same words is asked for; at most four things, the most certain
    kinds first.
    """
    if asked := _BETWEEN.search(claim):
        return [(claim[: asked.end() - 1], claim[asked.end() :].rstrip("."))]
    loose = [span for span, same in zip(_spans(claim), stands(claim, passage), strict=True) if not same]
    found = [
        (start, end, kind) for start, end, kind in apart(claim) if any(start < b and end > a for a, b in loose)
    ]  # fmt: skip
    found.sort(key=lambda thing: list(_ASKED).index(thing[2]))
    return [asked_for(claim, *thing) for thing in found[:_MOST_QUESTIONS]]


def apart(claim: str) -> list[tuple[int, int, str]]:
    """What could be asked of a claim, as start, end and kind; of things that overlap the first."""
    found: list[tuple[int, int, str]] = []
    for start, end, kind in askable(claim):
        if all(end <= a or start >= b for a, b, _ in found):
            found.append((start, end, kind))
    return found


def asked_for(claim: str, start: int, end: int, kind: str) -> tuple[str, str]:
    """The claim with a question word in a thing's place, and the thing."""
    question = f"{claim[:start]}{_ASKED[kind]}{claim[end:]}".rstrip(". ")
    return f"{question[0].upper()}{question[1:]}?", claim[start:end]


def stands(claim: str, passage: str) -> list[bool]:
    """For each word of a claim, whether the passage has it behind the same word and, too, before the same one.

    At the claim's ends one neighbour is enough.
    """
    words, there = _words(claim), _words(passage)
    pairs, known = set(pairwise(there)), set(there)
    joined = [True, *(pair in pairs for pair in pairwise(words)), True]
    return [word in known and before and after for word, (before, after) in zip(words, pairwise(joined), strict=True)]


def evidence(claim: str, passage: str, asked: Sequence[tuple[str, str]], said: Sequence[Extraction]) -> list[float]:
    """What speaks for a claim, in numbers.

    Args:
        claim: A sentence, or a question and its answer.
        passage: What should support it.
        asked: From `questions_of`.
        said: What the reader found in the passage for each.
    """
    return [*_of_words(claim, passage), *_of_reader(claim, passage, asked, said)]


def weighed(trees: Sequence[Tree], numbers: Sequence[float]) -> float:
    """The probability, 0 to 1, that the trees give together."""
    exact = array("f", numbers)  # the trees were grown on numbers of 32 bits
    return 1 / (1 + math.exp(-sum(_leaf(tree, exact) for tree in trees)))


def _of_words(claim: str, passage: str) -> list[float]:
    """Shares of words that stand there, in the same surroundings and at all; joints, and words that are missing."""
    words, there = _words(claim), _words(passage)
    known, pairs = set(there), set(pairwise(there))
    same = stands(claim, passage)
    missing = [word for word in words if word not in known]
    breaks = [pair for pair in pairwise(words) if pair not in pairs]
    joints = [pair for pair in breaks if known.issuperset(pair) and not PLAIN.issuperset(pair)]
    moved = [word for word, own in zip(words, same, strict=True) if word in known and not own and word not in PLAIN]
    size = max(1, len(words))
    return [
        sum(same) / size,
        1 - len(missing) / size,
        len(breaks),
        len(moved),
        sum(word not in PLAIN for word in missing),
        len(joints),
        any(char.isdigit() for word in missing for char in word),
        "not" in missing,
        size,
    ]


def _of_reader(claim: str, passage: str, asked: Sequence[tuple[str, str]], said: Sequence[Extraction]) -> list[float]:
    """How far the reader agrees: where it does least, in the mean, how sure it is of something else, and of nothing."""
    agreed, sure, other, none = [], [], [], []
    for (_, thing), one in zip(asked, said, strict=True):
        spans = [(one.answer, one.score), *((passage[span.start : span.end], span.score) for span in one.others)]
        own = max((score for text, score in spans if token_f1(text, [thing]) >= _SAME_F1), default=0.0)
        best = max(score for _, score in spans)
        agreed.append(own / best if best else 0.0)
        sure.append(own)
        other.append(best - own)
        none.append(one.no_answer_score or 0.0)
    if not asked:
        return [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    brought = float(bool(_BETWEEN.search(claim)))
    return [min(agreed), fmean(agreed), max(other), max(sure), max(none), len(asked) / _MOST_QUESTIONS, brought]


def _leaf(tree: Any, numbers: Sequence[float]) -> float:
    while isinstance(tree, list):
        which, threshold, low, high = tree
        tree = low if numbers[which] <= threshold else high
    return float(tree)


def _spans(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in _WORD.finditer(text)]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
