"""Runs of tasks that write: stopped and resumed exactly, and alike in both loops (T05)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.test_preference import PAIRS
from tests.training.test_run import equal, stopped_after
from tests.training.tiny import tiny_recipe
from training.errors import Interrupted
from training.recipe import Recipe
from training.run import resume, run

TINY = {"width": 32, "inner": 32, "layers": 1, "heads": 2, "dropout": 0.3, "window": 24}
PHRASES = [{"en": f"red {at} tree", "de": [f"rot {at} Baum", f"roter {at} Baum"]} for at in range(30)]


def recipe_of(kind: str, folder: Path, chat: Path, loop: str) -> Recipe:
    training: dict[str, Any] = {"loop": loop, "steps": 3, "batch_rows": 4}
    if kind == "translation":
        task = {"kind": kind, "pairs": ["en-de"], "model": TINY, "tokenizer": {"size": 60}}
        training |= {"steps": None, "epochs": 3, "batch_rows": 16, "average_epochs": 2, "label_smoothing": 0.1}
        return tiny_recipe(folder, None, PHRASES, task, training=training, data={"limits": {"leaks": 1.0}})
    rows = [{**row, "prompt": f"{at} {row['prompt']}"} for at, row in enumerate(PAIRS * 3)]
    method = {"kind": "lora", "dropout": 0.2, "rank": 4}
    return tiny_recipe(folder, chat, rows, {"kind": kind}, training=training, method=method)


def final(folder: Path) -> dict[str, torch.Tensor]:
    """The weights that the run ended with."""
    path = folder / "model" / "model.safetensors"
    return load_file(path if path.is_file() else folder / "model" / "adapter_model.safetensors")


@pytest.mark.parametrize("kind", ["translation", "dpo"])
def test_t05_a_stopped_run_ends_with_the_same_weights_in_both_loops(
    kind: str, tmp_path: Path, tiny_chat_folder: Path, monkeypatch: pytest.MonkeyPatch, float32: None
) -> None:
    recipe = recipe_of(kind, tmp_path, tiny_chat_folder, "trainer")
    run(recipe, home=tmp_path, folder=tmp_path / "whole")
    run(recipe_of(kind, tmp_path, tiny_chat_folder, "accelerate"), home=tmp_path, folder=tmp_path / "loop")
    assert equal(final(tmp_path / "whole"), final(tmp_path / "loop"))
    with stopped_after(2, monkeypatch), pytest.raises(Interrupted):
        run(recipe, home=tmp_path, folder=tmp_path / "stopped")
    resume(tmp_path / "stopped", home=tmp_path)
    assert equal(final(tmp_path / "stopped"), final(tmp_path / "whole"))
