"""From next-token logits to a token id, and guesses ahead by copying: plain NumPy, for engines that own their loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines.base import GenerationOptions

_NGRAMS = (3, 2)
_FEWEST, _FIRST, _MOST = 2, 8, 16


class Picker:
    """Picks one answer's tokens as its options say; keeps that answer's random state."""

    def __init__(self, options: GenerationOptions) -> None:
        self._options = options
        self._random = np.random.default_rng(options.seed)

    def __call__(self, logits: npt.NDArray[np.float32], ids: Sequence[int]) -> int:
        """The next id after `ids`, from logits of shape (vocabulary,)."""
        if self._options.logits_processor is not None:
            logits = _processed(self._options.logits_processor, logits, ids)
        if self._options.temperature <= 0:
            return int(logits.argmax())
        return self._draw(logits.astype(np.float64) / self._options.temperature)

    def _draw(self, scores: npt.NDArray[np.float64]) -> int:
        """The order is transformers': temperature, then the `top_k` likeliest, then the `top_p` share of those."""
        order = np.argsort(-scores, kind="stable")
        if 0 < self._options.top_k < len(order):
            order = order[: self._options.top_k]
        weights = np.exp(scores[order] - scores[order[0]])
        shares = np.cumsum(weights / weights.sum())
        if self._options.top_p < 1:
            # the id that crosses the bound is kept, so at least one always is
            kept = int(np.searchsorted(shares, self._options.top_p)) + 1
            order, shares = order[:kept], shares[:kept]
        drawn = int(np.searchsorted(shares, self._random.random() * shares[-1], side="right"))
        return int(order[min(drawn, len(order) - 1)])


class PromptLookup:
    """Guesses the next ids where the text last went on from the same two or three ids.

    Guesses get longer while they come true and shorter when they do not.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self._ends: dict[tuple[int, ...], int] = {}  # n-gram -> where the text goes on after its latest occurrence
        self._indexed = 0
        self._length = _FIRST
        self._index(ids)

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        """At most `most` ids that may follow `ids`; [] where nothing is like it."""
        self._index(ids)
        for size in _NGRAMS:
            end = self._ends.get(tuple(ids[-size:]))
            if end is not None:
                return list(ids[end : end + min(self._length, most)])
        return []

    def learn(self, guessed: int, right: int) -> None:
        """Takes note of how many of the guessed ids were right."""
        if right == guessed:
            self._length = min(_MOST, self._length * 2)
        elif right < guessed // 2:
            self._length = max(_FEWEST, self._length // 2)

    def _index(self, ids: Sequence[int]) -> None:
        # what ends with the last id is left for later: nothing follows it yet
        for end in range(self._indexed + 1, len(ids)):
            for size in _NGRAMS:
                if end >= size:
                    self._ends[tuple(ids[end - size : end])] = end
        self._indexed = max(self._indexed, len(ids) - 1)


def _processed(processor: Any, logits: npt.NDArray[np.float32], ids: Sequence[int]) -> npt.NDArray[np.float32]:
    import torch

    scores = processor(torch.tensor([ids]), torch.from_numpy(logits.copy())[None])
    changed: npt.NDArray[np.float32] = scores[0].numpy()
    return changed
