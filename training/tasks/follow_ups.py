"""Follow-up questions: a chat model learns to say them so that they are understood alone (`training/follow_ups.py`).

Served by the assistant, which asks for it before it searches (`agent/follow_up.py`) in the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from training.data import Column, Layout, Part
from training.follow_ups import FollowUpRows
from training.tasks.base import Prediction, Row
from training.tasks.chat import Chat


class FollowUps(Chat):
    """Learns the whole question of a follow-up and its thread."""

    kind = "follow-ups"
    simple_rule = "the follow-up as it was typed"

    @property
    def columns(self) -> tuple[Column, ...]:
        return (*super().columns, Column("kind", "marks"))

    @property
    def layout(self) -> Layout:
        return FollowUpRows(self.recipe.seed)

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        return [{"answer": row["messages"][-1]["content"].rpartition(": ")[2]} for row in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Those of answers, and the F1 of each kind of follow-up."""
        of_kind: dict[str, list[float]] = {}
        for row, value in zip(rows, self.row_scores(rows, predictions), strict=True):
            of_kind.setdefault(row["kind"][0], []).append(value)
        kinds = {f"f1_{kind.replace(' ', '_')}": fmean(of_kind[kind]) for kind in sorted(of_kind)}
        return super().scores(rows, predictions) | kinds
