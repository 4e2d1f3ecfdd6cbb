"""Encoder-decoder models: many texts in, one generated text each, in batches of like length."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.errors import PromptTooLong
from models.scheduler import process_scheduler
from models.tasks.base import TaskModel, tokenizer_turn

if TYPE_CHECKING:
    import torch

# Marian's tokenizer asks for a package that only matters for odd quotation marks
warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")

_BATCH_TOKENS = 2048
_BATCH_ROWS = 32


@dataclass(frozen=True)
class Generated:
    """One generated text; `cut_off` where the limit of new tokens ended it."""

    text: str
    cut_off: bool


class Seq2SeqModel(TaskModel):
    """The generating part that translation and summarization share."""

    def token_count(self, text: str) -> int:
        """Tokens of a text as the encoder is given it, special tokens counted."""
        return len(self._encode(text))

    def generate(
        self,
        texts: Sequence[str],
        *,
        new_tokens: Callable[[int], int],
        forced_first: int | None = None,
        beams: int | None = None,
        **options: Any,
    ) -> list[Generated]:
        """The model's output for each text, in order.

        Args:
            texts: As the model wants them, prefixes included.
            new_tokens: The most new tokens for an input of so many tokens.
            forced_first: The id every output begins with, such as a target language's.
            beams: Beams of the search; None keeps the model's own setting.
            options: More settings of transformers' generation.

        Raises:
            PromptTooLong: a text is longer than the encoder's window.
        """
        found = self.candidates(texts, 1, new_tokens=new_tokens, forced_first=forced_first, beams=beams, **options)
        return [best for best, *_ in found]

    def candidates(
        self,
        texts: Sequence[str],
        count: int,
        *,
        new_tokens: Callable[[int], int],
        forced_first: int | None = None,
        beams: int | None = None,
        **options: Any,
    ) -> list[list[Generated]]:
        """So many outputs for each text, the best of the search first; the rest as for `generate`.

        `count` is at most the number of beams.
        """
        ids = [self._encode(text) for text in texts]
        longest = max((len(one) for one in ids), default=0)
        if longest > self.window:
            raise PromptTooLong(longest, self.window)
        if forced_first is not None:
            options["forced_bos_token_id"] = forced_first
        if beams is not None:
            options["num_beams"] = beams
        if count > 1:
            options["num_return_sequences"] = count
        results: list[list[Generated]] = [[]] * len(texts)
        order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
        while order:
            rows = max(1, min(_BATCH_ROWS, _BATCH_TOKENS // max(1, len(ids[order[0]]))))
            part, order = order[:rows], order[rows:]
            limits = [min(new_tokens(len(ids[index])), self._decoder_window) for index in part]
            for index, generated in zip(part, self._batch([ids[i] for i in part], limits, options), strict=True):
                results[index] = generated
        return results

    @property
    def _decoder_window(self) -> int:
        positions = self.config.get("max_position_embeddings")
        return int(positions) - 1 if isinstance(positions, int) and positions > 1 else 1024

    def likelihoods(self, texts: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The mean log-likelihood of the tokens of each output, its end with them, where the model reads that text.

        Texts and outputs that are too long for the model are cut.
        """
        import torch

        with tokenizer_turn:
            tokenizer = self.load().tokenizer
            ids = [list(tokenizer(text, verbose=False)["input_ids"])[: self.window] for text in texts]
            wanted = [list(tokenizer(text_target=one, verbose=False)["input_ids"]) for one in outputs]
        found: list[float] = []
        for at in range(0, len(ids), _BATCH_ROWS):
            rows = slice(at, at + _BATCH_ROWS)
            inputs, mask = self._padded(ids[rows])
            labels, learned = self._padded([one[: self._decoder_window] for one in wanted[rows]])
            labels = labels.masked_fill(learned == 0, -100)
            logits = self._forward(input_ids=inputs, attention_mask=mask, labels=labels).logits.float().cpu()
            losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
            found += (-losses.sum(1) / learned.sum(1)).tolist()
        return found

    def _padded(self, ids: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and their mask, each (rows, longest); an encoder reads its padding on the right."""
        import torch

        padding = int(self.load().tokenizer.pad_token_id)
        inputs = torch.full((len(ids), max(len(one) for one in ids)), padding)
        mask = torch.zeros_like(inputs)
        for row, one in enumerate(ids):
            inputs[row, : len(one)] = torch.tensor(one)
            mask[row, : len(one)] = 1
        return inputs, mask

    def _batch(self, ids: Sequence[list[int]], limits: Sequence[int], options: dict[str, Any]) -> list[list[Generated]]:
        import torch

        loaded = self.load()
        tokenizer, model = loaded.tokenizer, loaded.model
        inputs, mask = self._padded(ids)
        with process_scheduler().slot(), torch.inference_mode():
            output = model.generate(
                inputs.to(model.device), attention_mask=mask.to(model.device), max_new_tokens=max(limits), **options
            ).cpu()
        ends = _as_set(model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id)
        # a model that is made to write its end as the last token allowed has one token less for text
        forced = model.generation_config.forced_eos_token_id is not None
        each = len(output) // len(ids)
        rows = [row[1:].tolist() for row in output]
        return [
            [self._finish(row, limit - forced, ends) for row in rows[at * each : (at + 1) * each]]
            for at, limit in enumerate(limits)
        ]

    def _finish(self, row: list[int], limit: int, ends: set[int]) -> Generated:
        """A row's own text, no longer than its own limit whatever the batch's was."""
        length = next((at for at, token in enumerate(row) if token in ends), len(row))
        with tokenizer_turn:
            text = self.load().tokenizer.decode(row[: min(length, limit)], skip_special_tokens=True)
        return Generated(str(text).strip(), cut_off=length >= limit)

    def _encode(self, text: str) -> list[int]:
        with tokenizer_turn:
            return list(self.load().tokenizer(text, verbose=False)["input_ids"])


def _as_set(*ends: Any) -> set[int]:
    return {int(one) for end in ends if end is not None for one in (end if isinstance(end, list) else [end])}
