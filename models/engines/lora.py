"""LoRA adapters as files: PEFT's folders read and checked, for whatever engine adds them to its model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelError

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."


class AdapterMismatch(ModelError):
    """An adapter that does not belong to this base model, or is of a kind that cannot be added to it."""

    code = "adapter_mismatch"

    def __init__(self, adapter: Path, problems: Sequence[str]) -> None:
        self.adapter = adapter
        self.problems = tuple(problems)
        shown = "; ".join(self.problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        super().__init__(f"The adapter {adapter} cannot be used with this model: {shown}.")


@dataclass(frozen=True)
class LoraLayer:
    """What is added to one linear layer: `up @ (down @ x)`, with the adapter's scale already in `up`.

    Shapes: down (rank, inputs), up (outputs, rank).
    """

    adapter: Path
    down: npt.NDArray[np.float32]
    up: npt.NDArray[np.float32]


Lora = Mapping[str, LoraLayer]
"""An adapter's layers by the name of the linear layer that each adds to."""


def read_lora(folder: Path) -> dict[str, LoraLayer]:
    """The layers of a PEFT adapter folder.

    Raises:
        AdapterMismatch: the folder holds no plain LoRA in safetensors.
    """
    config, tensors = read_adapter(folder)
    odd = [f"it holds {name}" for name in tensors if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    if odd:
        raise AdapterMismatch(folder, odd)
    return layers_of(folder, config, tensors)


def read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config and the torch tensors of a LoRA folder, whose pairs fit each other; a trained head may be among them.

    Raises:
        AdapterMismatch: the files are missing or damaged, or the adapter is of another kind.
    """
    from safetensors.torch import load_file  # bfloat16 has no NumPy form

    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / ADAPTER_WEIGHTS)
    except (OSError, ValueError) as error:
        raise AdapterMismatch(folder, [f"{ADAPTER_CONFIG} or {ADAPTER_WEIGHTS} is missing or damaged"]) from error
    if problems := _unsupported(config, tensors):
        raise AdapterMismatch(folder, problems)
    return config, tensors


def layers_of(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, LoraLayer]:
    """The LoRA layers among what `read_adapter` gave."""
    rank = config["r"]
    scale = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    layers = {}
    for name, down in tensors.items():
        if name.endswith(".lora_A.weight"):
            up = tensors[name.replace(".lora_A.", ".lora_B.")]
            layer = LoraLayer(folder, down.float().numpy(), up.float().numpy() * np.float32(scale))
            layers[name.removeprefix(PREFIX).removesuffix(".lora_A.weight")] = layer
    return layers


def misfits(layers: Lora, places: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What of an adapter has no place in a model, one sentence each.

    Args:
        layers: The adapter's.
        places: The model's linear layers: name to (outputs, inputs).
    """
    problems = []
    for name, layer in layers.items():
        wanted, found = places.get(name), (layer.up.shape[0], layer.down.shape[1])
        if wanted is None:
            problems.append(f"the model has no linear layer {name}")
        elif wanted != found:
            problems.append(f"{name} is {wanted[0]} x {wanted[1]} and the adapter's {found[0]} x {found[1]}")
    return problems


def _unsupported(config: Mapping[str, Any], tensors: Mapping[str, Any]) -> list[str]:
    problems = []
    if config.get("peft_type") != "LORA":
        problems.append(f"it is a {config.get('peft_type')} adapter and LORA was expected")
    if not isinstance(config.get("r"), int) or not isinstance(config.get("lora_alpha"), (int, float)):
        problems.append(f"{ADAPTER_CONFIG} gives no rank or no alpha")
    set_keys = ("use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out")
    problems += [f"it uses {key}" for key in set_keys if config.get(key)]
    for name, down in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        up = tensors.get(name.replace(".lora_A.", ".lora_B."))
        if up is None:
            problems.append(f"{name} has no partner")
        elif not (down.ndim == up.ndim == 2 and len(down) == up.shape[1] == config.get("r")):
            problems.append(f"{name} has rank {len(down)}, its partner {up.shape[-1]} and the config {config.get('r')}")
    return problems
