"""Tiny models to begin from, and recipes that train them in a second."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import BertModel

from tests.models.conftest import (  # noqa: F401  fixtures
    float32,
    no_kept_models,
    save_tiny_encoder,
    tiny_chat_folder,
)
from tests.models.tiny_tasks import save_bert
from training.recipe import Recipe, recipe_from

GOOD, BAD = "fine quick helpful bright calm".split(), "broken slow useless dull loud".split()


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sentence encoder; treat it as read-only."""
    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT without a head, whose tokenizer joins pairs; treat it as read-only."""
    without_dropout = {
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }  # so small, it learns nothing by it
    return save_bert(tmp_path_factory.mktemp("bert"), BertModel, window=48, initializer_range=0.1, **without_dropout)


def opinions(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Distinct sentences with a label that one word decides."""
    draw = random.Random(seed)
    rows: dict[str, str] = {}
    while len(rows) < count:
        label = draw.choice(("good", "bad"))
        filler = " ".join(draw.choice("the a one this that lamp door book fox dog".split()) for _ in range(3))
        rows[f"{draw.choice(GOOD if label == 'good' else BAD)} {filler}"] = label
    return [{"text": text, "label": label} for text, label in rows.items()]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def opinion_recipe(tmp_path: Path, encoder_folder: Path) -> Callable[..., Recipe]:
    """A recipe for a tiny classifier; dotted keys change it."""
    write_rows(tmp_path / "rows.jsonl", opinions(120))

    def make(**changes: Any) -> Recipe:
        table: dict[str, Any] = {
            "name": "opinions",
            "base": str(encoder_folder),
            "seed": 3,
            "task": {"kind": "sequence-classification"},
            "data": {"train": "rows.jsonl"},
            "training": {
                "steps": 6,
                "batch_rows": 8,
                "learning_rate": 1e-3,
                "precision": "fp32",
                "threads": 1,
                "checkpoint_every_seconds": 0.0,
            },
        }
        for key, value in changes.items():
            part, _, name = key.partition("__")
            table.setdefault(part, {})[name] = value
        return recipe_from(table, tmp_path / "opinions.toml")

    (tmp_path / "opinions.toml").write_text("", encoding="utf-8")
    return make
