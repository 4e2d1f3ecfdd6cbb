"""Summaries: nothing of a long text unread, levels that always end, and the chat model's or an encoder's way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from langchain_core.embeddings import Embeddings

from models.chat import LocalChatModel
from models.tasks.errors import EmptyText
from models.tasks.sentences import sentence_spans, sentences
from models.tasks.summarizer import (
    ChatSummarizer,
    SentenceSummarizer,
    Seq2SeqSummarizer,
    map_reduce,
    pieces_of,
    prefix_of,
    whole_sentences,
)
from tests.models.tiny_translators import save_bart, save_t5

LONG = " ".join(f"Sentence number {i} has some words." for i in range(200))


def count(text: str) -> int:
    return len(text.split())


def test_pieces_hold_every_word_in_order_and_fit() -> None:
    text = LONG + " " + "word " * 300
    pieces = pieces_of(text, count=count, limit=50)
    assert " ".join(pieces).split() == text.split()
    assert all(count(piece) <= 50 for piece in pieces)


def test_a_text_that_fits_is_one_piece() -> None:
    assert pieces_of("One. Two.", count=count, limit=50) == ["One. Two."]


def test_every_piece_is_read_and_summaries_are_summarised() -> None:
    seen: list[str] = []

    def first_words(pieces: Sequence[str], most: int) -> list[str]:
        seen.extend(pieces)
        return [" ".join(piece.split()[: min(4, most)]) + "." for piece in pieces]

    progress: list[tuple[int, int]] = []
    result, pieces = map_reduce(
        LONG, first_words, count=count, limit=60, words=20, on_progress=lambda *done: progress.append(done)
    )
    assert " ".join(seen[:pieces]).split() == LONG.split()
    assert pieces > 10
    assert result.startswith("Sentence number 0")
    assert len(seen) > pieces + 1  # at least one level between
    assert len(progress) == pieces
    for piece, (reached, total) in zip(seen, progress, strict=False):
        assert (LONG[:reached].endswith(piece.split()[-1]), total) == (True, len(LONG))
    assert progress[-1] == (len(LONG), len(LONG))


def test_a_model_that_never_shortens_still_ends() -> None:
    calls = 0

    def parrot(pieces: Sequence[str], most: int) -> list[str]:
        nonlocal calls
        calls += len(pieces)
        return list(pieces)

    _, pieces = map_reduce(LONG, parrot, count=count, limit=60, words=20)
    assert calls < 3 * pieces


def test_a_trained_summariser_reads_a_long_text(tmp_path: Path, float32: None) -> None:
    summarizer = Seq2SeqSummarizer(str(save_bart(tmp_path / "bart")), home=tmp_path)
    found = summarizer(LONG, words=10)
    assert found.pieces > 20
    assert found.method == "seq2seq"
    assert found.summary


def test_t5_is_asked_with_its_prefix(tmp_path: Path, float32: None) -> None:
    plain = Seq2SeqSummarizer(str(save_t5(tmp_path / "t5")), home=tmp_path)
    own = {"summarization": {"prefix": "hindi : "}}
    named = Seq2SeqSummarizer(str(save_t5(tmp_path / "own", params=own)), home=tmp_path)
    assert (prefix_of(plain.config), prefix_of(named.config)) == ("summarize: ", "hindi : ")


def test_the_chat_model_is_asked_piece_by_piece(tiny_chat: LocalChatModel) -> None:
    found = ChatSummarizer(tiny_chat)(LONG, words=10)
    assert found.method == "chat"
    assert found.pieces > 2
    assert ChatSummarizer(tiny_chat)("The fox reads.", words=5).pieces == 1


class Topic(Embeddings):
    """Texts about the river point one way, the others another."""

    model = "topic"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, 0.01 * i] if "river" in text else [0.2, 1.0] for i, text in enumerate(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_the_texts_own_sentences_are_given_in_their_order() -> None:
    text = "The river is long and wide. A cat sat there on mats. The river floods in spring. The river feeds towns."
    found = SentenceSummarizer(Topic(), variety=0.0)(text, words=12)
    assert found.method == "sentences"
    assert "cat" not in found.summary
    assert all(sentence in text for sentence in sentences(found.summary))
    positions = [text.index(sentence) for sentence in sentences(found.summary)]
    assert positions == sorted(positions)
    assert len(found.summary.split()) <= 12


def test_many_sentences_are_read_in_batches_that_tell_how_far_they_are() -> None:
    told: list[tuple[int, int]] = []
    text = f"{LONG} {LONG.replace('Sentence', 'Line')}"
    SentenceSummarizer(Topic())(text, words=12, on_progress=lambda *done: told.append(done))
    first = sentence_spans(text)[255][1]
    assert told == [(first, len(text)), (len(text), len(text))]


def test_one_sentence_is_its_own_summary() -> None:
    assert SentenceSummarizer(Topic())("The river runs.", words=1).summary == "The river runs."


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(EmptyText):
        SentenceSummarizer(Topic())("  ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith came. He sat.", ["Dr. Smith came.", "He sat."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Revenue was 3.5 million. It grew.", ["Revenue was 3.5 million.", "It grew."]),
        ("first line\nsecond line", ["first line", "second line"]),
        ("你好。再见。", ["你好。", "再见。"]),
        ("यह है। वह था।", ["यह है।", "वह था।"]),
        (f"{'word ' * 12}goes\non here. Next.", [f"{'word ' * 12}goes\non here.", "Next."]),
        ("No end", ["No end"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected
    assert [text[start:end] for start, end in sentence_spans(text)] == expected


def test_a_cut_off_end_is_left_out() -> None:
    assert whole_sentences("One is here. Two is cut of") == "One is here."
    assert whole_sentences("only a start") == "only a start"
