"""The pictures of a report, as PNG: loss and rate, scores on the way, the confusion matrix and the reliability diagram.

Source of the reliability diagram and the calibration error: Guo et al. 2017, https://arxiv.org/abs/1706.04599.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.tasks.base import Prediction

_BINS = 10
_MOST_LABELS = 30  # a larger confusion matrix cannot be read
_BLUE, _ORANGE, _GREY = "#2f6f9f", "#d97a2b", "#8a8f98"


def draw_course(lines: Sequence[Mapping[str, Any]], metric: str, folder: Path) -> list[Path]:
    """The loss with the learning rate, and the scores of the evaluations where there were several."""
    steps = [line for line in lines if line["event"] == "step"]
    judged = [line for line in lines if line["event"] == "evaluation"]
    drawn = [_loss(steps, folder / "loss.png")]
    if len(judged) > 1:
        figure, axes = _figure()
        axes.plot([line["step"] for line in judged], [line["score"] for line in judged], "o-", color=_BLUE)
        best = [line for line in judged if line["best"]][-1]
        axes.plot(best["step"], best["score"], "o", color=_ORANGE, markersize=9, label=f"best: {best['score']:.4f}")
        axes.legend(frameon=False)
        axes.set(xlabel="step", ylabel=f"{metric} on the validation part")
        drawn.append(_saved(figure, folder / "score.png"))
    return drawn


def draw_labels(wanted: Sequence[str], predictions: Sequence[Prediction], folder: Path) -> list[Path]:
    """The confusion matrix and the reliability diagram of a classifier; none where labels are no single ones."""
    if not wanted or not all(isinstance(one.get("scores"), dict) for one in predictions):
        return []
    said = [str(one["label"]) for one in predictions]
    labels = sorted({*wanted, *said})
    drawn = [_confusion(labels, wanted, said, folder / "confusion.png")] if len(labels) <= _MOST_LABELS else []
    sure = [max(one["scores"].values()) for one in predictions]
    right = [label == given for label, given in zip(said, wanted, strict=True)]
    return [*drawn, _reliability(sure, right, folder / "reliability.png")]


def calibration_error(sure: Sequence[float], right: Sequence[bool]) -> float:
    """The expected calibration error: the mean distance of confidence and accuracy over ten bins, weighted by rows."""
    return sum(count * abs(mean - share) for mean, share, count in _bins(sure, right)) / max(1, len(sure))


def _bins(sure: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float, int]]:
    """For each bin that is not empty: its mean confidence, its share of right answers and its rows."""
    members: list[list[int]] = [[] for _ in range(_BINS)]
    for index, value in enumerate(sure):
        members[min(_BINS - 1, int(value * _BINS))].append(index)
    return [
        (sum(sure[index] for index in own) / len(own), sum(right[index] for index in own) / len(own), len(own))
        for own in members
        if own
    ]


def _loss(steps: Sequence[Mapping[str, Any]], path: Path) -> Path:
    figure, axes = _figure()
    numbers, losses = [line["step"] for line in steps], [line["loss"] for line in steps]
    axes.plot(numbers, losses, color=_BLUE, alpha=0.3, linewidth=1)
    axes.plot(numbers, _smooth(losses), color=_BLUE, linewidth=2, label="loss (smoothed)")
    axes.set(xlabel="step", ylabel="loss")
    rates = axes.twinx()
    rates.plot(numbers, [line["learning_rate"] for line in steps], color=_GREY, linestyle="--", linewidth=1)
    rates.set_ylabel("learning rate", color=_GREY)
    rates.spines[["top"]].set_visible(False)
    axes.legend(frameon=False)
    return _saved(figure, path)


def _smooth(values: Sequence[float], keep: float = 0.95) -> list[float]:
    """An exponential mean, corrected for its beginning as Adam's moments are."""
    mean, smoothed = 0.0, []
    for count, value in enumerate(values, start=1):
        mean = keep * mean + (1 - keep) * value
        smoothed.append(mean / (1 - keep**count))
    return smoothed


def _confusion(labels: Sequence[str], wanted: Sequence[str], said: Sequence[str], path: Path) -> Path:
    import numpy as np

    place = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for right, given in zip(wanted, said, strict=True):
        counts[place[right], place[given]] += 1
    size = max(4.0, 0.45 * len(labels) + 2)
    figure, axes = _figure(size, size)
    axes.imshow(counts / np.maximum(1, counts.sum(1, keepdims=True)), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="the model says", ylabel="it is")
    for row in range(len(labels)):
        for column in range(len(labels)):
            if counts[row, column]:
                dark = counts[row, column] > 0.6 * counts[row].sum()
                axes.text(
                    column, row, counts[row, column], ha="center", va="center", color="white" if dark else "black"
                )
    return _saved(figure, path)


def _reliability(sure: Sequence[float], right: Sequence[bool], path: Path) -> Path:
    figure, axes = _figure(4.5, 4.5)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    bins = _bins(sure, right)
    most = max(count for _, _, count in bins)
    axes.plot([mean for mean, _, _ in bins], [share for _, share, _ in bins], color=_BLUE)
    axes.scatter(
        [mean for mean, _, _ in bins],
        [share for _, share, _ in bins],
        s=[30 + 200 * count / most for _, _, count in bins],
        color=_BLUE,
    )
    error = calibration_error(sure, right)
    axes.set(
        xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1), title=f"calibration error {error:.3f}"
    )
    return _saved(figure, path)


def _figure(width: float = 7.0, height: float = 3.6) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _saved(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
    return path
