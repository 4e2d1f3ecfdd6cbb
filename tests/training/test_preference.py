"""DPO and KTO: their losses by hand and beside TRL's, where they begin, and which way they move a model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.models.conftest import chat_tokenizer
from tests.training.tiny import tiny_recipe
from training.run import run
from training.tasks import open_task
from training.tasks.preference import Preference, answer_logps

PAIRS = [
    {"prompt": "Say a.", "chosen": "the fox", "rejected": "a dog of Köln"},
    {"prompt": "Say something longer, please.", "chosen": "quick", "rejected": "lazy lazy"},
    {"prompt": "And now?", "chosen": "one token at a time", "rejected": "no"},
]
MARKED = [
    {"prompt": row["prompt"], "completion": row[name], "label": name == "chosen"}
    for row in PAIRS
    for name in ("chosen", "rejected")
]


def prepared(kind: str, folder: Path, chat: Path, **options: Any) -> tuple[Preference, Any, list[dict[str, Any]]]:
    """The task, the model that learns (in float32), and the features of all rows."""
    rows = PAIRS if kind == "dpo" else MARKED
    task = open_task(tiny_recipe(folder, chat, rows, {"kind": kind, "as_chat": False, **options}))
    assert isinstance(task, Preference)
    model = AutoModelForCausalLM.from_pretrained(str(chat), dtype=torch.float32)
    task.see(model, folder, False)
    task.attach(chat_tokenizer(), 512)
    layout = task.layout
    assert layout is not None
    return task, model, list(task.features(one for row in rows for one in layout(row)))


def moved(model: Any, seed: int = 1) -> Any:
    """The model a little away from where it began."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def test_dpo_begins_at_the_logarithm_of_two(tmp_path: Path, tiny_chat_folder: Path) -> None:
    task, model, features = prepared("dpo", tmp_path, tiny_chat_folder)
    batch = task.collate(features, 0)
    assert task.items(batch) == 3
    assert float(task.loss(model, batch).detach()) == pytest.approx(3 * math.log(2), rel=1e-5)


def test_dpo_by_hand_and_its_two_answers_share_the_prompt(tmp_path: Path, tiny_chat_folder: Path) -> None:
    task, _, features = prepared("dpo", tmp_path, tiny_chat_folder, beta=0.5)
    ratios, good = torch.tensor([[1.0, -2.0], [0.5, 3.0]]), torch.ones(2)
    by_hand = sum(math.log(1 + math.exp(-0.5 * (chosen - rejected))) for chosen, rejected in ((1, 0.5), (-2, 3)))
    assert float(task.ratio_loss(ratios, good)) == pytest.approx(by_hand, rel=1e-6)
    chosen, rejected = task.example(features[0]).split("\nrejected: ")
    assert chosen.endswith("⟦the fox<|im_end|>⟧")
    assert rejected.endswith("⟦a dog of Köln<|im_end|>⟧")
    assert chosen.removeprefix("chosen: ").partition("⟦")[0] == rejected.partition("⟦")[0]


def test_dpo_agrees_with_trl_on_the_same_tensors(tmp_path: Path, tiny_chat_folder: Path) -> None:
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    task, model, features = prepared("dpo", tmp_path, tiny_chat_folder, beta=0.3)
    batch = task.collate(features, 0)
    trainer = trl.DPOTrainer(
        model=moved(model),
        ref_model=AutoModelForCausalLM.from_pretrained(str(tiny_chat_folder), dtype=torch.float32),
        args=trl.DPOConfig(
            output_dir=str(tmp_path / "trl"), beta=0.3, use_cpu=True, report_to=[], bf16=False, max_length=None
        ),
        train_dataset=Dataset.from_list(PAIRS),
        processing_class=chat_tokenizer(),
    )
    model.eval()
    theirs = trainer._compute_loss(
        model,
        {
            "input_ids": batch["input_ids"],
            "attention_mask": batch["attention_mask"],
            "completion_mask": (batch["labels"] != -100).long(),
        },
        return_outputs=False,
    )
    own = task.loss(trainer.model, batch) / task.items(batch)
    assert float(own.detach()) == pytest.approx(float(theirs.detach()), rel=1e-4)
    assert float(own.detach()) != pytest.approx(math.log(2), rel=1e-3)


def test_kto_by_hand_with_drift_never_below_nothing(tmp_path: Path, tiny_chat_folder: Path) -> None:
    task, _, _ = prepared("kto", tmp_path, tiny_chat_folder, beta=0.5, good_weight=2.0, bad_weight=3.0)

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    good = torch.tensor([1.0, 0.0])
    for strangers, drift in (([1.0, 3.0], 2.0), ([-1.0, -3.0], 0.0)):
        loss = task.ratio_loss(torch.tensor([[4.0, 1.0], strangers]), good)
        by_hand = 2 * (1 - sigmoid(0.5 * (4 - drift))) + 3 * (1 - sigmoid(0.5 * (drift - 1)))
        assert float(loss) == pytest.approx(by_hand, rel=1e-6)


def test_kto_measures_drift_on_the_answer_of_a_neighbour(tmp_path: Path, tiny_chat_folder: Path) -> None:
    task, model, features = prepared("kto", tmp_path, tiny_chat_folder)
    shown = task.example(features[1])
    assert "answer: " in shown
    assert shown.endswith("⟦the fox<|im_end|>⟧")  # the first row's answer to the second row's prompt
    assert [feature["good"] for feature in features] == [1.0, 0.0] * 3
    assert float(task.loss(model, task.collate(features, 0)).detach()) == pytest.approx(6 * 0.5, rel=1e-5)


def test_logprobabilities_of_answers_do_not_depend_on_the_batch(tmp_path: Path, tiny_chat_folder: Path) -> None:
    task, model, features = prepared("dpo", tmp_path, tiny_chat_folder)
    model.eval()
    with torch.no_grad():
        together = answer_logps(model, task.collate(features, 0)).view(2, 3).T
        alone = [answer_logps(model, task.collate([feature], 0)) for feature in features]
    assert torch.allclose(together, torch.stack(alone), atol=1e-4)
    assert torch.allclose(together, torch.tensor([feature["then"] for feature in features]), atol=1e-4)


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_training_moves_a_model_towards_what_was_liked(
    kind: str, tmp_path: Path, tiny_chat_folder: Path, float32: None, no_kept_models: None
) -> None:
    rows = PAIRS * 4 if kind == "dpo" else MARKED * 4
    recipe = tiny_recipe(
        tmp_path, tiny_chat_folder, [{**row, "prompt": f"{row['prompt']} {at}"} for at, row in enumerate(rows)],
        {"kind": kind, "as_chat": False, "beta": 0.5},
        method={"kind": "lora", "rank": 8}, training={"steps": 25, "learning_rate": 1e-2},
        data={"split": {"validation": 0.0, "test": 0.3}},
    )  # fmt: skip
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < 0.5 * report["training"]["first_loss"]
    assert report["model"]["score"] == 1.0
    assert report["model"]["metrics"]["margin"] > 1
    assert report["baseline"]["score"] == 0.5
