"""One trial of a search: a run that ends with its validation score and judges nothing on the test part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training import checkpoint as checkpoints
from training.batches import Plan
from training.data import Splits, load_data
from training.errors import TooFewRows
from training.features import Features
from training.learner import Learner
from training.run import Run

_LOOKS = 4  # evaluations of a trial where the recipe asks for none


class Trial(Run):
    """A run without a report."""

    def score(self) -> float:
        """The best score on the way.

        Raises:
            TooFewRows: there is no validation part.
        """
        splits = load_data(self.recipe, self.task.columns, self.folder / "data", self.task.layout)
        if not len(splits.validation):
            raise TooFewRows(
                ", ".join(self.recipe.data.train),
                "a search judges its trials on the validation part, and there is none; set data.split.validation.",
            )
        self.task.prepare(splits)
        self.learn(splits, None)
        newest = checkpoints.newest_checkpoint(self.folder / "checkpoints")
        best = checkpoints.read_place(newest).best_score if newest else None
        assert best is not None, "the last step of a run is always judged"
        return best

    def _train(
        self, learner: Learner, features: Features, plan: Plan, splits: Splits, resume: Path | None, bf16: bool
    ) -> None:
        training = self.recipe.training
        if not training.evaluate_every_steps:
            every = max(1, plan.steps // _LOOKS)
            self.recipe = replace(self.recipe, training=replace(training, evaluate_every_steps=every))
        super()._train(learner, features, plan, splits, resume, bf16)
