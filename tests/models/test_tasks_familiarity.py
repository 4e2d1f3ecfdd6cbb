"""How familiar a text looks by a Unigram tokenizer's pieces, computed by hand."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from models.tasks.familiarity import Familiarity


@pytest.fixture
def familiarity() -> Familiarity:
    pieces = [("<unk>", 0.0), ("▁red", -1.0), ("▁house", -2.0), ("▁", -3.0), ("r", -4.0), ("e", -4.5), ("d", -5.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, 0, False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return Familiarity(PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red house", (-1 - 2) / 9),
        ("red red", -2 / 7),
        (" red", -1 / 3),
        ("der", (-3 - 5 - 4.5 - 4) / 3),
        ("redd", (-1 - 5) / 4),
        ("", 0.0),
    ],
)
def test_it_is_the_mean_of_the_pieces_logarithms_a_character(
    familiarity: Familiarity, text: str, expected: float
) -> None:
    assert familiarity(text) == pytest.approx(expected)


def test_letters_it_never_saw_are_less_familiar_than_any_piece_however_many_they_are(familiarity: Familiarity) -> None:
    assert familiarity("水") < -7
    assert familiarity("水" * 50) == pytest.approx(-15, rel=0.1)
    assert familiarity("red 水") < familiarity("red der")
