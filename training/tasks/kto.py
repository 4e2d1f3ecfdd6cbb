"""Preferences without pairs: single answers, each liked or not (KTO).

Source: Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306, equations 7 and 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.data import Column, Layout
from training.layouts import judged_of
from training.tasks.base import Prediction, Row
from training.tasks.preference import Preference, PreferenceOptions

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Options(PreferenceOptions):
    """Keys of `[task]`, beside those of preferences: how much liked and disliked answers count."""

    good_weight: float = 1.0
    bad_weight: float = 1.0


class KTO(Preference):
    """Learns from answers with a mark; how far the model has moved at all is measured on a neighbour's answer."""

    rows_apart = False  # its loss compares the rows of a batch
    kind = "kto"
    Options = Options
    names = ("answer", "neighbour's answer")

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("messages", "messages"), Column("answer", answer=True), Column("good", "number", answer=True))

    @property
    def layout(self) -> Layout:
        return lambda values: [judged_of(values)]

    def answers(self, rows: Sequence[Row]) -> list[list[str]]:
        own = [row["answer"] for row in rows]
        return [list(pair) for pair in zip(own, [own[-1], *own[:-1]], strict=True)]

    def ratio_loss(self, ratios: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
        moved, strangers = ratios
        drift = strangers.detach().mean().clamp(min=0)
        liked = self.options.good_weight * (1 - (self.options.beta * (moved - drift)).sigmoid())
        disliked = self.options.bad_weight * (1 - (self.options.beta * (drift - moved)).sigmoid())
        loss: torch.Tensor = (good * liked + (1 - good) * disliked).sum()
        return loss

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        moved = self.moved(folder, home, rows, [[row["answer"]] for row in rows])
        signs = [1.0 if row["good"] else -1.0 for row in rows]
        return [{"margin": sign * own[0]} for sign, own in zip(signs, moved, strict=True)]
