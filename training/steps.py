"""What happens around every optimizer step, the same in both training loops.

It refuses numbers that are none before the weights change, writes the metrics, judges, keeps checkpoints, stops early
and stops when asked; the loops only compute.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from training.averaging import Averaging
from training.batches import Plan
from training.checkpoint import Place, newest_checkpoint, save_checkpoint
from training.errors import Interrupted, NonFinite, NotKept
from training.events import Events
from training.heap import EVERY_STEPS, give_back_freed
from training.recipe import Recipe

Judge = Callable[[int], tuple[float, dict[str, float]]]


@dataclass(frozen=True)
class StepResult:
    """What a step gave: its mean loss, the gradient's norm before clipping, the rate, and its rows and tokens."""

    loss: float
    gradient_norm: float
    learning_rate: float
    rows: int
    tokens: int


class Steps:
    """The keeper of a run's steps.

    Args:
        recipe: The run's.
        plan: Its batches.
        run: The run folder.
        place: Where it begins: step 0, or a checkpoint's.
        judge: Gives (score, all metrics) of the model as it is after a step; None never judges on the way.
        higher_is_better: What better means for the score.
        begin: Puts the random generators where the first step wants them; called once nothing else draws from them.
        asked_to_stop: Whether somebody has asked the run to stop.
        show: Is told each line of `metrics.jsonl`.
    """

    def __init__(
        self,
        recipe: Recipe,
        plan: Plan,
        run: Path,
        place: Place,
        *,
        judge: Judge | None,
        higher_is_better: bool,
        begin: Callable[[], None],
        asked_to_stop: Callable[[], bool],
        show: Callable[[dict[str, Any]], None],
    ) -> None:
        self.recipe, self.plan, self.run, self.place = recipe, plan, run, place
        self._judge, self._higher = judge, higher_is_better
        self.begin, self._asked_to_stop, self._show = begin, asked_to_stop, show
        self._events = Events(run, place.step) if recipe.training.tensorboard else None
        self.averaging = Averaging(run / "averages", recipe.training.average_epochs)
        self._began, self._first_step = time.monotonic(), place.step
        self._saved_at = self._began
        self._tokens = 0
        self.stopped_early = False

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.run / "checkpoints"

    def check(self, loss: float, gradient_norm: float) -> None:
        """Before the weights change.

        Raises:
            NonFinite: the loss or the gradient's norm is not a finite number.
        """
        for what, value in (("loss", loss), ("gradient", gradient_norm)):
            if not math.isfinite(value):
                rows = [row for batch in self.plan.of_step(self.place.step) for row in batch]
                kept = sorted(self.checkpoints.glob("checkpoint-*"))
                raise NonFinite(what, self.place.step + 1, rows, kept[-1] if kept else None)

    def done(self, result: StepResult, model: Any, optimizer: Any, schedule: Any) -> bool:
        """After the weights have changed; gives whether the run goes on.

        Raises:
            Interrupted: somebody asked the run to stop; a checkpoint has been written.
            NotKept: the disk is full or fails; the checkpoint before is whole.
        """
        try:
            return self._keep(result, model, optimizer, schedule)
        except (OSError, SafetensorError) as error:
            raise NotKept(self.run, self.place.step, error, newest_checkpoint(self.checkpoints)) from error

    def _keep(self, result: StepResult, model: Any, optimizer: Any, schedule: Any) -> bool:
        self.place = replace(self.place, step=self.place.step + 1)
        self._tokens += result.tokens
        self._log(result)
        if self.plan.ends_epoch(self.place.step):
            self.averaging.keep(model, self.place.step)
        step, last = self.place.step, self.place.step == self.plan.steps
        every = self.recipe.training.evaluate_every_steps
        if self._judge and (last or (every and step % every == 0)):
            self._evaluate(step)
        self.stopped_early = out_of_patience(self.recipe, self.place) and not last
        asked = self._asked_to_stop()
        if self._checkpoint_due(last or asked or self.stopped_early or self.place.best_step == step):
            save_checkpoint(self.checkpoints, self.place, model, optimizer, schedule, self.place.best_step)
            self._saved_at = time.monotonic()
        if step % EVERY_STEPS == 0:
            give_back_freed()
        if asked and not last:
            raise Interrupted(self.run, step)
        return not (last or self.stopped_early)

    def _checkpoint_due(self, certainly: bool) -> bool:
        every = self.recipe.training.checkpoint_every_seconds
        return certainly or (every > 0 and time.monotonic() - self._saved_at >= every)

    def _evaluate(self, step: int) -> None:
        assert self._judge is not None
        score, metrics = self._judge(step)
        best = self.place.best_score
        better = best is None or (score > best if self._higher else score < best)
        self.place = replace(
            self.place,
            best_step=step if better else self.place.best_step,
            best_score=score if better else best,
            evaluations_without_gain=0 if better else self.place.evaluations_without_gain + 1,
        )
        self._write({"event": "evaluation", "step": step, "score": score, "best": better, **metrics})

    def _log(self, result: StepResult) -> None:
        seconds = time.monotonic() - self._began
        done = self.place.step - self._first_step
        self._write(
            {
                "event": "step",
                "step": self.place.step,
                "steps": self.plan.steps,
                "epoch": round(self.plan.epoch_at(self.place.step), 4),
                "loss": result.loss,
                "gradient_norm": result.gradient_norm,
                "learning_rate": result.learning_rate,
                "rows": result.rows,
                "tokens": result.tokens,
                "tokens_per_second": round(self._tokens / seconds, 1),
                "seconds_left": round(seconds / done * (self.plan.steps - self.place.step), 1),
            }
        )

    def close(self) -> None:
        """Ends what was being written."""
        if self._events:
            self._events.close()

    def _write(self, line: dict[str, Any]) -> None:
        with (self.run / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        if self._events:
            self._events.write(line)
        self._show(line)


def out_of_patience(recipe: Recipe, place: Place) -> bool:
    """Whether the recipe's early stopping has ended the run here."""
    return 0 < recipe.training.patience <= place.evaluations_without_gain


def rewind(metrics: Path, step: int) -> None:
    """Takes the lines about later steps out of `metrics.jsonl`, which a resumed run writes anew, and a torn one."""
    if not metrics.exists():
        return
    lines = metrics.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    temporary = metrics.with_name(f".{metrics.name}.{os.getpid()}")
    temporary.write_text("".join(line for line in lines if _is_until(line, step)), encoding="utf-8")
    temporary.replace(metrics)


def _is_until(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step) and line.endswith("\n")
    except (ValueError, KeyError, TypeError):
        return False
