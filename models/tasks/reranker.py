"""Text ranking: a cross-encoder reads the query and each text together, or an encoder compares them word by word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.tasks.base import as_texts
from models.tasks.late import LATE, nearest
from models.tasks.scoring import SequenceScorer
from models.tasks.windows import Window, batches, padded, windows_of


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
    """A cross-encoder with one relevance score, or with two classes of which the second is "relevant"; or an encoder
    that was trained for late interaction.

    A text longer than the window is read in overlapping windows; the best one counts, or for each word its best one.
    """

    role_name = "rerank"

    @property
    def auto_class(self) -> str:
        return "AutoModel" if self.config.get(LATE) else super().auto_class

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
        if self.config.get(LATE):
            return self._late(asked[0], found)
        windows = query_windows(self.load().tokenizer, asked[0], found, self.window)
        logits = self.logits(windows)
        relevance = torch.sigmoid(logits[:, 0]) if logits.shape[1] == 1 else torch.softmax(logits, -1)[:, 1]
        best = [0.0] * len(found)
        for window, score in zip(windows, relevance.tolist(), strict=True):
            best[window.sample] = max(best[window.sample], score)
        return best

    def _late(self, query: str, texts: list[str]) -> list[float]:
        """The mean cosine of the query's words with their nearest words; of a long query, the first window's words."""
        import torch

        tokenizer = self.load().tokenizer
        asked = windows_of(tokenizer, [query], window=self.window, stride=0)[0]
        own = self._forward(**padded(tokenizer, [asked])).last_hidden_state[:, torch.tensor(asked.body)]
        best = torch.full((len(texts), own.shape[1]), -1.0)
        windows = windows_of(tokenizer, texts, window=self.window, stride=self.window // 8)
        for indices in batches(windows):
            inputs = padded(tokenizer, [windows[index] for index in indices])
            states = self._forward(**inputs).last_hidden_state
            cosines = nearest(own, states, inputs["attention_mask"].to(states.device))[0].cpu()
            for index, row in zip(indices, cosines, strict=True):
                sample = windows[index].sample
                best[sample] = torch.maximum(best[sample], row)
        return [float(score) for score in best.mean(1).clamp(min=0.0)]

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
