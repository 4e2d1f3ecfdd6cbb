"""How much a text looks like those a model was trained on, by how often those had the pieces it falls into.

This needs no pass through the model. What nearly all texts held out reach is kept beside the model when it is trained.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.tasks.base import tokenizer_turn

FILE = "familiar.json"  # {language: {"pieces": {id: how often}, "least": [a character, a piece]}}
_UNSEEN = 0.1  # how often a piece counts that no text had


class Familiarity:
    """The mean logarithm of a text's pieces' shares, in two numbers: for each character, and for each piece.

    Both are below 0; nearer to it is more familiar. Common words in a strange order look familiar.
    """

    def __init__(self, tokenizer: Any, pieces: Mapping[int, int]) -> None:
        """`pieces` maps a piece's id to how often the texts of the training had it."""
        self._tokenizer = tokenizer.backend_tokenizer
        self._unknown = tokenizer.unk_token_id
        total = sum(pieces.values()) + _UNSEEN * len(tokenizer)
        self._scores = {piece: math.log((count + _UNSEEN) / total) for piece, count in pieces.items()}
        self._unseen = math.log(_UNSEEN / total)

    def __call__(self, text: str) -> tuple[float, float]:
        """For each character, for each piece; of a letter that the tokenizer does not know each counts as a piece."""
        score, pieces = 0.0, 0
        with tokenizer_turn:
            found = self._tokenizer.encode(text, add_special_tokens=False)
        for piece, (start, end) in zip(found.ids, found.offsets, strict=True):
            times = end - start if piece == self._unknown else 1
            score += times * (self._unseen if piece == self._unknown else self._scores.get(piece, self._unseen))
            pieces += times
        return score / max(1, len(text.strip())), score / max(1, pieces)


def count_pieces(tokenizer: Any, texts: Iterable[str]) -> Counter[int]:
    """How often each piece stands in the texts."""
    with tokenizer_turn:
        return Counter(
            piece for text in texts for piece in tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        )


@dataclass(frozen=True)
class Familiar:
    """What texts of one language are like, and the least that nearly all of them reach in both numbers."""

    measure: Familiarity
    least: tuple[float, float]

    def knows(self, text: str) -> bool:
        """Whether a text reaches both."""
        return all(found >= least for found, least in zip(self.measure(text), self.least, strict=True))


def read_familiar(folder: Path, tokenizer: Any) -> dict[str, Familiar]:
    """What a model's folder says of the texts of each language that it was trained on; nothing where it is silent."""
    try:
        value = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {
            language: Familiar(
                Familiarity(tokenizer, {int(piece): int(count) for piece, count in facts["pieces"].items()}),
                (float(facts["least"][0]), float(facts["least"][1])),
            )
            for language, facts in value.items()
        }
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return {}


def write_familiar(folder: Path, facts: Mapping[str, tuple[Mapping[int, int], tuple[float, float]]]) -> None:
    """Keeps what `read_familiar` gives: for each language pieces with their counts, and the least."""
    value = {
        language: {"least": list(least), "pieces": {str(piece): pieces[piece] for piece in sorted(pieces)}}
        for language, (pieces, least) in facts.items()
    }
    (folder / FILE).write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")
