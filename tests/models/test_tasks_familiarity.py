"""How familiar a text looks by how often its pieces were seen, computed by hand."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from models.tasks.familiarity import FILE, Familiarity, count_pieces, read_familiar, write_familiar

SEEN = ["red house", "red red"]  # "▁red" three times, "▁house" once
TOTAL = 4 + 0.1 * 7
RED, HOUSE, UNSEEN = (log(count / TOTAL) for count in (3.1, 1.1, 0.1))


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    pieces = [("<unk>", 0.0), ("▁red", -1.0), ("▁house", -2.0), ("▁", -3.0), ("r", -4.0), ("e", -4.5), ("d", -5.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, 0, False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@pytest.fixture
def familiarity(tokenizer: PreTrainedTokenizerFast) -> Familiarity:
    return Familiarity(tokenizer, count_pieces(tokenizer, SEEN))


@pytest.mark.parametrize(
    ("text", "total", "characters", "pieces"),
    [
        ("red house", RED + HOUSE, 9, 2),
        ("red red", 2 * RED, 7, 2),
        (" red", RED, 3, 1),
        ("der", 4 * UNSEEN, 3, 4),
        ("redd", RED + UNSEEN, 4, 2),
        ("", 0.0, 1, 1),
    ],
)
def test_it_is_the_mean_of_the_logarithms_of_shares_a_character_and_a_piece(
    familiarity: Familiarity, text: str, total: float, characters: int, pieces: int
) -> None:
    assert familiarity(text) == pytest.approx((total / characters, total / pieces))


def test_letters_it_never_saw_count_each_however_many_they_are(familiarity: Familiarity) -> None:
    # the piece of the word's beginning, and as many unknown letters
    assert familiarity("水" * 50) == pytest.approx((51 * UNSEEN / 50, UNSEEN))
    assert familiarity("red 水") < familiarity("red red")


def test_a_text_is_known_that_reaches_both_numbers(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    assert read_familiar(tmp_path, tokenizer) == {}
    write_familiar(tmp_path, {"en": (count_pieces(tokenizer, SEEN), ((RED + HOUSE) / 9 - 1e-6, RED - 1e-6))})
    [(language, familiar)] = read_familiar(tmp_path, tokenizer).items()
    assert language == "en"
    assert familiar.knows("red red")
    assert not familiar.knows("red house")  # a piece: rarer than "red"
    assert not familiar.knows("der")
    (tmp_path / FILE).write_text('{"en": {"pieces": 3}}')
    assert read_familiar(tmp_path, tokenizer) == {}
