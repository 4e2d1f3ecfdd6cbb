"""Tiny LoRA adapters on disk: for the tiny chat model's layers, and for encoders with a head for a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file


def save_adapter(folder: Path, *, base: str, inputs: int = 32, outputs: int = 32, layer: str = "q_proj") -> Path:
    """Writes a rank-2 adapter on the first layer's attention."""
    folder.mkdir()
    place = f"base_model.model.model.layers.0.self_attn.{layer}"
    generator = torch.Generator().manual_seed(0)
    save_file(
        {
            f"{place}.lora_A.weight": torch.randn(2, inputs, generator=generator),
            f"{place}.lora_B.weight": torch.randn(outputs, 2, generator=generator),
        },
        str(folder / "adapter_model.safetensors"),
    )
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": [layer], "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def save_task_adapter(
    folder: Path,
    base: Path,
    model_class: Any,
    *,
    seed: int = 0,
    head: str | None = "classifier",
    layers: tuple[str, ...] = ("query", "value"),
    **config: Any,
) -> Path:
    """Writes a LoRA with a head of its own on an encoder, as training saves it; `config` has the head's labels."""
    from peft import LoraConfig, get_peft_model

    from models.adapted import TASK_CONFIG

    torch.manual_seed(seed)
    model = model_class.from_pretrained(base, **config)
    lora = LoraConfig(r=2, lora_alpha=4, target_modules=list(layers), modules_to_save=[head] if head else None)
    adapted = get_peft_model(model, lora)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.normal_(std=0.2)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    values = model.config.to_dict() | {"architectures": [model_class.__name__]}
    (folder / TASK_CONFIG).write_text(json.dumps(values))
    return folder
