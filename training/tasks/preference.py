"""What the preference tasks share: answers' log-probabilities, now and before training.

The model as it was is asked once, while rows become numbers, so training needs one model in memory and not two.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from training.data import Part
from training.tasks.base import IGNORED, Prediction, Row
from training.tasks.chat import Chat, marked, next_token_logits
from training.tasks.chat import Options as ChatOptions

if TYPE_CHECKING:
    import torch

_ROWS_TOGETHER = 8  # read together by the model as it was


@dataclass(frozen=True)
class PreferenceOptions(ChatOptions):
    """Keys of `[task]`: `beta` holds the model near its beginning, the larger the nearer; and those of chat."""

    beta: float = 0.1


class Preference(Chat):
    """Learns from answers that people liked or did not; a feature is several answers to one prompt.

    `names` says what they are. Judged by how often the trained model has moved, from its base, the way people would.
    """

    metric = "accuracy"
    simple_rule = "the base's own preferences"
    names: ClassVar[tuple[str, ...]]

    def see(self, model: Any, home: Path, bf16: bool) -> None:
        super().see(model, home, bf16)
        self._model_then, self._bf16 = model, bf16

    @abstractmethod
    def answers(self, rows: Sequence[Row]) -> list[list[str]]:
        """The answers that each row's loss needs, one for each of `names`; the rows are neighbours in the data."""

    @abstractmethod
    def ratio_loss(self, ratios: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
        """The loss summed over rows.

        Args:
            ratios: Log-probabilities less those before training, of shape (names, rows).
            good: 1.0 where the row's answer was liked, of shape (rows,).
        """

    def feature(self, row: Row) -> dict[str, Any]:
        return next(self.features([row]))

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        left = iter(rows)
        while group := list(islice(left, _ROWS_TOGETHER)):
            answers = self.answers(group)
            found = [[self._answered(row, one) for one in own] for row, own in zip(group, answers, strict=True)]
            then = iter(self._logps_then([one for own in found for one in own]))
            for row, own in zip(group, found, strict=True):
                yield {
                    "input_ids": [token for one in own for token in one["input_ids"]],
                    "learned": [flag for one in own for flag in one["learned"]],
                    "lengths": [len(one["input_ids"]) for one in own],
                    "then": list(islice(then, len(own))),
                    "good": float(row.get("good", 1.0)),
                    "cut": any(one["cut"] for one in own),
                    "empty": any(one["empty"] for one in own),
                }

    def _answered(self, row: Row, answer: str) -> dict[str, Any]:
        from langchain_core.messages import AIMessage

        return self.cut(*self.numbers([*self.messages(row), AIMessage(answer)]))

    def _logps_then(self, answered: Sequence[Mapping[str, Any]]) -> list[float]:
        """Log-probabilities of answers before training, computed as training will compute them."""
        import torch

        model = self._model_then
        batch = {name: value.to(model.device) for name, value in super().collate(answered, 0).items()}
        training = model.training
        model.eval()
        with torch.no_grad(), torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            logps = answer_logps(model, batch)
        model.train(training)
        return [float(one) for one in logps]

    def length(self, feature: Mapping[str, Any]) -> int:
        return len(feature["lengths"]) * int(max(feature["lengths"]))

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        import torch

        parts = [_parts(feature) for feature in features]
        batch = super().collate([own[at] for at in range(len(self.names)) for own in parts], seed)
        then = torch.tensor([feature["then"] for feature in features])  # (rows, names)
        return batch | {"then": then, "good": torch.tensor([feature["good"] for feature in features])}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return len(batch["then"])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        now = answer_logps(model, batch).view(len(self.names), -1)
        return self.ratio_loss(now - batch["then"].T, batch["good"])

    def moved(
        self, folder: Path, home: Path, rows: Sequence[Row], answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """How much likelier each answer is to the trained model than to its base, in nats."""
        from models.catalog import find
        from models.prepare import folder_of
        from models.tasks.open_causal import open_causal

        base = find(str(self.recipe.base), None, home)
        template = base.chat_template
        then, now = (
            self._likelihoods(open_causal(source, home, template), rows, answers)
            for source in (folder_of(base, home), folder)
        )
        return [[b - a for a, b in zip(*both, strict=True)] for both in zip(then, now, strict=True)]

    def _likelihoods(self, loaded: Any, rows: Sequence[Row], answers: Sequence[Sequence[str]]) -> list[list[float]]:
        from langchain_core.messages import AIMessage

        from models.prompts import render_answer
        from models.tasks.likelihood import continuation_likelihoods

        found = []
        for row, own in zip(rows, answers, strict=True):
            turns = [[*self.messages(row), AIMessage(one)] for one in own]
            parts = [render_answer(loaded.tokenizer, turn, model=str(self.recipe.base)) for turn in turns]
            each = continuation_likelihoods(loaded.model, parts[0][0], [written for _, written in parts])
            found.append([sum(one) for one in each])
        return found

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        return [{"margin": 0.0} for _ in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        from statistics import fmean

        margin = fmean(one["margin"] for one in predictions)
        return {"accuracy": fmean(self.row_scores(rows, predictions)), "margin": margin}

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float]:
        margins = [float(one["margin"]) for one in predictions]
        return [0.5 if margin == 0 else float(margin > 0) for margin in margins]

    def example(self, feature: Mapping[str, Any]) -> str:
        parts = zip(self.names, _parts(feature), strict=True)
        return "\n".join(f"{name}: {marked(self.tokenizer, one['input_ids'], one['learned'])}" for name, one in parts)


def answer_logps(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The log-probability of each row's labels together, of shape (rows,)."""
    import torch
    from torch.nn import functional

    logits, labels = next_token_logits(model, batch)
    each = -functional.cross_entropy(logits.float(), labels, reduction="none")
    rows = (batch["labels"][:, 1:] != IGNORED).nonzero()[:, 0]
    return torch.zeros(len(batch["labels"]), device=each.device).index_add(0, rows, each)


def _parts(feature: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A feature's answers, each with its prompt."""
    found, start = [], 0
    for length in feature["lengths"]:
        part = slice(start, start + length)
        found.append({name: feature[name][part] for name in ("input_ids", "learned")})
        start += length
    return found
