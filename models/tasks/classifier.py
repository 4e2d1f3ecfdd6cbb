"""Text classification with a trained classifier: every label with its probability, best first, and which ones hold.

A model that learned a number instead of labels gives it as the score of its one label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from models.tasks.base import as_texts
from models.tasks.scoring import SequenceScorer
from models.tasks.windows import Window, windows_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


THRESHOLD = "label_threshold"  # the key of config.json with the least score at which a label holds
_INDEPENDENT_THRESHOLD = 0.5


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
    """Every label, best first.

    Attributes:
        labels: All of them.
        windows: How many windows the text was read in.
        threshold: The least score at which a label holds.
        independent: Whether several labels may hold at once.
    """

    labels: tuple[LabelScore, ...]
    windows: int = 1
    threshold: float = 0.0
    independent: bool = False

    @property
    def label(self) -> str:
        """The best label."""
        return self.labels[0].label

    @property
    def score(self) -> float:
        """The best label's probability."""
        return self.labels[0].score

    @property
    def chosen(self) -> tuple[str, ...]:
        """The labels that hold: the best one, or every independent one; none where the model is not sure enough."""
        most = len(self.labels) if self.independent else 1
        return tuple(label.label for label in self.labels[:most] if label.score >= self.threshold)

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

    @property
    def threshold(self) -> float:
        """The least score at which a label holds: the model's own where it has one, as chosen when it was trained."""
        own = self.config.get(THRESHOLD)
        if isinstance(own, (int, float)):
            return float(own)
        return _INDEPENDENT_THRESHOLD if self._independent else float("-inf")

    def __call__(self, text: str, pair: str | None = None) -> Classification:
        """The classification of one text, or of a pair of texts; see `many`."""
        return self.many([text], None if pair is None else [pair])[0]

    def many(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Classification]:
        """The classification of each text, in order.

        Args:
            texts: Of any length.
            pairs: The second text of each, for a model that was trained on pairs; it is never cut.

        Raises:
            EmptyText: a text is empty.
            PromptTooLong: a second text leaves no room for the first in the model's window.
        """
        found = as_texts(texts)
        after = None if pairs is None else as_texts(pairs, "second text")
        windows = windows_of(self.load().tokenizer, found, window=self.window, stride=0, after=after)
        scores = self.probabilities(windows)
        return [
            replace(ranked(self.labels, mean, count), threshold=self.threshold, independent=self._independent)
            for mean, count in averaged(windows, scores, len(found), spread=self._independent)
        ]

    def probabilities(self, windows: Sequence[Window]) -> NDArray[np.float64]:
        """The probability of every class for every window, shape (windows, classes); numbers stay what they are."""
        import torch

        logits = self.logits(windows)
        if not self._number:
            logits = torch.sigmoid(logits) if self._independent else torch.softmax(logits, -1)
        scores: NDArray[np.float64] = logits.double().numpy()
        return scores

    @property
    def _number(self) -> bool:
        """Whether the model gives a number and no labels."""
        return bool(self.load().model.config.problem_type == "regression")

    @property
    def _independent(self) -> bool:
        """Whether each label is judged by itself, so that several may hold at once."""
        config = self.load().model.config
        one = config.num_labels == 1 and not self._number
        return bool(config.problem_type == "multi_label_classification" or one)


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
