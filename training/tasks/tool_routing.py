"""Tool routing: an encoder learns to put a message nearer to the description of its tool than to any other's.

In every batch each tool stands in one of its wordings, drawn by chance, so that what is learned is what a description
says and not one string. Served by `models/tasks/router.py`, which makes vectors in the same way.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import LINE, SOURCE, Column, Layout, Part, Splits
from training.errors import BadLabel, RecipeError
from training.recipe import Recipe
from training.tasks.base import Prediction, Row, Task, change_config, padded

if TYPE_CHECKING:
    import torch

_NONE = "none"


@dataclass(frozen=True)
class Options:
    """Keys of `[task]`.

    Attributes:
        tools: Each tool's name with wordings of its description; judged with the first, so let it be the one served.
        no_tool: Wordings of what needs no tool; the first is saved with the model.
        temperature: What cosines are divided by, when learning and when serving.
    """

    tools: dict[str, tuple[str, ...]] = field(default_factory=dict)
    no_tool: tuple[str, ...] = ("No tool: a greeting, small talk, or a request that can be met without looking up",)
    temperature: float = 0.05


class ToolRouting(Task):
    """Rows hold `message` and `tool`, which is null where none is needed."""

    kind = "tool-routing"
    role = "route"
    auto_class = "AutoModel"
    metric = "accuracy"
    simple_rule = "the commonest tool"
    rows_apart = False  # the wordings are drawn for a whole batch
    Options = Options

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        wordings = self.options.tools
        if len(wordings) < 2 or not all(wordings.values()) or not self.options.no_tool or _NONE in wordings:
            found = f"{len(wordings)} tools with wordings"
            expected = f"two or more, each with at least one wording, and none of them called {_NONE}"
            raise RecipeError(recipe.path.name, "task.tools", found, expected)
        self._wordings: dict[str, Sequence[str]] = {_NONE: self.options.no_tool, **wordings}
        self._names = list(self._wordings)

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("message"), Column("tool", "label"))

    @property
    def layout(self) -> Layout:
        """A tool of null gets the name that `--tool none` has."""
        return lambda row: [row | {"tool": row["tool"] or _NONE}] if "tool" in row else [row]

    def prepare(self, splits: Splits) -> None:
        for row in (row for _, part in splits.items() for row in part):
            if self._tool(row) not in self._wordings:
                known = ", ".join(self.options.tools)
                raise BadLabel(row[SOURCE], f"the tool {self._tool(row)!r} has no wording ({known}).", row[LINE])

    def model_files(self, folder: Path) -> None:
        from models.tasks.roles import NO_TOOL
        from models.tasks.router import TEMPERATURE

        change_config(folder, {NO_TOOL: self.options.no_tool[0], TEMPERATURE: self.options.temperature})

    def feature(self, row: Row) -> dict[str, Any]:
        whole = self.tokenizer(row["message"], verbose=False)["input_ids"]
        return {
            "input_ids": self._ids(row["message"]),
            "tool": self._names.index(self._tool(row)),
            "cut": len(whole) > self.max_tokens,
        }

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        import torch

        draw = random.Random(seed)
        described = [self._ids(draw.choice(list(wordings))) for wordings in self._wordings.values()]
        return {
            **self._inputs([feature["input_ids"] for feature in features], "message"),
            **self._inputs(described, "tool"),
            "own": torch.tensor([feature["tool"] for feature in features]),
        }

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, truncation=True, max_length=self.max_tokens, verbose=False)["input_ids"])

    def _inputs(self, rows: list[list[int]], name: str) -> dict[str, torch.Tensor]:
        mask = padded([[1] * len(row) for row in rows], 0)
        return {f"{name}_ids": padded(rows, int(self.tokenizer.pad_token_id or 0)), f"{name}_mask": mask}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return len(batch["own"])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        from torch.nn import functional

        from models.tasks.features import mean_vectors

        def vectors(name: str) -> torch.Tensor:
            mask = batch[f"{name}_mask"]
            return mean_vectors(
                model(input_ids=batch[f"{name}_ids"], attention_mask=mask).last_hidden_state.float(), mask
            )

        cosines = vectors("message") @ vectors("tool").T
        smoothing = self.recipe.training.label_smoothing
        return functional.cross_entropy(
            cosines / self.options.temperature, batch["own"], reduction="sum", label_smoothing=smoothing
        )

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.router import ToolRouter

        router = ToolRouter(str(folder), home=home)
        served = {name: wordings[0] for name, wordings in self.options.tools.items()}
        found = router.many([row["message"] for row in rows], served)
        return [_prediction({one.tool or _NONE: one.probability for one in every}) for every in found]

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        commonest = Counter(map(self._tool, train)).most_common(1)[0][0]
        return [_prediction({commonest: 1.0}) for _ in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        from models.task_metrics import classification_scores

        wanted, said = self.single_labels(rows), [one["label"] for one in predictions]
        return classification_scores(said, wanted)

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float]:
        return [float(said["label"] == self._tool(row)) for row, said in zip(rows, predictions, strict=True)]

    def single_labels(self, rows: Sequence[Row]) -> list[str]:
        return [self._tool(row) for row in rows]

    def example(self, feature: Mapping[str, Any]) -> str:
        return f"{self.tokenizer.decode(feature['input_ids'])} ⟦{self._names[feature['tool']]}⟧"

    def _tool(self, row: Row) -> str:
        return str(row["tool"][0])


def _prediction(shares: dict[str, float]) -> Prediction:
    return {"label": max(shares, key=lambda name: shares[name]), "scores": shares}
