"""Models that give one row of scores for a whole text or pair of texts: classifiers, entailment, cross-encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.tasks.base import TaskModel
from models.tasks.windows import Window, batches, padded


class SequenceScorer(TaskModel):
    """The forward pass that these tasks share."""

    def logits(self, windows: Sequence[Window]) -> Any:
        """The model's raw scores in float32 on the CPU, shape (windows, classes)."""
        import torch

        tokenizer = self.load().tokenizer
        rows: list[Any] = [None] * len(windows)
        for indices in batches(windows):
            logits = self._forward(**padded(tokenizer, [windows[index] for index in indices])).logits.float().cpu()
            for index, row in zip(indices, logits, strict=True):
                rows[index] = row
        return torch.stack(rows)
