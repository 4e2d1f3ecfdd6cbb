"""Tiny seeded translation and summarization models on disk, one of each family, with tokenizers trained on the spot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, processors
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    NllbTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.models.tiny_tasks import WORDS

_SIZE: Mapping[str, Any] = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "init_std": 0.8,
}


def sentence_pieces(folder: Path, name: str) -> sentencepiece.SentencePieceProcessor:
    """A small unigram model over `WORDS`, written as `name`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / "lines.txt"
    lines.write_text("\n".join([WORDS, "abcdefghijklmnopqrstuvwxyz", WORDS.upper()] * 3))
    sentencepiece.SentencePieceTrainer.train(
        input=str(lines), model_prefix=str(folder / "pieces"), vocab_size=90, minloglevel=2, pad_id=3
    )
    lines.unlink()
    (folder / "pieces.vocab").unlink()
    (folder / "pieces.model").rename(folder / name)
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / name))


def save_marian(folder: Path, *, targets: tuple[str, ...] = (), window: int = 48) -> Path:
    """English to German; with `targets` English to several, chosen by `>>code<<`."""
    pieces = sentence_pieces(folder, "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    names = [pieces.id_to_piece(index) for index in range(pieces.get_piece_size())]
    words = ["</s>", "<unk>", *(f">>{code}<<" for code in targets), *names, "<pad>"]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"),
        str(folder / "target.spm"),
        str(folder / "vocab.json"),
        source_lang="eng",
        target_lang="+".join(targets) or "deu",
        model_max_length=window,
    )
    torch.manual_seed(0)
    pad = vocabulary["<pad>"]
    config = MarianConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=window,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
        **_SIZE,
    )
    _save(MarianMTModel(config), tokenizer, folder)
    return folder


def save_m2m(folder: Path, *, window: int = 48) -> Path:
    """M2M100 with its hundred languages."""
    pieces = sentence_pieces(folder, "sentencepiece.bpe.model")
    names = [pieces.id_to_piece(index) for index in range(pieces.get_piece_size())]
    words = list(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *names]))
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    tokenizer = M2M100Tokenizer(
        str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"), src_lang="en", model_max_length=window
    )
    _save(M2M100ForConditionalGeneration(_m2m_config(len(tokenizer) + 300, window)), tokenizer, folder)
    return folder


def save_nllb(folder: Path, *, window: int = 48) -> Path:
    """NLLB: the same architecture, told its languages by codes such as `deu_Latn`."""
    folder.mkdir(parents=True)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters, *(f"▁{letter}" for letter in letters), ".", "!", "?"]
    tokenizer = NllbTokenizer(
        vocab={word: index for index, word in enumerate(words)}, merges=[], src_lang="eng_Latn", model_max_length=window
    )
    _save(M2M100ForConditionalGeneration(_m2m_config(len(tokenizer) + 300, window)), tokenizer, folder)
    return folder


def save_t5(folder: Path, *, params: Mapping[str, Any] | None = None, window: int = 48) -> Path:
    """T5 with the tasks that its config names."""
    tokenizer = _word_tokenizer(window)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        n_positions=window,
        initializer_factor=4.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        task_specific_params=dict(params or {}),
    )
    _save(T5ForConditionalGeneration(config), tokenizer, folder)
    return folder


def save_bart(folder: Path, *, window: int = 48) -> Path:
    """A BART that summarises."""
    tokenizer = _word_tokenizer(window)
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=window,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=1,
        decoder_start_token_id=1,
        forced_eos_token_id=1,
        **_SIZE,
    )
    _save(BartForConditionalGeneration(config), tokenizer, folder)
    return folder


def _m2m_config(vocabulary: int, window: int) -> M2M100Config:
    torch.manual_seed(0)
    return M2M100Config(
        vocab_size=vocabulary,
        max_position_embeddings=window,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
        **_SIZE,
    )


def _word_tokenizer(window: int) -> PreTrainedTokenizerFast:
    extra = "translate English to German French summarize hindi Hello world Sentence number"
    words = dict.fromkeys(["<pad>", "</s>", "<s>", "<unk>", *WORDS.split(), *extra.split(), ":", "<", ">"])
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=window,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="<s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
