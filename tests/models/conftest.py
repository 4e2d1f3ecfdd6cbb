"""Tiny seeded models with tokenizers of their own, built once a run and small enough to answer in milliseconds."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import BpeTrainer
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.chat import LocalChatModel, open_chat_model
from models.device import DeviceChoice
from models.memory import unload_all
from models.scheduler import process_scheduler
from models.templates import SMOLLM2

CORPUS = [
    "The quick brown fox jumps over the lazy dog and reads the manual.",
    "Passages have numbers; answers name them. Grüße aus Köln, 汶川大地震, 🦊🔥!",
    "A model on this machine answers one token at a time, and a person may stop it.",
]
CONTEXT = 512


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with SmolLM2's special tokens and our template."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        bos_token="<|im_start|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=SMOLLM2,
    )


def save_tiny_chat(folder: Path, *, context: int = CONTEXT, seed: int = 0, initializer_range: float = 0.02) -> Path:
    """Writes a two-layer Llama with random weights and its tokenizer."""
    tokenizer = chat_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=initializer_range,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_encoder(folder: Path) -> Path:
    """Writes a two-layer sentence encoder with mean pooling, as sentence-transformers lays it out."""
    words = sorted(set(re.findall(r"\w+|[^\w\s]", " ".join(CORPUS).lower())))
    letters = sorted(set("".join(words)) | set(string.ascii_lowercase + string.digits + string.punctuation))
    # written down and not trained: the trainer breaks ties by chance, and with it would vary all that is learned here
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{one}" for one in letters), *words]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.model_max_length = 32
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    (folder / "modules.json").write_text(
        '[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},'
        '{"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}]'
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension":16,"pooling_mode_mean_tokens":true}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length":32,"do_lower_case":false}')
    return folder


@pytest.fixture(scope="session")
def tiny_chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny chat model on disk; treat it as read-only."""
    return save_tiny_chat(tmp_path_factory.mktemp("tiny-chat"))


@pytest.fixture(scope="session")
def tiny_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sentence encoder on disk; treat it as read-only."""
    return save_tiny_encoder(tmp_path_factory.mktemp("tiny-encoder"))


@pytest.fixture
def tiny_chat(tiny_chat_folder: Path, tmp_path: Path) -> LocalChatModel:
    """The tiny chat model, opened as any local folder is."""
    return open_chat_model(str(tiny_chat_folder), home=tmp_path, max_new_tokens=24)


@pytest.fixture(autouse=True)
def _turns_as_before() -> Iterator[None]:
    """An engine that answers many at once gives the process more turns; the next test starts with as many as before."""
    before = process_scheduler().slots
    yield
    process_scheduler().slots = before


@pytest.fixture
def no_kept_models() -> Iterator[None]:
    """No model in memory before and after the test."""
    unload_all()
    yield
    unload_all()


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models load in float32 on one CPU thread, so that results can be compared exactly."""
    monkeypatch.setattr("models.loading.choose_device", lambda: DeviceChoice("cpu", "float32", 1, "for the test"))
