"""How far a run is, read from the lines that it adds to `metrics.jsonl`, and its curve so far."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.plots import draw_course

_MOST_POINTS = 2000  # more cannot be seen in a picture


class Metrics:
    """The lines of one run; `read` takes up what was added since the last call, so a long run costs no more."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "metrics.jsonl"
        self._curves = folder / "curves"  # the run draws its own into `plots` at its end
        self._offset = 0
        self._lines: list[dict[str, Any]] = []

    def read(self) -> None:
        """Takes up the whole lines that are new; a run that goes on from a checkpoint has struck some out."""
        try:
            if self._path.stat().st_size < self._offset:
                self._offset, self._lines = 0, []
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                new = stream.read()
        except OSError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._lines += [json.loads(line) for line in whole.splitlines()]

    @property
    def step(self) -> Mapping[str, Any] | None:
        """The newest line about a step."""
        return next((line for line in reversed(self._lines) if line["event"] == "step"), None)

    @property
    def judged(self) -> Mapping[str, Any] | None:
        """The newest line about an evaluation."""
        return next((line for line in reversed(self._lines) if line["event"] == "evaluation"), None)

    @property
    def best(self) -> float | None:
        """The best score of the evaluations so far."""
        return next((line["score"] for line in reversed(self._lines) if line.get("best")), None)

    def draw(self) -> list[Path]:
        """The run's curves so far as PNG files in its folder; none before there are two points."""
        lines = list(self._lines)
        steps = [line for line in lines if line["event"] == "step"]
        judged = [line for line in lines if line["event"] == "evaluation"]
        if len(steps) < 2:
            return []
        every = -(-len(steps) // _MOST_POINTS)
        return draw_course([*steps[::every], *judged], "score", self._curves)
