"""`hearth train search`: Optuna tries values of a recipe's `[search]` table, judged on the validation part alone.

Every trial that ends is kept in a SQLite file of the search's folder, so the same command carries on after an end.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.dials import Dial, read_dials
from training.errors import (
    Interrupted,
    MissingExtra,
    NonFinite,
    NothingFound,
    OutOfMemory,
    SearchDiffers,
    SearchStopped,
)
from training.recipe import Recipe, put, recipe_from, recipe_table
from training.run import Run
from training.run_folder import locked, told, write
from training.search_trial import Trial
from training.sources import HUB
from training.team import ALONE
from training.toml import to_toml

if TYPE_CHECKING:
    import optuna

Show = Callable[[dict[str, Any]], None]
BEST, STORE = "best.toml", "search.sqlite"

_FIRST_BY_CHANCE = 5  # trials before the sampler learns from those that were
_UNPRUNED = 3  # trials that are trained to their end whatever they score


def search(
    name: str | Path,
    trials: int,
    *,
    home: Path,
    folder: Path | None = None,
    changes: Mapping[str, Any] | None = None,
    small: bool = False,
    show: Show = lambda line: None,
) -> dict[str, Any]:
    """Tries values until so many trials have ended, and writes the best recipe as `best.toml`; the test part is unread.

    The recipe's own values are the first trial, where the ranges hold them. On one machine the same recipe and seed
    give the same trials, however often the search was cut off between.

    Args:
        name: A recipe's file or name.
        trials: How many in all, those of an earlier call among them.
        home: The data folder.
        folder: Where the search lies; `runs/search-<recipe>` in the data folder unless given.
        changes: Values that replace the recipe's in every trial; see `load_recipe`.
        small: The recipe's small form.
        show: Is told every line of progress.

    Raises:
        MissingExtra: Optuna is not installed.
        RecipeError: the recipe or its `[search]` cannot be used. TooFewRows: there is no validation part.
        SearchDiffers: the folder holds a search of another recipe. NothingFound: no trial has reached an evaluation.
        TrainingError, ModelError: as for `run`; trials that ended before stay.
    """
    if find_spec("optuna") is None:
        raise MissingExtra("A search of hyper-parameters", "search")
    table, path = recipe_table(name, changes, small=small)
    dials = read_dials(table.pop("search", None), path.name)
    recipe = _checked(table, path, dials)
    folder = folder or home / "runs" / f"search-{recipe.name}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), told(folder):
        return _Search(table, recipe, dials, folder, home, show).until(trials)


def _checked(table: dict[str, Any], path: Path, dials: list[Dial]) -> Recipe:
    """The recipe as it is, after one with each end of each dial was read."""
    for dial in dials:
        for value in dial.ends():
            recipe_from(_with(table, {dial.key: value}), path)
    return recipe_from(table, path)


def _with(table: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(table))  # a recipe holds only what JSON holds
    for key, value in values.items():
        put(changed, key, value)
    return changed


class _Search:
    """The trials of one search, one after another."""

    def __init__(
        self, table: dict[str, Any], recipe: Recipe, dials: list[Dial], folder: Path, home: Path, show: Show
    ) -> None:
        self._table, self._recipe, self._dials = table, recipe, dials
        self._folder, self._home, self._show = folder, home, show
        self._study = self._opened()

    def until(self, trials: int) -> dict[str, Any]:
        """Goes on until so many trials have ended; gives what was found."""
        self._close_cut_off()
        while len(self._ended()) < trials:
            self._one(len(self._ended()), trials)
        return self._found()

    def _opened(self) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        higher = Run(self._recipe, self._folder, self._home, self._show, ALONE).task.higher_is_better
        study = optuna.create_study(
            storage=f"sqlite:///{self._folder / STORE}",
            study_name=self._recipe.name,
            direction="maximize" if higher else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED, n_warmup_steps=0),
            load_if_exists=True,
        )
        facts = json.dumps([self._recipe.resolved(), [repr(dial) for dial in self._dials]], sort_keys=True)
        mark = hashlib.sha256(facts.encode()).hexdigest()
        if study.user_attrs.get("recipe", mark) != mark:
            raise SearchDiffers(self._folder)
        study.set_user_attr("recipe", mark)
        return study

    def _ended(self) -> list[optuna.trial.FrozenTrial]:
        """The trials that count: one that failed without a reason of its own was cut off, and is made again."""
        finished = [one for one in self._study.trials if one.state.is_finished()]
        return [one for one in finished if one.state.name != "FAIL" or "error" in one.user_attrs]

    def _close_cut_off(self) -> None:
        """Trials that an earlier process died in count as none."""
        import optuna

        for one in self._study.trials:
            if one.state.name == "RUNNING":
                self._study.tell(one.number, state=optuna.trial.TrialState.FAIL)
            elif one.state.name == "WAITING":  # the recipe's own values; they are put in anew
                self._study.tell(self._study.ask(), state=optuna.trial.TrialState.FAIL)

    def _one(self, number: int, trials: int) -> None:
        import optuna

        # a seed for each trial, so that a search that was cut off draws what it would have drawn
        seed = self._recipe.seed * 100_003 + number
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_FIRST_BY_CHANCE)
        if number == 0 and (own := self._own_values()):
            self._study.enqueue_trial(own)
        trial = self._study.ask()
        values = {dial.key: dial.suggest(trial) for dial in self._dials}
        state, score = optuna.trial.TrialState.FAIL, None
        try:
            score = self._score(trial, number, values)
            state = optuna.trial.TrialState.COMPLETE
        except optuna.TrialPruned:
            state = optuna.trial.TrialState.PRUNED
        except (NonFinite, OutOfMemory) as error:  # these values will not do; others may
            trial.set_user_attr("error", str(error))
        except Interrupted as error:
            raise SearchStopped(self._folder, number) from error
        self._study.tell(trial, score, state=state)
        words = f"trial {number + 1} of {trials}: {_words(values)}: {_outcome(state.name, score)}"
        self._show({"event": "trial", "number": number, "values": values, "score": score, "message": words})

    def _own_values(self) -> dict[str, Any]:
        """The recipe's own values, where every dial holds its own; nothing otherwise."""
        resolved = self._recipe.resolved()
        own = {dial: _value_at(resolved, dial.key) for dial in self._dials}
        if not all(dial.holds(value) for dial, value in own.items()):
            return {}
        return {dial.key: int(value) if dial.whole else value for dial, value in own.items()}

    def _score(self, trial: optuna.Trial, number: int, values: dict[str, Any]) -> float:
        import optuna

        folder = self._folder / "trials" / f"{number:03}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        steps = 1

        def look(line: dict[str, Any]) -> None:
            nonlocal steps
            if line["event"] == "began":
                steps = line["steps"]
            self._show(line)
            if line["event"] == "evaluation" and line["step"] < steps:
                trial.report(line["score"], round(100 * line["step"] / steps))  # in percent: trials differ in steps
                if trial.should_prune():
                    raise optuna.TrialPruned

        recipe = recipe_from(_with(self._table, values), self._recipe.path)
        try:
            return Trial(recipe, folder, self._home, look, ALONE).score()
        finally:
            for path in folder.iterdir():
                if path.name != "metrics.jsonl":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _found(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = [
            {"trial": at, "state": one.state.name.lower(), "values": one.params, "score": one.value}
            | ({"error": one.user_attrs["error"]} if "error" in one.user_attrs else {})
            for at, one in enumerate(self._ended())
        ]
        whole = [row for row in rows if row["state"] == "complete"]
        if not whole:
            raise NothingFound(self._folder, len(rows))
        sign = 1 if self._study.direction.name == "MAXIMIZE" else -1
        best = max(whole, key=lambda row: sign * row["score"])
        table = _with(self._table, best["values"])
        _absolute(table, self._recipe.path.parent)
        table.setdefault("name", self._recipe.name)
        (self._folder / BEST).write_text(to_toml(table), encoding="utf-8")
        metric = (
            self._recipe.evaluation.metric or Run(self._recipe, self._folder, self._home, self._show, ALONE).task.metric
        )
        found = {"metric": metric, "best": best, "trials": rows, "recipe": str(self._folder / BEST)}
        write(self._folder / "search.json", found)
        return found | {"folder": str(self._folder)}


def _value_at(table: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key among a recipe's resolved values; a task's own keys are its options there."""
    first, _, rest = key.partition(".")
    value: Any = table.get("options" if first == "task" else first)
    return value if not rest else _value_at(value, rest) if isinstance(value, Mapping) else None


def _absolute(table: dict[str, Any], base: Path) -> None:
    """Data files by their whole paths, as the best recipe lies in another folder than the one searched."""
    for part in ("train", "validation", "test"):
        if sources := table["data"].get(part):
            many = [sources] if isinstance(sources, str) else sources
            table["data"][part] = [one if one.startswith(HUB) else str((base / one).resolve()) for one in many]


def _words(values: Mapping[str, Any]) -> str:
    shown = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items())
    return ", ".join(shown)


def _outcome(state: str, score: float | None) -> str:
    return f"{score:.4f}" if score is not None else {"PRUNED": "given up early", "FAIL": "failed"}[state]
