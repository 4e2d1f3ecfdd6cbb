"""Claim support: whether a passage says what a sentence claims, learned from questions, answers and bare texts.

The claims are made by `training/claims.py`; served by `models/tasks/support.py`, which reads passage and claim in the
same order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from training.claims import ADVERSARIAL, SUPPORTED, UNSUPPORTED, ClaimRows
from training.data import Column, Layout, Part, part_of_group
from training.recipe import Recipe
from training.tasks.base import Prediction, Row, change_config
from training.tasks.sequence_classification import Options as ClassificationOptions
from training.tasks.sequence_classification import SequenceClassification

if TYPE_CHECKING:
    from training.evaluation import Tally

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Options(ClassificationOptions):
    """`of_text`: pairs of claims made of each row that holds a bare text; `problem` and `pair` stay as they are."""

    pair: bool = True
    of_text: int = 20


class ClaimSupport(SequenceClassification):
    """Learns "supported" and "unsupported" for a passage and a claim."""

    kind = "claim-support"
    role = "support"
    metric = "balanced_accuracy"
    simple_rule = "supported where the passage holds so many of the claim's words as parts the training rows best"
    Options = Options

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.metric, self.simple_rule = type(self).metric, type(self).simple_rule

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("text"), Column("claim"), Column("label", "label"), Column("kind", "marks"))

    @property
    def layout(self) -> Layout:
        by_title = self.recipe.data.split.by == "title"
        return ClaimRows(
            self.recipe.seed,
            self.options.of_text,
            partial(part_of_group, self.recipe) if by_title else lambda title: "",
        )

    def feature(self, row: Row) -> dict[str, Any]:
        """A passage cut before its end may have lost what supports the claim, so such a row is left out."""
        encoded = self.tokenizer(row["text"], row["claim"], verbose=False)
        names = [name for name in ("input_ids", "token_type_ids") if name in encoded]
        cut = len(encoded["input_ids"]) > self.max_tokens
        label = [self.labels.index(row["label"][0])]
        return {name: encoded[name][: self.max_tokens] for name in names} | {"label": label, "cut": cut, "empty": cut}

    def model_files(self, folder: Path) -> None:
        from models.tasks.roles import SUPPORT_TOKENS

        change_config(folder, {SUPPORT_TOKENS: self.max_tokens})

    def calibrate(self, folder: Path, home: Path, rows: Sequence[Row]) -> None:
        """Nothing is chosen: the probability itself is what is served."""

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.support import SupportJudge

        judge = SupportJudge(str(folder), home=home)
        found = judge.judge([row["claim"] for row in rows], [row["text"] for row in rows])
        return [_prediction(probability) for probability in found]

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        known = [(_held(row), row["label"] == [SUPPORTED]) for row in train]
        floors = sorted({held for held, _ in known[:2000]})
        best = max(floors, key=lambda floor: sum((held >= floor) == holds for held, holds in known[:2000]))
        return [_prediction(float(_held(row) >= best)) for row in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Balanced accuracy of all, of those without the easy kinds, and the share that is right of each kind."""
        right: dict[str, list[float]] = {}
        hard = [row["kind"][0] in ADVERSARIAL or row["label"] == [SUPPORTED] for row in rows]
        for row, value in zip(rows, self._right(rows, predictions), strict=True):
            right.setdefault(row["kind"][0], []).append(value)
        kinds = {f"accuracy_{kind.replace(' ', '_')}": fmean(right[kind]) for kind in sorted(right)}
        return {
            **super().scores(rows, predictions),
            "balanced_accuracy": _balanced(self._counts(rows, predictions)),
            "balanced_accuracy_adversarial": _balanced(self._counts(rows, predictions, hard)),
            **kinds,
        }

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float] | None:
        return None

    def tally(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> Tally:
        from training.evaluation import Tally

        supported = [float(row["label"] == [SUPPORTED]) for row in rows]
        right = self._right(rows, predictions)
        counts = [(s * r, s, (1 - s) * r, 1 - s) for s, r in zip(supported, right, strict=True)]
        return Tally(counts, _balanced)

    def _right(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float]:
        return [float(row["label"] == [said["label"]]) for row, said in zip(rows, predictions, strict=True)]

    def _counts(
        self, rows: Sequence[Row], predictions: Sequence[Prediction], kept: Sequence[bool] | None = None
    ) -> list[float]:
        every = self.tally(rows, predictions).counts
        own = [row for row, keep in zip(every, kept or [True] * len(rows), strict=True) if keep]
        return [sum(column) for column in zip(*own, strict=True)]


def _balanced(sums: Sequence[float]) -> float:
    """The mean of the shares of supported and unsupported claims that were told, of right and all of either."""
    right, all_, right_not, all_not = sums
    shares = [a / b for a, b in ((right, all_), (right_not, all_not)) if b]
    return fmean(shares) if shares else 0.0


def _prediction(probability: float) -> Prediction:
    label = SUPPORTED if probability >= 0.5 else UNSUPPORTED
    return {"label": label, "scores": {SUPPORTED: probability, UNSUPPORTED: 1 - probability}}


def _held(row: Mapping[str, Any]) -> float:
    """The share of the claim's words that stand in its passage."""
    words = set(_WORD.findall(row["claim"].lower()))
    return len(words & set(_WORD.findall(row["text"].lower()))) / max(1, len(words))
