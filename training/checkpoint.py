"""Checkpoints that are whole or not there, and bring a run back exactly: weights, optimizer, rate, chance and place.

Written into a temporary folder, synced, its manifest of hashes last, then renamed; no pickle is written or read.
Source of the manner: FAULTS rule 14, and ALICE (Pillai et al. 2014) for why the folder is synced after the rename.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.manifest import read_manifest, sha256_of, sync, write_manifest
from training.chance import Chance, read_chance, set_chance
from training.optimizer import learning

_WEIGHTS, _OPTIMIZER, _CHANCE = "weights.safetensors", "optimizer.safetensors", "chance.safetensors"
_STATE = "state.json"
_NAME, _HIDDEN = "checkpoint-", ".checkpoint-"


@dataclass(frozen=True)
class Place:
    """Where a run stands.

    Attributes:
        step: Optimizer steps done.
        best_step, best_score: The best evaluation so far and its step; None before the first.
        evaluations_without_gain: For early stopping.
    """

    step: int
    best_step: int | None = None
    best_score: float | None = None
    evaluations_without_gain: int = 0


def save_checkpoint(
    folder: Path, place: Place, model: Any, optimizer: Any, schedule: Any, keep_step: int | None
) -> Path:
    """Writes `folder/checkpoint-<step>` and removes older ones but the one before and the one of `keep_step`.

    Raises:
        OSError, SafetensorError: it cannot be written; what lay there before does so still.
    """
    temporary, final = folder / f"{_HIDDEN}{place.step:07}", folder / f"{_NAME}{place.step:07}"
    _sweep_half(folder)  # what a killed run left may be the space that this one needs
    temporary.mkdir(parents=True)
    try:
        _fill(temporary, place, model, optimizer, schedule)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync(folder)
    _sweep(folder, final, keep_step)
    return final


def _fill(folder: Path, place: Place, model: Any, optimizer: Any, schedule: Any) -> None:
    from safetensors.torch import save_file

    names = {id(parameter): name for name, parameter in learning(model).items()}
    weights = {name: parameter.detach().contiguous() for name, parameter in learning(model).items()}
    save_file(weights, folder / _WEIGHTS)
    tensors, numbers = _flat(optimizer, names)
    save_file(tensors, folder / _OPTIMIZER)
    chance = read_chance()
    save_file(chance.tensors, folder / _CHANCE)
    state = {
        "place": asdict(place),
        "optimizer": numbers,
        "schedule": {key: value for key, value in schedule.state_dict().items() if key != "lr_lambdas"},
        "chance": chance.numbers,
    }
    (folder / _STATE).write_text(json.dumps(state), encoding="utf-8")
    write_manifest(folder, name="checkpoint", version=str(place.step), made_from={})


def newest_checkpoint(folder: Path, tell: Any = lambda sentence: None) -> Path | None:
    """The newest whole checkpoint; `tell` is given a sentence for every damaged one that was passed over."""
    for path in reversed(_all(folder)):
        if (problem := damage(path)) is None:
            return path
        tell(f"The checkpoint {path.name} is damaged ({problem}) and was passed over.")
    return None


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint's files, hashed anew; None where nothing is."""
    manifest = read_manifest(checkpoint)
    if manifest is None:
        return "its manifest is missing or cannot be read"
    for wanted in (_WEIGHTS, _OPTIMIZER, _CHANCE, _STATE):
        if wanted not in manifest.files:
            return f"its manifest has no {wanted}"
    for name, facts in manifest.files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != facts["size"]:
            return f"{name} has {path.stat().st_size:,} bytes and {facts['size']:,} were written"
        if sha256_of(path) != facts["sha256"]:
            return f"{name} is not what was written"
    return None


def read_place(checkpoint: Path) -> Place:
    """Where the run stood."""
    return Place(**_state(checkpoint)["place"])


def load_weights(checkpoint: Path, model: Any) -> None:
    """Puts the learned weights back into a model of the same making."""
    import torch
    from safetensors.torch import load_file

    saved, own = load_file(checkpoint / _WEIGHTS), learning(model)
    if set(saved) != set(own):
        raise ValueError(f"{checkpoint} holds other weights than the model learns")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])


def load_optimizer(checkpoint: Path, model: Any, optimizer: Any, schedule: Any) -> None:
    """Puts the optimizer's moments and the rate's place back."""
    from safetensors.torch import load_file

    state = _state(checkpoint)
    tensors = load_file(checkpoint / _OPTIMIZER)
    own = learning(model)
    for name, parameter in own.items():
        parts = {key.rpartition("/")[2]: tensor for key, tensor in tensors.items() if key.rpartition("/")[0] == name}
        if parts:
            optimizer.state[parameter] = {
                key: tensor if key == "step" else tensor.to(parameter.device) for key, tensor in parts.items()
            }
    for group, rate in zip(optimizer.param_groups, state["optimizer"]["rates"], strict=True):
        group["lr"] = rate
    schedule.load_state_dict(state["schedule"] | {"lr_lambdas": [None] * len(schedule.lr_lambdas)})


def load_chance(checkpoint: Path) -> None:
    """Puts the random generators back where they were."""
    from safetensors.torch import load_file

    set_chance(Chance(load_file(checkpoint / _CHANCE), _state(checkpoint)["chance"]))


def _flat(optimizer: Any, names: dict[int, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The optimizer's tensors as `<parameter>/<moment>`, and its rates."""
    tensors = {
        f"{names[id(parameter)]}/{key}": value.detach().contiguous()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
    return tensors, {"rates": [float(group["lr"]) for group in optimizer.param_groups]}


def _state(checkpoint: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    return value


def _all(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_NAME}*") if path.is_dir())


def _sweep(folder: Path, newest: Path, keep_step: int | None) -> None:
    """Keeps the newest two and the best; what is of a later step was damaged, and passed over when the run went on."""
    kept = {path.name for path in [one for one in _all(folder) if one.name <= newest.name][-2:]}
    if keep_step is not None:
        kept.add(f"{_NAME}{keep_step:07}")
    for path in _all(folder):
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _sweep_half(folder: Path) -> None:
    """Takes away what saves that were killed had begun."""
    for path in folder.glob(f"{_HIDDEN}*"):
        shutil.rmtree(path, ignore_errors=True)
