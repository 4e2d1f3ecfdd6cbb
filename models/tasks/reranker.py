"""Text ranking with a cross-encoder: the query and each text are read together and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.tasks.base import as_texts
from models.tasks.scoring import SequenceScorer
from models.tasks.windows import Window, windows_of


@dataclass(frozen=True)
class Ranked:
    """A text's place: `index` in the given list, and its score, higher is better."""

    index: int
    text: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """`{index, text, score}`."""
        return {"index": self.index, "text": self.text, "score": self.score}


class Reranker(SequenceScorer):
    """A cross-encoder with one relevance score, or with two classes of which the second is "relevant".

    A text longer than the window is read in overlapping windows and counts with its best one.
    """

    role_name = "rerank"

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """The relevance of each text to the query, 0 to 1, in the order given; what a library wants of its guest.

        Raises:
            EmptyText: the query or a text is empty.
            PromptTooLong: the query leaves no room for text in the window.
        """
        import torch

        asked, found = as_texts(query, "query"), as_texts(texts)
        if not found:
            return []
        windows = query_windows(self.load().tokenizer, asked[0], found, self.window)
        logits = self.logits(windows)
        relevance = torch.sigmoid(logits[:, 0]) if logits.shape[1] == 1 else torch.softmax(logits, -1)[:, 1]
        best = [0.0] * len(found)
        for window, score in zip(windows, relevance.tolist(), strict=True):
            best[window.sample] = max(best[window.sample], score)
        return best

    def rank(self, query: str, texts: Sequence[str], *, top_k: int | None = None) -> list[Ranked]:
        """The texts by relevance to the query, best first; equal ones keep their order."""
        return in_order(texts, self.rerank(query, texts), top_k)


def query_windows(tokenizer: Any, query: str, texts: Sequence[str], window: int) -> list[Window]:
    """The windows in which texts are read, the query whole before each.

    Raises:
        PromptTooLong: the query leaves no room for text.
    """
    return windows_of(tokenizer, texts, window=window, stride=window // 8, before=[query] * len(texts))


def in_order(texts: Sequence[str], scores: Sequence[float], top_k: int | None = None) -> list[Ranked]:
    """Texts with their scores, best first, at most `top_k` of them."""
    ranked = [Ranked(index, text, score) for index, (text, score) in enumerate(zip(texts, scores, strict=True))]
    return sorted(ranked, key=lambda item: -item.score)[:top_k]
