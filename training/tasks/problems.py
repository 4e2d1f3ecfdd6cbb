"""What labels can be: one of several, any number of them, or a number; each with its own loss, baseline and scores.

Sources: smoothing, Szegedy et al. 2016, https://arxiv.org/abs/1512.00567; texts without a label taught as "all labels
alike", Hendrycks et al. 2019, https://arxiv.org/abs/1812.04606.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from models.tasks.classifier import Classification
    from training.evaluation import Tally
    from training.tasks.base import Prediction

Labels = Sequence[str]


class Problem(ABC):
    """One meaning of a row's labels.

    Attributes:
        name: What transformers calls it.
        metric, simple_rule: As for a task.
        outside: The label, as served, of texts that have none of the learned labels.
    """

    name: str
    metric: str
    simple_rule: str

    def __init__(self, outside: str | None = None) -> None:
        self.outside = outside

    @abstractmethod
    def targets(self, labels: Sequence[Any], classes: int) -> torch.Tensor:
        """What the loss wants, of the features' labels: lists of class indices, or numbers."""

    @abstractmethod
    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        """The loss summed over rows."""

    @abstractmethod
    def prediction(self, found: Classification) -> Prediction:
        """What the served class found, as JSON."""

    @abstractmethod
    def simple(self, learned: Sequence[Any]) -> Prediction:
        """What the baseline says of every row, by the training rows' labels or numbers."""

    @abstractmethod
    def scores(self, wanted: Sequence[Any], said: Sequence[Prediction]) -> dict[str, float]:
        """All metrics; `wanted` has each row's labels, or its number."""

    def row_scores(self, wanted: Sequence[Any], said: Sequence[Prediction]) -> list[float] | None:
        """As for a task."""
        return None

    def tally(self, wanted: Sequence[Any], said: Sequence[Prediction]) -> Tally | None:
        """As for a task."""
        return None

    def threshold(self, wanted: Sequence[Labels], said: Sequence[Prediction], refused: float) -> float | None:
        """The least score at which a label shall hold, chosen on rows the model did not learn from; None for none.

        `refused` is the share of right answers that may fall below it, where texts may have no label.
        """
        return None


class Single(Problem):
    """Exactly one label a row; with `outside` some rows have none, and a threshold tells them apart."""

    name = "single_label_classification"
    metric = "accuracy"
    simple_rule = "the commonest label"

    def targets(self, labels: Sequence[Any], classes: int) -> torch.Tensor:
        import torch

        if all(labels):
            return torch.tensor([own[0] for own in labels])
        shares = torch.full((len(labels), classes), 1 / classes)
        for row, own in enumerate(labels):
            if own:
                shares[row] = 0.0
                shares[row, own[0]] = 1.0
        return shares

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        from torch.nn import functional

        return functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)

    def prediction(self, found: Classification) -> Prediction:
        scores = {label.label: label.score for label in found.labels}
        if self.outside is None:
            return {"label": found.label, "scores": scores}
        label = found.label if found.chosen else self.outside
        threshold = max(0.0, found.threshold)  # a model without one refuses nothing
        return {"label": label, "scores": scores, "best": found.label, "threshold": threshold}

    def simple(self, learned: Sequence[Any]) -> Prediction:
        commonest = Counter(label for own in learned for label in own if label != self.outside).most_common(1)[0][0]
        own = {"label": commonest, "scores": {commonest: 1.0}}
        return own if self.outside is None else own | {"best": commonest, "threshold": 0.0}

    def scores(self, wanted: Sequence[Any], said: Sequence[Prediction]) -> dict[str, float]:
        from models.task_metrics import classification_scores

        expected = [own[0] for own in wanted]
        found = classification_scores([one["label"] for one in said], expected)
        if self.outside is None:
            return found
        pairs = list(zip(expected, said, strict=True))
        inside = [(label, one) for label, one in pairs if label != self.outside]
        return found | {
            "in_scope_accuracy": _share([one["label"] == label for label, one in inside]),
            "in_scope_accuracy_if_none_refused": _share([one["best"] == label for label, one in inside]),
            "outside_recall": _share([one["label"] == label for label, one in pairs if label == self.outside]),
            "threshold": float(said[0]["threshold"]),
        }

    def row_scores(self, wanted: Sequence[Any], said: Sequence[Prediction]) -> list[float]:
        return [float(one["label"] == own[0]) for own, one in zip(wanted, said, strict=True)]

    def threshold(self, wanted: Sequence[Labels], said: Sequence[Prediction], refused: float) -> float | None:
        if self.outside is None:
            return None
        right = sorted(
            one["scores"][one["best"]] for own, one in zip(wanted, said, strict=True) if own[0] == one["best"]
        )
        return right[int(refused * len(right))] if right else None


class Several(Problem):
    """Any number of labels a row, each learned by itself."""

    name = "multi_label_classification"
    metric = "micro_f1"
    simple_rule = "the labels of half the training rows and more, or else the commonest"

    def targets(self, labels: Sequence[Any], classes: int) -> torch.Tensor:
        import torch

        holds = torch.zeros(len(labels), classes)
        for row, own in enumerate(labels):
            holds[row, own] = 1.0
        return holds

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        from torch.nn import functional

        smoothed = targets * (1 - smoothing) + 0.5 * smoothing
        return functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none").mean(-1).sum()

    def prediction(self, found: Classification) -> Prediction:
        return {"labels": list(found.chosen), "scores": {label.label: label.score for label in found.labels}}

    def simple(self, learned: Sequence[Any]) -> Prediction:
        counts = Counter(label for own in learned for label in own)
        often = [label for label, count in counts.items() if 2 * count >= len(learned)]
        return {"labels": often or [counts.most_common(1)[0][0]]}

    def scores(self, wanted: Sequence[Any], said: Sequence[Prediction]) -> dict[str, float]:
        from models.task_metrics import label_set_scores

        return label_set_scores([one["labels"] for one in said], wanted)

    def tally(self, wanted: Sequence[Any], said: Sequence[Prediction]) -> Tally:
        from models.task_metrics import span_f1
        from training.evaluation import Tally

        pairs = [(set(one["labels"]), set(own)) for own, one in zip(wanted, said, strict=True)]
        return Tally([(len(a & b), len(a), len(b)) for a, b in pairs], span_f1)

    def threshold(self, wanted: Sequence[Labels], said: Sequence[Prediction], refused: float) -> float | None:
        """The score with the best micro-F1."""
        import numpy as np

        marks = [
            (score, label in own)
            for own, one in zip(wanted, said, strict=True)
            for label, score in one["scores"].items()
        ]
        marks.sort(key=lambda mark: -mark[0])
        right = np.cumsum([holds for _, holds in marks])
        if not len(marks) or not right[-1]:
            return None
        best = int(np.argmax(2 * right / (np.arange(1, len(marks) + 1) + right[-1])))
        return float(marks[best][0])


class Number(Problem):
    """A number a row."""

    name = "regression"
    metric = "pearson"
    simple_rule = "the training rows' mean"

    def targets(self, labels: Sequence[Any], classes: int) -> torch.Tensor:
        import torch

        return torch.tensor(labels, dtype=torch.float32)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        from torch.nn import functional

        return functional.mse_loss(logits.squeeze(-1), targets, reduction="sum")

    def prediction(self, found: Classification) -> Prediction:
        return {"value": found.score}

    def simple(self, learned: Sequence[Any]) -> Prediction:
        return {"value": fmean(learned)}

    def scores(self, wanted: Sequence[Any], said: Sequence[Prediction]) -> dict[str, float]:
        from models.task_metrics import number_scores

        return number_scores([one["value"] for one in said], wanted)

    def tally(self, wanted: Sequence[Any], said: Sequence[Prediction]) -> Tally:
        from training.evaluation import Tally

        pairs = [(float(one["value"]), float(own)) for own, one in zip(wanted, said, strict=True)]
        return Tally([(1.0, a, b, a * a, b * b, a * b) for a, b in pairs], _pearson)


PROBLEMS: dict[str, type[Problem]] = {"single": Single, "multi": Several, "regression": Number}


def _pearson(sums: Sequence[float]) -> float:
    """Pearson's correlation of summed counts, first and second values, their squares and their products."""
    count, a, b, aa, bb, ab = map(float, sums)
    spread = max(0.0, count * aa - a * a) * max(0.0, count * bb - b * b)
    return (count * ab - a * b) / spread**0.5 if spread > 1e-12 * max(1.0, count) ** 4 else 0.0


def _share(holds: Sequence[bool]) -> float:
    return fmean(holds) if holds else 0.0
