"""Encoder-decoders that learn to write one text for another: what translation and summarization share.

Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762 (the model made from scratch); label smoothing as there.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.scratch import Scratch
from training.tasks.base import IGNORED, Row, Task, change_config, change_json, padded, padded_inputs
from training.tasks.generating import cut_to, label_count, loss_at
from training.tokenizers import FORMS, TokenizerOptions

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NewEncoderDecoder:
    """Keys of `[task.model]`, where the recipe names no base.

    `width` is that of embeddings and layers, `inner` that of the feed-forward part, `layers` the number on each side
    or, with `decoder_layers`, the encoder's (a shallow decoder writes sooner); one matrix embeds source and target and
    makes the logits. `window` is the most tokens of a text.
    """

    width: int = 256
    inner: int = 1024
    layers: int = 4
    decoder_layers: int | None = None
    heads: int = 4
    dropout: float = 0.1
    window: int = 256


class Seq2Seq(Task):
    """Learns to write `references` for what `source_text` makes of a row; of several one is drawn at each pass."""

    auto_class = "AutoModelForSeq2SeqLM"

    @abstractmethod
    def source_text(self, row: Row) -> str:
        """What the encoder reads, by the served class's own function."""

    def target_settings(self, row: Row) -> None:
        """Tells the tokenizer what it must know of a row's target."""

    def specific(self) -> dict[str, Any]:
        """The configuration's `task_specific_params`, by which the served class knows its prefixes."""
        return {}

    def special_tokens(self) -> Sequence[str]:
        """Special tokens of a tokenizer trained here beyond the usual."""
        return ()

    def scratch(self) -> Scratch:
        return Scratch(
            tokenizer=self.options.tokenizer,
            form=FORMS["seq2seq"],
            texts=("text", "references"),
            window=self.options.model.window,
            config=self._new_config,
            more=self.special_tokens(),
        )

    def _new_config(self, tokenizer: Any) -> dict[str, Any]:
        new: NewEncoderDecoder = self.options.model
        depth = {"encoder": new.layers, "decoder": new.decoder_layers or new.layers}
        sides = {
            f"{side}_{name}": value
            for side in depth
            for name, value in (("layers", depth[side]), ("attention_heads", new.heads), ("ffn_dim", new.inner))
        }
        return sides | {
            # Layer norms stand first in every block. With Marian's, which stand last, the tokens of small encoders fell
            # together and the decoder never looked at the source.
            "model_type": "pegasus",
            "vocab_size": len(tokenizer),
            "d_model": new.width,
            "dropout": new.dropout,
            "max_position_embeddings": new.window,
            "activation_function": "relu",
            "scale_embedding": True,
            "init_std": new.width**-0.5,  # embeddings of length 1 after the scaling, as in the source
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "decoder_start_token_id": tokenizer.pad_token_id,
            "forced_eos_token_id": None,  # the default is an id of one published model
            "forced_bos_token_id": None,
        }

    def feature(self, row: Row) -> dict[str, Any]:
        ids = list(self.tokenizer(self.source_text(row), verbose=False)["input_ids"])
        self.target_settings(row)
        targets = [list(self.tokenizer(text_target=one, verbose=False)["input_ids"]) for one in row["references"]]
        most = self.max_tokens
        return {
            "input_ids": cut_to(ids, most),
            "targets": [cut_to(one, most) for one in targets],
            "cut": max(map(len, [ids, *targets])) > most,
        }

    def length(self, feature: Mapping[str, Any]) -> int:
        return max(map(len, [feature["input_ids"], *feature["targets"]]))

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        draw = random.Random(seed)
        batch = padded_inputs(self.tokenizer, features)
        return batch | {"labels": padded([draw.choice(feature["targets"]) for feature in features], IGNORED)}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return label_count(batch)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        labels = batch["labels"]
        learned = labels != IGNORED
        shifted = _shifted(labels, self.base_config)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        smoothing = self.recipe.training.label_smoothing
        return loss_at(model, learned, labels[learned], smoothing, **inputs, decoder_input_ids=shifted)

    def model_files(self, folder: Path) -> None:
        change_config(folder, {"task_specific_params": self.specific()} if self.specific() else {})
        change_json(folder / "generation_config.json", {"num_beams": self.options.beams} if self.options.beams else {})

    def example(self, feature: Mapping[str, Any]) -> str:
        targets = " ⟧ or ⟦ ".join(self.tokenizer.decode(one) for one in feature["targets"])
        return f"{self.tokenizer.decode(feature['input_ids'])} ⟦ {targets} ⟧"


def _shifted(labels: torch.Tensor, config: Mapping[str, Any]) -> torch.Tensor:
    """What the decoder reads: the labels one place later, its start token first, padding where there is no label."""
    shifted = labels.roll(1, dims=1)
    shifted[:, 0] = int(config["decoder_start_token_id"])
    return shifted.masked_fill(shifted == IGNORED, int(config["pad_token_id"]))


@dataclass(frozen=True)
class WritingOptions:
    """Keys of `[task]` for encoder-decoders.

    `beams` of the search when serving (None keeps the base's); `[task.model]` and `[task.tokenizer]` describe what is
    made where the recipe names no base.
    """

    beams: int | None = None
    model: NewEncoderDecoder = field(default_factory=NewEncoderDecoder)
    tokenizer: TokenizerOptions = field(default_factory=TokenizerOptions)
