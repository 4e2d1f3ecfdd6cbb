"""Masked language model: an encoder learns the words hidden from it, from scratch or from a base, in blocks.

Source: Devlin et al. 2019, https://arxiv.org/abs/1810.04805; hidden anew at each pass as in Liu et al. 2019,
https://arxiv.org/abs/1907.11692.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Column, Part
from training.errors import TooFewRows
from training.scratch import Scratch
from training.tasks.base import IGNORED, Prediction, Row, Task, padded_inputs
from training.tasks.generating import label_count, label_loss, logits_at
from training.tasks.language_model import blocks, by_row
from training.tokenizers import FORMS, TokenizerOptions

if TYPE_CHECKING:
    import torch

    from training.evaluation import Tally

Losses = Callable[[Sequence[Sequence[int]], Sequence[Sequence[int]]], list[list[float]]]


@dataclass(frozen=True)
class NewEncoder:
    """Keys of `[task.model]`, where the recipe names no base: a ModernBERT of these sizes; `window` in tokens.

    Its rotary positions are why: a BERT, which must learn its positions, found nothing but the tokens' frequencies
    where this one had left them behind after 200 steps (training/LOG.md).
    Source: Warner et al. 2024, https://arxiv.org/abs/2412.13663.
    """

    width: int = 256
    inner: int = 512
    layers: int = 4
    heads: int = 4
    dropout: float = 0.1
    window: int = 128


@dataclass(frozen=True)
class Options:
    """Keys of `[task]`.

    `hidden` is the share of tokens to learn; of these 80 % are shown as the mask, 10 % as another token and 10 % as
    they are. `[task.model]` and `[task.tokenizer]` describe what is made where the recipe names no base.
    """

    hidden: float = 0.15
    model: NewEncoder = field(default_factory=NewEncoder)
    tokenizer: TokenizerOptions = field(default_factory=lambda: TokenizerOptions("wordpiece", 4000, True))


class MaskedLanguageModel(Task):
    """Learns hidden words; served by `MaskFiller`.

    Judged by the loss of tokens hidden once and for all, every one behind the mask; models with different tokenizers
    hide different tokens, so their losses cannot be compared.
    """

    kind = "masked-language-model"
    role = "fill-mask"
    auto_class = "AutoModelForMaskedLM"
    metric = "loss"
    higher_is_better = False
    simple_rule = "each token as often as in the training text"
    Options = Options

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("text"),)

    def scratch(self) -> Scratch:
        return Scratch(self.options.tokenizer, FORMS["encoder"], ("text",), self.options.model.window, self._new_config)

    def _new_config(self, tokenizer: Any) -> dict[str, Any]:
        new: NewEncoder = self.options.model
        return {
            "model_type": "modernbert",
            "vocab_size": len(tokenizer),
            "hidden_size": new.width,
            "intermediate_size": new.inner,
            "num_hidden_layers": new.layers,
            "num_attention_heads": new.heads,
            "embedding_dropout": new.dropout,
            "mlp_dropout": new.dropout,
            "attention_dropout": new.dropout,
            "max_position_embeddings": new.window,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.cls_token_id,
            "cls_token_id": tokenizer.cls_token_id,
            "eos_token_id": tokenizer.sep_token_id,
            "sep_token_id": tokenizer.sep_token_id,
        }

    def feature(self, row: Row) -> dict[str, Any]:
        return next(self.features([row]))

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        reading = Reading(self.tokenizer, self.max_tokens)
        for block in blocks(map(reading.tokens, rows), reading.room):
            yield {"input_ids": reading.framed(block)}

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        import torch

        batch = padded_inputs(self.tokenizer, features)
        ids, draw = batch["input_ids"], torch.Generator().manual_seed(seed)
        ordinary = ~torch.isin(ids, torch.tensor(self.tokenizer.all_special_ids))
        learned = (torch.rand(ids.shape, generator=draw) < self.options.hidden) & ordinary
        way = torch.rand(ids.shape, generator=draw)
        others = torch.randint(len(self.tokenizer), ids.shape, generator=draw)
        shown = torch.where(learned & (way < 0.8), self.tokenizer.mask_token_id, ids)
        shown = torch.where(learned & (way >= 0.9), others, shown)
        return batch | {"input_ids": shown, "labels": ids.masked_fill(~learned, IGNORED)}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return label_count(batch)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        labels = batch["labels"]
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        logits = logits_at(model, labels != IGNORED, **inputs)
        return label_loss(logits, labels[labels != IGNORED], self.recipe.training.label_smoothing)

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.fill_mask import MaskFiller

        served = MaskFiller(str(folder), home=home)
        window = min(self.recipe.training.max_tokens or served.window, served.window)
        return self._judged(Reading(served.load().tokenizer, window), rows, served.losses)

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        reading = Reading(self.tokenizer, self.max_tokens)
        counts = Counter(token for row in train for token in reading.tokens(row))
        total = counts.total() + len(self.tokenizer)  # one more of each, so that none is impossible

        def losses(texts: Sequence[Sequence[int]], hidden: Sequence[Sequence[int]]) -> list[list[float]]:
            found = zip(texts, hidden, strict=True)
            return [[-math.log((counts[ids[at]] + 1) / total) for at in own] for ids, own in found]

        return self._judged(reading, rows, losses)

    def _judged(self, reading: Reading, rows: Sequence[Row], losses: Losses) -> list[Prediction]:
        """For each row the summed loss of its hidden tokens and how many they are.

        Raises:
            TooFewRows: too little text to hide one token.
        """
        own = [reading.tokens(row) for row in rows]
        cut = list(blocks(own, reading.room))
        draw = random.Random(0)
        hidden = [[at for at, token in enumerate(block) if self._hides(draw, token, reading)] for block in cut]
        if not any(hidden):
            raise TooFewRows("the rows to judge on", "no token could be hidden; give more text.")
        places = [[at + reading.before for at in block] for block in hidden]
        found = losses([reading.framed(block) for block in cut], places)
        known = [dict(zip(at, values, strict=True)) for at, values in zip(hidden, found, strict=True)]
        likelihoods = [
            -known[index][at] if at in known[index] else None
            for index, block in enumerate(cut)
            for at in range(len(block))
        ]
        return by_row(rows, own, likelihoods)

    def _hides(self, draw: random.Random, token: int, reading: Reading) -> bool:
        return draw.random() < self.options.hidden and token not in reading.special

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        loss = sum(one["nats"] for one in predictions) / max(1, sum(one["tokens"] for one in predictions))
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

    def tally(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> Tally:
        from training.evaluation import Tally

        return Tally([[one["nats"], one["tokens"]] for one in predictions], lambda sums: sums[0] / max(1.0, sums[1]))

    def example(self, feature: Mapping[str, Any]) -> str:
        batch = self.collate([feature], 0)
        shown, learned = batch["input_ids"][0], batch["labels"][0]
        names = self.tokenizer.convert_ids_to_tokens
        return " ".join(
            token if label == IGNORED else f"{token} ⟦{names(label)}⟧"
            for token, label in zip(names(shown.tolist()), learned.tolist(), strict=True)
        )


class Reading:
    """How rows become the tokens of blocks: each row ends with the token that ends a text.

    `room` is what a block holds beside the special tokens around it, `before` how many of these stand before.
    """

    def __init__(self, tokenizer: Any, window: int) -> None:
        self._tokenizer = tokenizer
        around = list(tokenizer("")["input_ids"])
        self.before = len(around) // 2
        self._first, self._last = around[: self.before], around[self.before :]
        self.room = window - len(around)
        self.special = frozenset(tokenizer.all_special_ids)

    def tokens(self, row: Row) -> list[int]:
        """A row's tokens, special ones written in it as the plain text they are."""
        ids = self._tokenizer.encode(row["text"], add_special_tokens=False, split_special_tokens=True, verbose=False)
        return [*ids, *self._last]

    def framed(self, block: Sequence[int]) -> list[int]:
        """A block as the model reads it."""
        return [*self._first, *block, *self._last]
