"""Fill-mask: the likeliest words for each gap in a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import PromptTooLong
from models.tasks.base import TaskModel, as_texts
from models.tasks.errors import NoMask
from models.tasks.windows import Window, batches, padded, windows_of

# every writing of a gap is understood, so that a text need not know its model
_GAPS = ("[MASK]", "<mask>", "___")


@dataclass(frozen=True)
class Filled:
    """One word for one gap, its probability, and the text with it (the other gaps left open)."""

    token: str
    score: float
    text: str

    def to_json(self) -> dict[str, Any]:
        """`{token, score, text}`."""
        return {"token": self.token, "score": self.score, "text": self.text}


class MaskFiller(TaskModel):
    """A masked language model."""

    role_name = "fill-mask"

    @property
    def mask(self) -> str:
        """The model's own writing of a gap; `[MASK]`, `<mask>` and `___` are understood by every model."""
        return str(self.load().tokenizer.mask_token)

    def __call__(self, text: str, *, top_k: int = 5) -> list[list[Filled]]:
        """For each gap of a text, in order, its `top_k` words, best first."""
        return self.many([text], top_k=top_k)[0]

    def many(self, texts: Sequence[str], *, top_k: int = 5) -> list[list[list[Filled]]]:
        """What `__call__` gives, for each text in order.

        Raises:
            EmptyText, NoMask: a text is empty or has no gap.
            PromptTooLong: a text does not fit the model's window.
        """
        found = [self._with_mask(text) for text in as_texts(texts)]
        tokenizer = self.load().tokenizer
        windows = windows_of(tokenizer, found, window=self.window, stride=0, special_as_text=False)
        if len(windows) > len(found):
            tokens = len(tokenizer.encode(max(found, key=len)))
            raise PromptTooLong(tokens, self.window)
        results: list[list[list[Filled]]] = [[] for _ in found]
        for indices in batches(windows):
            batch = padded(tokenizer, [windows[index] for index in indices])
            logits = self._forward(**batch).logits
            for row, index in enumerate(indices):
                gaps = (batch["input_ids"][row] == tokenizer.mask_token_id).nonzero().flatten().tolist()
                results[index] = [
                    self._fill(found[index], number, logits[row, gap].float(), top_k) for number, gap in enumerate(gaps)
                ]
        return results

    def losses(self, texts: Sequence[Sequence[int]], hidden: Sequence[Sequence[int]]) -> list[list[float]]:
        """Minus the natural logarithm of the probability of each hidden token, in the order of `hidden`.

        Args:
            texts: Token ids, special tokens among them, each within the window.
            hidden: For each text the places of the tokens that are masked, all at once.
        """
        import torch

        tokenizer = self.load().tokenizer
        windows = [
            _masked(index, ids, own, tokenizer) for index, (ids, own) in enumerate(zip(texts, hidden, strict=True))
        ]
        results: list[list[float]] = [[] for _ in texts]
        for indices in batches(windows):
            logits = self._forward(**padded(tokenizer, [windows[index] for index in indices])).logits
            for row, index in enumerate(indices):
                shift = logits.shape[1] - len(texts[index]) if tokenizer.padding_side == "left" else 0
                scores = torch.log_softmax(logits[row, [at + shift for at in hidden[index]]].float(), -1)
                wanted = torch.tensor([texts[index][at] for at in hidden[index]], device=scores.device)
                results[index] = (-scores.gather(1, wanted[:, None])[:, 0]).tolist()
        return results

    def _fill(self, text: str, number: int, logits: Any, top_k: int) -> list[Filled]:
        import torch

        tokenizer = self.load().tokenizer
        scores, tokens = torch.softmax(logits, -1).topk(min(top_k, logits.shape[-1]))
        filled = []
        for score, token in zip(scores.tolist(), tokens.tolist(), strict=True):
            word = tokenizer.decode([token]).strip()
            filled.append(Filled(word, score, _put(text, tokenizer.mask_token, number, word)))
        return filled

    def _with_mask(self, text: str) -> str:
        for gap in _GAPS:
            text = text.replace(gap, self.mask)
        if self.mask not in text:
            raise NoMask(self.mask)
        return text


def _masked(sample: int, ids: Sequence[int], hidden: Sequence[int], tokenizer: Any) -> Window:
    gone = set(hidden)
    shown = [tokenizer.mask_token_id if at in gone else token for at, token in enumerate(ids)]
    return Window(sample, {"input_ids": shown, "attention_mask": [1] * len(shown)}, [], [], [])


def _put(text: str, mask: str, number: int, word: str) -> str:
    """The text with `word` in its gap of that number; a word's piece joins the word before it."""
    parts = text.split(mask)
    before, after = mask.join(parts[: number + 1]), mask.join(parts[number + 1 :])
    if word.startswith("##"):
        before, word = before.rstrip(), word.removeprefix("##")
    return f"{before}{word}{after}"
