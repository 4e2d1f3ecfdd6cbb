"""One label, several, none or a number: targets and losses by hand, thresholds, and the served class at the end."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from models.tasks.classifier import TextClassifier
from models.tasks.zero_shot import EntailmentZeroShot
from tests.training.tiny import tiny_recipe
from training.errors import BadLabel
from training.run import run
from training.tasks import open_task
from training.tasks.problems import Number, Several, Single

pytestmark = pytest.mark.usefixtures("float32", "no_kept_models")
TOPICS = {"boats": "river fish boats", "work": "business machine notes", "place": "london towns hills"}


def topic_rows(count: int, labels: int = 1) -> list[dict[str, Any]]:
    """Texts of five words whose topics stand in them."""
    draw = random.Random(1)
    rows: dict[str, list[str]] = {}
    while len(rows) < count:
        own = sorted(draw.sample(sorted(TOPICS), labels if labels == 1 else draw.randint(1, labels)))
        words = [draw.choice(TOPICS[topic].split()) for topic in own for _ in (0, 1)]
        words += draw.choices("the a old new many where while about past which".split(), k=4)
        rows[" ".join(draw.sample(words, len(words)))] = own
    return [{"text": text, "label": own if labels > 1 else own[0]} for text, own in rows.items()]


def task_of(recipe: Any, base: Path, labels: tuple[str, ...]) -> Any:
    task = open_task(recipe)
    task.labels = labels
    task.attach(AutoTokenizer.from_pretrained(base), 48)
    return task


def test_targets_of_rows_with_and_without_a_label() -> None:
    problem = Single(outside="none")
    assert problem.targets([[1], [0]], 3).tolist() == [1, 0]
    assert problem.targets([[1], []], 4).tolist() == [[0, 1, 0, 0], [0.25] * 4]
    logits = torch.tensor([[1.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]])
    by_hand = -(logits[0].log_softmax(0)[1] + logits[1].log_softmax(0).mean())
    assert problem.loss(logits, problem.targets([[1], []], 4), 0.0).item() == pytest.approx(by_hand.item())


def test_several_labels_are_learned_one_by_one() -> None:
    problem = Several()
    targets = problem.targets([[0, 2], []], 3)
    assert targets.tolist() == [[1, 0, 1], [0, 0, 0]]
    logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    sigmoid = [1 / (1 + math.exp(-one)) for one in (0.5, -1.0, 2.0)]
    by_hand = -(math.log(sigmoid[0]) + math.log(1 - sigmoid[1]) + math.log(sigmoid[2])) / 3 + math.log(2)
    assert problem.loss(logits, targets, 0.0).item() == pytest.approx(by_hand, rel=1e-5)


def test_the_threshold_refuses_the_share_of_right_answers_it_may() -> None:
    said = [{"label": "a", "best": "a", "scores": {"a": score, "b": 0.0}} for score in (0.9, 0.8, 0.3, 0.7, 0.6)]
    wanted = [["a"], ["a"], ["oos"], ["a"], ["a"]]
    assert Single("oos").threshold(wanted, said, 0.0) == 0.6  # a score equal to it still holds
    assert Single("oos").threshold(wanted, said, 0.25) == 0.7
    assert Single().threshold(wanted, said, 0.25) is None


def test_the_threshold_of_several_labels_is_that_with_the_best_f1() -> None:
    draw = random.Random(4)
    names = ["a", "b", "c"]
    wanted = [draw.sample(names, draw.randint(0, 2)) for _ in range(30)]
    said = [{"scores": {name: draw.random() + 0.5 * (name in own) for name in names}} for own in wanted]

    def f1(threshold: float) -> float:
        chosen = [{name for name, score in one["scores"].items() if score >= threshold} for one in said]
        right = sum(len(a & set(b)) for a, b in zip(chosen, wanted, strict=True))
        return 2 * right / (sum(map(len, chosen)) + sum(map(len, wanted)))

    every = [score for one in said for score in one["scores"].values()]
    found = Several().threshold(wanted, said, 0.0)
    assert found is not None
    assert f1(found) == max(map(f1, every))


def test_a_correlation_of_sums_is_that_of_the_numbers() -> None:
    draw = random.Random(2)
    wanted = [draw.random() for _ in range(20)]
    said = [{"value": 3 * one + draw.random()} for one in wanted]
    tally = Number().tally(wanted, said)
    sums = [sum(column) for column in zip(*tally.counts, strict=True)]
    assert tally.score(sums) == pytest.approx(Number().scores(wanted, said)["pearson"])
    constant = Number().tally(wanted, [{"value": 2.5}] * 20)
    assert constant.score([sum(column) for column in zip(*constant.counts, strict=True)]) == 0.0


def test_several_labels_are_learned_and_served(tmp_path: Path, bert: Path) -> None:
    task = {"kind": "sequence-classification", "problem": "multi"}
    recipe = tiny_recipe(tmp_path, bert, topic_rows(160, 2), task, training={"steps": 150, "batch_rows": 16})
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["model"]["score"] > 0.8 > report["baseline"]["score"]
    assert report["model"]["metric"] == "micro_f1"
    served = TextClassifier(str(tmp_path / "run" / "model"), home=tmp_path)
    saved = json.loads((tmp_path / "run" / "model" / "config.json").read_text())["label_threshold"]
    assert served.threshold == saved
    said = [json.loads(line)["said"] for line in (tmp_path / "run" / "predictions.jsonl").open()]
    assert {len(one["labels"]) for one in said} >= {1, 2}
    assert all({name for name, score in one["scores"].items() if score >= saved} == set(one["labels"]) for one in said)


def test_a_number_is_learned_and_served_as_it_is(tmp_path: Path, bert: Path) -> None:
    rows = [row | {"label": {"boats": 2, "work": 4, "place": 6}[row["label"]]} for row in topic_rows(160)]
    recipe = tiny_recipe(
        tmp_path,
        bert,
        rows,
        {"kind": "sequence-classification", "problem": "regression"},
        training={"steps": 200, "batch_rows": 16},
    )
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["model"]["metrics"]["pearson"] > 0.8
    assert report["baseline"]["metrics"]["pearson"] == 0.0
    served = TextClassifier(str(tmp_path / "run" / "model"), home=tmp_path)
    assert served("london towns hills the").score == pytest.approx(6, abs=1.5)  # far from what a sigmoid gives
    assert served.labels == ("score",)


def test_texts_without_a_label_are_told_apart_by_a_threshold(tmp_path: Path, bert: Path) -> None:
    rows = topic_rows(300)
    for row in rows:  # one topic is none of the learned ones
        row["label"] = "oos" if row["label"] == "place" else row["label"]
    task = {"kind": "sequence-classification", "outside": "oos", "refused": 0.05}
    split = {"validation": 0.3, "test": 0.3}
    recipe = tiny_recipe(tmp_path, bert, rows, task, data={"split": split}, training={"steps": 250})
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    metrics = report["model"]["metrics"]
    assert metrics["outside_recall"] > 0.5
    assert metrics["in_scope_accuracy"] > 0.8
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert metrics["threshold"] == config["label_threshold"]
    assert sorted(config["label2id"]) == ["boats", "work"]
    found = TextClassifier(str(tmp_path / "run" / "model"), home=tmp_path)("london towns hills the old new")
    assert found.chosen == ()


def test_pairs_are_learned_and_serve_zero_shot(tmp_path: Path, bert: Path) -> None:
    draw = random.Random(3)
    rows = []
    for topic in sorted(TOPICS) * 30:
        other = draw.choice([one for one in sorted(TOPICS) if one != topic])
        text = " ".join(draw.choices(TOPICS[topic].split(), k=3) + draw.choices("the old new many".split(), k=3))
        rows += [{"p": text, "h": f"this example is about {topic}", "y": 0}]
        rows += [{"p": text, "h": f"this example is about {other}", "y": 1}]
    rows = list({json.dumps(row): row for row in rows}.values())
    recipe = tiny_recipe(
        tmp_path,
        bert,
        rows,
        {"kind": "sequence-classification", "pair": True, "names": {"0": "entailment", "1": "contradiction"}},
        data={"columns": {"text": "p", "text_pair": "h", "label": "y"}},
        training={"steps": 250, "batch_rows": 16},
    )
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["model"]["score"] > 0.9
    served = EntailmentZeroShot(str(tmp_path / "run" / "model"), home=tmp_path)
    found = served.many(["river fish boats the old", "notes machine business new"], ["boats", "work"])
    assert [one.label for one in found] == ["boats", "work"]


def test_both_texts_of_a_pair_are_read_as_serving_reads_them(tmp_path: Path, bert: Path) -> None:
    task = {"kind": "sequence-classification", "pair": True}
    row = {"text": "the river runs", "text_pair": "past old towns", "label": ["a"]}
    own = task_of(tiny_recipe(tmp_path, bert, [row], task), bert, ("a", "b"))
    feature = own.feature(row)
    kept = AutoTokenizer.from_pretrained(bert)
    assert kept.decode(feature["input_ids"]) == "[CLS] the river runs [SEP] past old towns [SEP]"
    assert feature["token_type_ids"] == [0] * 5 + [1] * 4
    batch = own.collate([feature, own.feature(row | {"text": "the", "label": ["b"]})], 0)
    assert batch["attention_mask"].sum(1).tolist() == [9, 7]
    assert batch["labels"].tolist() == [0, 1]


def test_t03_an_unseen_label_is_named_with_its_line(tmp_path: Path, bert: Path) -> None:
    rows = [{"text": f"the {word}", "label": "ab"[at % 2]} for at, word in enumerate("river towns boats fish".split())]
    (tmp_path / "other.jsonl").write_text(json.dumps({"text": "who wrote", "label": "c"}) + "\n")
    task = {"kind": "sequence-classification", "outside": "none"}
    recipe = tiny_recipe(tmp_path, bert, rows, task, data={"test": "other.jsonl"})
    with pytest.raises(BadLabel, match=r"other\.jsonl, line 1: the label 'c' of the test part"):
        run(recipe, home=tmp_path, folder=tmp_path / "run")
