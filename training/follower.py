"""A process that trains beside the main one: it makes the same model and plan, takes its share and writes nothing.

What it reads of the run, its recipe and a base of its own, lies in the main process's folder; the rows it lays out anew
in a folder that goes when it ends.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from training.data import load_data
from training.errors import Interrupted, NonFinite, ProcessesDiffer
from training.run import Run
from training.run_folder import recipe_of
from training.team import Team


def follow(team: Team, *, home: Path) -> None:
    """Helps with the run that the team's main process begins or resumes, to its end.

    What goes wrong with the run itself is the main process's to tell.
    """
    told = team.share(None)
    if told is None:
        return
    with tempfile.TemporaryDirectory(prefix="hearth-train-") as own, suppress(Interrupted, NonFinite, ProcessesDiffer):
        _Follower(Path(own), Path(told["folder"]), home, team).help(told["resume"])


class _Follower(Run):
    def __init__(self, own: Path, folder: Path, home: Path, team: Team) -> None:
        super().__init__(recipe_of(folder), own, home, lambda line: None, team)
        self.base_folder = folder / "base"

    def help(self, resume: str | None) -> None:
        """Makes every step of the run, with this process's share of the rows."""
        splits = load_data(self.recipe, self.task.columns, self.folder / "data", self.task.layout)
        self.task.prepare(splits)
        self.learn(splits, None if resume is None else Path(resume))

    def call(self, resume: Path | None) -> None:
        """It was called itself."""
