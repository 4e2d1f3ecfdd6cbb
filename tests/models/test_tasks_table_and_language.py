"""Questions about tables against transformers' pipeline, and the language of texts."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
import torch
from transformers import TapasConfig, TapasForQuestionAnswering, TapasTokenizer, pipeline

from models.errors import BrokenModel, PromptTooLong
from models.tasks.errors import BadTable, LanguageUnclear
from models.tasks.language import detect_language, languages
from models.tasks.table_answer import TableAnswerer, aggregate, read_table
from tests.models.tiny_tasks import SPECIALS, WORDS

TABLE = [
    {"river": "ada", "towns": "3", "length": "120"},
    {"river": "green", "towns": "5", "length": "80"},
    {"river": "old", "towns": "2", "length": "45"},
]


@pytest.fixture
def answerer(tmp_path: Path, float32: None) -> TableAnswerer:
    folder = tmp_path / "tapas"
    folder.mkdir()
    digits = [str(digit) for digit in range(10)]
    words = [*SPECIALS, "[EMPTY]", *WORDS.split(), "length", "longest", *digits, *(f"##{digit}" for digit in digits)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(words)))
    tokenizer = TapasTokenizer(str(folder / "vocab.txt"), model_max_length=64)
    torch.manual_seed(1)
    config = TapasConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        initializer_range=0.5,
        num_aggregation_labels=4,
        aggregation_labels={0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"},
        type_vocab_sizes=[3, 64, 64, 10, 64, 64, 10],
    )
    TapasForQuestionAnswering(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return TableAnswerer(str(folder), home=tmp_path)


@pytest.mark.parametrize("question", ["which river is longest ?", "who wrote notes ?", "towns near the old river ?"])
def test_equals_the_pipeline(answerer: TableAnswerer, question: str) -> None:
    found = answerer(question, TABLE)
    peer = pipeline("table-question-answering", model=str(answerer.folder))
    theirs = peer(table=pandas.DataFrame(TABLE), query=question)
    assert sorted(found.coordinates) == sorted(tuple(pair) for pair in theirs["coordinates"])
    assert sorted(found.cells) == sorted(theirs["cells"])
    assert found.aggregator == theirs.get("aggregator", "NONE")


def test_a_long_table_is_read_in_bands(answerer: TableAnswerer) -> None:
    columns, rows = read_table(TABLE * 12)
    bands = answerer._bands("which river ?", columns, rows)
    assert len(bands) > 2
    assert [row for _, band in bands for row in band] == rows
    assert all(rows[start : start + len(band)] == band for start, band in bands)
    found = answerer("which river ?", TABLE * 12)
    assert [rows[row][column] for row, column in found.coordinates] == list(found.cells)


def test_a_row_beyond_the_window_is_refused(answerer: TableAnswerer) -> None:
    with pytest.raises(PromptTooLong):
        answerer("which river ?", [{"river": "the river runs " * 40}])


def test_a_form_that_transformers_cannot_run_is_refused(answerer: TableAnswerer, tmp_path: Path) -> None:
    file = answerer.folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"select_one_column": False}))
    with pytest.raises(BrokenModel, match="select_one_column"):
        TableAnswerer(str(answerer.folder), home=tmp_path)


@pytest.mark.parametrize(
    ("cells", "aggregator", "expected"),
    [
        (["3", "5"], "SUM", "8"),
        (["1,200 km", "300"], "SUM", "1500"),
        (["3", "4"], "AVERAGE", "3.5"),
        (["a", "b"], "COUNT", "2"),
        (["a", "3"], "SUM", "a, 3"),
        (["a", "b"], "NONE", "a, b"),
        ([], "SUM", ""),
    ],
)
def test_cells_come_to_an_answer(cells: list[str], aggregator: str, expected: str) -> None:
    assert aggregate(cells, aggregator) == expected


@pytest.mark.parametrize("table", [[], [{}], [{"a": 1}, {"b": 2}], [{"a": 1, "b": 2}, {"a": 1}]])
def test_a_table_without_shape_is_refused(table: list[dict[str, int]]) -> None:
    with pytest.raises(BadTable):
        read_table(table)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Where is the station?", "en"),
        ("Der Zug fährt um acht Uhr ab.", "de"),
        ("Où est la gare, s'il vous plaît ?", "fr"),
        ("यह एक नदी है जो शहर से होकर बहती है।", "hi"),
        ("他在河边钓鱼。", "zh"),
        ("Мы живём у реки.", "ru"),
    ],
)
def test_the_language_is_found(text: str, code: str) -> None:
    found = detect_language(text)
    assert found.code == code
    assert 0.3 < found.score <= 1


@pytest.mark.parametrize("text", ["42", "Hi", "12.5 %"])
def test_too_little_to_tell_is_said(text: str) -> None:
    with pytest.raises(LanguageUnclear):
        detect_language(text)


def test_only_the_named_languages_count() -> None:
    found = languages("Das ist ein Haus", among=["en", "fr"])
    assert {language.code for language in found} == {"en", "fr"}
    assert sum(language.score for language in found) == pytest.approx(1)
