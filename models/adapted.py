"""A task model that is a base with a LoRA adapter and a head of its own: put together once, when it is loaded.

Its folder holds PEFT's two files and `task_config.json`, the configuration of the model as it was trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.engines.lora import ADAPTER_CONFIG, PREFIX, AdapterMismatch, layers_of, misfits, read_adapter
from models.errors import BrokenModel
from models.files import read_json

TASK_CONFIG = "task_config.json"


def is_adapted(folder: Path) -> bool:
    """Whether a folder holds an adapter for a task, and no whole model."""
    return (folder / ADAPTER_CONFIG).is_file() and (folder / TASK_CONFIG).is_file()


def is_on_encoder(folder: Path) -> bool:
    """Whether a folder holds a task's adapter on an encoder, and not on a model that writes."""
    if not is_adapted(folder):
        return False
    names = adapted_config(folder).get("architectures") or [""]
    return not str(names[0]).endswith(("ForCausalLM", "ForConditionalGeneration", "MTModel"))


def adapted_config(folder: Path) -> dict[str, Any]:
    """The configuration of the adapted model.

    Raises:
        BrokenModel: it cannot be read.
    """
    config = read_json(folder / TASK_CONFIG)
    if not config.get("model_type"):
        raise BrokenModel(folder, f"{TASK_CONFIG} names no model_type")
    return config


def base_folder_of(folder: Path, home: Path) -> Path:
    """The folder of the base that an adapter names; an encoder's own where it is a sentence encoder.

    Raises:
        ModelNotFound, ModelNotLocal: the base is not on this machine. BrokenModel: none is named.
    """
    from models.catalog import find
    from models.encoder_files import encoder_folder
    from models.prepare import folder_of
    from models.registry_checks import base_named_by

    return encoder_folder(folder_of(find(base_named_by(folder), None, home), home))


def put_together(folder: Path, base: Path, auto_class: str, dtype: Any) -> Any:
    """The base as the named transformers class, the adapter's products added to its weights, its head in place.

    Raises:
        AdapterMismatch: the adapter has parts that the model has no place for (M07).
        BrokenModel: weights that neither the base nor the adapter has.
    """
    import torch
    import transformers

    from models.loading import model_from_files
    from models.transformers_calls import as_broken

    settings, tensors = read_adapter(folder)
    with as_broken(folder):
        config = transformers.AutoConfig.for_model(**adapted_config(folder))
    model, missing = model_from_files(base, auto_class, torch.float32, config=config)
    layers = layers_of(folder, settings, tensors)
    own = dict(model.named_parameters())
    places = {name.removesuffix(".weight"): tuple(value.shape) for name, value in own.items() if value.dim() == 2}
    if problems := misfits(layers, places):
        raise AdapterMismatch(folder, problems)
    head = {name.removeprefix(PREFIX): value for name, value in tensors.items() if ".lora_" not in name}
    if absent := sorted(set(missing) - set(head)):
        raise BrokenModel(folder, f"neither it nor its base has {len(absent)} of the weights, first {absent[0]}")
    if odd := sorted(name for name in head if name not in own or own[name].shape != head[name].shape):
        raise AdapterMismatch(folder, [f"the model has no place for {name}" for name in odd])
    with torch.no_grad():
        for name, layer in layers.items():
            own[f"{name}.weight"] += torch.from_numpy(layer.up) @ torch.from_numpy(layer.down)
        for name, value in head.items():
            own[name].copy_(value)
    return model.to(dtype)
