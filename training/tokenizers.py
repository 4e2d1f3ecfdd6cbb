"""Tokenizers trained on a recipe's own text: Unigram, BPE and WordPiece, saved so that AutoTokenizer loads them.

Sources: Kudo 2018, https://arxiv.org/abs/1804.10959 (Unigram); Sennrich et al. 2016, https://arxiv.org/abs/1508.07909
(BPE); Schuster and Nakajima 2012 (WordPiece).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.errors import DataError, TooFewRows

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
    found = (text for text in texts if text.strip())
    first = next(found, None)
    if first is None:
        raise TooFewRows("the training text", "is empty, so no tokenizer could be learned from it.")
    tokenizer = _untrained(options, form.specials["unk"])
    _LEARNERS[options.kind](tokenizer, chain([first], found), options.size, names, form.specials["unk"])
    tokenizer.add_special_tokens(names)
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


def _learn_unigram(tokenizer: Any, texts: Iterable[str], size: int, specials: Sequence[str], unknown: str) -> None:
    """By sentencepiece, whose pieces are the same each time; those of the library's own trainer are not."""
    import sentencepiece
    from tokenizers import models

    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(tokenizer.normalizer.normalize_str, texts),
            model_writer=written,
            vocab_size=size - len(specials) + 1,  # one for its own unknown piece, which the specials hold already
            hard_vocab_limit=False,
            character_coverage=0.9999,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=100_000,
            num_threads=1,
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        if "smaller than required_chars" not in str(error):
            raise
        problem = f"has more letters than task.tokenizer.size = {size} has room for; raise it."
        raise DataError("the training text", problem) from error
    learned = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    pieces = [(learned.id_to_piece(at), learned.get_score(at)) for at in range(learned.get_piece_size())]
    own = [(piece, score) for at, (piece, score) in enumerate(pieces) if at != learned.unk_id()]
    vocabulary = [(name, 0.0) for name in specials] + own
    tokenizer.model = models.Unigram(vocabulary, list(specials).index(unknown), False)


def _learn_bpe(tokenizer: Any, texts: Iterable[str], size: int, specials: Sequence[str], unknown: str) -> None:
    from tokenizers import pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(specials), initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)


def _learn_wordpiece(tokenizer: Any, texts: Iterable[str], size: int, specials: Sequence[str], unknown: str) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words = Counter(word for text in texts for word in _words(tokenizer, text))
    letters = sorted({letter for word in words for letter in word})
    # letters inside a word are given ids beforehand: by themselves they get them in an order that changes each time
    first = [*specials, *letters, *(f"##{letter}" for letter in letters)]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=first, show_progress=False)
    learner = Tokenizer(models.WordPiece(unk_token=unknown))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator((word for word in sorted(words) for _ in range(words[word])), trainer)
    tokenizer.model = models.WordPiece(learner.get_vocab(), unk_token=unknown)


def _words(tokenizer: Any, text: str) -> list[str]:
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))]


_LEARNERS = {"unigram": _learn_unigram, "bpe": _learn_bpe, "wordpiece": _learn_wordpiece}
