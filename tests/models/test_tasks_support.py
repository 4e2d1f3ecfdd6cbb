"""The judge of support: its probabilities against transformers, its windows, and which models may serve."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification

from models.errors import WrongRole
from models.registry import Registry
from models.serving import Roles
from models.tasks import SupportJudge, Tasks
from models.tasks.errors import EmptyText
from models.tasks.roles import SUPPORT_TOKENS, support_index
from models.trial import try_role
from tests.models.tiny_tasks import long_text, save_bert

LABELS = ["supported", "unsupported"]


def save_judge(folder: Path, labels: list[str] = LABELS, **config: object) -> Path:
    return save_bert(folder, BertForSequenceClassification, labels=labels, num_labels=len(labels), **config)


@pytest.mark.parametrize("labels", [LABELS, LABELS[::-1], ["contradiction", "neutral", "entailment"]])
def test_the_probability_is_that_of_passage_and_claim_read_together(
    tmp_path: Path, float32: None, labels: list[str]
) -> None:
    folder = save_judge(tmp_path / "judge", labels)
    passages, claims = ["the river runs", "ada lovelace wrote notes in london"], ["fish ?", "ada wrote"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    wanted = next(name for name in ("supported", "entailment") if name in labels)
    expected = []
    for passage, claim in zip(passages, claims, strict=True):
        with torch.inference_mode():
            logits = model(**tokenizer(passage, claim, return_tensors="pt")).logits[0]
        expected.append(float(torch.softmax(logits, -1)[labels.index(wanted)]))
    assert SupportJudge(str(folder), home=tmp_path).judge(claims, passages) == pytest.approx(expected, abs=1e-5)


def test_a_long_passage_counts_with_its_best_window(tmp_path: Path, float32: None) -> None:
    folder = save_judge(tmp_path / "judge", **{SUPPORT_TOKENS: 24})
    judge = SupportJudge(str(folder), home=tmp_path)
    assert judge.read_tokens == 24
    passage = long_text(60, 1)
    from models.tasks.windows import windows_of

    windows = windows_of(judge.load().tokenizer, [passage], window=24, stride=6, after=["ada wrote"])
    assert len(windows) > 2
    each = torch.softmax(judge.logits(windows), -1)[:, 0]
    assert judge.judge(["ada wrote"], [passage]) == pytest.approx([float(each.max())], abs=1e-6)


def test_nothing_is_judged_for_nothing_and_empty_texts_are_refused(tmp_path: Path, float32: None) -> None:
    judge = SupportJudge(str(save_judge(tmp_path / "judge")), home=tmp_path)
    assert judge.judge([], []) == []
    with pytest.raises(EmptyText):
        judge.judge([" "], ["the river"])
    with pytest.raises(EmptyText):
        judge.judge(["the river"], [""])
    with pytest.raises(ValueError, match="1 claims and 2 passages"):
        judge.judge(["a"], ["b", "c"])


def test_a_classifier_of_other_labels_is_no_judge(tmp_path: Path) -> None:
    with pytest.raises(WrongRole):
        SupportJudge(str(save_judge(tmp_path / "judge", ["good", "bad"])), home=tmp_path)
    assert support_index({"id2label": {"0": "UNSUPPORTED", "1": "Supported"}}) == 1
    assert support_index({"id2label": {"0": "not_entailment", "1": "entailment"}}) == 1
    assert support_index({}) is None


def test_a_home_has_a_judge_once_one_is_promoted(tmp_path: Path, float32: None) -> None:
    def open_tasks() -> Tasks:
        return Tasks(tmp_path, chat=pytest.fail, embeddings=pytest.fail, roles=Roles(tmp_path, profile="tiny"))

    assert open_tasks().support() is None
    Registry(tmp_path).add(save_judge(tmp_path / "model", window=200), "judge", "support")
    Registry(tmp_path).promote("judge")
    tasks = open_tasks()
    assert isinstance(tasks.support(), SupportJudge)
    house = SimpleNamespace(home=tmp_path, tasks=lambda: tasks, roles=lambda: Roles(tmp_path, profile="tiny"))
    tried = try_role(house, "support")
    assert tried.ok
    assert tried.model == "judge@1"
    assert 0 <= float(tried.gave.partition(":")[0]) <= 1
