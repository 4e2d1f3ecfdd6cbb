"""Rows to tensors: the features of all rows, and each forward pass of the plan as a padded batch.

A batch is a pure function of its number, so both loops, a resumed run and a second process get the same one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from training.batches import Plan
from training.tasks.base import Task

if TYPE_CHECKING:
    import torch


class Feed:
    """The batches of a plan from `first` on.

    Args:
        task: Turns rows into features and features into batches.
        features: Anything that gives a row's feature by its index.
        plan: Which rows stand together.
        seed: The run's seed.
        first: Number of the first batch wanted.
        process, processes: Which share of every batch's rows this process takes, where several train together.
    """

    def __init__(
        self, task: Task, features: Any, plan: Plan, seed: int, first: int, process: int = 0, processes: int = 1
    ) -> None:
        self.task, self.features, self.plan, self.seed = task, features, plan, seed
        self.first, self.process, self.processes = first, process, processes

    def __len__(self) -> int:
        return len(self.plan.batches) - self.first

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = self.first + index
        rows = self._own(number) or self.plan.batches[number][:1]
        seed = (self.seed * 1_000_003 + number) * self.processes + self.process
        return self.task.collate([self.features[row] for row in rows], seed)

    def owns(self, index: int) -> bool:
        """Whether any row of a batch is this process's own; else it is given one that must not count."""
        return bool(self._own(self.first + index))

    def _own(self, number: int) -> list[int]:
        return self.plan.batches[number][self.process :: self.processes]

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return (self[index] for index in range(len(self)))


def tokens_in(batch: Mapping[str, Any]) -> int:
    """Tokens of a batch, padding left out; of all its texts where a task reads several apart."""
    masks = [value for key, value in batch.items() if key.endswith("_mask")]
    if masks:
        return sum(int(mask.sum()) for mask in masks)
    return sum(value.numel() for key, value in batch.items() if key == "input_ids")
