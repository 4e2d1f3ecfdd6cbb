"""What a task is: columns, rows to numbers and a loss for learning; a served class, predictions and scores for judging.

The text a model learns from is made by the same functions that serve it, and it is judged through the class that will
serve it, so the two cannot drift apart.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from training.data import Column, Part, Splits
from training.recipe import Recipe, read

if TYPE_CHECKING:
    import torch

    from training.data import Layout
    from training.evaluation import Tally
    from training.scratch import Scratch

Row = Mapping[str, Any]
Prediction = dict[str, Any]
IGNORED = -100  # a label that no loss counts


@dataclass(frozen=True)
class NoOptions:
    """A task without keys of its own."""


class Task(ABC):
    """One kind of training.

    The life of one: `prepare` looks at the data before any model is loaded, `attach` brings the tokenizer, then
    `feature`, `collate` and `loss` serve learning; `predict`, `scores` and `row_scores` serve judging.

    Attributes:
        kind: The name in recipes.
        role: What the trained model serves (`models/tasks/roles.py`).
        auto_class: The transformers class that is trained.
        metric: The score that chooses the best checkpoint and that the gate reads.
        higher_is_better: Whether more of it is better.
        simple_rule: What the baseline without a model does, in words.
        merges_adapters: Whether a trained adapter is saved inside its base, as the served class opens no adapters.
        rows_apart: Whether a row's loss is its own, so that a batch may be divided among processes.
    """

    kind: ClassVar[str]
    role: ClassVar[str]
    auto_class: ClassVar[str]
    metric: str
    higher_is_better: ClassVar[bool] = True
    simple_rule: str
    merges_adapters: ClassVar[bool] = False
    rows_apart: ClassVar[bool] = True
    Options: ClassVar[type] = NoOptions

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.options: Any = read(self.Options, recipe.options, recipe.path.name, "task")
        self.tokenizer: Any = None
        self.base_config: dict[str, Any] = {}
        self.max_tokens = 0

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """What the rows must hold."""

    @property
    def layout(self) -> Layout | None:
        """What turns a source's row into rows with the task's columns; None where columns are only renamed."""
        return None

    def scratch(self) -> Scratch | None:
        """What a model without a base is made of; None where the task needs a base. Asked after `prepare`."""
        return None

    def prepare(self, splits: Splits) -> None:  # noqa: B027  a task may have nothing to look at
        """Looks at all rows before a model is loaded; keeps what serving needs, such as the labels.

        Raises:
            DataError: what was found makes no sense to learn from.
        """

    def config_changes(self) -> dict[str, Any]:
        """Changes to the base model's configuration, such as its labels."""
        return {}

    def see(self, model: Any, home: Path, bf16: bool) -> None:
        """Is shown the model as it is before training, the data folder, and whether it computes in bfloat16.

        Comes before `attach`.
        """
        self.base_config = model.config.to_dict()

    def attach(self, tokenizer: Any, window: int) -> None:
        """Takes the tokenizer; inputs are cut to the recipe's `max_tokens` or the model's window of tokens."""
        self.tokenizer = tokenizer
        self.max_tokens = min(self.recipe.training.max_tokens or window, window)

    @abstractmethod
    def feature(self, row: Row) -> dict[str, Any]:
        """One row as numbers, `input_ids` among them; not padded."""

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """All rows as numbers, in order; a task may join rows or cut them into blocks here."""
        return map(self.feature, rows)

    def is_cut(self, feature: Mapping[str, Any]) -> bool:
        """Whether the row was longer than the window and lost something."""
        return bool(feature.get("cut"))

    def is_empty(self, feature: Mapping[str, Any]) -> bool:
        """Whether the window left nothing to learn; such rows are left out."""
        return bool(feature.get("empty"))

    def length(self, feature: Mapping[str, Any]) -> int:
        """Tokens that the row costs, for batches of like length."""
        return len(feature["input_ids"])

    @abstractmethod
    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        """Features to one padded batch; anything drawn by chance, such as masks, comes from `seed` alone."""

    @abstractmethod
    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        """What the batch's loss is a sum over: rows, or tokens with a label."""

    @abstractmethod
    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss summed over the batch's items, so that accumulated batches add up exactly."""

    def model_files(self, folder: Path) -> None:  # noqa: B027
        """Writes what serving needs beside weights, configuration and tokenizer."""

    def calibrate(self, folder: Path, home: Path, rows: Sequence[Row]) -> None:  # noqa: B027
        """Chooses what depends on the finished model, such as a threshold, on validation rows; saved in `folder`."""

    @abstractmethod
    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        """What the served class says for each row; JSON-able. `folder` is a model folder or an adapter's."""

    def predict_quickly(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        """`predict` on the way of a run, in a shorter form where there is one."""
        return self.predict(folder, home, rows)

    @abstractmethod
    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        """What a baseline without a model says: the commonest label, the first sentences and so on."""

    @abstractmethod
    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        """All metrics of these predictions, `metric` among them."""

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float] | None:
        """The metric of each row where their mean is the metric of all; None where it is not (BLEU, macro-F1)."""
        return None

    def tally(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> Tally | None:
        """The metric as a function of counts summed over rows, where it is one that `row_scores` cannot be (BLEU)."""
        return None

    def signature(self) -> str:
        """How exactly the metric is computed, where there are several ways."""
        return ""

    def single_labels(self, rows: Sequence[Row]) -> list[str]:
        """The one right label of each row, as the served class names it; empty where a task has none."""
        return []

    def example(self, feature: Mapping[str, Any]) -> str:
        """A feature as a person can check it: what the model reads, and between ⟦ ⟧ what it learns to give."""
        return str(self.tokenizer.decode(feature["input_ids"]))


def change_config(folder: Path, values: Mapping[str, Any]) -> None:
    """Changes values of the configuration that a saved model or adapter is served with."""
    from models.adapted import TASK_CONFIG

    for path in (folder / "config.json", folder / TASK_CONFIG):
        change_json(path, values)


def change_json(path: Path, values: Mapping[str, Any]) -> None:
    """Changes values of a JSON file, where there is one."""
    if values and path.is_file():
        now = json.loads(path.read_text(encoding="utf-8")) | dict(values)
        path.write_text(json.dumps(now, indent=1, sort_keys=True), encoding="utf-8")


def padded(rows: Sequence[Sequence[int]], fill: int, left: bool = False) -> torch.Tensor:
    """Rows of different lengths as one tensor of shape (rows, longest)."""
    import torch

    width = max(map(len, rows))
    batch = torch.full((len(rows), width), fill, dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(width - len(row), None) if left else slice(len(row))
        batch[index, place] = torch.tensor(row, dtype=torch.long)
    return batch


def padded_inputs(tokenizer: Any, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask` and, where the features have them, `token_type_ids`, padded on the right."""
    ids = [feature["input_ids"] for feature in features]
    batch = {"input_ids": padded(ids, int(tokenizer.pad_token_id or 0))}
    batch["attention_mask"] = padded([[1] * len(row) for row in ids], 0)
    if "token_type_ids" in features[0]:
        batch["token_type_ids"] = padded([feature["token_type_ids"] for feature in features], 0)
    return batch
