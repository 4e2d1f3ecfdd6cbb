"""Text classification: equal to transformers' own pipeline, equal in batches, and nothing of a long text unread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    pipeline,
)

from models.device import DeviceChoice
from models.errors import BrokenModel, ModelNotFound, WrongRole
from models.tasks.classifier import TextClassifier
from models.tasks.errors import EmptyText
from tests.models.tiny_tasks import long_text, save_bert

TEXTS = ["the river runs past old towns", "ada lovelace wrote notes !", "zebra", "business or science ? " * 5]


@pytest.fixture
def classifier(tmp_path: Path, float32: None) -> TextClassifier:
    folder = save_bert(tmp_path / "classifier", BertForSequenceClassification, labels=["a", "b", "c"])
    return TextClassifier(str(folder), home=tmp_path)


def test_equals_the_pipeline(classifier: TextClassifier) -> None:
    peer = pipeline("text-classification", model=str(classifier.folder), top_k=None)
    expected = peer([text for text in TEXTS if len(text) < 80])
    for own, theirs in zip(classifier.many([text for text in TEXTS if len(text) < 80]), expected, strict=True):
        assert [label.label for label in own.labels] == [item["label"] for item in theirs]
        assert [label.score for label in own.labels] == pytest.approx([item["score"] for item in theirs], abs=1e-5)


def test_a_batch_equals_one_by_one(classifier: TextClassifier) -> None:
    texts = [*TEXTS, *(long_text(words, words) for words in (1, 7, 30, 60))]
    for together, alone in zip(classifier.many(texts), [classifier(text) for text in texts], strict=True):
        assert [item.label for item in together.labels] == [item.label for item in alone.labels]
        assert [item.score for item in together.labels] == pytest.approx([i.score for i in alone.labels], abs=1e-5)
        assert sum(item.score for item in together.labels) == pytest.approx(1)


def test_a_long_text_is_the_token_weighted_mean_of_its_windows(classifier: TextClassifier) -> None:
    text = long_text(90, 3)
    result = classifier(text)
    tokenizer = AutoTokenizer.from_pretrained(classifier.folder)
    model = AutoModelForSequenceClassification.from_pretrained(classifier.folder)
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    room = 32 - 2
    total = np.zeros(3)
    for start in range(0, len(ids), room):
        piece = ids[start : start + room]
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[2, *piece, 3]])).logits[0]
        total += len(piece) * torch.softmax(logits.double(), -1).numpy()
    expected = total / len(ids)
    assert result.windows == -(-len(ids) // room) > 2
    assert {item.label: item.score for item in result.labels} == pytest.approx(
        dict(zip("abc", expected.tolist(), strict=True)), abs=1e-6
    )


def test_labels_that_may_hold_together_are_judged_one_by_one(tmp_path: Path, float32: None) -> None:
    folder = save_bert(
        tmp_path / "multi",
        BertForSequenceClassification,
        labels=["a", "b", "c"],
        problem_type="multi_label_classification",
    )
    own = TextClassifier(str(folder), home=tmp_path)(TEXTS[0])
    theirs = pipeline("text-classification", model=str(folder), top_k=None)([TEXTS[0]])[0]
    assert {i.label: i.score for i in own.labels} == pytest.approx({i["label"]: i["score"] for i in theirs}, abs=1e-5)


def test_special_tokens_in_a_text_are_text(classifier: TextClassifier) -> None:
    assert classifier("the river [SEP] runs").labels != classifier("the river runs").labels
    ids = classifier.load().tokenizer("[SEP]", split_special_tokens=True)["input_ids"]
    assert ids[1:-1].count(3) == 0


def test_bf16_agrees_with_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_bert(tmp_path / "classifier", BertForSequenceClassification, labels=["a", "b", "c"])
    scores = {}
    for dtype in ("float32", "bfloat16"):
        from models.memory import unload_all

        unload_all()
        monkeypatch.setattr("models.loading.choose_device", lambda dtype=dtype: DeviceChoice("cpu", dtype, 1, "test"))
        results = TextClassifier(str(folder), home=tmp_path).many(TEXTS)
        scores[dtype] = [{item.label: item.score for item in result.labels} for result in results]
    for exact, fast in zip(scores["float32"], scores["bfloat16"], strict=True):
        assert fast == pytest.approx(exact, abs=0.06)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text_is_refused(classifier: TextClassifier, text: str) -> None:
    with pytest.raises(EmptyText, match="empty"):
        classifier.many(["fine", text])


def test_a_model_for_something_else_is_named_for_what_it_is(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "mlm", BertForMaskedLM)
    with pytest.raises(WrongRole, match="serves the role 'fill-mask', not 'classify'"):
        TextClassifier(str(folder), home=tmp_path)


@pytest.mark.parametrize(("name", "serves"), [("smollm2-135m-instruct", "chat"), ("all-minilm-l6-v2", "embed")])
def test_an_embedded_model_is_named_for_what_it_is(tmp_path: Path, name: str, serves: str) -> None:
    with pytest.raises(WrongRole, match=f"serves the role '{serves}'"):
        TextClassifier(name, home=tmp_path)


def test_an_unknown_model_is_refused_before_any_text(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        TextClassifier("no-such-model", home=tmp_path)


def test_a_missing_head_is_no_random_answer(tmp_path: Path) -> None:
    import json

    folder = save_bert(tmp_path / "headless", BertModel)
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BrokenModel, match="classifier"):
        TextClassifier(str(folder), home=tmp_path)("the river")


def test_a_second_text_stands_whole_beside_every_window(tmp_path: Path, float32: None) -> None:
    folder = save_bert(tmp_path / "pairs", BertForSequenceClassification, labels=["a", "b"])
    served = TextClassifier(str(folder), home=tmp_path)
    found = served(long_text(60, 2), "who wrote the notes ?")
    assert found.windows > 2
    assert sum(label.score for label in found.labels) == pytest.approx(1)
    peer = pipeline("text-classification", model=str(folder), top_k=None)
    theirs = peer([{"text": TEXTS[0], "text_pair": "who wrote the notes ?"}])[0]
    own = served(TEXTS[0], "who wrote the notes ?")
    assert [label.score for label in own.labels] == pytest.approx([item["score"] for item in theirs], abs=1e-5)


def test_a_learned_number_is_given_as_it_is(tmp_path: Path, float32: None) -> None:
    folder = save_bert(tmp_path / "number", BertForSequenceClassification, labels=["score"], problem_type="regression")
    own = TextClassifier(str(folder), home=tmp_path)(TEXTS[0])
    theirs = pipeline("text-classification", model=str(folder), function_to_apply="none")(TEXTS[0])
    assert own.score == pytest.approx(theirs[0]["score"], abs=1e-5)
    assert own.chosen == ("score",)


@pytest.mark.parametrize(("threshold", "count"), [(None, 1), (0.0, 1), (1.0, 0)])
def test_a_label_holds_from_the_model_s_own_threshold_on(
    tmp_path: Path, float32: None, threshold: float | None, count: int
) -> None:
    own = {} if threshold is None else {"label_threshold": threshold}
    folder = save_bert(tmp_path / "sure", BertForSequenceClassification, labels=["a", "b", "c"], **own)
    assert len(TextClassifier(str(folder), home=tmp_path)(TEXTS[0]).chosen) == count
