"""What a folder must be before the registry takes it: safe, whole, made for its role, and an adapter fit for its base.

Everything is read from the files' headers but the numbers, which are looked through for NaN once, here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from models.catalog import ADAPTER_CONFIG
from models.errors import BrokenModel, UnsafeModel, WrongRole
from models.files import Weights, read_config, read_json, read_weight_files, read_weights
from models.registry_errors import BaseDiffers
from models.registry_facts import Base, weights_sha256
from models.tasks.roles import ROLES as TASK_ROLES
from models.tasks.roles import can_serve, served_by

ADAPTER_WEIGHTS = "adapter_model.safetensors"
_CODE = (".py", ".pyc", ".so", ".dll", ".dylib", ".sh")
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".msgpack", ".h5", ".joblib")
_PREFIX = "base_model.model."


def refuse_unsafe(folder: Path, *, left_out: Sequence[str] = ()) -> None:
    """Refuses a folder with code, pickled files or links in it; names that match `left_out` are not looked at.

    Raises:
        UnsafeModel: with the first such file.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch(part, pattern) for part in Path(name).parts for pattern in left_out):
            continue
        if path.is_symlink():
            raise UnsafeModel(folder, f"{name} is a link")
        if path.suffix.lower() in _CODE:
            raise UnsafeModel(folder, f"it holds code ({name})")
        if path.suffix.lower() in _PICKLED:
            raise UnsafeModel(folder, f"it holds {name}, a form that can run code when it is opened")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def check_model(folder: Path, name: str, role: str) -> tuple[Weights, dict[str, Any]]:
    """The weights and config of a whole model, which can be read and was made for the role.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel: the files are missing, unsafe or damaged.
        WrongRole: it was made for something else.
    """
    from models.encoder_files import encoder_folder

    inner = encoder_folder(folder)
    config, weights = read_config(inner), read_weights(inner)
    serves = served_by(config)
    if role in TASK_ROLES and serves != "chat":
        fits = can_serve(config, role)
    elif role in ("chat", "embed"):
        fits = serves in (role, "unknown")
    else:
        fits = True
    if not fits:
        default = TASK_ROLES[role].examples[0] if role in TASK_ROLES else "one of `hearth models list`"
        raise WrongRole(name, wanted=role, serves=serves, default=default)
    refuse_not_finite(folder, weights.files)
    return weights, config


def refuse_not_finite(folder: Path, files: Iterable[Path]) -> None:
    """Looks through every number of the weights.

    Raises:
        BrokenModel: NaN or infinity, with the tensor's name.
    """
    import torch
    from safetensors import safe_open

    for path in files:
        with safe_open(str(path), framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - no mapping
                tensor = tensors.get_tensor(key)
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
                    raise BrokenModel(folder, f"the weights {key} hold NaN or infinity")


def check_adapter(folder: Path, name: str, base: Base, home: Path) -> Weights:
    """The weights of a LoRA adapter that was trained on this base, and whose layers all find their place there.

    Raises:
        BaseDiffers: its own config names another model, or the base's weights are not those it was trained on.
        AdapterMismatch: layers that the base does not have, or of other sizes (M07).
        BrokenModel: its weights are missing or hold NaN.
    """
    from models.catalog import find
    from models.engines.lora import AdapterMismatch
    from models.prepare import folder_of

    config = read_json(folder / ADAPTER_CONFIG)
    written = str(config.get("base_model_name_or_path") or "")
    if written and not _same_base(written, base):
        raise BaseDiffers(name, made_for=written, found=base.label)
    base_folder = folder_of(find(base.name, None, home), home)
    found = weights_sha256(base_folder)
    if found != base.weights_sha256:
        raise BaseDiffers(name, made_for=base.label, found=Base(base.name, found).label)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise BrokenModel(folder, f"{ADAPTER_WEIGHTS} is missing")
    weights = read_weight_files((folder / ADAPTER_WEIGHTS,))
    problems = list(_misfits(weights.shapes, read_weights(base_folder).shapes))
    if problems:
        raise AdapterMismatch(folder, problems)
    refuse_not_finite(folder, weights.files)
    return weights


def base_named_by(folder: Path) -> str:
    """The base that an adapter's own config names.

    Raises:
        BrokenModel: it names none.
    """
    written = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(written, str) or not written:
        raise BrokenModel(folder, f"its {ADAPTER_CONFIG} names no base model, so give it with --base")
    return _catalog_name(written)


def name_base(folder: Path, base: Base) -> None:
    """Writes the base's name into an adapter's config, in place of a path of the machine that trained it."""
    config = read_json(folder / ADAPTER_CONFIG) | {"base_model_name_or_path": base.name}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")


def _catalog_name(written: str) -> str:
    """An embedded model's name where a hub id or folder means one, else what is written."""
    from models.catalog import EMBEDDED

    parts = {part.lower() for part in Path(written).parts}
    return next((entry.name for entry in EMBEDDED if entry.name in parts), written)


def _same_base(written: str, base: Base) -> bool:
    folder = Path(written).expanduser()
    if folder.is_dir() and (folder / "config.json").is_file():
        return weights_sha256(folder) == base.weights_sha256
    return base.name.lower() in (written.lower(), _catalog_name(written).lower())


def _misfits(adapter: dict[str, tuple[int, ...]], base: dict[str, tuple[int, ...]]) -> Iterable[str]:
    """What of an adapter has no place in the base, one sentence each; shapes are (outputs, inputs)."""
    for key, shape in sorted(adapter.items()):
        layer, side = _layer_of(key)
        # a model with a head calls its encoder by a name that the encoder's own files do not have: `bert.encoder...`
        place = base.get(f"{layer}.weight") or base.get(f"{layer.partition('.')[2]}.weight")
        if side is None:
            continue
        if place is None or len(place) != 2 or len(shape) != 2:
            yield f"the base has no layer {layer}"
        elif side == "A" and shape[1] != place[1]:
            yield f"{layer} reads {shape[1]} numbers and the base's {place[1]}"
        elif side == "B" and shape[0] != place[0]:
            yield f"{layer} gives {shape[0]} numbers and the base's {place[0]}"
    if not any(_layer_of(key)[1] for key in adapter):
        yield "it holds no LoRA layers"


def _layer_of(key: str) -> tuple[str, Any]:
    """The base's layer that a LoRA tensor belongs to and its side, A or B; None for other tensors, such as a head."""
    name = key.removeprefix(_PREFIX)
    for side in ("A", "B"):
        before, found, _ = name.partition(f".lora_{side}.")
        if found:
            return before, side
    return name, None
