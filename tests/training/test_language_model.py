"""Language models from scratch: blocks, losses by hand, the baseline by counting; that they learn and are judged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.conftest import chat_tokenizer
from tests.training.tiny import tiny_recipe
from training.data import load_data
from training.run import run
from training.tasks import open_task
from training.tasks.language_model import LanguageModel, blocks

TINY = {"width": 32, "inner": 64, "layers": 1, "heads": 2, "window": 16}
TASK = {"kind": "language-model", "lines": True, "model": TINY, "tokenizer": {"kind": "bpe", "size": 300}}


def tiny_task(folder: Path, texts: list[str], **options: Any) -> LanguageModel:
    task = open_task(tiny_recipe(folder, None, [{"text": text} for text in texts], TASK | options))
    assert isinstance(task, LanguageModel)
    task.attach(chat_tokenizer(), 16)
    return task


def test_blocks_hold_every_token_once_in_order() -> None:
    texts = [[1, 2, 3], [], [4], [5, 6, 7, 8, 9, 10, 11]]
    assert list(blocks(texts, 4)) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11]]
    assert list(blocks([], 4)) == []


def test_lines_keep_their_breaks_and_documents_end(tmp_path: Path) -> None:
    lines = tiny_task(tmp_path, ["a", "", "b"])
    rows = [{"text": text} for text in ("a", "", "b")]
    assert lines.tokenizer.decode(next(iter(lines.features(rows)))["input_ids"]) == "a\n\nb\n"
    documents = tiny_task(tmp_path, ["a"], lines=False)
    assert next(iter(documents.features(rows)))["input_ids"].count(documents.tokenizer.eos_token_id) == 3


def test_the_loss_is_that_of_every_token_but_the_first(tmp_path: Path, tiny_chat_folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    task = tiny_task(tmp_path, ["a"])
    model = AutoModelForCausalLM.from_pretrained(str(tiny_chat_folder), dtype=torch.float32).eval()
    batch = task.collate([{"input_ids": [3, 5, 7, 9]}, {"input_ids": [4, 6]}], 0)
    assert task.items(batch) == 3 + 1
    with torch.no_grad():
        theirs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"])
        assert float(task.loss(model, batch)) / 4 == pytest.approx(float(theirs.loss), rel=1e-5)


def test_the_baseline_counts_tokens_with_one_more_of_each(tmp_path: Path) -> None:
    task = tiny_task(tmp_path, ["ab", "ab"])
    task.recipe.path.with_name("rows.jsonl").write_text('{"text": "ab"}\n' * 2)
    none = {"validation": 0.0, "test": 0.0}
    recipe = tiny_recipe(tmp_path, None, [{"text": "ab"}] * 2, TASK, data={"split": none})
    splits = load_data(recipe, task.columns, tmp_path / "read")
    said = task.simple_predictions(splits.train, [{"text": "ab"}])
    tokens = task.tokenizer.encode("ab\n")
    size = 2 * len(tokens) + len(task.tokenizer)
    assert said[0]["tokens"] == len(tokens)
    assert said[0]["nats"] == pytest.approx(-len(tokens) * math.log(3 / size))  # each occurs twice
    scores = task.scores([{"text": "ab"}], said)
    assert scores["perplexity"] == pytest.approx(size / 3)
    assert scores["bits_per_byte"] == pytest.approx(said[0]["nats"] / math.log(2) / 3)


def test_a_language_model_from_nothing_learns_and_is_judged_with_context(
    tmp_path: Path, float32: None, no_kept_models: None
) -> None:
    rows = [{"text": f"{'abcdefgh'[at % 8]}{'abcdefgh'[(at + 1) % 8]}"} for at in range(160)]
    recipe = tiny_recipe(
        tmp_path, None, rows, TASK, training={"steps": 60, "learning_rate": 2e-2},
        data={"split": {"validation": 0.0, "test": 0.0}, "limits": {"leaks": 1.0}},
    )  # fmt: skip
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < 0.3 * report["training"]["first_loss"]
    assert report["model"]["score"] < 0.5 * report["baseline"]["score"]
    assert report["gate"]["open"] is True  # less is better here
    low, high = report["model"]["interval"]
    assert low <= report["model"]["score"] <= high
