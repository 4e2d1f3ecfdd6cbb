"""A model's parameters by block: embeddings, each layer with its attention and feed-forward part, norms and head.

The model is built from its config without memory for its weights, so that this works for one larger than this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.errors import BrokenModel
from models.files import read_config, read_weights

_NORM = re.compile(r"norm|(^|\.)ln(_\w+)?(\.|$)", re.IGNORECASE)
_CROSS = re.compile(r"cross_?att|encoder_attn|EncDecAttention", re.IGNORECASE)
_ATTENTION = re.compile(r"att", re.IGNORECASE)
_EMBEDDING = re.compile(r"embed|wte|wpe|(^|\.)shared\.|relative_attention_bias|patch", re.IGNORECASE)
_PARTS = ("attention", "cross-attention", "feed-forward", "norm")
_STORED = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16", "I8": "int8", "I64": "int64"}


@dataclass(frozen=True)
class Block:
    """A part of a model; `parts` are the kinds of weights in it and add up to it."""

    name: str
    parameters: int
    size_bytes: int
    parts: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Anatomy:
    """A model's blocks in the order of the computation; they add up to `parameters`.

    `size_bytes` is what the parameters take in `dtype`, the format that most of them are stored in. `tied` says that
    weights are used in two places, as the embeddings' in the head; they count once.
    """

    architecture: str
    model_type: str
    parameters: int
    size_bytes: int
    dtype: str
    tied: bool
    blocks: tuple[Block, ...]

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def architecture_of(folder: Path) -> str:
    """The transformers class that the model was saved as.

    Raises:
        BrokenModel: config.json names none, or one that transformers does not have.
    """
    import transformers

    names = read_config(folder).get("architectures") or []
    if not names or not hasattr(transformers, str(names[0])):
        found = f"names {names[0]}, which transformers does not have" if names else "names no architecture"
        raise BrokenModel(folder, f"config.json {found}")
    return str(names[0])


def read_blocks(folder: Path) -> Anatomy:
    """The anatomy of the model in a folder; reads the config and the weights' headers, not the weights.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel: the files are missing, unsafe or broken.
    """
    import torch

    from models.loading import empty_model

    read_weights(folder)
    architecture = architecture_of(folder)
    model = empty_model(folder, architecture)
    stored = _stored_dtype(folder)
    width = torch.empty(0, dtype=getattr(torch, stored)).element_size()
    blocks = tuple(_blocks(model, width))
    total = sum(block.parameters for block in blocks)
    tied = sum(1 for _ in model.named_parameters(remove_duplicate=False)) > sum(1 for _ in model.named_parameters())
    return Anatomy(architecture, str(model.config.model_type), total, total * width, stored, tied, blocks)


def _stored_dtype(folder: Path) -> str:
    """The number format of most of the stored parameters."""
    from collections import Counter

    from safetensors import safe_open

    counts: Counter[str] = Counter()
    for path in read_weights(folder).files:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - the handle is no mapping
                part = file.get_slice(name)
                size = 1
                for side in part.get_shape():
                    size *= side
                counts[part.get_dtype()] += size
    return _STORED.get(counts.most_common(1)[0][0], "float32") if counts else "float32"


def _blocks(model: Any, width: int) -> Iterable[Block]:
    """Blocks in order of their first parameter: one a layer of every stack, and one a kind for what is around them."""
    stacks = _stacks(model)
    order: dict[str, dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        after = any(" layer " in f" {block}" for block in order)
        block, part = _place(name, stacks, "head" if after else "input")
        parts = order.setdefault(block, {})
        parts[part] = parts.get(part, 0) + parameter.numel()
    for block, parts in order.items():
        made = tuple(Block(part, parts[part], parts[part] * width) for part in _PARTS if part in parts)
        total = sum(parts.values())
        yield Block(block, total, total * width, made)


def _stacks(model: Any) -> list[str]:
    """The dotted names of the lists of like layers, outermost first."""
    import torch

    found: list[str] = []
    for name, module in model.named_modules():
        layers = list(module) if isinstance(module, torch.nn.ModuleList) else []
        alike = bool(layers) and len({type(layer) for layer in layers}) == 1
        deep = alike and any(True for _ in layers[0].children())
        if deep and not any(name.startswith(f"{stack}.") for stack in found):
            found.append(name)
    return found


def _place(name: str, stacks: list[str], otherwise: str) -> tuple[str, str]:
    """The block and the part of a parameter; `otherwise` is for what is neither layer, norm nor embedding."""
    for stack in stacks:
        if name.startswith(f"{stack}."):
            index, _, inside = name[len(stack) + 1 :].partition(".")
            return f"{_short(stack, stacks)}layer {index}", _part(inside)
    if _EMBEDDING.search(name):
        return f"{_side(name)}embeddings", ""
    if _NORM.search(name):
        return f"{_side(name)}last norm", ""
    return otherwise, ""


def _part(inside: str) -> str:
    if _NORM.search(inside):
        return "norm"
    if _CROSS.search(inside):
        return "cross-attention"
    return "attention" if _ATTENTION.search(inside) else "feed-forward"


def _short(stack: str, stacks: list[str]) -> str:
    """Which stack, where there are several: the words of its name that tell it apart."""
    if len(stacks) == 1:
        return ""
    common = {"model", "layers", "layer", "block", "h", "base_model"}
    words = [word for word in stack.split(".") if word not in common]
    return f"{'.'.join(words) or stack} "


def _side(name: str) -> str:
    """`encoder` or `decoder` for what lies around one of two stacks."""
    return next(
        (f"{side} " for side in ("encoder", "decoder") if f"{side}." in name and "encoder.layer" not in name), ""
    )
