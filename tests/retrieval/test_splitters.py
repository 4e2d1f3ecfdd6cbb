"""Chunks: exact offsets, nothing lost, never over the limit, boundaries where a reader would put them."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from retrieval.formats import Extracted
from retrieval.splitters import Splitter
from tests.doubles import HashEmbeddings

SPANS = HashEmbeddings().token_spans
LETTERS = "ab cd. ef\n\ngh, ij! 中文。 ครับ \t…😀é\u200b\n- x 1) ?"


def pieces_of_words(text: str) -> list[tuple[int, int]]:
    """A tokenizer that makes two-letter tokens of words, so half a word can have as many tokens as the whole."""
    return [
        (match.start() + at, min(match.start() + at + 2, match.end()))
        for match in re.finditer(r"\w+|[^\w\s]", text)
        for at in range(0, len(match.group()), 2)
    ]


def random_text(seed: int) -> str:
    chance = random.Random(seed)
    parts = []
    for _ in range(chance.randrange(1, 400)):
        kind = chance.random()
        if kind < 0.03:
            parts.append("x" * chance.randrange(1, 3000))
        elif kind < 0.06:
            parts.append(" " * chance.randrange(1, 300))
        else:
            parts.append("".join(chance.choice(LETTERS) for _ in range(chance.randrange(1, 30))))
    return "".join(parts)


@pytest.mark.parametrize("spans", [SPANS, pieces_of_words], ids=["words", "pieces"])
@pytest.mark.parametrize("seed", range(60))
def test_offsets_are_exact_nothing_is_lost_and_the_limit_holds(seed: int, spans) -> None:  # type: ignore[no-untyped-def]
    text = random_text(seed)
    limit = random.Random(seed).choice([8, 20, 50])
    chance = random.Random(seed + 1)
    starts = sorted({0, *(chance.randrange(len(text) + 1) for _ in range(seed % 5))}) if seed % 2 else []
    chunks = Splitter(spans, limit, limit // 5).split(text, starts)
    covered = bytearray(len(text))
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text == chunk.text.strip() != ""
        assert len(spans(chunk.text)) <= limit
        covered[chunk.start : chunk.end] = b"\1" * (chunk.end - chunk.start)
        if starts:
            assert chunk.page is not None
            page_end = starts[chunk.page] if chunk.page < len(starts) else len(text)
            assert starts[chunk.page - 1] <= chunk.start < chunk.end <= page_end
    assert all(text[at].isspace() for at, seen in enumerate(covered) if not seen)
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)


def test_paragraphs_stay_whole_and_are_not_repeated() -> None:
    paragraphs = [f"Paragraph {number} " + "word " * 60 + "ends." for number in range(5)]
    chunks = Splitter(SPANS, 100, 20).split("\n\n".join(paragraphs))
    assert [chunk.text for chunk in chunks] == paragraphs


def test_lines_that_end_like_sentences_count_as_paragraphs() -> None:
    lines = [f"Line {number} " + "word " * 60 + "ends." for number in range(4)]
    assert [chunk.text for chunk in Splitter(SPANS, 100, 20).split("\n".join(lines))] == lines


def test_a_cut_paragraph_is_cut_at_sentences_and_overlaps() -> None:
    sentences = [f"Sentence number {number} has exactly ten words in it." for number in range(40)]
    chunks = Splitter(SPANS, 100, 25).split(" ".join(sentences))
    assert all(re.fullmatch(r"Sentence .* it\.", chunk.text, re.DOTALL) for chunk in chunks)
    assert all(after.start < before.end for before, after in itertools.pairwise(chunks))


def test_wrapped_lines_are_no_paragraphs() -> None:
    text = "\n".join("these words are one line of a wrapped paragraph and" for _ in range(30))
    chunks = Splitter(SPANS, 100, 0).split(text)
    assert all(len(SPANS(chunk.text)) > 90 for chunk in chunks[:-1])


def test_position_is_the_heading_above() -> None:
    text = "Start\n\nInstall\n\n" + "a " * 60 + "\n\nLinux\n\n" + "b " * 60 + "\n\nUse\n\n" + "c " * 60
    headings = [(text.index("Install"), 1, "Install"), (text.index("Linux"), 2, "Linux"), (text.index("Use"), 1, "Use")]
    chunks = Splitter(SPANS, 70, 10).split(text, headings=headings)
    assert [(chunk.text[-1], chunk.position) for chunk in chunks] == [
        ("a", "Install"),
        ("b", "Install > Linux"),
        ("c", "Use"),
    ]
    assert Splitter(SPANS, 30, 0).split(text, headings=headings)[0].position == "Install"


def test_d26_one_endless_word_is_cut() -> None:
    word = "x" * 10_000_000
    chunks = Splitter(SPANS, 200, 30).split(word)
    assert 4_000 < len(chunks) < 20_000
    assert max(len(chunk.text) for chunk in chunks) <= 2_400
    assert sum(len(chunk.text) for chunk in chunks) >= len(word)


def test_text_without_any_token_still_ends_up_in_chunks() -> None:
    chunks = Splitter(lambda text: [], 200, 30).split("\u200b" * 10_000)
    assert sum(len(chunk.text) for chunk in chunks) >= 10_000
    assert max(len(chunk.text) for chunk in chunks) <= 2_400


@pytest.mark.parametrize("text", ["", " \n\t ", "\n" * 1000])
def test_white_space_has_no_chunks(text: str) -> None:
    assert Splitter(SPANS).split(text) == []


def test_d08_what_the_cap_leaves_out_is_said() -> None:
    pages = [" ".join(f"w{number}x{word}" for word in range(50)) for number in range(10)]
    text = "\n\n".join(pages)
    starts = [text.index(page) for page in pages]
    extracted = Extracted(text, page_starts=starts)
    whole = Splitter(SPANS, 25, 0).split_extracted(extracted)
    assert len(whole) == 20
    capped = Splitter(SPANS, 25, 0, most_chunks=7)
    assert capped.split_extracted(extracted) == whole[:7]
    assert capped.left_out(whole[:7], extracted) == (
        "is very long: what follows its first 7 passages (page 4 of 10) is not searched; split it."
    )
    assert "(35% of its text)" in capped.left_out(whole[:7], Extracted(text))
    enough = Splitter(SPANS, 25, 0, most_chunks=20)
    assert enough.left_out(enough.split_extracted(extracted), extracted) == ""
