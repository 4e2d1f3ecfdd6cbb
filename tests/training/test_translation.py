"""Translators trained from nothing: what they read and learn, token by token, and that they learn it."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.registry import Registry
from models.tasks.familiarity import read_familiar
from models.tasks.translator import Translator
from tests.training.conftest import write_rows
from training.averaging import Averaging
from training.data import load_data
from training.errors import DataError, RecipeError
from training.evaluation import judge
from training.publish import publish
from training.recipe import Recipe, recipe_from
from training.run import run
from training.scratch import base_for
from training.tasks import open_task
from training.tasks.base import IGNORED
from training.tasks.generating import logits_at
from training.tasks.translation import Translation

WORDS = {"red": "rot", "blue": "blau", "house": "Haus", "tree": "Baum", "and": "und", "old": "alt", "new": "neu"}


def sentences(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """English word by word into German, and back again for the other pair."""
    draw = random.Random(seed)
    rows = [draw.choices(sorted(WORDS), k=draw.randint(2, 5)) for _ in range(count)]
    return [{"en": " ".join(row), "de": " ".join(WORDS[word] for word in row)} for row in rows]


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe for a tiny translator from nothing; dotted keys change it."""
    write_rows(tmp_path / "rows.jsonl", sentences(240))

    def make(**changes: Any) -> Recipe:
        table: dict[str, Any] = {
            "name": "toy",
            "seed": 3,
            "task": {
                "kind": "translation",
                "pairs": ["en-de"],
                "beams": 2,
                "model": {"width": 64, "inner": 128, "layers": 1, "heads": 2, "dropout": 0.0, "window": 24},
                "tokenizer": {"kind": "unigram", "size": 60},
            },
            "data": {"train": "rows.jsonl", "limits": {"leaks": 1.0}},
            "training": {
                "steps": 4,
                "batch_rows": 64,
                "batch_tokens": 512,
                "learning_rate": 5e-3,
                "precision": "fp32",
                "threads": 1,
                "checkpoint_every_seconds": 0.0,
            },
        }
        for key, value in changes.items():
            *parts, name = key.split("__")
            inner = table
            for part in parts:
                inner = inner.setdefault(part, {})
            inner[name] = value
        return recipe_from(table, tmp_path / "toy.toml")

    (tmp_path / "toy.toml").write_text("", encoding="utf-8")
    return make


def prepared(recipe: Recipe, folder: Path) -> tuple[Translation, Any, Any]:
    """The task with its tokenizer, its untrained model, and the data."""
    from training.learner import make_learner

    task = open_task(recipe)
    assert isinstance(task, Translation)
    splits = load_data(recipe, task.columns, folder / "data", task.layout)
    task.prepare(splits)
    torch.manual_seed(0)
    learner = make_learner(recipe, task, folder, False, base_for(recipe, task, splits, folder / "base"))
    task.attach(learner.tokenizer, 24)
    return task, learner, splits


def test_a_translator_from_nothing_learns_and_serves(toy: Callable[..., Recipe], tmp_path: Path, float32: None) -> None:
    lines: list[dict[str, Any]] = []
    recipe = toy(training__steps=260)
    report = run(recipe, home=tmp_path, folder=tmp_path / "run", show=lines.append)
    losses = [line["loss"] for line in lines if line["event"] == "step"]
    assert losses[-1] < losses[0] / 5
    assert report["model"]["score"] > 0.5 > report["baseline"]["score"]
    assert report["base"] == "none: trained from scratch"
    folder = tmp_path / "run" / "model"
    served = Translator(str(folder), home=tmp_path)
    assert served.languages == (("en",), ("de",))
    assert served("old tree and new house", to="German").translation.split()[:2] == ["alt", "Baum"]
    assert json.loads((folder / "generation_config.json").read_text())["num_beams"] == 2
    assert served.narrow
    assert served("new house and red tree", to="de").advice == ""
    unlike = served("Zurich quietly jumped over my examples", to="de")
    assert "`hearth models pull google/madlad400-3b-mt`" in unlike.advice
    assert unlike.to_json()["advice"] == unlike.advice


def test_a_translator_from_nothing_goes_on_learning_by_its_name_in_the_registry(
    toy: Callable[..., Recipe], tmp_path: Path, float32: None
) -> None:
    losses: dict[str, list[float]] = {"first": [], "second": []}
    for name, changes in (
        ("first", {"training__steps": 150, "task__reverse_weight": 0.2}),
        ("second", {"base": "toy@1"}),
    ):
        lines: list[dict[str, Any]] = []
        run(toy(**changes), home=tmp_path, folder=tmp_path / name, show=lines.append)
        losses[name] = [line["loss"] for line in lines if line["event"] == "step"]
        publish(tmp_path / name, home=tmp_path, name="toy")
        assert json.loads((tmp_path / name / "model" / "config.json").read_text())["reverse_weight"] == 0.2
    assert losses["second"][0] < losses["first"][0] / 2
    served = Translator("toy@2", home=tmp_path)
    assert served.languages == (("en",), ("de",))
    assert served.narrow
    weights = load_file(Registry(tmp_path).resolve("toy@2").folder / "model.safetensors")
    assert {one.dtype for one in weights.values()} == {torch.float16}


def test_a_translator_says_of_each_language_what_98_of_100_texts_reach(
    toy: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = toy(task__pairs=["en-de", "de-en"], data__split={"validation": 0.5})
    task, learner, splits = prepared(recipe, tmp_path)
    learner.save(tmp_path / "model", task)
    familiar = read_familiar(tmp_path / "model", task.tokenizer)
    assert set(familiar) == {"en", "de"}
    for language, own in familiar.items():
        numbers = [own.measure(text) for text in {row["text"] for row in splits.validation if row["from"] == language}]
        for side, least in zip(zip(*numbers, strict=True), own.least, strict=True):
            assert 0.005 <= sum(number < least for number in side) / len(side) <= 0.03


def test_a_model_goes_on_with_a_pair_that_it_is_told_and_refuses_one_that_it_is_not(
    toy: Callable[..., Recipe], tmp_path: Path
) -> None:
    run(toy(), home=tmp_path, folder=tmp_path / "first")
    base, pairs = str(tmp_path / "first" / "model"), ["en-de", "de-en"]
    with pytest.raises(RecipeError, match=r"the pair = de-en, .* or de-en among task\.prefixes"):
        run(toy(base=base, task__pairs=pairs), home=tmp_path, folder=tmp_path / "second")
    run(toy(base=base, task__pairs=pairs, task__prefixes={"de-en": "back "}), home=tmp_path, folder=tmp_path / "third")
    written = json.loads((tmp_path / "third" / "model" / "config.json").read_text())["task_specific_params"]
    assert written == {"translation_en_to_de": {"prefix": ""}, "translation_de_to_en": {"prefix": "back "}}


def test_the_encoder_reads_in_training_what_it_reads_in_serving(toy: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = toy(task__pairs=["en-de", "de-en"])
    task, learner, _ = prepared(recipe, tmp_path)
    learner.save(tmp_path / "model", task)
    served = Translator(str(tmp_path / "model"), home=tmp_path)
    read: list[str] = []
    served.candidates = lambda texts, *_, **__: read.extend(texts) or []  # type: ignore[method-assign, assignment, func-returns-value]
    for source, to, text in (("en", "de", "red house"), ("de", "en", "rot Haus")):
        with pytest.raises(StopIteration):
            served.many([text], source=source, to=to)
        feature = task.feature({"text": text, "from": source, "to": to, "references": ["x"]})
        assert served._encode(read[-1]) == feature["input_ids"]
        assert task.tokenizer.convert_ids_to_tokens(feature["input_ids"])[0] == f"<2{to}>"


def test_labels_are_the_translation_and_its_end_and_the_decoder_reads_them_one_later(
    toy: Callable[..., Recipe], tmp_path: Path
) -> None:
    task, learner, _ = prepared(toy(), tmp_path)
    long = {"text": "red", "references": ["rot und blau"], "from": "en", "to": "de"}
    short = {"text": "blue and red", "references": ["blau"], "from": "en", "to": "de"}
    features = [task.feature(long), task.feature(short)]
    batch = task.collate(features, 0)
    wanted = task.tokenizer("rot und blau")["input_ids"]
    assert wanted[-1] == task.tokenizer.eos_token_id
    assert batch["labels"][0].tolist() == wanted
    own = task.tokenizer("blau")["input_ids"]
    assert batch["labels"][1].tolist() == own + [IGNORED] * (len(wanted) - len(own))
    assert task.items(batch) == len(wanted) + len(own)
    assert task.example(features[1]).endswith("⟦ blau</s> ⟧")
    # the loss by hand, from transformers' own shift and the whole logits
    decoder = learner.model.prepare_decoder_input_ids_from_labels(batch["labels"])
    learner.model.eval()
    with torch.no_grad():
        logits = learner.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], decoder_input_ids=decoder
        ).logits
        likelihoods = torch.log_softmax(logits, -1)
        by_hand = -sum(
            float(likelihoods[row, at, label])
            for row in range(2)
            for at, label in enumerate(batch["labels"][row].tolist())
            if label != IGNORED
        )
        assert float(task.loss(learner.model, batch)) == pytest.approx(by_hand, rel=1e-5)


def test_one_of_several_references_is_drawn_by_the_seed_alone(toy: Callable[..., Recipe], tmp_path: Path) -> None:
    task, _, _ = prepared(toy(), tmp_path)
    feature = task.feature({"text": "red", "references": ["rot", "blau", "neu"], "from": "en", "to": "de"})
    drawn = [task.collate([feature], seed)["labels"][0].tolist() for seed in range(30)]
    assert drawn == [task.collate([feature], seed)["labels"][0].tolist() for seed in range(30)]
    assert {tuple(one) for one in drawn} == {tuple(target) for target in feature["targets"]}


def test_logits_are_made_where_a_label_is_and_nowhere_else(toy: Callable[..., Recipe], tmp_path: Path) -> None:
    _task, learner, _ = prepared(toy(), tmp_path)
    model = learner.model.eval()
    inputs = {"input_ids": torch.tensor([[4, 5, 1], [6, 7, 1]]), "decoder_input_ids": torch.tensor([[0, 5], [0, 6]])}
    where = torch.tensor([[True, False], [True, True]])
    with torch.no_grad():
        assert torch.allclose(logits_at(model, where, **inputs), model(**inputs).logits[where], atol=1e-6)
    with pytest.raises(IndexError):  # a failing pass leaves no hook behind
        logits_at(model, torch.ones(5, 5, dtype=torch.bool), **inputs)
    assert not model.lm_head._forward_pre_hooks


def test_rows_in_other_forms_and_rows_without_a_language(toy: Callable[..., Recipe], tmp_path: Path) -> None:
    rows = [{"text": "red", "reference": "rot", "from": "en", "to": "de"}] * 2
    rows += [{"text": "blue", "references": ["blau", ""], "from": "en", "to": "de"}]  # type: ignore[dict-item]
    write_rows(tmp_path / "eval.jsonl", rows)
    task = open_task(toy(data__train="eval.jsonl", data__split={"validation": 0.0, "test": 0.0}))
    splits = load_data(task.recipe, task.columns, tmp_path / "read", task.layout)
    assert [row["references"] for row in splits.train] == [["rot"], ["rot"], ["blau"]]
    write_rows(tmp_path / "bad.jsonl", [{"en": "red", "nl": "rood"}])
    task = open_task(toy(data__train="bad.jsonl"))
    with pytest.raises(DataError, match=r"bad\.jsonl, line 1: there is no column 'de' for the pair en-de"):
        load_data(task.recipe, task.columns, tmp_path / "read2", task.layout)


def test_a_row_gives_the_pairs_of_which_it_has_both_languages(toy: Callable[..., Recipe], tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"en": "red", "de": "rot", "fr": "rouge"}, {"hi": "लाल", "en": "red"}])
    task = open_task(toy(task__pairs=["en-de", "de-en", "hi-en"]))
    splits = load_data(task.recipe, task.columns, tmp_path / "read", task.layout)
    found = [(row["from"], row["to"], row["text"], row["references"]) for row in splits.train]
    assert found == [
        ("en", "de", "red", ["rot"]), ("de", "en", "rot", ["red"]), ("hi", "en", "लाल", ["red"])
    ]  # fmt: skip


def test_scores_are_given_by_pair_where_there_are_several(toy: Callable[..., Recipe]) -> None:
    task = open_task(toy(task__pairs=["en-de", "de-en"]))
    rows = [
        {"text": "red old house", "references": ["ein rotes altes Haus"], "from": "en", "to": "de"},
        {"text": "ein altes Haus", "references": ["one old house here"], "from": "de", "to": "en"},
    ]
    said: list[dict[str, Any]] = [{"translation": "ein rotes altes Haus"}, {"translation": "nothing of it right"}]
    scores = task.scores(rows, said)
    assert scores["bleu_en-de"] == pytest.approx(1.0)
    assert scores["bleu_de-en"] < 0.1 < scores["bleu"] < 1.0
    assert set(task.scores(rows[:1], said[:1])) == {"bleu", "chrf", "bleu_lowercased"}


def test_all_pairs_of_one_row_stay_in_one_part(toy: Callable[..., Recipe], tmp_path: Path) -> None:
    task = open_task(toy(task__pairs=["en-de", "de-en"], data__split={"validation": 0.3, "test": 0.3}))
    splits = load_data(task.recipe, task.columns, tmp_path / "read", task.layout)
    lines = [{row["_line"] for row in part} for _, part in splits.items()]
    assert all(lines)
    assert not (lines[0] & lines[1])
    assert not (lines[0] & lines[2])
    assert not (lines[1] & lines[2])
    assert sum(len(part) for _, part in splits.items()) == 480


def test_the_interval_of_bleu_resamples_counts_and_not_texts(toy: Callable[..., Recipe]) -> None:
    task = open_task(toy())
    rows = [{"text": "a", "references": ["the cat sat on the mat today"], "from": "en", "to": "de"}] * 20
    said = [{"translation": "the cat sat on the mat today"}] * 10 + [{"translation": "a dog"}] * 10
    judged = judge(task, rows, said)
    # half the rows whole (7 of 7 words), half two wrong words: precision 70/90 ..., brevity exp(1 - 140/90)
    parts = [70 / 90, 60 / 70, 50 / 50, 40 / 40]
    by_hand = math.exp(sum(map(math.log, parts)) / 4) * math.exp(1 - 140 / 90)
    assert judged.score == pytest.approx(by_hand, abs=1e-6)
    assert judged.interval[0] < judged.score < judged.interval[1]


def test_the_mean_of_the_last_epochs_by_hand(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    averaging = Averaging(tmp_path, 2)
    assert not averaging.put_mean(model, 5)
    for step, value in ((1, 1.0), (2, 4.0), (3, 6.0), (9, 100.0)):  # step 9: written before an interruption
        with torch.no_grad():
            model.weight.fill_(value)
        averaging.keep(model, step)
    assert averaging.put_mean(model, 3) is True
    assert model.weight.item() == 6.0  # the snapshot of step 2 went when step 9 came
    averaging.keep(model, 4)
    assert averaging.put_mean(model, 4)
    assert model.weight.item() == 6.0


def test_a_run_that_averages_takes_the_mean_where_it_is_no_worse(
    toy: Callable[..., Recipe], tmp_path: Path, float32: None
) -> None:
    lines: list[dict[str, Any]] = []
    recipe = toy(training__steps=None, training__epochs=3, training__average_epochs=2)
    run(recipe, home=tmp_path, folder=tmp_path / "run", show=lines.append)
    averaged = next(line for line in lines if line["event"] == "averaged")
    best = max(line["score"] for line in lines if line["event"] == "evaluation")
    assert averaged["taken"] == (averaged["score"] >= best)
    assert not (tmp_path / "run" / "averages").exists()
