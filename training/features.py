"""The features of all training rows in a memory-mapped Arrow file, with their lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Part
from training.errors import TooFewRows
from training.tasks.base import Task

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Features:
    """Rows as numbers; `cut` counts those that lost something to the window."""

    rows: Dataset
    lengths: list[int]
    cut: int

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = self.rows[index]
        return found


def make_features(task: Task, part: Part, path: Path) -> Features:
    """Turns every row into its feature, once, in order.

    Raises:
        TooFewRows: nothing to learn is left.
    """
    from datasets import Dataset
    from datasets.arrow_writer import ArrowWriter

    path.unlink(missing_ok=True)
    lengths, cut = [], 0
    with ArrowWriter(path=str(path)) as writer:
        for row in part:
            feature = task.feature(row)
            lengths.append(task.length(feature))
            cut += task.is_cut(feature)
            writer.write({name: value for name, value in feature.items() if name != "cut"})
        if not lengths:
            raise TooFewRows(", ".join(task.recipe.data.train), "no row is left to learn from.")
        writer.finalize()
    return Features(Dataset.from_file(str(path)), lengths, cut)
