"""Task metrics shared by training and by `hearth eval`: pure functions from strings to numbers between 0 and 1.

Source of the answer metrics: the official SQuAD 1.1 evaluation script (Rajpurkar et al. 2016, arXiv:1606.05250).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lowercase, without punctuation, English articles and repeated spaces, as SQuAD compares answers."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1.0 where the normalised prediction equals one of the answers, else 0.0."""
    return _best(_exact, prediction, answers)


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """The best overlap F1, in normalised words, of the prediction with one of the answers."""
    return _best(_f1, prediction, answers)


def contains_answer(text: str, answers: Sequence[str]) -> float:
    """1.0 where one of the answers stands in the text as whole normalised words, else 0.0."""
    padded = f" {normalise_answer(text)} "
    return float(any(normalise_answer(answer) and f" {normalise_answer(answer)} " in padded for answer in answers))


def _best(measure: Callable[[str, str], float], prediction: str, answers: Sequence[str]) -> float:
    return max((measure(prediction, answer) for answer in answers), default=0.0)


def _exact(prediction: str, answer: str) -> float:
    return float(normalise_answer(prediction) == normalise_answer(answer))


def _f1(prediction: str, answer: str) -> float:
    predicted, expected = normalise_answer(prediction).split(), normalise_answer(answer).split()
    if not predicted or not expected:
        return float(predicted == expected)
    shared = sum((Counter(predicted) & Counter(expected)).values())
    return 2 * shared / (len(predicted) + len(expected))
