"""How likely it is that the passages found are about the question at all: one logistic over four signals.

Cosine and shared words say how near the best passages are; how far the best stands out and among how many passages it
was found say how easily it could be so by chance. `tests/benchmarks/calibrate_relevance.py` fits the numbers
(training/LOG.md has its figures).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_core.documents import Document

_BIAS = -5.08
_WEIGHTS = (11.26, 5.25, 2.18, -1.31)
_SHOWN = 4
_MORE_PASSAGES = 100
"""Counted as if so many more were searched: below that the number says little."""
_GAP_OF_ONE = 0.35
"""Between what right and wrong passages stand out by, as one passage alone tells nothing of it."""


def relevance(passages: Sequence[Document], among: int) -> float:
    """The probability (0 to 1) that the documents searched are about the question; 0 without passages.

    Args:
        passages: a search's hits with their metadata.
        among: how many passages the documents searched have.
    """
    if not passages:
        return 0.0
    found = zip(_WEIGHTS, signals(passages, among), strict=True)
    return 1 / (1 + math.exp(-(_BIAS + sum(weight * signal for weight, signal in found))))


def signals(passages: Sequence[Document], among: int) -> tuple[float, float, float, float]:
    """The best cosine, the best coverage, how far the sum of both falls to the fourth best, the size's logarithm.

    Coverage is the share of the question's words, weighted by how rare they are, that a passage holds.
    """
    cosines = [float(passage.metadata.get("dense_score") or 0.0) for passage in passages]
    coverages = [float(passage.metadata.get("sparse_coverage") or 0.0) for passage in passages]
    sums = sorted((cosine + coverage for cosine, coverage in zip(cosines, coverages, strict=True)), reverse=True)
    gap = sums[0] - sums[:_SHOWN][-1] if len(sums) > 1 else _GAP_OF_ONE
    return max(cosines), max(coverages), gap, math.log10(among + _MORE_PASSAGES)
