"""How good a model folder is: judged through the class that serves it, with an interval, against a baseline.

Source of the intervals: the percentile bootstrap, and its paired form for differences (Koehn 2004,
https://aclanthology.org/W04-3250/).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.recipe import Gate
from training.tasks.base import Prediction, Row, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RESAMPLES = 1000
_CORPUS_RESAMPLES = 200  # metrics of a whole corpus, such as BLEU, are computed anew for each


@dataclass(frozen=True)
class Tally:
    """A corpus metric as counts a row, (rows, counts), and what makes the metric of the counts' sums."""

    counts: Sequence[Sequence[float]]
    score: Callable[[Sequence[float]], float]


@dataclass(frozen=True)
class Judgement:
    """A model's metrics on some rows; `interval` is the main metric's 95 % interval."""

    metric: str
    score: float
    interval: tuple[float, float]
    metrics: dict[str, float]
    rows: int
    predictions: list[Prediction]

    def to_json(self) -> dict[str, Any]:
        """Everything but the predictions."""
        value = asdict(self)
        del value["predictions"]
        return value


@dataclass(frozen=True)
class Verdict:
    """What the gate says; `difference` is the score less the baseline's, with its paired 95 % interval."""

    open: bool
    reasons: tuple[str, ...]
    difference: float
    interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def judge(task: Task, rows: Sequence[Row], predictions: list[Prediction]) -> Judgement:
    """The metrics of some predictions, with the main one's interval."""
    metrics = task.scores(rows, predictions)
    name = task.recipe.evaluation.metric or task.metric
    draws = _resampled(task, rows, [predictions], name)[0]
    return Judgement(name, metrics[name], _interval(draws), metrics, len(rows), predictions)


def judge_folder(task: Task, folder: Path, home: Path, rows: Sequence[Row], *, quickly: bool = False) -> Judgement:
    """A model folder, judged through its served class; `quickly` where the task has a shorter way."""
    predict = task.predict_quickly if quickly else task.predict
    return judge(task, rows, predict(folder, home, rows))


def weigh(task: Task, rows: Sequence[Row], new: Judgement, old: Judgement, gate: Gate) -> Verdict:
    """Whether `new` may replace `old`; both were judged on these rows."""
    sign = 1.0 if task.higher_is_better else -1.0
    draws = _resampled(task, rows, [new.predictions, old.predictions], new.metric)
    low, high = sorted(sign * bound for bound in _interval(draws[0] - draws[1]))
    difference = sign * (new.score - old.score)
    reasons = []
    if gate.minimum is not None and sign * (new.score - gate.minimum) < 0:
        reasons.append(f"{new.metric} is {new.score:.4f} and gate.minimum asks for {gate.minimum}")
    if difference < gate.better_by:
        reasons.append(f"{new.metric} is {difference:+.4f} from the baseline's {old.score:.4f}, not {gate.better_by:+}")
    elif gate.beyond_chance and low <= gate.better_by:
        reasons.append(f"the gain of {difference:+.4f} may be chance (95 % interval {low:+.4f} to {high:+.4f})")
    return Verdict(not reasons, tuple(reasons), difference, (low, high))


def _resampled(
    task: Task, rows: Sequence[Row], several: Sequence[list[Prediction]], metric: str
) -> list[NDArray[np.float64]]:
    """The metric of each list of predictions on the same resamples of the rows, one array a list."""
    import numpy as np

    draw = np.random.default_rng(0)
    plain = metric == task.metric
    scores = [task.row_scores(rows, predictions) if plain else None for predictions in several]
    count = len(rows)
    picks = draw.integers(0, count, (_RESAMPLES, count))
    if all(score is not None for score in scores):
        return [np.asarray(score, dtype=np.float64)[picks].mean(1) for score in scores]
    tallies = [task.tally(rows, predictions) if plain else None for predictions in several]
    if all(tally is not None for tally in tallies):
        arrays = [(np.asarray(tally.counts), tally.score) for tally in tallies if tally is not None]
        return [np.array([score(array[pick].sum(0)) for pick in picks]) for array, score in arrays]
    measure: Callable[[list[Prediction], Any], float] = lambda said, pick: task.scores(  # noqa: E731
        [rows[index] for index in pick], [said[index] for index in pick]
    )[metric]
    return [np.array([measure(said, pick) for pick in picks[:_CORPUS_RESAMPLES]]) for said in several]


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    import numpy as np

    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)
