"""One run from recipe to report: the order in which things happen, at its beginning and when it is resumed."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from models.probes import write_probes
from training import checkpoint as checkpoints
from training.averaging import Averaging
from training.batches import Plan, make_plan
from training.chance import kept_chance, seed_all
from training.checks import DataReport, check_data
from training.data import Splits, load_data
from training.errors import NoCheckpoint, OneProcess, RunExists, TooLong
from training.evaluation import judge_folder
from training.events import require_tensorboard
from training.features import Features, make_features
from training.feed import Feed
from training.fingerprint import hash_of, hold
from training.guards import memory_named, stoppable, together
from training.learner import Learner, make_learner
from training.optimizer import make_optimizer, make_schedule
from training.recipe import Recipe
from training.report import write_report
from training.run_folder import keep_recipe, locked, new_run_folder, recipe_of, told, write
from training.scratch import base_for
from training.shared_steps import steps_of
from training.steps import out_of_patience, rewind
from training.tasks import open_task
from training.tasks.base import Task
from training.team import ALONE, Team, processes_here

Show = Callable[[dict[str, Any]], None]


def run(
    recipe: Recipe, *, home: Path, folder: Path | None = None, show: Show = lambda line: None, team: Team = ALONE
) -> dict[str, Any]:
    """Trains what a recipe says and judges it; gives the report that also lies in the run folder.

    Args:
        recipe: What to do.
        home: The data folder; runs lie in its `runs`.
        folder: A run folder of one's own choice; it may not hold a run yet.
        show: Is told every line of progress.
        team: The processes that train together, of which this is the main one; see `follower` for the others.

    Raises:
        TrainingError, ModelError: in one sentence; what was written before stays.
    """
    folder = folder or new_run_folder(recipe, home)
    if (folder / "run.json").exists():
        raise RunExists(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), told(folder):
        keep_recipe(folder, recipe)
        return Run(recipe, folder, home, show, team).whole(resume=None)


def resume(
    folder: Path,
    *,
    home: Path,
    allow_changed: bool = False,
    show: Show = lambda line: None,
    team: Team = ALONE,
) -> dict[str, Any]:
    """Goes on with an interrupted run from its newest whole checkpoint.

    Raises:
        RunNotFound, NoCheckpoint: nothing to go on from.
        Changed: data, recipe, code or libraries are not what they were, and `allow_changed` is not set.
    """
    recipe = recipe_of(folder)
    with locked(folder), told(folder):
        found = checkpoints.newest_checkpoint(
            folder / "checkpoints", lambda sentence: show({"event": "warning", "message": sentence})
        )
        if found is None:
            raise NoCheckpoint(folder.name, "has no whole checkpoint to go on from")
        show({"event": "resumed", "message": f"Goes on from {found.name}."})
        return Run(recipe, folder, home, show, team).whole(resume=found, allow_changed=allow_changed)


class Run:
    """The steps of one run, in order."""

    def __init__(self, recipe: Recipe, folder: Path, home: Path, show: Show, team: Team) -> None:
        self.recipe, self.folder, self.home, self.show, self.team = recipe, folder, home, show, team
        self.base_folder = folder / "base"
        self.task: Task = open_task(recipe)
        if team.processes > 1 and not self.task.rows_apart:
            raise OneProcess(recipe.task, team.processes)
        self._asked = threading.Event()

    def whole(self, resume: Path | None, allow_changed: bool = False) -> dict[str, Any]:
        if self.recipe.training.tensorboard:
            require_tensorboard()
        splits = load_data(self.recipe, self.task.columns, self.folder / "data", self.task.layout)
        found = check_data(self.recipe, self.task.columns, splits)
        self.task.prepare(splits)
        write(self.folder / "data.json", found.to_json() | {"fingerprint": splits.fingerprint})
        hold(self.folder, self.recipe, splits, self.home, resumed=resume is not None and not allow_changed)
        return self._finish(self.learn(splits, resume), splits, found)

    def learn(self, splits: Splits, resume: Path | None) -> Learner:
        """Makes the model and the plan, and trains; what every process of a team does alike."""
        bf16 = settle(self.recipe)
        seed_all(self.recipe.seed)
        own_base = base_for(self.recipe, self.task, splits, self.base_folder)
        self.call(resume)
        learner = make_learner(self.recipe, self.task, self.home, bf16, own_base)
        features = self._features(learner, splits)
        learner.fit_attention(features.lengths, bf16)
        plan = make_plan(features.lengths, self.recipe.training, self.recipe.seed)
        self.team.agree(hash_of(splits.fingerprint + json.dumps(plan.batches)))
        self._train(learner, features, plan, splits, resume, bf16)
        return learner

    def call(self, resume: Path | None) -> None:
        """Tells the other processes where the run is and what it goes on from."""
        self.team.share({"folder": str(self.folder), "resume": None if resume is None else str(resume)})

    def _features(self, learner: Learner, splits: Splits) -> Features:
        self.task.attach(learner.tokenizer, window_of(learner))
        features = make_features(self.task, splits.train, self.folder / "data" / "features.arrow")
        rows = len(features) + features.empty
        share, limit = features.cut / max(1, rows), self.recipe.data.limits.too_long
        if share > limit:
            raise TooLong(
                ", ".join(self.recipe.data.train),
                f"{features.cut:,} of {rows:,} rows ({share:.0%}) are over {self.task.max_tokens} tokens "
                "and would be cut; raise training.max_tokens or data.limits.too_long.",
            )
        return features

    def _train(
        self, learner: Learner, features: Features, plan: Plan, splits: Splits, resume: Path | None, bf16: bool
    ) -> None:
        training = self.recipe.training
        optimizer = make_optimizer(learner.model, training, learner.head)
        schedule = make_schedule(optimizer, training, plan.steps)
        place = checkpoints.Place(0)
        if resume is not None:
            place = checkpoints.read_place(resume)
            checkpoints.load_weights(resume, learner.model)
            checkpoints.load_optimizer(resume, learner.model, optimizer, schedule)
        learns, every = learner.parameters
        self.show({"event": "began", "steps": plan.steps, "rows": len(features), "learns": learns, "of": every})
        rewind(self.folder / "metrics.jsonl", place.step)
        if place.step >= plan.steps or out_of_patience(self.recipe, place):
            return
        seed = self.recipe.seed
        steps = steps_of(self.team)(
            self.recipe, plan, self.folder, place,
            judge=lambda step: self._judge(learner, splits, step), higher_is_better=self.task.higher_is_better,
            asked_to_stop=self._asked.is_set, show=self.show,
            begin=lambda: checkpoints.load_chance(resume) if resume is not None else seed_all(seed),
        )  # fmt: skip
        first, team = place.step * training.accumulation_steps, self.team
        feed = Feed(self.task, features, plan, self.recipe.seed, first, team.process, team.processes)
        from training.dropout import byte_dropout

        if training.loop == "trainer":
            from training.trainer import train_with_trainer as train
        else:
            from training.loop import train_with_loop as train
        with (
            stoppable(self._asked),
            memory_named(steps, features),
            together(team, steps),
            byte_dropout(),
            closing(steps),
        ):
            train(learner.model, self.task, feed, steps, optimizer, schedule, training, bf16)

    def _judge(self, learner: Learner, splits: Splits, step: int) -> tuple[float, dict[str, float]]:
        """The model as it is now, on the validation part; leaves chance and the model as they were."""
        folder = self.folder / "judged" / f"step-{step:07}"
        part = splits.validation if len(splits.validation) else splits.train
        with kept_chance():
            learner.save(folder, self.task)
            judgement = judge_folder(self.task, folder, self.home, list(part), quickly=True)
            _forget(folder)
        settle(self.recipe)  # loading the served model has set threads of its own
        learner.model.train()
        return judgement.score, judgement.metrics

    def _finish(self, learner: Learner, splits: Splits, found: DataReport) -> dict[str, Any]:
        self._choose(learner, splits)
        final = self.folder / "model"
        shutil.rmtree(final, ignore_errors=True)
        learner.save(final, self.task)
        write_probes(final, learner.tokenizer)
        self.task.calibrate(final, self.home, list(splits.validation if len(splits.validation) else splits.train))
        for done_with in ("judged", "averages"):
            shutil.rmtree(self.folder / done_with, ignore_errors=True)
        return write_report(self.folder, self.recipe, self.task, splits, found, learner, self.home)

    def _choose(self, learner: Learner, splits: Splits) -> None:
        """Gives the model the best checkpoint's weights, or the mean of the last epochs where that is no worse."""
        newest = checkpoints.newest_checkpoint(self.folder / "checkpoints")
        if newest is None:
            return
        place = checkpoints.read_place(newest)
        averaging = Averaging(self.folder / "averages", self.recipe.training.average_epochs)
        if averaging.put_mean(learner.model, place.step):
            score, metrics = self._judge(learner, splits, place.step + 1)
            worse = place.best_score is not None and (score < place.best_score) == self.task.higher_is_better
            self.show({"event": "averaged", "score": score, "taken": not worse, **metrics})
            if not worse:
                return
        best = self._best()
        if best is not None:
            checkpoints.load_weights(best, learner.model)

    def _best(self) -> Path | None:
        newest = checkpoints.newest_checkpoint(self.folder / "checkpoints")
        step = checkpoints.read_place(newest).best_step if newest is not None else None
        if newest is None or step is None:
            return newest
        best = newest.with_name(f"checkpoint-{step:07}")
        if problem := checkpoints.damage(best):
            self.show(
                {
                    "event": "warning",
                    "message": f"The best checkpoint {best.name} is damaged ({problem}); the newest serves instead.",
                }
            )
            return newest
        return best


def settle(recipe: Recipe) -> bool:
    """Sets torch's threads as the recipe wants; gives whether to compute in bfloat16."""
    import torch

    from models.device import choose_device

    choice = choose_device()
    torch.set_num_threads(recipe.training.threads or max(1, choice.threads // processes_here()))
    wanted = recipe.training.precision
    return wanted == "bf16" or (wanted == "auto" and choice.dtype == "bfloat16")


def window_of(learner: Learner) -> int:
    """Most tokens that the base reads at once."""
    from models.encoder_files import encoder_folder
    from models.files import read_config
    from models.tasks.base import window_tokens

    return window_tokens(learner.tokenizer, read_config(encoder_folder(learner.base_folder)))


def _forget(folder: Path) -> None:
    from models.memory import unload_all

    unload_all()
    shutil.rmtree(folder, ignore_errors=True)
