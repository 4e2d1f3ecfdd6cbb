"""Text classification: one label, several labels at once, or a number, for a text or a pair of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.data import LINE, SOURCE, Column, Part, Splits
from training.errors import BadLabel, OneClass
from training.recipe import Recipe
from training.tasks.base import Prediction, Row, Task, change_config, padded_inputs
from training.tasks.problems import PROBLEMS, Problem

if TYPE_CHECKING:
    import torch

    from training.evaluation import Tally


@dataclass(frozen=True)
class Options:
    """Keys of `[task]`.

    Attributes:
        problem: "single" has one label a row, "multi" any number of them, "regression" a number.
        pair: Read a second text from the column `text_pair`. Inference pairs, a premise and a hypothesis with a label
            named "entailment", make a model that serves the role zero-shot.
        names: Other names for the data's labels, such as {"0": "negative"}.
        outside: The data's label for texts that none of the others fits. It is not learned as a class; a threshold
            chosen on the validation part tells such texts apart and is saved with the model.
        refused: The share of right validation answers that the threshold may refuse.
    """

    problem: Literal["single", "multi", "regression"] = "single"
    pair: bool = False
    names: dict[str, str] | None = None
    outside: str | None = None
    refused: float = 0.01


class SequenceClassification(Task):
    """Learns labels from texts; the head is new, the base a sentence encoder or another encoder."""

    kind = "sequence-classification"
    role = "classify"
    auto_class = "AutoModelForSequenceClassification"
    metric = "accuracy"
    simple_rule = "the commonest label"
    Options = Options

    labels: tuple[str, ...] = ()

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        outside = self.options.outside
        self.problem: Problem = PROBLEMS[self.options.problem](None if outside is None else self._name(outside))
        self.metric, self.simple_rule = self.problem.metric, self.problem.simple_rule

    @property
    def columns(self) -> tuple[Column, ...]:
        label = Column("label", "number" if self._is_number else "label")
        pair = (Column("text_pair"),) if self.options.pair else ()
        return (Column("text"), *pair, label)

    @property
    def _is_number(self) -> bool:
        return bool(self.options.problem == "regression")

    def prepare(self, splits: Splits) -> None:
        if self._is_number:
            self.labels = ("score",)
            return
        counts = Counter(label for labels in splits.train.column("label") for label in labels)
        del counts[self.options.outside]
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
        known = {*self.labels, self.options.outside}
        if unknown := [label for label in row["label"] if label not in known]:
            raise BadLabel(
                row[SOURCE],
                f"the label {unknown[0]!r} of the {part} part is not among the training labels "
                f"({', '.join(self.labels[:12])}{' ...' if len(self.labels) > 12 else ''}).",
                row[LINE],
            )

    def config_changes(self) -> dict[str, Any]:
        names = [self._name(label) for label in self.labels]
        return {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
            "problem_type": self.problem.name,
        }

    def feature(self, row: Row) -> dict[str, Any]:
        second = row["text_pair"] if self.options.pair else None
        encoded = self.tokenizer(row["text"], second, verbose=False)
        cut = len(encoded["input_ids"]) > self.max_tokens
        if cut:
            encoded = self.tokenizer(row["text"], second, truncation=True, max_length=self.max_tokens)
        feature = {name: encoded[name] for name in ("input_ids", "token_type_ids") if name in encoded} | {"cut": cut}
        if self._is_number:
            return feature | {"label": row["label"]}
        return feature | {"label": [self.labels.index(label) for label in row["label"] if label in self.labels]}

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        targets = self.problem.targets([feature["label"] for feature in features], len(self.labels))
        return padded_inputs(self.tokenizer, features) | {"labels": targets}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return len(batch["labels"])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits.float()
        return self.problem.loss(logits, batch["labels"], self.recipe.training.label_smoothing)

    def calibrate(self, folder: Path, home: Path, rows: Sequence[Row]) -> None:
        from models.tasks.classifier import THRESHOLD

        if self._is_number:
            return
        chosen = self.problem.threshold(self._wanted(rows), self.predict(folder, home, rows), self.options.refused)
        change_config(folder, {} if chosen is None else {THRESHOLD: chosen})

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.classifier import TextClassifier

        served = TextClassifier(str(folder), home=home)
        pairs = [row["text_pair"] for row in rows] if self.options.pair else None
        return [self.problem.prediction(found) for found in served.many([row["text"] for row in rows], pairs)]

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        said = self.problem.simple(self._wanted(train))
        return [said for _ in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        return self.problem.scores(self._wanted(rows), predictions)

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float] | None:
        return self.problem.row_scores(self._wanted(rows), predictions)

    def tally(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> Tally | None:
        return self.problem.tally(self._wanted(rows), predictions)

    def single_labels(self, rows: Sequence[Row]) -> list[str]:
        return [own[0] for own in self._wanted(rows)] if self.options.problem == "single" else []

    def example(self, feature: Mapping[str, Any]) -> str:
        labels = feature["label"]
        shown = labels if self._is_number else [self.labels[index] for index in labels]
        return f"{self.tokenizer.decode(feature['input_ids'])} ⟦{shown}⟧"

    def _wanted(self, rows: Iterable[Row]) -> list[Any]:
        """Each row's labels as they are served, or its number."""
        return [row["label"] if self._is_number else [self._name(label) for label in row["label"]] for row in rows]

    def _name(self, label: str) -> str:
        return str((self.options.names or {}).get(label, label))


def _label_order(label: str) -> tuple[int, float, str]:
    """Numbers in their order, then texts in theirs."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
