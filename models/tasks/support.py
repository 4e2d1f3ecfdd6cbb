"""Whether a passage supports a sentence: both are read together by a cross-encoder.

The model is one trained with the recipe `support`, or one of inference pairs, whose "entailment" then counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.tasks.base import as_texts
from models.tasks.roles import SUPPORT_TOKENS, support_index
from models.tasks.scoring import SequenceScorer
from models.tasks.windows import windows_of


class SupportJudge(SequenceScorer):
    """A classifier of a passage and a claim; a long passage is read in windows and counts with its best one."""

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
        import torch

        said, found = as_texts(claims, "claim"), as_texts(passages, "passage")
        if len(said) != len(found):
            raise ValueError(f"expected a passage for each claim, found {len(said)} claims and {len(found)} passages")
        if not said:
            return []
        size = self.read_tokens
        windows = windows_of(self.load().tokenizer, found, window=size, stride=size // 4, after=said)
        index = support_index(self.config)
        assert index is not None  # checked when the model was named
        probabilities = torch.softmax(self.logits(windows), -1)[:, index].tolist()
        best = [0.0] * len(said)
        for window, probability in zip(windows, probabilities, strict=True):
            best[window.sample] = max(best[window.sample], probability)
        return best

    @property
    def read_tokens(self) -> int:
        """Tokens of one window: what the model was trained on, or all it can read."""
        trained = self.config.get(SUPPORT_TOKENS)
        return min(self.window, trained) if isinstance(trained, int) else self.window
