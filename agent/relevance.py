"""How likely it is that the passages found are about the question at all: one logistic over two signals.

Cosine alone keeps 88 % of the answerable questions at the price of letting 28 % of the others through; together with
the words the two share it lets 16 % through (training/LOG.md, 2026-11-21).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_core.documents import Document

_BIAS, _COSINE, _COVERAGE = -8.7, 9.68, 6.78


def relevance(passages: Sequence[Document]) -> float:
    """The probability (0 to 1) that the library is about the question; 0 without passages.

    Args:
        passages: a search's hits; `dense_score` is the best cosine, `sparse_coverage` the share of the question's
            words, weighted by how rare they are, that a passage holds.
    """
    if not passages:
        return 0.0
    cosine = max(float(passage.metadata.get("dense_score") or 0.0) for passage in passages)
    coverage = max(float(passage.metadata.get("sparse_coverage") or 0.0) for passage in passages)
    return 1 / (1 + math.exp(-(_BIAS + _COSINE * cosine + _COVERAGE * coverage)))
