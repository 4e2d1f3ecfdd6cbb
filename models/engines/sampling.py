"""From next-token logits to a token id, and guesses ahead by copying: plain NumPy, for engines that own their loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines.base import GenerationOptions

# Checking 2 ids costs nearly as much as checking 16, and twice as much as computing one: guesses are long, or not made.
_FEWEST, MOST_GUESSES = 8, 16
_LEAST_SAME, _MOST_SAME = 2, 24  # ids before the guess that have to be the same; more are not counted
_LARGEST_NEED = 8
_MOST_PLACES = 32


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
    """Guesses the next ids where most of the text before is the same as at its end, the latest of equal places.

    Guesses that come true get longer; after one that is all wrong, more of the text has to be the same for the next.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self._places: dict[tuple[int, ...], list[int]] = {}  # two ids -> where the text goes on after them
        self._indexed = 0
        self._length = _FEWEST
        self._need = _LEAST_SAME
        self._index(ids)

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        """At most `most` ids that may follow `ids`; [] where nothing before is enough like its end."""
        self._index(ids)
        places = self._places.get(tuple(ids[-_LEAST_SAME:]), [])[-_MOST_PLACES:]
        same, place = max(((_same_before(ids, place), place) for place in places), default=(0, 0))
        return list(ids[place : place + min(self._length, most)]) if same >= self._need else []

    def learn(self, guessed: int, right: int) -> None:
        """Takes note of how many of the guessed ids were right."""
        self._length = min(MOST_GUESSES, self._length * 2) if right == guessed else _FEWEST
        if right == 0:
            self._need = min(_LARGEST_NEED, self._need + 2)
        elif right >= guessed // 2:
            self._need = _LEAST_SAME

    def _index(self, ids: Sequence[int]) -> None:
        # what ends with the last id is left for later: nothing follows it yet
        for place in range(max(self._indexed + 1, _LEAST_SAME), len(ids)):
            self._places.setdefault(tuple(ids[place - _LEAST_SAME : place]), []).append(place)
        self._indexed = max(self._indexed, len(ids) - 1)


def _same_before(ids: Sequence[int], place: int) -> int:
    """How many ids before `place` are those at the end of `ids`."""
    most = min(place, _MOST_SAME)
    return next((back for back in range(most) if ids[place - 1 - back] != ids[-1 - back]), most)


def _processed(processor: Any, logits: npt.NDArray[np.float32], ids: Sequence[int]) -> npt.NDArray[np.float32]:
    import torch

    scores = processor(torch.tensor([ids]), torch.from_numpy(logits.copy())[None])
    changed: npt.NDArray[np.float32] = scores[0].numpy()
    return changed
