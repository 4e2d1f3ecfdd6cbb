"""Whether two engines give the same model: likelihoods of the same tokens, and the tokens that each would choose next.

A converted model serves only after this check; the numbers are kept beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelError

Logits = Callable[[Sequence[int]], npt.NDArray[np.float32]]
"""Token ids to the logits after each of them, shape (length, vocabulary)."""

REPORT_FILE = "parity.json"
ANSWER_TOKENS = 24

# Short, of different kinds, with and without a passage to copy from.
PROBES = (
    "Explain in two sentences how plants make food from sunlight.",
    "Translate into French: The library opens at nine in the morning.",
    "Give me three tips for a job interview.",
    "Passage: The Loire rises in the Cevennes and flows 1,006 kilometres to the Atlantic at Saint-Nazaire. Its basin "
    "covers more than a fifth of France.\n\nQuestion: How long is the Loire, and where does it meet the sea?",
    'Write a Python function named "mean" that returns the mean of a list of numbers.',
    "Passage: The meeting of 14 May was moved to room 3.12 because of the repairs; Ms Okafor takes the minutes.\n\n"
    "Question: Who takes the minutes?",
)


@dataclass(frozen=True)
class ParityBounds:
    """What still counts as the same model.

    bfloat16 alone, against float32 on SmolLM2-135M, gives a spread of 0.03 and an agreement of 0.97; int8 weights with
    16-bit activations 0.07 and 0.96 (1,095 tokens).

    Attributes:
        mean_difference: Most difference of the mean log-likelihoods, in nats a token.
        spread: Most mean of the differences' absolute values, token by token.
        agreement: Least share of places where both would choose the same next token.
    """

    mean_difference: float = 0.05
    spread: float = 0.2
    agreement: float = 0.9


@dataclass(frozen=True)
class ParityReport:
    """The figures of one check; `answers_agreement` counts only the candidate's own greedy answers."""

    prompts: int
    tokens: int
    reference_log_likelihood: float
    candidate_log_likelihood: float
    spread: float
    agreement: float
    answers_agreement: float
    bounds: ParityBounds = field(default_factory=ParityBounds)

    @property
    def mean_difference(self) -> float:
        """The candidate's mean log-likelihood less the reference's, in nats a token."""
        return self.candidate_log_likelihood - self.reference_log_likelihood

    def problems(self) -> list[str]:
        """Each bound that does not hold, with both numbers; NaN holds no bound."""
        found = (
            (abs(self.mean_difference) <= self.bounds.mean_difference, "mean log-likelihood differs by",
             abs(self.mean_difference), f"at most {self.bounds.mean_difference}"),
            (self.spread <= self.bounds.spread, "log-likelihoods differ by", self.spread,
             f"at most {self.bounds.spread} a token"),
            (self.agreement >= self.bounds.agreement, "same next token in a share of", self.agreement,
             f"at least {self.bounds.agreement}"),
            (self.answers_agreement >= self.bounds.agreement, "same next token within answers in a share of",
             self.answers_agreement, f"at least {self.bounds.agreement}"),
        )  # fmt: skip
        return [f"{what} {value:.3f} where {bound} was expected" for holds, what, value, bound in found if not holds]

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self) | {"mean_difference": self.mean_difference}

    def save(self, folder: Path) -> None:
        """Writes the report into a folder."""
        (folder / REPORT_FILE).write_text(json.dumps(self.to_json(), indent=1), encoding="utf-8")


class ParityFailed(ModelError):
    """A converted model that does not behave as the original; `report` has the numbers, if it came to any."""

    code = "parity_failed"

    def __init__(self, problems: Sequence[str], report: ParityReport | None = None) -> None:
        self.report = report
        self.problems = tuple(problems)
        super().__init__(
            f"The converted model is not close enough to the original and will not serve: {'; '.join(problems)}."
        )


def check_parity(
    reference: Logits,
    candidate: Logits,
    answer: Callable[[Sequence[int]], Sequence[int]],
    prompts: Sequence[Sequence[int]],
    bounds: ParityBounds | None = None,
) -> ParityReport:
    """Compares two engines on the same token ids.

    Args:
        reference: The original.
        candidate: The converted model.
        answer: The candidate's greedy answer to a prompt, made as it will be when serving.
        prompts: Token ids of the prompts.
        bounds: What still counts as the same model.

    Raises:
        ParityFailed: a bound does not hold, or the vocabularies differ.
    """
    columns: list[npt.NDArray[np.float64]] = []
    for prompt in prompts:
        ids = [*prompt, *answer(prompt)]
        ours, theirs = candidate(ids), reference(ids)
        if ours.shape != theirs.shape:
            raise ParityFailed([f"its logits have the shape {ours.shape} where {theirs.shape} was expected"])
        in_answer = np.arange(len(ids) - 1) >= len(prompt) - 1
        same = ours.argmax(-1)[:-1] == theirs.argmax(-1)[:-1]
        columns.append(np.stack([_log_likelihoods(theirs, ids), _log_likelihoods(ours, ids), same, in_answer]))
    theirs_all, ours_all, same_all, in_answers = np.concatenate(columns, axis=1)
    report = ParityReport(
        prompts=len(prompts),
        tokens=len(same_all),
        reference_log_likelihood=float(theirs_all.mean()),
        candidate_log_likelihood=float(ours_all.mean()),
        spread=float(np.abs(ours_all - theirs_all).mean()),
        agreement=float(same_all.mean()),
        answers_agreement=float(same_all[in_answers > 0].mean()) if in_answers.any() else 1.0,
        bounds=bounds or ParityBounds(),
    )
    if problems := report.problems():
        raise ParityFailed(problems, report)
    return report


def probe_prompts(tokenizer: Any) -> list[list[int]]:
    """Token ids of the probes in the tokenizer's own chat form, plain where it has none."""
    if not tokenizer.chat_template:
        return [list(tokenizer.encode(text)) for text in PROBES]
    from langchain_core.messages import HumanMessage

    from models.prompts import render

    return [render(tokenizer, [HumanMessage(text)], model="the model") for text in PROBES]


def torch_logits(model: Any) -> Logits:
    """A transformers causal model as the reference of a check."""
    import torch

    def logits(ids: Sequence[int]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            output = model(torch.tensor([list(ids)], device=model.device)).logits[0]
        values: npt.NDArray[np.float32] = output.float().cpu().numpy()
        return values

    return logits


def _log_likelihoods(logits: npt.NDArray[np.float32], ids: Sequence[int]) -> npt.NDArray[np.float64]:
    """The log-probability of each id after the first, given those before it; shape (length - 1,)."""
    scores = logits[:-1].astype(np.float64)
    scores -= scores.max(axis=-1, keepdims=True)
    chosen = scores[np.arange(len(ids) - 1), np.asarray(ids[1:])]
    values: npt.NDArray[np.float64] = chosen - np.log(np.exp(scores).sum(axis=-1))
    return values
