"""The best answer spans from a reader's start and end scores, exactly: every allowed span of every window counts.

Probabilities are a softmax over all those spans and the no-answer score together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_ANSWER_TOKENS = 30


@dataclass(frozen=True)
class Scores:
    """One window's scores: `start` and `end` for each token, where an answer may stand, its characters' offsets.

    `null` is the score of "no answer here".
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    allowed: Sequence[bool]
    offsets: Sequence[tuple[int, int]]
    null: float


@dataclass(frozen=True)
class Span:
    """A candidate answer: its characters, end exclusive, and its probability."""

    start: int
    end: int
    score: float


def best_spans(
    windows: Sequence[Scores], *, top_k: int = 3, longest: int = LONGEST_ANSWER_TOKENS
) -> tuple[list[Span], float]:
    """The `top_k` likeliest spans of at most `longest` tokens, best first, and the probability of no answer.

    Spans that overlap a better one are left out. The same characters found in two windows count once, with the higher
    score; the no-answer score is the lowest of any window, since one window with the answer is enough.
    """
    import numpy as np

    starts, ends, scores = _merged([_spans(window, longest) for window in windows])
    null = min(window.null for window in windows)
    if not len(scores):
        return [], 1.0
    highest = max(float(scores.max()), null)
    total = highest + np.log(np.exp(scores - highest).sum() + np.exp(null - highest))
    chosen: list[Span] = []
    for index in np.lexsort((ends, starts, -scores)):
        if len(chosen) == top_k:
            break
        start, end = int(starts[index]), int(ends[index])
        if all(end <= other.start or start >= other.end for other in chosen):
            chosen.append(Span(start, end, float(np.exp(scores[index] - total))))
    return chosen, float(np.exp(null - total))


def _spans(window: Scores, longest: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Characters' start and end and the score of every span that a window allows; the passage's tokens are a run."""
    import numpy as np

    allowed = np.asarray(window.allowed, dtype=bool)
    offsets = np.asarray(window.offsets, dtype=np.int64).reshape(-1, 2)
    starts, ends, scores = [], [], []
    for more in range(min(longest, len(allowed))):
        size = len(allowed) - more
        kept = allowed[:size] & allowed[more:] & (offsets[:size, 0] < offsets[more:, 1])
        starts.append(offsets[:size, 0][kept])
        ends.append(offsets[more:, 1][kept])
        scores.append((window.start[:size] + window.end[more:])[kept])
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(scores)


def _merged(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The spans of all windows, each once with its highest score."""
    import numpy as np

    starts, ends, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((-scores, ends, starts))
    starts, ends, scores = starts[order], ends[order], scores[order]
    first = np.ones(len(starts), dtype=bool)
    first[1:] = (starts[1:] != starts[:-1]) | (ends[1:] != ends[:-1])
    return starts[first], ends[first], scores[first]
