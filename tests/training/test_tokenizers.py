"""Tokenizers trained on a recipe's text: what they give back, their special tokens, and their way through files."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from training.errors import DataError, TooFewRows
from training.tokenizers import FORMS, TokenizerOptions, train_tokenizer

TEXTS = ["Der kleine Hund läuft über die Straße.", "The small dog runs over the street.", "Hund und dog, dog und Hund!"]


@pytest.mark.parametrize("kind", ["unigram", "bpe", "wordpiece"])
def test_a_trained_tokenizer_gives_its_text_back_through_autotokenizer(kind: str, tmp_path: Path) -> None:
    made = train_tokenizer(TEXTS * 5, TokenizerOptions(kind, 400), FORMS["seq2seq"], tmp_path, window=64)  # type: ignore[arg-type]
    loaded = AutoTokenizer.from_pretrained(str(tmp_path))
    ids = loaded(TEXTS[0])["input_ids"]
    assert ids == made(TEXTS[0])["input_ids"]
    assert ids[-1] == loaded.eos_token_id
    assert loaded.unk_token_id not in ids
    back = loaded.decode(ids, skip_special_tokens=True)
    # WordPiece splits punctuation off and does not know where it stood
    assert back.replace(" ", "") == TEXTS[0].replace(" ", "") if kind == "wordpiece" else back == TEXTS[0]
    assert loaded.model_max_length == 64


def test_special_tokens_have_the_first_ids_and_are_never_split(tmp_path: Path) -> None:
    made = train_tokenizer(
        TEXTS * 5, TokenizerOptions("unigram", 120), FORMS["seq2seq"], tmp_path, window=64, more=["<2de>"]
    )
    assert [made.pad_token_id, made.eos_token_id, made.unk_token_id] == [0, 1, 2]
    assert made("<2de> Hund")["input_ids"][0] == 3
    assert made("<2de> Hund")["input_ids"][1:] == made("Hund")["input_ids"]


def test_the_encoder_form_frames_texts_and_pairs(tmp_path: Path) -> None:
    made = train_tokenizer(TEXTS * 5, TokenizerOptions("wordpiece", 200), FORMS["encoder"], tmp_path, window=64)
    encoded = made("dog", "Hund")
    names = made.convert_ids_to_tokens(encoded["input_ids"])
    assert names[0] == "[CLS]"
    assert names.count("[SEP]") == 2
    second = names.index("[SEP]") + 1
    assert encoded["token_type_ids"] == [0] * second + [1] * (len(names) - second)


def test_lowercase_forgets_capitals_and_bpe_keeps_every_byte(tmp_path: Path) -> None:
    small = train_tokenizer(
        TEXTS * 5, TokenizerOptions("unigram", 120, lowercase=True), FORMS["seq2seq"], tmp_path / "a", window=64
    )
    assert small("HUND")["input_ids"] == small("hund")["input_ids"]
    exact = train_tokenizer(TEXTS, TokenizerOptions("bpe", 400), FORMS["causal"], tmp_path / "b", window=64)
    odd = "  zwei  Räume\n\t🦊 \u0301"
    assert exact.decode(exact(odd)["input_ids"]) == odd


@pytest.mark.parametrize("kind", ["unigram", "bpe", "wordpiece"])
def test_the_same_texts_give_the_same_tokenizer_every_time(kind: str, tmp_path: Path) -> None:
    texts = [f"{word} {other}" for word in TEXTS[0].split() for other in TEXTS[1].split()]
    files = []
    for at in range(3):
        folder = tmp_path / str(at)
        train_tokenizer(
            texts, TokenizerOptions(kind, 150 if kind != "bpe" else 300), FORMS["encoder"], folder, window=64
        )  # type: ignore[arg-type]
        files.append((folder / "tokenizer.json").read_text())
    assert files[0] == files[1] == files[2]


def test_only_special_tokens_are_added_beside_the_vocabulary(tmp_path: Path) -> None:
    made = train_tokenizer(TEXTS * 5, TokenizerOptions("wordpiece", 200), FORMS["encoder"], tmp_path, window=64)
    assert set(made.get_added_vocab()) == set(FORMS["encoder"].specials.values())
    assert made.tokenize("dogs") == ["dog", "##s"]


def test_more_letters_than_the_vocabulary_holds_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"more letters than task\.tokenizer\.size = 12"):
        train_tokenizer(TEXTS * 5, TokenizerOptions("unigram", 12), FORMS["seq2seq"], tmp_path, window=64)


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(TooFewRows, match="is empty"):
        train_tokenizer(["", " "], TokenizerOptions("unigram", 100), FORMS["seq2seq"], tmp_path, window=64)
