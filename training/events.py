"""The lines of `metrics.jsonl` as a TensorBoard event file beside it, the same numbers; an option of the recipe."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from training.errors import MissingExtra

# what a line says about the run's place and not about how well it goes
_PLACE = ("event", "step", "steps", "seconds_left", "best")


def require_tensorboard() -> None:
    """Says so before a run begins where it could not be written.

    Raises:
        MissingExtra: the package is not installed.
    """
    if find_spec("tensorboard") is None:
        raise MissingExtra("TensorBoard (training.tensorboard)", "tensorboard")


class Events:
    """Writes a run's events; the file is begun with the first line.

    Args:
        run: The run folder.
        step: The step that the run goes on from; what an interrupted run wrote after it is struck out.
    """

    def __init__(self, run: Path, step: int) -> None:
        self._run, self._step = run, step
        self._writer: Any = None

    def write(self, line: dict[str, Any]) -> None:
        """Keeps every number of a line under `event/name` at the line's step, to be seen at once."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._run), purge_step=self._step + 1 if self._step else None)
        for name, value in line.items():
            if name not in _PLACE and isinstance(value, (int, float)) and not isinstance(value, bool):
                self._writer.add_scalar(f"{line['event']}/{name}", value, line["step"], new_style=True)
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._writer.close()
