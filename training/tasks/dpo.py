"""Direct preference optimization: of two answers to a prompt, the one that people chose becomes the likelier.

Source: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, equation 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.data import Column, Layout
from training.layouts import preference_of
from training.tasks.base import Prediction, Row
from training.tasks.preference import Preference, PreferenceOptions

if TYPE_CHECKING:
    import torch


class DPO(Preference):
    """Learns from pairs of answers, one chosen and one rejected."""

    kind = "dpo"
    Options = PreferenceOptions
    names = ("chosen", "rejected")

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("messages", "messages"), Column("chosen", answer=True), Column("rejected", answer=True))

    @property
    def layout(self) -> Layout:
        return lambda values: [preference_of(values)]

    def answers(self, rows: Sequence[Row]) -> list[list[str]]:
        return [[row["chosen"], row["rejected"]] for row in rows]

    def ratio_loss(self, ratios: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        chosen, rejected = ratios
        return -functional.logsigmoid(self.options.beta * (chosen - rejected)).sum()

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        moved = self.moved(folder, home, rows, self.answers(rows))
        return [{"margin": chosen - rejected} for chosen, rejected in moved]
