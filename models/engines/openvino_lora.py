"""LoRA adapters on a converted model: each adds its two small matrices beside the linear layer that it was trained on.

The converter names every linear layer of the graph as the original model does, so an adapter finds its places by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelError

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."


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


def read_lora(adapters: Sequence[tuple[Path, float]]) -> dict[str, LoraLayer]:
    """The layers of some PEFT adapter folders, each with its weight, by the name of the linear layer they add to.

    Several adapters on one layer add up.

    Raises:
        AdapterMismatch: a folder holds no plain LoRA in safetensors.
    """
    layers: dict[str, LoraLayer] = {}
    for folder, weight in adapters:
        for name, layer in _read_one(folder, weight).items():
            layers[name] = _both(layers[name], layer) if name in layers else layer
    return layers


def add_lora(model: Any, layers: Mapping[str, LoraLayer]) -> None:
    """Adds each layer to the openvino model's linear layer of that name.

    Raises:
        AdapterMismatch: names or shapes that the model does not have.
    """
    if not layers:
        return
    places = {node.get_friendly_name(): node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"}
    problems = [problem for name, layer in layers.items() if (problem := _problem(name, layer, places.get(name)))]
    if problems:
        raise AdapterMismatch(next(iter(layers.values())).adapter, problems)
    for name, layer in layers.items():
        _add_one(places[name], layer)
    model.validate_nodes_and_infer_types()


def _add_one(node: Any, layer: LoraLayer) -> None:
    ops = import_module("openvino.opset13")

    readers = list(node.output(0).get_target_inputs())
    small = ops.matmul(node.input_value(0), ops.constant(layer.down), False, True)
    added = ops.add(node, ops.matmul(small, ops.constant(layer.up), False, True))
    for reader in readers:
        reader.replace_source_output(added.output(0))


def _problem(name: str, layer: LoraLayer, node: Any) -> str | None:
    if node is None:
        return f"the model has no linear layer {name}"
    outputs, inputs = (side.get_length() for side in list(node.input_value(1).get_partial_shape())[-2:])
    if (layer.up.shape[0], layer.down.shape[1]) != (outputs, inputs):
        return f"{name} is {outputs} x {inputs} and the adapter's {layer.up.shape[0]} x {layer.down.shape[1]}"
    return None


def _read_one(folder: Path, weight: float) -> dict[str, LoraLayer]:
    from safetensors.torch import load_file  # bfloat16 has no NumPy form

    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        tensors = {name: tensor.float().numpy() for name, tensor in load_file(folder / _WEIGHTS).items()}
    except (OSError, ValueError) as error:
        raise AdapterMismatch(folder, [f"{_CONFIG} or {_WEIGHTS} is missing or damaged"]) from error
    if problems := _unsupported(config, tensors):
        raise AdapterMismatch(folder, problems)
    rank = config["r"]
    scale = weight * config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    layers = {}
    for name, down in tensors.items():
        if name.endswith(".lora_A.weight"):
            up = tensors[name.replace(".lora_A.", ".lora_B.")]
            layers[name.removeprefix(_PREFIX).removesuffix(".lora_A.weight")] = LoraLayer(folder, down, up * scale)
    return layers


def _unsupported(config: dict[str, Any], tensors: Mapping[str, Any]) -> list[str]:
    problems = []
    if config.get("peft_type") != "LORA":
        problems.append(f"it is a {config.get('peft_type')} adapter and LORA was expected")
    set_keys = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out")
    problems += [f"it uses {key}" for key in set_keys if config.get(key)]
    odd = [name for name in tensors if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    problems += [f"it holds {name}" for name in odd]
    for name, down in tensors.items():
        if name in odd or ".lora_B." in name:
            continue
        up = tensors.get(name.replace(".lora_A.", ".lora_B."))
        if up is None:
            problems.append(f"{name} has no partner")
        elif not (down.ndim == up.ndim == 2 and len(down) == up.shape[1] == config.get("r")):
            problems.append(f"{name} has rank {len(down)}, its partner {up.shape[-1]} and the config {config.get('r')}")
    return problems


def _both(one: LoraLayer, other: LoraLayer) -> LoraLayer:
    return LoraLayer(other.adapter, np.concatenate([one.down, other.down]), np.concatenate([one.up, other.up], axis=1))
