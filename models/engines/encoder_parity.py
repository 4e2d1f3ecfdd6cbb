"""Whether a converted encoder gives the vectors, or the scores, of the torch model it was made from in float32.

It serves only after this check; the numbers are kept beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines.parity import PROBES, REPORT_FILE, ParityFailed

# bfloat16 leaves MiniLM's vectors at a cosine of 0.9999 and more, int8 weights at 0.999; below that, another order of
# passages comes out here and there.
LEAST_COSINE = 0.998
LARGEST_DIFFERENCE = 0.03  # of a probability; bfloat16 alone moves those of a six-layer cross-encoder by 0.01

Rows = npt.NDArray[np.float32]

_ODD = (
    "",
    " ",
    "a",
    "?!",
    "1,006 km; 3.12 % of 10^6",
    "Two lines\nand\ttabs,  double spaces ",
    "Grüße aus Köln: naïve façade, İstanbul, ﬁnance",
    "汶川大地震 2008年5月12日 四川省",
    "Привет, мир! Γειά σου Κόσμε",
    "مرحبا بالعالم नमस्ते दुनिया",
    "🦊🔥 👩‍👩‍👧 e\u0301 \u200b \ufffd",
    "[CLS] [SEP] <s> </s> <|endoftext|> [MASK]",
    "def mean(values):\n    return sum(values) / len(values)",
    "ANTIDISESTABLISHMENTARIANISM" * 3,
)


def texts(window: int) -> list[str]:
    """Texts of many kinds and lengths, some longer than the window (in tokens)."""
    passage = " ".join(PROBES)
    growing = [" ".join(passage.split()[:words]) for words in (3, 12, 40, 80)]
    return [*_ODD, *PROBES, *growing, (passage + " ") * (1 + window // 100)]


@dataclass(frozen=True)
class EncoderParity:
    """The figures of one check.

    Attributes:
        texts: How many were compared.
        worst: The least cosine of vectors, or the largest difference of a probability.
        mean: The mean of the same.
        bound: What `worst` had to keep.
    """

    texts: int
    worst: float
    mean: float
    bound: float

    def save(self, folder: Path) -> None:
        """Writes the report into a folder."""
        (folder / REPORT_FILE).write_text(json.dumps(self.to_json(), indent=1), encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def check_vectors(reference: Rows, candidate: Rows, bound: float = LEAST_COSINE) -> EncoderParity:
    """Compares the vectors of the same texts, shapes (texts, dimension); all must be of length 1.

    Raises:
        ParityFailed: a cosine is below the bound, or shapes or lengths differ.
    """
    _same_shape(reference, candidate)
    lengths = np.linalg.norm(candidate, axis=1)
    if not np.abs(lengths - 1).max() <= 1e-3:  # NaN fails too
        raise ParityFailed([f"its vectors have lengths from {lengths.min():.4f} to {lengths.max():.4f} instead of 1"])
    cosines = (reference * candidate).sum(axis=1) / np.linalg.norm(reference, axis=1)
    report = EncoderParity(len(cosines), float(cosines.min()), float(cosines.mean()), bound)
    if not report.worst >= bound:
        low = int((cosines < bound).sum())
        raise ParityFailed(
            [f"the least cosine to the original's vectors is {report.worst:.4f} where at least {bound} was expected "
             f"({low} of {len(cosines)} texts are below, the mean is {report.mean:.4f})"]
        )  # fmt: skip
    return report


def check_states(reference: Sequence[Rows], candidate: Sequence[Rows]) -> EncoderParity:
    """Compares the states of the same texts' tokens, shapes (tokens, size) a text, as vectors of length 1.

    Raises:
        ParityFailed: as for `check_vectors`.
    """
    one, other = (np.concatenate(side) for side in (reference, candidate))
    _same_shape(one, other)
    return check_vectors(_scaled(one), _scaled(other))


def check_scores(reference: Rows, candidate: Rows, bound: float = LARGEST_DIFFERENCE) -> EncoderParity:
    """Compares the logits of the same texts as probabilities, shapes (texts, classes).

    Raises:
        ParityFailed: a probability differs by more than the bound, or the shapes differ.
    """
    return check_all_scores([(reference, candidate)], bound)


def check_all_scores(pairs: Sequence[tuple[Rows, Rows]], bound: float = LARGEST_DIFFERENCE) -> EncoderParity:
    """`check_scores` of several references, each with its candidate, that may have other classes each."""
    for reference, candidate in pairs:
        _same_shape(reference, candidate)
    differences = np.concatenate(
        [np.abs(_probabilities(one) - _probabilities(other)).max(axis=1) for one, other in pairs]
    )
    report = EncoderParity(len(differences), float(differences.max()), float(differences.mean()), bound)
    if not report.worst <= bound:
        raise ParityFailed(
            [f"a probability differs by {report.worst:.3f} where at most {bound} was expected "
             f"(at the mean of {len(differences)} texts by {report.mean:.3f})"]
        )  # fmt: skip
    return report


def _scaled(rows: Rows) -> Rows:
    scaled: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def _same_shape(reference: Rows, candidate: Rows) -> None:
    if reference.shape != candidate.shape:
        raise ParityFailed([f"its rows have the shape {candidate.shape} where {reference.shape} was expected"])


def _probabilities(logits: Rows) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    if wide.shape[1] == 1:
        wide = np.concatenate([wide, np.zeros_like(wide)], axis=1)  # the softmax of x and 0 is the sigmoid of x
    wide = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = wide / wide.sum(axis=1, keepdims=True)
    return shares
