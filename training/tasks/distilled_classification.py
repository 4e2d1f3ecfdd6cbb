"""A small classifier learns from a larger one: what the teacher thinks of every label, beside the data's own label.

Source: Hinton et al. 2015, https://arxiv.org/abs/1503.02531.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import RecipeError
from training.recipe import Recipe
from training.tasks.base import Row
from training.tasks.sequence_classification import Options as ClassificationOptions
from training.tasks.sequence_classification import SequenceClassification

if TYPE_CHECKING:
    import torch

_ROWS_TOGETHER = 256


@dataclass(frozen=True)
class Options(ClassificationOptions):
    """Keys of `[task]`, beside those of classification.

    Attributes:
        teacher: The name or folder of a trained classifier on this machine with the same labels.
        temperature: How much the teacher's probabilities are evened out; 1 leaves them as they are.
        teacher_weight: The teacher's share of the loss; the data's labels have the rest.
    """

    teacher: str = ""
    temperature: float = 2.0
    teacher_weight: float = 0.9


class DistilledClassification(SequenceClassification):
    """Learns labels from texts and from a teacher, which reads the training rows once, before training."""

    kind = "distilled-classification"
    Options = Options

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        where = recipe.path.name
        if not self.options.teacher:
            raise RecipeError(where, "task.teacher", "nothing", "the name or folder of a trained classifier")
        if self.options.problem != "single" or self.options.outside is not None:
            raise RecipeError(where, "task.problem", repr(self.options.problem), "single, without task.outside")
        if self.options.temperature <= 0 or not 0 <= self.options.teacher_weight <= 1:
            found = f"{self.options.temperature} and task.teacher_weight = {self.options.teacher_weight}"
            raise RecipeError(where, "task.temperature", found, "more than 0, and a weight from 0 to 1")

    def see(self, model: Any, home: Path, bf16: bool) -> None:
        super().see(model, home, bf16)
        self._home = home

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        from models.memory import unload_all

        left = iter(rows)
        while group := list(islice(left, _ROWS_TOGETHER)):
            for row, opinion in zip(group, self._opinions(group), strict=True):
                yield self.feature(row) | {"teacher": opinion}
        unload_all()  # the teacher may be large, and is not asked again

    def _opinions(self, rows: Sequence[Row]) -> list[list[float]]:
        """The teacher's probability of each label, in the order of ours.

        Raises:
            RecipeError: the teacher has other labels.
        """
        from models.tasks.classifier import TextClassifier

        served = TextClassifier(self.options.teacher, home=self._home)
        names = [self._name(label) for label in self.labels]
        if sorted(served.labels) != sorted(names):
            other = f"{self.options.teacher!r} with the labels {', '.join(sorted(served.labels))}"
            raise RecipeError(self.recipe.path.name, "task.teacher", other, f"one with {', '.join(sorted(names))}")
        pairs = [row["text_pair"] for row in rows] if self.options.pair else None
        found = served.many([row["text"] for row in rows], pairs)
        scores = [{label.label: label.score for label in one.labels} for one in found]
        return [[own[name] for name in names] for own in scores]

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        import torch

        return super().collate(features, seed) | {"teacher": torch.tensor([one["teacher"] for one in features])}

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        given = {name: value for name, value in batch.items() if name not in ("labels", "teacher")}
        logits = model(**given).logits.float()
        hard = self.problem.loss(logits, batch["labels"], self.recipe.training.label_smoothing)
        soft = softened_loss(logits, batch["teacher"], self.options.temperature)
        share = float(self.options.teacher_weight)
        return share * soft + (1 - share) * hard


def softened_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """How far logits are from a teacher's probabilities, both evened out by the temperature, summed over rows.

    The square of the temperature keeps the gradient's size; the divergence is 0 where both agree.
    """
    from torch.nn import functional

    # a probability to the power 1/T, scaled to sum to 1, is what the teacher's own logits over T would give
    wanted = (teacher.clamp_min(1e-12).log() / temperature).log_softmax(-1)
    said = (logits / temperature).log_softmax(-1)
    return temperature**2 * functional.kl_div(said, wanted, reduction="sum", log_target=True)
