"""Tiny LoRA adapters on disk, for the tiny chat model's layers."""

from __future__ import annotations

import json
from pathlib import Path

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
