"""Tiny seeded task models on disk: real architectures and tokenizers, random weights, answers in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, processors
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertConfig, PreTrainedTokenizerFast

WORDS = (
    "the river runs past old towns and new bridges while people in boats look for fish near green hills . "
    "ada lovelace wrote notes in london about a machine by charles babbage , which was never finished ! "
    "who wrote the notes ? where did she live ? this example is about sports , business or science ."
)
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def bert_tokenizer(window: int) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer with BERT's special tokens; words outside `WORDS` fall into pieces."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*SPECIALS, *WORDS.split(), *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=60))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=window,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def save_bert(
    folder: Path,
    model_class: Any,
    *,
    labels: Sequence[str] = (),
    window: int = 32,
    positions: int | None = None,
    layers: int = 2,
    seed: int = 0,
    **config: Any,
) -> Path:
    """Writes a random BERT of the given class; `layers=0` makes every token's output depend on that token alone."""
    tokenizer = bert_tokenizer(window)
    if labels:
        config |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    torch.manual_seed(seed)
    model = model_class(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=24,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=positions or window,
            **{"initializer_range": 0.6, **config},
        )
    ).eval()
    if not layers:
        embeddings = getattr(model, "bert", model).embeddings
        embeddings.position_embeddings.weight.data.zero_()
        embeddings.token_type_embeddings.weight.data.zero_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def long_text(words: int, seed: int = 0) -> str:
    """Words of `WORDS` in a random order, some of them unknown to the vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    known = [*WORDS.split(), "zebra", "quixotic"]
    return " ".join(known[int(torch.randint(len(known), (1,), generator=generator))] for _ in range(words))
