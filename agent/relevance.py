"""How likely a passage is about the question: one logistic over its cosine and the share of the question it holds.

The three numbers below were fitted on shared SQuAD questions, half of them with their article left out of the
library; training/LOG.md has the run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from agent.grounding import content_words

_BIAS, _COSINE, _COVERAGE = -6.0, 8.0, 3.5


def relevance(question: str, passage: str, metadata: Mapping[str, Any]) -> float:
    """The probability (0 to 1) that the passage is about the question.

    Args:
        question: the person's words.
        passage: the passage's text.
        metadata: what the search said of it; `dense_score` is the cosine of the two.
    """
    asked = content_words(question)
    coverage = len(asked & content_words(passage)) / len(asked) if asked else 0.0
    cosine = float(metadata.get("dense_score") or 0.0)
    return 1 / (1 + math.exp(-(_BIAS + _COSINE * cosine + _COVERAGE * coverage)))
