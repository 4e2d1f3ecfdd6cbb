"""The judge of support: its probabilities against transformers, its windows, and which models may serve."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForQuestionAnswering,
    BertForSequenceClassification,
)

from models.errors import WrongRole
from models.registry import Registry
from models.serving import Roles
from models.tasks import Extractor, SupportJudge, Tasks
from models.tasks.errors import EmptyText
from models.tasks.roles import SUPPORT_TREES, support_index
from models.trial import try_role
from tests.models.tiny_tasks import long_text, save_bert

LABELS = ["supported", "unsupported"]


def save_judge(folder: Path, labels: list[str] = LABELS, **config: object) -> Path:
    return save_bert(folder, BertForSequenceClassification, labels=labels, num_labels=len(labels), **config)


def save_reader(folder: Path, trees: list[object]) -> Path:
    return save_bert(folder, BertForQuestionAnswering, **{SUPPORT_TREES: trees})


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


def test_a_reader_is_asked_for_what_a_claim_says_and_trees_weigh_it(tmp_path: Path, float32: None) -> None:
    agreement, shared = (
        9,
        1,
    )  # places of the evidence: the reader's least agreement, the share of words that stand there
    trees = [[agreement, 0.5, -2.0, 1.0], [shared, 0.5, -0.5, 0.25]]
    judge = SupportJudge(str(save_reader(tmp_path / "judge", trees)), home=tmp_path)
    passages = ["the river runs to the sea", "ada lovelace wrote notes in london", "fish swim"]
    claims = ["Who wrote notes? Ada Lovelace.", "Who wrote notes? Ada Lovelace.", "the river runs to the sea"]
    said = Extractor(str(tmp_path / "judge"), home=tmp_path).many(
        ["Who wrote notes?"] * 2, passages[:2], can_abstain=False
    )
    agreed = [float(one.answer.lower() == "ada lovelace") for one in said]
    found = judge.evidence(claims, passages)
    assert found[2][agreement] == 0.0 or found[2][agreement] == 1.0
    assert [row[shared] for row in found] == pytest.approx([0.0, 4 / 5, 0.0])
    for numbers, probability in zip(found, judge.judge(claims, passages), strict=True):
        total = (1.0 if numbers[agreement] > 0.5 else -2.0) + (0.25 if numbers[shared] > 0.5 else -0.5)
        assert probability == pytest.approx(1 / (1 + math.exp(-total)))
    assert [row[agreement] == 1.0 for row in found[:2]] >= [one == 1.0 for one in agreed]


def test_a_reader_without_trees_is_no_judge(tmp_path: Path) -> None:
    with pytest.raises(WrongRole):
        SupportJudge(str(save_bert(tmp_path / "reader", BertForQuestionAnswering)), home=tmp_path)


def test_a_long_passage_counts_with_its_best_window(tmp_path: Path, float32: None) -> None:
    judge = SupportJudge(str(save_judge(tmp_path / "judge", window=24)), home=tmp_path)
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


def test_a_promoted_judge_takes_the_place_of_the_one_that_comes_with_hearth(tmp_path: Path, float32: None) -> None:
    def open_tasks() -> Tasks:
        return Tasks(tmp_path, chat=pytest.fail, embeddings=pytest.fail, roles=Roles(tmp_path, profile="tiny"))

    assert open_tasks().named("support") == "judge@1"
    Registry(tmp_path).add(save_judge(tmp_path / "model", window=200), "my-judge", "support")
    Registry(tmp_path).promote("my-judge")
    tasks = open_tasks()
    assert isinstance(tasks.support(), SupportJudge)
    house = SimpleNamespace(home=tmp_path, tasks=lambda: tasks, roles=lambda: Roles(tmp_path, profile="tiny"))
    tried = try_role(house, "support")
    assert tried.ok
    assert tried.model == "my-judge@1"
    assert 0 <= float(tried.gave.partition(":")[0]) <= 1
