"""Models that give one row of scores for a whole text or pair of texts: classifiers, entailment, cross-encoders.

OpenVINO computes where the model's checked conversion is ready, else torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.engines.choice import ConvertedChoice, encoder_choice
from models.scheduler import process_scheduler
from models.tasks.base import TaskModel
from models.tasks.windows import Window, batches, padded

if TYPE_CHECKING:
    from models.engines.openvino_encoder import OpenVinoEncoder


class SequenceScorer(TaskModel):
    """The forward pass that these tasks share."""

    def logits(self, windows: Sequence[Window]) -> Any:
        """The model's raw scores in float32 on the CPU, shape (windows, classes)."""
        import torch

        rows: list[Any] = [None] * len(windows)
        for indices in batches(windows):
            for index, row in zip(indices, self._scores([windows[index] for index in indices]), strict=True):
                rows[index] = row
        return torch.stack(rows)

    def _scores(self, windows: list[Window]) -> Any:
        tokenizer = self.load().tokenizer
        converted = self._choice.converted()
        if converted is None:
            return self._forward(**padded(tokenizer, windows)).logits.float().cpu()
        import torch

        with process_scheduler().slot():
            found = converted.run([window.inputs for window in windows], {"input_ids": tokenizer.pad_token_id or 0})
        return torch.from_numpy(found)

    @cached_property
    def _choice(self) -> ConvertedChoice[OpenVinoEncoder]:
        def open_converted(folder: Path) -> OpenVinoEncoder:
            from models.engines.openvino_encoder import OpenVinoEncoder

            return OpenVinoEncoder(folder, window=self.window)

        return encoder_choice(self.folder, self._home, self.name, "scores", open_converted)
