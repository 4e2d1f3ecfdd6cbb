"""Adapters as they are saved, and adapters that begin with what another has learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.adapted import TASK_CONFIG
from models.engines.lora import AdapterMismatch
from tests.training.tiny import tiny_recipe
from training.adapter_start import low_rank
from training.recipe import Recipe
from training.run import run

Make = Callable[..., Recipe]
LORA = {"method__kind": "lora", "method__rank": 4, "method__alpha": 8}


def layers(folder: Path) -> dict[str, torch.Tensor]:
    """The adapter's weights by the layer's name in the encoder."""
    found = load_file(folder / "adapter_model.safetensors")
    return {name.rpartition("encoder.")[2]: one for name, one in found.items() if "encoder." in name}


def test_a_saved_adapter_is_small_and_names_no_place_of_the_machine_that_trained_it(
    opinion_recipe: Make, tmp_path: Path
) -> None:
    run(opinion_recipe(**LORA, training__steps=1), home=tmp_path, folder=tmp_path / "run")
    config = json.loads((tmp_path / "run" / "model" / TASK_CONFIG).read_text())
    assert config["model_type"] == "bert"
    assert {one.dtype for one in load_file(tmp_path / "run" / "model" / "adapter_model.safetensors").values()} == {
        torch.float16
    }
    assert not [value for value in config.values() if isinstance(value, str) and value.startswith("/")]


def test_an_adapter_begins_with_what_another_task_has_learned(
    opinion_recipe: Make, tmp_path: Path, encoder_folder: Path
) -> None:
    run(opinion_recipe(**LORA), home=tmp_path, folder=tmp_path / "first")
    first = tmp_path / "first" / "model"
    rows = [{"question": f"what is {one}", "context": f"the {one} is a door", "answer": "door"} for one in "abcdefgh"]
    method = {"kind": "lora", "rank": 4, "alpha": 8, "start": str(first)}
    small = {"steps": 1, "learning_rate": 1e-12}
    kind = {"kind": "question-answering"}
    recipe = tiny_recipe(
        tmp_path, encoder_folder, rows, kind, method=method, training=small, data={"limits": {"leaks": 1.0}}
    )
    run(recipe, home=tmp_path, folder=tmp_path / "second")
    begun, learned = layers(tmp_path / "second" / "model"), layers(first)
    assert begun.keys() == learned.keys()
    assert all(torch.equal(begun[name], learned[name]) for name in begun)
    assert any(bool(one.abs().max() > 1e-3) for name, one in begun.items() if "lora_B" in name)


def test_an_adapter_begins_with_the_low_ranks_of_a_full_tuning(opinion_recipe: Make, tmp_path: Path) -> None:
    """With the rank of the whole matrix the product is the change itself."""
    full = run(opinion_recipe(training__learning_rate=1e-2), home=tmp_path, folder=tmp_path / "full")
    assert full["training"]["steps"] == 6
    tuned, recipe = load_file(tmp_path / "full" / "model" / "model.safetensors"), opinion_recipe()
    before = load_file(Path(str(recipe.base)) / "model.safetensors")
    whole = {"method__kind": "lora", "method__rank": 64, "method__alpha": 16}
    still = {"training__steps": 1, "training__learning_rate": 1e-12}
    start = {"method__start": str(tmp_path / "full" / "model")}
    run(opinion_recipe(**whole, **still, **start), home=tmp_path, folder=tmp_path / "run")
    begun = layers(tmp_path / "run" / "model")
    for name in (name for name in begun if name.endswith(".lora_A.weight")):
        layer = name.removesuffix(".lora_A.weight")
        product = begun[name.replace("lora_A", "lora_B")].float() @ begun[name].float() * 16 / 64
        change = next(
            tuned[key] - before[key.removeprefix("bert.")] for key in tuned if key.endswith(f"{layer}.weight")
        )
        assert change.abs().max() > 1e-3
        assert torch.allclose(product, change, atol=1e-3 * float(change.abs().max()))


def test_the_low_ranks_are_the_nearest() -> None:
    draw = torch.Generator().manual_seed(0)
    exact = torch.randn(6, 2, generator=draw) @ torch.randn(2, 9, generator=draw)
    down, up = low_rank(exact, 2)
    assert (down.shape, up.shape) == ((2, 9), (6, 2))
    assert torch.allclose(up @ down, exact, atol=1e-5)
    noisy = exact + 0.1 * torch.randn(6, 9, generator=draw)
    down, up = low_rank(noisy, 2)
    left_over = (noisy - up @ down).square().sum()
    assert left_over == pytest.approx(float(torch.linalg.svdvals(noisy)[2:].square().sum()), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"method__rank": 2}, r"its rank and alpha are \(4, 8\) and the recipe's \(2, 8\)"),
        ({"method__layers": ("query",)}, "this model has no .*dense"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    changes: dict[str, object], found: str, opinion_recipe: Make, tmp_path: Path
) -> None:
    run(opinion_recipe(**LORA, training__steps=1), home=tmp_path, folder=tmp_path / "first")
    recipe = opinion_recipe(**LORA | {"method__start": str(tmp_path / "first" / "model")} | changes)
    with pytest.raises(AdapterMismatch, match=found):
        run(recipe, home=tmp_path, folder=tmp_path / "second")
