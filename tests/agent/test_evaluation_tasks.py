"""`eval classify|translate|summarize`: the right figures from files whose answers are known, bad rows named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.documents import WholeText, read_file
from agent.errors import BadInput
from agent.evaluation_tasks import (
    evaluate_classification,
    evaluate_summaries,
    evaluate_translation,
    read_examples,
)
from agent.settings import Settings
from tests.doubles import HashEmbeddings
from tests.pdf import write_pdf


@pytest.fixture
def house(tmp_path: Path) -> Any:
    embeddings = HashEmbeddings()
    return SimpleNamespace(
        settings=Settings(home=tmp_path), home=tmp_path, embeddings=lambda: embeddings, chat_model=lambda: None
    )


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_classification_without_training(house: Any, tmp_path: Path) -> None:
    rows = [{"text": f"{word} {word} today", "label": word} for word in ("river", "money", "sport")] * 2
    rows.append({"text": "money money", "label": "river"})
    found = evaluate_classification(house, write(tmp_path / "data.jsonl", rows))
    assert found["n"] == 7
    assert found["accuracy"] == pytest.approx(6 / 7, abs=1e-4)
    # river: 1, 2/3 -> 0.8; money: 2/3, 1 -> 0.8; sport: 1
    assert found["macro_f1"] == pytest.approx((0.8 + 0.8 + 1) / 3, abs=1e-4)


def test_translation_is_scored_with_its_signature(house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Upper:
        name = "upper"

        def many(self, texts: Sequence[str], *, to: str, source: str | None) -> list[Any]:
            return [SimpleNamespace(translation=f"{text} {to} {source}") for text in texts]

    monkeypatch.setattr("models.tasks.open.Tasks.translator", lambda self, name=None: Upper())
    rows = [
        {"text": "one two three", "reference": "one two three de en", "to": "de", "from": "en"},
        {"text": "four five six", "references": ["no", "four five six fr None"], "to": "fr"},
    ]
    found = evaluate_translation(house, write(tmp_path / "data.jsonl", rows))
    assert (found["bleu"], found["chrf"], found["n"]) == (1.0, 1.0, 2)
    assert "tok:13a" in found["signature"]
    rows[1].pop("to")
    with pytest.raises(BadInput, match="target language"):
        evaluate_translation(house, write(tmp_path / "data.jsonl", rows))


def test_summaries_of_one_sentence_are_themselves(house: Any, tmp_path: Path) -> None:
    rows = [{"text": "The river runs.", "reference": "the river runs"}]
    found = evaluate_summaries(house, write(tmp_path / "data.jsonl", rows))
    assert (found["rouge1"], found["rouge2"], found["rougeL"]) == (1.0, 1.0, 1.0)
    assert found["method"] == "sentences"


@pytest.mark.parametrize(
    "row", [{"label": "a"}, {"text": "a"}, {"text": " ", "label": "a"}, {"text": "a", "label": []}]
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: dict[str, Any]) -> None:
    path = write(tmp_path / "data.jsonl", [{"text": "a", "label": "b"}, row])
    with pytest.raises(BadInput, match=r"line 2 .* expected text and label"):
        read_examples(path, ("label",))


def test_no_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no rows"):
        read_examples(write(tmp_path / "data.jsonl", []), ("label",))


def test_every_page_is_accounted_for(tmp_path: Path) -> None:
    file = tmp_path / "three.pdf"
    write_pdf(file, ["The first page.", "", "The third page."])
    whole = read_file(file)
    assert [whole.text[start:end].strip() for start, end in whole.pages] == ["The first page.", "", "The third page."]
    assert (whole.pages_total, WholeText("note", "text").pages_total) == (3, 1)


def test_a_folder_or_an_empty_file_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="folder"):
        read_file(tmp_path)
