"""The features of all training rows in a memory-mapped Arrow file, with their lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Part
from training.errors import TooFewRows, TooLong
from training.tasks.base import Task

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Features:
    """Rows as numbers; `cut` counts those that lost something to the window, `empty` those that lost all."""

    rows: Dataset
    lengths: list[int]
    cut: int
    empty: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = self.rows[index]
        return found


def make_features(task: Task, part: Part, path: Path) -> Features:
    """Turns every row into its feature, once, in order.

    Raises:
        TooFewRows: nothing to learn is left. TooLong: every row is too long to leave something to learn (T03, T04).
    """
    from datasets import Dataset
    from datasets.arrow_writer import ArrowWriter

    path.unlink(missing_ok=True)
    lengths, cut, empty = [], 0, 0
    with ArrowWriter(path=str(path)) as writer:
        for feature in task.features(part):
            cut += task.is_cut(feature)
            if task.is_empty(feature):
                empty += 1
                continue
            lengths.append(task.length(feature))
            writer.write({name: value for name, value in feature.items() if name not in ("cut", "empty")})
        if empty and not lengths:
            raise TooLong(
                ", ".join(task.recipe.data.train),
                f"all {empty:,} rows are so long that {task.max_tokens} tokens leave nothing to learn; "
                "raise training.max_tokens.",
            )
        if not lengths:
            raise TooFewRows(", ".join(task.recipe.data.train), "no row is left to learn from.")
        writer.finalize()
    return Features(Dataset.from_file(str(path)), lengths, cut, empty)
