"""The task verbs as a person types them: one JSON value out, the batch form, wrong usage and named failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification

from hearth import main
from models.tasks.classifier import TextClassifier
from tests.models.tiny_tasks import save_bert
from tests.models.tiny_translators import save_marian


@pytest.fixture(autouse=True)
def _tiny(float32: None, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_EMBED_MODEL", str(tiny_encoder_folder))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON value of a verb that must succeed."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_classify_with_a_trained_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_bert(tmp_path / "model", BertForSequenceClassification, labels=["bad", "good", "so"])
    found = run(capsys, "classify", "the river runs", "--model", str(folder))
    assert [set(item) for item in found] == [{"label", "score"}] * 3
    assert [item["score"] for item in found] == sorted((item["score"] for item in found), reverse=True)
    assert sum(item["score"] for item in found) == pytest.approx(1)


def test_classify_reads_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_bert(tmp_path / "pairs", BertForSequenceClassification, labels=["a", "b"])
    alone = run(capsys, "classify", "the river runs", "--model", str(folder))
    pair = run(capsys, "classify", "the river runs", "--pair", "past old towns", "--model", str(folder))
    assert pair != alone
    source, target = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "the river runs", "text_pair": "past old towns"}\n')
    run(capsys, "classify", "--input", str(source), "--output", str(target), "--model", str(folder))
    row = json.loads(target.read_text())
    assert row["labels"] == pair
    assert row["chosen"] == [row["label"]]


def test_classify_with_labels(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "classify", "the quick brown fox", "--labels", "fox, dog ,manual")
    assert {item["label"] for item in found} == {"fox", "dog", "manual"}


def test_the_batch_form_equals_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_bert(tmp_path / "model", BertForSequenceClassification, labels=["bad", "good"])
    texts = ["the river runs", "fish !", "ada lovelace wrote notes in london about a machine"]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"n": n, "text": text}) + "\n" for n, text in enumerate(texts)))
    report = run(capsys, "classify", "--input", str(source), "--output", str(target), "--model", str(folder))
    assert report["rows"] == 3
    assert set(report) == {"rows", "seconds", "rows_per_second"}
    classifier = TextClassifier(str(folder), home=tmp_path)
    for n, (row, text) in enumerate(zip(rows_of(target), texts, strict=True)):
        assert (row["n"], row["text"]) == (n, text)
        assert row["label"] == classifier(text).label
        assert row["score"] == pytest.approx(classifier(text).score, abs=1e-5)


def test_rows_may_bring_their_own_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"text": "a fox", "labels": ["fox", "dog"]}, {"text": "a dog", "labels": ["manual", "lazy", "dog"]}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(capsys, "classify", "--input", str(source), "--output", str(target))
    assert [len(row["labels"]) for row in rows_of(target)] == [2, 3]


def test_translate_and_its_batch_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(save_marian(tmp_path / "marian"))
    found = run(capsys, "translate", "the river runs", "--to", "German", "--model", folder)
    assert set(found) - {"cut_off"} == {"translation", "source_language", "target_language", "model"}
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "the river runs"}\n{"text": "the river runs", "to": "de", "from": "en"}\n')
    run(capsys, "translate", "--input", str(source), "--output", str(target), "--to", "de", "--model", folder)
    assert [row["translation"] for row in rows_of(target)] == [found["translation"]] * 2


def test_entities_and_fill_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tags = save_bert(tmp_path / "ner", BertForTokenClassification, labels=["O", "B-PER", "I-PER"])
    text = "Ada Lovelace wrote notes in London"
    for entity in run(capsys, "entities", text, "--model", str(tags)):
        assert text[entity["start"] : entity["end"]] == entity["text"]
    mlm = save_bert(tmp_path / "mlm", BertForMaskedLM)
    assert len(run(capsys, "fill-mask", "the ___ runs", "--top-k", "3", "--model", str(mlm))) == 3


def test_encoder_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    same = run(capsys, "similarity", "the quick fox", "the quick fox")
    assert same["score"] == pytest.approx(1, abs=1e-4)
    ranked = run(capsys, "rank", "the quick fox", "a lazy dog", "the quick fox")
    assert [item["index"] for item in ranked] == [1, 0]
    text = "The office moved to Oslo in March. The dog sleeps."
    found = run(capsys, "extract", text, "--question", "Where did the office move?")
    assert (found["method"], found["model"]) == ("span", "answers@2")
    assert found["answer"] == text[found["start"] : found["end"]] == "Oslo"
    assert run(capsys, "language", "Wo ist der Bahnhof?")["language"] == "de"


def test_summarize_a_file_counts_its_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("The quick fox jumps over dogs. A model answers one token. The dog is lazy today.")
    found = run(capsys, "summarize", str(file), "--words", "6")
    assert (found["pages_read"], found["pages_total"]) == (1, 1)
    assert found["summary"] in file.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify"],
        ["classify", "text", "--input", "a.jsonl", "--output", "b.jsonl"],
        ["classify", "--input", "a.jsonl"],
        ["translate", "text"],
        ["extract", "text"],
        ["similarity", "one"],
        ["rank", "query"],
        ["table-answer", "question"],
        ["fill-mask", "a ___", "--top-k", "0"],
        ["summarize"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("hearth: usage:")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["classify", "text", "--labels", "one"], "too_few_labels"),
        (["classify", "text"], "no_task_model"),
        (["classify", " ", "--labels", "a,b"], "empty_text"),
        (["classify", "text", "--model", "no-such-model"], "model_not_found"),
        (["classify", "text", "--model", "smollm2-135m-instruct"], "wrong_role"),
        (["translate", "text", "--to", "pl"], "language_not_supported"),
        (["entities", "text"], "no_task_model"),
        (["fill-mask", "a ___"], "no_task_model"),
        (["summarize", "no/such/file.pdf"], "not_found"),
        (["classify", "--input", "no.jsonl", "--output", "out.jsonl", "--labels", "a,b"], "system_error"),
    ],
)
def test_named_failures(arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_what_to_fetch_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    main(["translate", "text", "--to", "pl"])
    assert "hearth models pull google/madlad400-3b-mt" in capsys.readouterr().err


def test_a_bad_row_is_named_by_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "a"}\n{"text": "b", "labels": ["x"]}\n')
    status = main(["classify", "--input", str(source), "--output", str(tmp_path / "out"), "--labels", "a,b", "--json"])
    assert status == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "bad_row"
    assert error["message"].startswith("Line 2 of in.jsonl has fewer than 2")
