"""Claim support: whether a passage says what a sentence claims, learned from questions, answers and bare texts.

A reader learns to be asked for what claims say, and that some of it is nowhere; then trees are grown on claims of other
articles that weigh what it answers and which words are shared. The claims are made by `training/claims.py`; served by
`models/tasks/support.py`.
Source of the trees: Friedman 2001, https://doi.org/10.1214/aos/1013203451, by scikit-learn.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from training.claims import ADVERSARIAL, SUPPORTED, UNSUPPORTED, ClaimRows
from training.data import Column, Layout, Part, Splits, part_of_group
from training.errors import OneClass
from training.tasks.answer_rows import NO_ANSWER
from training.tasks.base import Prediction, Row, change_config
from training.tasks.question_answering import QuestionAnswering

if TYPE_CHECKING:
    from models.tasks.evidence import Tree
    from training.evaluation import Tally

_WORD = re.compile(r"\w+")
_TREES, _DEPTH, _SHARE_OF_ROWS = 80, 3, 0.7
_NOWHERE = frozenset({"unanswerable", "another passage", "something else"})
"""The kinds of claims whose answers their passages do not hold."""


@dataclass(frozen=True)
class _Options:
    """`of_text`: pairs of claims made of each row that holds a bare text."""

    of_text: int = 20


class ClaimSupport(QuestionAnswering):
    """Learns what claims ask for, and how much what is found supports them."""

    kind = "claim-support"
    role = "support"
    metric = "balanced_accuracy"
    simple_rule = "supported where the passage holds so many of the claim's words as parts the training rows best"
    Options = _Options

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("text"), Column("claim"), Column("label", "label"), Column("kind", "marks"))

    @property
    def layout(self) -> Layout:
        by_title = self.recipe.data.split.by == ("title",)
        return ClaimRows(
            self.recipe.seed,
            self.options.of_text,
            partial(part_of_group, self.recipe) if by_title else lambda title: "",
        )

    def prepare(self, splits: Splits) -> None:
        if len(set(map(tuple, splits.train.column("label")))) < 2:
            raise OneClass(", ".join(self.recipe.data.train), "its claims are all supported, or none is.")

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """One question of each claim that says where its answer stands or that it stands nowhere."""
        return super().features(asked for row in rows if (asked := self._question(row)) is not None)

    def _question(self, row: Row) -> Row | None:
        from models.tasks.evidence import apart, asked_for, questions_of

        claim, text, kind = row["claim"], row["text"], row["kind"][0]
        brought = [one for one in questions_of(claim, text) if claim.startswith(one[0])]
        if kind in _NOWHERE:
            found = [(question, NO_ANSWER) for question, _ in brought]
        elif row["label"] == [SUPPORTED]:
            found = [one for one in brought or [asked_for(claim, *thing) for thing in apart(claim)] if one[1] in text]
        else:
            found = []
        if not found:
            return None
        question, answer = random.Random(f"{self.recipe.seed}:{claim}:{text}").choice(found)
        start = text.find(answer) if answer else -1
        return {**row, "question": question, "answers": [answer], "starts": [start]}

    def model_files(self, folder: Path) -> None:
        from models.tasks.roles import SUPPORT_TREES

        change_config(folder, {SUPPORT_TREES: []})

    def calibrate(self, folder: Path, home: Path, rows: Sequence[Row]) -> None:
        from models.tasks.roles import SUPPORT_TREES
        from models.tasks.support import SupportJudge

        judge = SupportJudge(str(folder), home=home)
        numbers = judge.evidence([row["claim"] for row in rows], [row["text"] for row in rows])
        supported = [row["label"] == [SUPPORTED] for row in rows]
        change_config(folder, {SUPPORT_TREES: grown(numbers, supported, self.recipe.seed)})

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.support import SupportJudge

        judge = SupportJudge(str(folder), home=home)
        found = judge.judge([row["claim"] for row in rows], [row["text"] for row in rows])
        return [_prediction(probability) for probability in found]

    def predict_quickly(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        """No trees have grown on the way of a run, so there is nothing to ask the reader for."""
        return [_prediction(0.5) for _ in rows]

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
            "balanced_accuracy": _balanced(self._counts(rows, predictions)),
            "balanced_accuracy_adversarial": _balanced(self._counts(rows, predictions, hard)),
            **kinds,
        }

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> None:  # type: ignore[override]
        """Balanced accuracy is no mean over rows."""

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


def grown(numbers: Sequence[Sequence[float]], supported: Sequence[bool], seed: int) -> list[Tree]:
    """Trees whose sum is the log-odds that a claim is supported, supported and other claims counting alike."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.utils.class_weight import compute_sample_weight

    model = GradientBoostingClassifier(
        n_estimators=_TREES, max_depth=_DEPTH, subsample=_SHARE_OF_ROWS, init="zero", random_state=seed
    )
    model.fit(numbers, supported, compute_sample_weight("balanced", supported))
    return [_nested(one.tree_, 0, model.learning_rate) for one in model.estimators_[:, 0]]


def _nested(tree: Any, node: int, rate: float) -> Tree:
    """A tree of scikit-learn's from a node on, as `models/tasks/evidence.py` reads it."""
    if tree.children_left[node] < 0:
        return round(float(tree.value[node, 0, 0]) * rate, 5)
    sides = (_nested(tree, int(side[node]), rate) for side in (tree.children_left, tree.children_right))
    return [int(tree.feature[node]), float(tree.threshold[node]), *sides]


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
