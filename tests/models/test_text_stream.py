"""Detokenising and stop strings, against the whole text and brute force."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from models.text import Detokenizer, StopTrimmer


def expected(text: str, stops: list[str]) -> str:
    """Reads one character at a time and stops as soon as any stop is complete."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return text


def cuts(text: str) -> list[list[str]]:
    """Every way to cut a text into pieces."""
    ways = []
    for marks in itertools.product([False, True], repeat=max(0, len(text) - 1)):
        pieces, start = [], 0
        for at, cut in enumerate(marks, start=1):
            if cut:
                pieces.append(text[start:at])
                start = at
        ways.append([*pieces, text[start:]])
    return ways


@pytest.mark.parametrize("stops", [["b"], ["ab", "bca"], ["aab"], ["abcd", "bc"], ["cc", "c"], ["", "ba"], []])
def test_stop_strings_equal_brute_force_for_every_cut(stops: list[str]) -> None:
    for letters in itertools.product("abc", repeat=5):
        text = "".join(letters)
        for pieces in cuts(text):
            trimmer = StopTrimmer(stops)
            given = "".join(map(trimmer.feed, pieces)) + trimmer.flush()
            assert given == expected(text, [stop for stop in stops if stop])


def test_text_that_cannot_become_a_stop_is_not_held_back() -> None:
    trimmer = StopTrimmer(["\nUser:"])
    assert trimmer.feed("Hello") == "Hello"
    assert trimmer.feed(" you\nUs") == " you"
    assert trimmer.feed("ual") == "\nUsual"
    assert not trimmer.stopped


@pytest.fixture(scope="module")
def tokenizer(tiny_chat_folder: Path) -> object:
    return AutoTokenizer.from_pretrained(tiny_chat_folder)


@pytest.mark.parametrize(
    "text", ["plain words", "Köln 汶川 🦊🔥 é", "  two  spaces\n\n\ttab", "🇩🇪👩‍👩‍👧", "\ufffd kept"]
)
def test_pieces_add_up_to_the_text_and_hold_no_half_characters(tokenizer: object, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)  # type: ignore[attr-defined]
    stream = Detokenizer(tokenizer)
    pieces = [stream.feed(token) for token in ids] + [stream.flush()]
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_special_tokens_are_left_out(tokenizer: object) -> None:
    stream = Detokenizer(tokenizer)
    ids = tokenizer.encode("a<|im_end|>b", add_special_tokens=False)  # type: ignore[attr-defined]
    assert "".join(map(stream.feed, ids)) + stream.flush() == "ab"


def test_random_ids_never_raise_and_whole_texts_match(tokenizer: object) -> None:
    draw = random.Random(0)
    size = len(tokenizer)  # type: ignore[arg-type]
    for _ in range(50):
        ids = [draw.randrange(size) for _ in range(40)]
        stream = Detokenizer(tokenizer)
        given = "".join(map(stream.feed, ids)) + stream.flush()
        whole = tokenizer.decode(ids, skip_special_tokens=True)  # type: ignore[attr-defined]
        assert given.replace("\ufffd", "") == whole.replace("\ufffd", "")
