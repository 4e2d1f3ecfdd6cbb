"""Tokenizers trained on a recipe's own text: Unigram, BPE and WordPiece, saved so that AutoTokenizer loads them.

Sources: Kudo 2018, https://arxiv.org/abs/1804.10959 (Unigram); Sennrich et al. 2016, https://arxiv.org/abs/1508.07909
(BPE); Schuster and Nakajima 2012 (WordPiece).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.errors import TooFewRows

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class TokenizerOptions:
    """Keys of `[task.tokenizer]`: the kind, how many tokens at most, and whether capitals are made small."""

    kind: Literal["unigram", "bpe", "wordpiece"] = "unigram"
    size: int = 8000
    lowercase: bool = False


@dataclass(frozen=True)
class Form:
    """The special tokens of a kind of model by their role, and what stands around a text (`$A`) or a pair of them."""

    specials: dict[str, str]
    single: str
    pair: str


FORMS = {
    "seq2seq": Form({"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}, "$A </s>", "$A </s> $B </s>"),
    "encoder": Form(
        {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
        "[CLS] $A [SEP]",
        "[CLS] $A [SEP] $B:1 [SEP]:1",
    ),
    "causal": Form({"pad": "<|pad|>", "eos": "<|endoftext|>", "unk": "<|unk|>"}, "$A", "$A $B"),
}


def train_tokenizer(
    texts: Iterable[str], options: TokenizerOptions, form: Form, folder: Path, *, window: int, more: Sequence[str] = ()
) -> Any:
    """Learns a vocabulary and writes the tokenizer's files into `folder`; gives the tokenizer.

    Args:
        texts: What it learns from, in any order.
        options: Kind and size.
        form: The special tokens; they get the first ids, in their order.
        folder: Made where it is not there.
        window: Most tokens of an input, `model_max_length`.
        more: Further special tokens, such as those of target languages.

    Raises:
        TooFewRows: the texts hold nothing to learn from.
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    names = [*form.specials.values(), *more]
    tokenizer = _untrained(options, form.specials["unk"])
    found = iter(texts)
    first = next((text for text in found if text.strip()), None)
    if first is None:
        raise TooFewRows("the training text", "is empty, so no tokenizer could be learned from it.")
    tokenizer.train_from_iterator(chain([first], found), _trainer(options, names, form.specials["unk"]))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=form.single, pair=form.pair, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names]
    )
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        model_max_length=window,
        extra_special_tokens=list(more),
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", *(["token_type_ids"] if ":1" in form.pair else []), "attention_mask"],
        **{f"{role}_token": name for role, name in form.specials.items()},
    )
    fast.save_pretrained(str(folder))
    return fast


def _untrained(options: TokenizerOptions, unknown: str) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    steps: list[Any] = [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    steps += [normalizers.Lowercase()] if options.lowercase else []
    if options.kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    elif options.kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        steps = steps[3:]  # every byte is kept: what was encoded can be decoded exactly
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
        steps = [normalizers.BertNormalizer(lowercase=options.lowercase)]
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
    tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


def _trainer(options: TokenizerOptions, specials: Sequence[str], unknown: str) -> Any:
    from tokenizers import pre_tokenizers, trainers

    common: dict[str, Any] = {"vocab_size": options.size, "special_tokens": list(specials), "show_progress": False}
    if options.kind == "unigram":
        return trainers.UnigramTrainer(unk_token=unknown, **common)
    if options.kind == "bpe":
        return trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **common)
    return trainers.WordPieceTrainer(**common)
