"""The steps of a run that several processes make: the main one keeps them and decides, the others do as it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from training.chance import seed_all
from training.steps import StepResult, Steps
from training.team import Team


def steps_of(team: Team) -> Callable[..., Steps]:
    """What makes the `Steps` of this process."""
    if team.processes == 1:
        return Steps
    return partial(_Led if team.is_main else _Followed, team)


class _Shared(Steps):
    """Losses are means over all processes before anything is made of them."""

    def __init__(self, team: Team, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._team = team

    def check(self, loss: float, gradient_norm: float) -> None:
        super().check(self._mean(loss), gradient_norm)

    def _mean(self, loss: float) -> float:
        """Each process's loss counts its share of the items `processes` times, as gradients are averaged."""
        return self._team.total([loss])[0] / self._team.processes


class _Led(_Shared):
    """The main process's."""

    def done(self, result: StepResult, model: Any, optimizer: Any, schedule: Any) -> bool:
        rows, tokens = self._team.total([result.rows, result.tokens])
        whole = replace(result, loss=self._mean(result.loss), rows=int(rows), tokens=int(tokens))
        goes_on = False
        try:
            goes_on = super().done(whole, model, optimizer, schedule)
        finally:
            self._team.share(goes_on)
        return goes_on


class _Followed(_Shared):
    """Another process's: it writes nothing, and draws by chance from a seed of its own for every step."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "begin": self._draw_anew})

    def done(self, result: StepResult, model: Any, optimizer: Any, schedule: Any) -> bool:
        self._team.total([result.rows, result.tokens])
        self._mean(result.loss)
        self.place = replace(self.place, step=self.place.step + 1)
        self._draw_anew()
        return bool(self._team.share(None))

    def _draw_anew(self) -> None:
        """A resumed run then draws what the uninterrupted one did, with no state to be kept."""
        seed_all((self.recipe.seed * 1_000_003 + self.place.step) * self._team.processes + self._team.process)
