"""Whether a passage supports a sentence: by a reader that is asked for what the sentence says, or by a cross-encoder.

The reader is one trained with the recipe `support`, with trees that weigh what it says (`models/tasks/evidence.py`); a
cross-encoder of inference pairs reads both texts together, and its "entailment" counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from models.tasks.base import as_texts
from models.tasks.evidence import evidence, questions_of, weighed
from models.tasks.extractor import Extractor
from models.tasks.roles import SUPPORT_TREES, support_index
from models.tasks.scoring import SequenceScorer
from models.tasks.windows import windows_of


class SupportJudge(SequenceScorer):
    """Judges a claim by its passage; a long passage is read in windows and counts with its best one."""

    role_name = "support"

    def judge(self, claims: Sequence[str], passages: Sequence[str]) -> list[float]:
        """The probability, 0 to 1, that each passage supports the claim beside it, in order.

        Args:
            claims: Sentences; a short answer after its question is one, too.
            passages: As many texts.

        Raises:
            EmptyText: a claim or a passage is empty.
            PromptTooLong: a claim leaves no room for text in the window.
        """
        said, found = as_texts(claims, "claim"), as_texts(passages, "passage")
        if len(said) != len(found):
            raise ValueError(f"expected a passage for each claim, found {len(said)} claims and {len(found)} passages")
        if not said:
            return []
        if self._reads:
            return [weighed(self.config[SUPPORT_TREES], numbers) for numbers in self.evidence(said, found)]
        return self._of_pairs(said, found)

    def evidence(self, claims: Sequence[str], passages: Sequence[str]) -> list[list[float]]:
        """What speaks for each claim in the passage beside it, in numbers (`evidence.py`), with a reader alone."""
        asked = [questions_of(claim, passage) for claim, passage in zip(claims, passages, strict=True)]
        texts = [passage for passage, own in zip(passages, asked, strict=True) for _ in own]
        answers = iter(self._reader.many([question for own in asked for question, _ in own], texts, can_abstain=False))
        return [
            evidence(claim, passage, own, [next(answers) for _ in own])
            for claim, passage, own in zip(claims, passages, asked, strict=True)
        ]

    def _of_pairs(self, claims: Sequence[str], passages: Sequence[str]) -> list[float]:
        import torch

        size = self.window
        windows = windows_of(self.load().tokenizer, passages, window=size, stride=size // 4, after=claims)
        supported = support_index(self.config)
        best = [0.0] * len(claims)
        for window, row in zip(windows, torch.softmax(self.logits(windows), -1), strict=True):
            best[window.sample] = max(best[window.sample], float(row[supported]))
        return best

    @cached_property
    def _reader(self) -> Extractor:
        return Extractor(str(self.folder), home=self._home)

    @property
    def auto_class(self) -> str:
        """By the architecture."""
        return self._reader.auto_class if self._reads else super().auto_class

    @property
    def _reads(self) -> bool:
        return SUPPORT_TREES in self.config
