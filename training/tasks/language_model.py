"""Plain text: a causal language model learns each next token, from scratch or from a base, in blocks of one length.

Judged by its loss a token on text it has not seen, each text with those before it in the block.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Column, Part
from training.scratch import Scratch
from training.tasks.base import IGNORED, Prediction, Row, Task, padded_inputs
from training.tasks.chat import marked, next_token_logits
from training.tasks.generating import label_count, label_loss
from training.tokenizers import FORMS, TokenizerOptions

if TYPE_CHECKING:
    import torch

    from training.evaluation import Tally


@dataclass(frozen=True)
class NewDecoder:
    """Keys of `[task.model]`, where the recipe names no base: a Llama of these sizes; `window` in tokens."""

    width: int = 256
    inner: int = 704
    layers: int = 6
    heads: int = 4
    window: int = 256


@dataclass(frozen=True)
class Options:
    """Keys of `[task]`.

    With `lines` the rows are the lines of one text; otherwise each is a document that ends. `[task.model]` and
    `[task.tokenizer]` describe what is made where the recipe names no base.
    """

    lines: bool = False
    model: NewDecoder = field(default_factory=NewDecoder)
    tokenizer: TokenizerOptions = field(default_factory=lambda: TokenizerOptions("bpe", 4096))


class LanguageModel(Task):
    """Learns to go on with a text."""

    kind = "language-model"
    role = "chat"
    auto_class = "AutoModelForCausalLM"
    metric = "loss"
    higher_is_better = False
    simple_rule = "each token as often as in the training text"
    Options = Options

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("text", blank=True),)

    def scratch(self) -> Scratch:
        return Scratch(self.options.tokenizer, FORMS["causal"], ("text",), self.options.model.window, self._new_config)

    def _new_config(self, tokenizer: Any) -> dict[str, Any]:
        new: NewDecoder = self.options.model
        return {
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": new.width,
            "intermediate_size": new.inner,
            "num_hidden_layers": new.layers,
            "num_attention_heads": new.heads,
            "num_key_value_heads": new.heads,
            "max_position_embeddings": new.window,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }

    def feature(self, row: Row) -> dict[str, Any]:
        return {"input_ids": self._tokens(self.tokenizer, row)}

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        for block in blocks((self._tokens(self.tokenizer, row) for row in rows), self.max_tokens):
            yield {"input_ids": block, "empty": len(block) < 2}

    def _tokens(self, tokenizer: Any, row: Row) -> list[int]:
        text = f"{row['text']}\n" if self.options.lines else str(row["text"])
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids if self.options.lines else [*ids, tokenizer.eos_token_id]

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        batch = padded_inputs(self.tokenizer, features)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)
        labels[:, 0] = IGNORED
        return batch | {"labels": labels}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return label_count(batch)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return label_loss(*next_token_logits(model, batch), self.recipe.training.label_smoothing)

    def example(self, feature: Mapping[str, Any]) -> str:
        return marked(self.tokenizer, feature["input_ids"], [0] + [1] * (len(feature["input_ids"]) - 1))

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.base import window_tokens
        from models.tasks.likelihood import text_likelihoods
        from models.tasks.open_causal import open_causal

        loaded = open_causal(folder, home)
        own = [self._tokens(loaded.tokenizer, row) for row in rows]
        window = window_tokens(loaded.tokenizer, loaded.model.config.to_dict())
        cut = blocks(own, min(self.recipe.training.max_tokens or window, window))
        return by_row(rows, own, [one for block in cut for one in text_likelihoods(loaded.model, block)])

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        counts = Counter(token for row in train for token in self._tokens(self.tokenizer, row))
        total = counts.total() + len(self.tokenizer)  # one more of each, so that none is impossible
        own = [self._tokens(self.tokenizer, row) for row in rows]
        return by_row(rows, own, [math.log((counts[token] + 1) / total) for tokens in own for token in tokens])

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        nats, tokens, size = (sum(one[name] for one in predictions) for name in ("nats", "tokens", "bytes"))
        loss = nats / max(1, tokens)
        bits = nats / math.log(2) / max(1, size)
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "bits_per_byte": bits}

    def tally(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> Tally:
        from training.evaluation import Tally

        return Tally([[one["nats"], one["tokens"]] for one in predictions], lambda sums: sums[0] / max(1.0, sums[1]))


def blocks(texts: Iterable[Sequence[int]], size: int) -> Iterator[list[int]]:
    """The tokens of all texts in their order, cut into blocks of `size`; the last may be shorter."""
    block: list[int] = []
    for text in texts:
        block.extend(text)
        while len(block) >= size:
            yield block[:size]
            block = block[size:]
    if block:
        yield block


def by_row(rows: Sequence[Row], own: Sequence[Sequence[int]], likelihoods: Sequence[float | None]) -> list[Prediction]:
    """Likelihoods of all tokens in order, summed by the row they belong to; None is a token without one."""
    found, start = [], 0
    for row, tokens in zip(rows, own, strict=True):
        mine = [one for one in likelihoods[start : start + len(tokens)] if one is not None]
        start += len(tokens)
        found.append({"nats": -sum(mine), "tokens": len(mine), "bytes": len(row["text"].encode()) + 1})
    return found
