"""Text classification: one label, several labels at once, or a number, for a text or a pair of texts.

Source of the loss with smoothing: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.data import LINE, SOURCE, Column, Part, Splits
from training.errors import BadLabel, OneClass
from training.tasks.base import Prediction, Row, Task, padded_inputs

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Options:
    """Keys of `[task]`.

    `problem` "single" has one label a row, "multi" any number of them, "regression" a number. `names` gives the labels
    other names than the data's, such as {"0": "negative"}; `pair` reads a second text from the column `text_pair`.
    """

    problem: Literal["single", "multi", "regression"] = "single"
    pair: bool = False
    names: dict[str, str] | None = None


class SequenceClassification(Task):
    """Learns labels from texts; the head is new, the base a sentence encoder or another encoder."""

    kind = "sequence-classification"
    role = "classify"
    auto_class = "AutoModelForSequenceClassification"
    metric = "accuracy"
    simple_rule = "the commonest label"
    Options = Options

    labels: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        label = Column("label", "number" if self.options.problem == "regression" else "label")
        pair = (Column("text_pair"),) if self.options.pair else ()
        return (Column("text"), *pair, label)

    def prepare(self, splits: Splits) -> None:
        if self.options.problem == "regression":
            self.labels = ("score",)
            return
        counts = Counter(label for labels in splits.train.column("label") for label in labels)
        if len(counts) < 2:
            only = next(iter(counts), "none")
            raise OneClass(
                ", ".join(self.recipe.data.train), f"the only label is {only!r}; a classifier needs at least two."
            )
        self.labels = tuple(sorted(counts, key=_label_order))
        for name, part in splits.items():
            for row in part:
                self._check(row, name)

    def _check(self, row: Row, part: str) -> None:
        if self.options.problem == "single" and len(row["label"]) != 1:
            raise BadLabel(
                row[SOURCE], f'has {len(row["label"])} labels; expected one, or set task.problem = "multi".', row[LINE]
            )
        if unknown := [label for label in row["label"] if label not in self.labels]:
            raise BadLabel(
                row[SOURCE],
                f"the label {unknown[0]!r} of the {part} part is not among the training labels "
                f"({', '.join(self.labels[:12])}{' ...' if len(self.labels) > 12 else ''}).",
                row[LINE],
            )

    def config_changes(self) -> dict[str, Any]:
        named = self.options.names or {}
        names = [named.get(label, label) for label in self.labels]
        problem = {"single": "single_label_classification", "multi": "multi_label_classification"}
        return {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
            "problem_type": problem.get(self.options.problem, "regression"),
        }

    def feature(self, row: Row) -> dict[str, Any]:
        second = row["text_pair"] if self.options.pair else None
        encoded = self.tokenizer(row["text"], second, verbose=False)
        cut = len(encoded["input_ids"]) > self.max_tokens
        if cut:
            encoded = self.tokenizer(row["text"], second, truncation=True, max_length=self.max_tokens)
        feature = {name: encoded[name] for name in ("input_ids", "token_type_ids") if name in encoded} | {"cut": cut}
        if self.options.problem == "regression":
            return feature | {"label": row["label"]}
        return feature | {"label": [self.labels.index(label) for label in row["label"]]}

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        import torch

        batch = padded_inputs(self.tokenizer, features)
        labels = [feature["label"] for feature in features]
        if self.options.problem == "regression":
            batch["labels"] = torch.tensor(labels, dtype=torch.float32)
        elif self.options.problem == "multi":
            batch["labels"] = torch.zeros(len(labels), len(self.labels))
            for index, own in enumerate(labels):
                batch["labels"][index, own] = 1.0
        else:
            batch["labels"] = torch.tensor([own[0] for own in labels])
        return batch

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return len(batch["labels"])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        from torch.nn import functional

        labels = batch["labels"]
        logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits.float()
        if self.options.problem == "regression":
            return functional.mse_loss(logits.squeeze(-1), labels, reduction="sum")
        if self.options.problem == "multi":
            each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
            return each.mean(-1).sum()
        smoothing = self.recipe.training.label_smoothing
        return functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.classifier import TextClassifier

        served = TextClassifier(str(folder), home=home)
        found = served.many([row["text"] for row in rows])
        return [{"label": one.label, "scores": {label.label: label.score for label in one.labels}} for one in found]

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        labels = [label for own in train.column("label") for label in own]
        commonest = self._named([max(self.labels, key=Counter(labels).__getitem__)])[0]
        return [{"label": commonest, "scores": {commonest: 1.0}} for _ in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        from models.task_metrics import classification_scores

        wanted = [self._named(row["label"])[0] for row in rows]
        return classification_scores([prediction["label"] for prediction in predictions], wanted)

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float]:
        return [
            float(prediction["label"] in self._named(row["label"]))
            for row, prediction in zip(rows, predictions, strict=True)
        ]

    def single_labels(self, rows: Sequence[Row]) -> list[str]:
        if self.options.problem != "single":
            return []
        return [self._named(row["label"])[0] for row in rows]

    def example(self, feature: Mapping[str, Any]) -> str:
        labels = feature["label"]
        shown = labels if self.options.problem == "regression" else [self.labels[index] for index in labels]
        return f"{self.tokenizer.decode(feature['input_ids'])} ⟦{shown}⟧"

    def _named(self, labels: Sequence[str]) -> list[str]:
        named = self.options.names or {}
        return [named.get(label, label) for label in labels]


def _label_order(label: str) -> tuple[int, float, str]:
    """Numbers in their order, then texts in theirs."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
