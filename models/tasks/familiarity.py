"""How much a text looks like those a Unigram tokenizer was trained on: the mean log-share of its pieces a character.

What a small model has often read falls into few, frequent pieces, so this needs no pass through the model.
"""

from __future__ import annotations

import json
from typing import Any

from models.tasks.base import tokenizer_turn

_UNKNOWN_PENALTY = 10.0  # below the rarest piece, as sentencepiece takes it for a letter it does not know


class Familiarity:
    """Measures texts by one tokenizer's pieces.

    Source: Kudo 2018, https://arxiv.org/abs/1804.10959, whose unigram model gives each piece its share.
    """

    def __init__(self, tokenizer: Any) -> None:
        with tokenizer_turn:
            self._tokenizer = tokenizer.backend_tokenizer
            model = json.loads(self._tokenizer.to_str())["model"]
        self._scores = [float(score) for _, score in model["vocab"]]
        self._unknown = model["unk_id"]
        self._letter = min(self._scores) - _UNKNOWN_PENALTY

    def __call__(self, text: str) -> float:
        """The natural logarithm a character, below 0; nearer to it is more familiar."""
        with tokenizer_turn:
            found = self._tokenizer.encode(text, add_special_tokens=False)
        total: float = sum(
            self._letter * (end - start) if piece == self._unknown else self._scores[piece]
            for piece, (start, end) in zip(found.ids, found.offsets, strict=True)
        )
        return total / max(1, len(text.strip()))
