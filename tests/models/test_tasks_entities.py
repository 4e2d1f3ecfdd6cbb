"""Named entities: equal to transformers' own pipeline where a text fits, whole in long texts, joined by hand rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import BertForTokenClassification, pipeline

from models.tasks.entities import EntityRecognizer, _Word, join
from tests.models.tiny_tasks import long_text, save_bert

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TEXTS = ["Ada Lovelace wrote notes in London about a machine", "the river runs past old towns", "zebra quixotic"]


@pytest.fixture
def recognizer(tmp_path: Path, float32: None) -> EntityRecognizer:
    folder = save_bert(tmp_path / "ner", BertForTokenClassification, labels=TAGS, window=64)
    return EntityRecognizer(str(folder), home=tmp_path)


def test_equals_the_pipeline(recognizer: EntityRecognizer) -> None:
    peer = pipeline("token-classification", model=str(recognizer.folder), aggregation_strategy="first")
    texts = [*TEXTS, *(long_text(20, seed) for seed in range(5))]
    assert any(recognizer.many(texts))
    for text, own in zip(texts, recognizer.many(texts), strict=True):
        theirs = [(item["start"], item["end"], item["entity_group"]) for item in peer(text)]
        assert [(entity.start, entity.end, entity.label) for entity in own] == theirs
        assert [entity.score for entity in own] == pytest.approx([item["score"] for item in peer(text)], abs=1e-4)
        assert all(text[entity.start : entity.end] == entity.text for entity in own)


def test_a_long_text_loses_no_entity(tmp_path: Path, float32: None) -> None:
    # without layers and positions a word's tag depends on the word alone: windows must give what one window gives
    narrow = save_bert(tmp_path / "narrow", BertForTokenClassification, labels=TAGS, layers=0, window=16)
    wide = save_bert(tmp_path / "wide", BertForTokenClassification, labels=TAGS, layers=0, window=600, positions=600)
    short, whole = EntityRecognizer(str(narrow), home=tmp_path), EntityRecognizer(str(wide), home=tmp_path)
    state = short.load().model.state_dict()
    for key, value in whole.load().model.state_dict().items():
        if state[key].shape == value.shape:
            value.copy_(state[key])
    for seed in range(4):
        text = long_text(150, seed)
        expected = [(entity.start, entity.end, entity.label) for entity in whole(text)]
        assert expected
        assert [(entity.start, entity.end, entity.label) for entity in short(text)] == expected


def test_a_batch_equals_one_by_one(recognizer: EntityRecognizer) -> None:
    texts = [*TEXTS, long_text(100, 7)]
    for together, alone in zip(recognizer.many(texts), [recognizer(text) for text in texts], strict=True):
        assert [(e.start, e.end, e.label) for e in together] == [(e.start, e.end, e.label) for e in alone]


def words(*tags: str) -> list[_Word]:
    """Words of two letters with the given tags, a space between them, and falling scores."""
    return [_Word(3 * i, 3 * i + 2, tag, 1 - i / 10) for i, tag in enumerate(tags)]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["B-PER", "I-PER", "O"], [("PER", 0, 5)]),
        (["B-PER", "B-PER"], [("PER", 0, 2), ("PER", 3, 5)]),
        (["I-PER", "I-PER", "I-LOC"], [("PER", 0, 5), ("LOC", 6, 8)]),  # IOB1 begins with I-
        (["B-PER", "O", "I-PER"], [("PER", 0, 2), ("PER", 6, 8)]),
        (["B-PER", "E-PER", "I-PER"], [("PER", 0, 5), ("PER", 6, 8)]),
        (["S-PER", "S-PER"], [("PER", 0, 2), ("PER", 3, 5)]),
        (["PER", "PER", "LOC"], [("PER", 0, 5), ("LOC", 6, 8)]),
        (["O", "O"], []),
    ],
)
def test_tags_are_joined(tags: list[str], expected: list[tuple[str, int, int]]) -> None:
    found = join("xx " * len(tags), words(*tags))
    assert [(entity.label, entity.start, entity.end) for entity in found] == expected


def test_the_score_is_the_mean_of_the_words() -> None:
    assert join("xx xx", words("B-PER", "I-PER"))[0].score == pytest.approx(0.95)
