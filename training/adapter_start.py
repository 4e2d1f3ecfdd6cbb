"""A new adapter that begins with what was learned before: by another adapter, or by all the weights of a model.

So a short course in one task can follow a long one in another, and what a full tuning found fits into a megabyte.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.adapted import is_adapted
from models.engines.lora import PREFIX, AdapterMismatch, read_adapter

if TYPE_CHECKING:
    import torch

_OF_A_CLASS = "pooler."  # a layer that BERT's class for one task has and its class for another has not
_WEIGHTS = "model.safetensors"


def begin_with(adapted: Any, folder: Path) -> None:
    """Gives a new adapter the weights of one that was learned, or the low ranks of what a whole model has learned.

    A head is taken where it has the same name and shape; a task's own further layers stay as they are made.

    Args:
        adapted: A PEFT model whose adapter is new.
        folder: An adapter of the same base, rank and alpha, or a whole model tuned from the same base.

    Raises:
        AdapterMismatch: it belongs to another base, has another rank or scale, or layers that this model has not.
    """
    import torch

    inner = f"{adapted.get_base_model().base_model_prefix}."
    own = {_place(name, inner): one for name, one in adapted.named_parameters() if ".lora_" in name}
    heads = {
        _place(name, inner).replace(".modules_to_save", ""): one
        for name, one in adapted.named_parameters()
        if ".modules_to_save." in name
    }
    given = _of_adapter(adapted, folder, inner) if is_adapted(folder) else _of_model(adapted, folder, inner)
    given = {name: one for name, one in given.items() if name in own or not name.startswith(_OF_A_CLASS)}
    if unknown := [f"this model has no {name}" for name in given if name not in own]:
        raise AdapterMismatch(folder, unknown)
    with torch.no_grad():
        for name, one in given.items():
            own[name].copy_(one)
        for name, one in _stored(folder).items():
            head = heads.get(_place(name, inner))
            if head is not None and head.shape == one.shape:
                head.copy_(one)


def low_rank(change: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Down (rank, inputs) and up (outputs, rank) whose product is nearest to a change (outputs, inputs).

    Source: Eckart and Young 1936, https://doi.org/10.1007/BF02288367.
    """
    import torch

    left, sizes, right = torch.linalg.svd(change.float(), full_matrices=False)
    halves = sizes[:rank].sqrt()
    down, up = halves[:, None] * right[:rank], left[:, :rank] * halves
    more = max(0, rank - len(sizes))  # a small layer has fewer ranks: the others add nothing
    return torch.nn.functional.pad(down, (0, 0, 0, more)), torch.nn.functional.pad(up, (0, more))


def _of_adapter(adapted: Any, folder: Path, inner: str) -> dict[str, torch.Tensor]:
    from models.registry_checks import base_named_by

    settings, tensors = read_adapter(folder)
    config, problems = adapted.peft_config["default"], []
    if (base := base_named_by(folder)) != config.base_model_name_or_path:
        problems.append(f"its base is {base} and not {config.base_model_name_or_path}")
    if (found := (settings["r"], settings["lora_alpha"])) != (config.r, config.lora_alpha):
        problems.append(f"its rank and alpha are {found} and the recipe's {(config.r, config.lora_alpha)}")
    if problems:
        raise AdapterMismatch(folder, problems)
    return {_place(name, inner): one for name, one in tensors.items() if ".lora_" in name}


def _of_model(adapted: Any, folder: Path, inner: str) -> dict[str, torch.Tensor]:
    tuned = {_place(name, inner): one for name, one in _stored(folder).items()}
    given: dict[str, torch.Tensor] = {}
    for name, layer in adapted.get_base_model().named_modules():
        place = name.removeprefix(inner)
        if not hasattr(layer, "lora_A") or (learned := tuned.get(f"{place}.weight")) is None:
            continue
        before = layer.get_base_layer().weight
        if learned.shape != before.shape:
            raise AdapterMismatch(folder, [f"its {place} is {tuple(learned.shape)} and not {tuple(before.shape)}"])
        scale = layer.scaling["default"]
        down, up = low_rank(learned.float() - before.float(), layer.r["default"])
        given |= {f"{place}.lora_A.weight": down / scale, f"{place}.lora_B.weight": up}
    if not given:
        raise AdapterMismatch(folder, ["it has none of this model's layers"])
    return given


def _stored(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of an adapter or of a whole model, by name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if is_adapted(folder):
        return read_adapter(folder)[1]
    try:
        return load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise AdapterMismatch(folder, [f"it holds neither an adapter nor a {_WEIGHTS} that can be read"]) from error


def _place(name: str, inner: str) -> str:
    """A weight by its layer in the base, whichever task's class is around it."""
    return name.replace(".default.", ".").removeprefix(PREFIX).removeprefix(inner)
