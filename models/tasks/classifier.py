"""Text classification with a trained classifier: every label with its probability, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.tasks.base import as_texts
from models.tasks.scoring import SequenceScorer
from models.tasks.windows import Window, windows_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelScore:
    """One label and its probability, 0 to 1."""

    label: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """`{label, score}`."""
        return {"label": self.label, "score": self.score}


@dataclass(frozen=True)
class Classification:
    """Every label, best first, and how many windows the text was read in."""

    labels: tuple[LabelScore, ...]
    windows: int = 1

    @property
    def label(self) -> str:
        """The best label."""
        return self.labels[0].label

    @property
    def score(self) -> float:
        """The best label's probability."""
        return self.labels[0].score

    def to_json(self) -> list[dict[str, Any]]:
        """The labels as `{label, score}`, best first."""
        return [label.to_json() for label in self.labels]


class TextClassifier(SequenceScorer):
    """A trained classifier.

    A text longer than the model's window is read in windows, whose probabilities are averaged by their tokens.
    """

    role_name = "classify"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the model's own order."""
        named = self.load().model.config.id2label
        return tuple(str(named[index]) for index in range(len(named)))

    def __call__(self, text: str) -> Classification:
        """The classification of one text; see `many`."""
        return self.many([text])[0]

    def many(self, texts: Sequence[str]) -> list[Classification]:
        """The classification of each text, in order.

        Raises:
            EmptyText: a text is empty.
        """
        found = as_texts(texts)
        windows = windows_of(self.load().tokenizer, found, window=self.window, stride=0)
        scores = self.probabilities(windows)
        return [
            ranked(self.labels, mean, count)
            for mean, count in averaged(windows, scores, len(found), spread=self._independent)
        ]

    def probabilities(self, windows: Sequence[Window]) -> NDArray[np.float64]:
        """The probability of every class for every window, shape (windows, classes)."""
        import torch

        logits = self.logits(windows)
        probabilities = torch.sigmoid(logits) if self._independent else torch.softmax(logits, -1)
        return probabilities.double().numpy()

    @property
    def _independent(self) -> bool:
        """Whether each label is judged by itself, so that several may hold at once."""
        config = self.load().model.config
        return bool(config.problem_type == "multi_label_classification" or config.num_labels == 1)


def averaged(
    windows: Sequence[Window], scores: NDArray[np.float64], texts: int, *, spread: bool = False
) -> list[tuple[NDArray[np.float64], int]]:
    """For each text the mean of its windows' scores weighted by their tokens, and how many windows it had.

    With `spread` (labels that hold independently) the highest score of any window counts instead: a label found in
    one part of a text holds for the text.
    """
    import numpy as np

    members: list[list[int]] = [[] for _ in range(texts)]
    for index, window in enumerate(windows):
        members[window.sample].append(index)
    result = []
    for own in members:
        weights = np.array([max(1, windows[index].body_tokens) for index in own], dtype=np.float64)
        chosen = scores[own]
        mean = chosen.max(0) if spread else (chosen * weights[:, None]).sum(0) / weights.sum()
        result.append((mean, len(own)))
    return result


def ranked(labels: Sequence[str], scores: Sequence[float] | NDArray[np.float64], windows: int = 1) -> Classification:
    """Labels with their scores, best first; equal ones keep their order."""
    order = sorted(range(len(labels)), key=lambda index: -scores[index])
    return Classification(tuple(LabelScore(labels[index], float(scores[index])) for index in order), windows)
