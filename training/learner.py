"""A base model made ready to learn by the recipe's method, and its way out: the folder that serves.

Adapters are PEFT's LoRA; what is saved is small and names its base.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.adapted import TASK_CONFIG
from training.adapter_start import begin_with
from training.errors import MissingExtra
from training.recipe import Recipe
from training.scratch import FROM_SCRATCH

if TYPE_CHECKING:
    from training.tasks.base import Task

_FUSED_FROM_TOKENS = 200


@dataclass
class Learner:
    """A model that learns, where it came from, and the names of its new head."""

    model: Any
    tokenizer: Any
    base_name: str
    base_folder: Path
    head: tuple[str, ...]
    method: str

    @property
    def parameters(self) -> tuple[int, int]:
        """How many weights learn, and how many there are."""
        every = list(self.model.parameters())
        return sum(one.numel() for one in every if one.requires_grad), sum(one.numel() for one in every)

    def fit_attention(self, lengths: Sequence[int], bf16: bool) -> None:
        """Takes the attention that is faster for rows of these lengths in tokens.

        On a CPU torch's fused attention goes backward in bfloat16 two to four times slower than the plain one up to
        about 200 tokens, and two to four times faster from 500 on.
        """
        import torch

        if bf16 and not torch.cuda.is_available() and sorted(lengths)[len(lengths) // 2] < _FUSED_FROM_TOKENS:
            inner = getattr(self.model, "get_base_model", lambda: self.model)()
            inner.set_attn_implementation("eager")

    def save(self, folder: Path, task: Task) -> None:
        """Writes the folder that serves: an adapter with its configuration, or the whole model."""
        from models.transformers_calls import quiet

        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            self._save(folder, task.merges_adapters)
        task.model_files(folder)

    def _save(self, folder: Path, merged: bool) -> None:
        adapter = self.method in ("lora", "qlora")
        if adapter and merged:
            copy.deepcopy(self.model).float().merge_and_unload().save_pretrained(str(folder))
            self.tokenizer.save_pretrained(str(folder))
        elif adapter:
            self.model.save_pretrained(str(folder), state_dict=_in_half(self.model.state_dict()))
            (folder / "README.md").unlink(missing_ok=True)  # PEFT's own card; ours is written when publishing
            adapted = self.model.get_base_model()
            config = adapted.config.to_dict() | {"architectures": [type(adapted).__name__]}
            config.pop("_name_or_path", None)  # where the base lies on this machine; the adapter names it itself
            (folder / TASK_CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True), encoding="utf-8")
        else:
            kept = copy.deepcopy(self.model).half() if self._kept_in_half() else self.model
            kept.save_pretrained(str(folder))
            self.tokenizer.save_pretrained(str(folder))

    def _kept_in_half(self) -> bool:
        """A model that began from nothing, with no format to stay comparable with, and one that goes on from such."""
        from models.encoder_files import encoder_folder
        from models.files import read_config

        return self.base_name == FROM_SCRATCH or read_config(encoder_folder(self.base_folder)).get("dtype") == "float16"


def _in_half(state: Mapping[str, Any]) -> dict[str, Any]:
    """What an adapter adds and its head, in float16: what is kept, judged and served is half as large."""
    return {name: one.half() for name, one in state.items() if ".lora_" in name or ".modules_to_save." in name}


def make_learner(recipe: Recipe, task: Task, home: Path, bf16: bool, own_base: Path | None = None) -> Learner:
    """Loads the base, gives it the task's head and lets learn what the method says.

    With `bf16`, what does not learn is kept in bfloat16. `own_base` is the run's own, where the recipe names none.

    Raises:
        ModelError: the base is not here or cannot be used. MissingExtra: QLoRA without its packages.
    """
    from models.catalog import find
    from models.prepare import folder_of
    from models.trainable import load_for_training

    if own_base is None:
        assert recipe.base is not None
        entry = find(recipe.base, None, home)
        folder, label, template = folder_of(entry, home), entry.label, entry.chat_template
    else:
        folder, label, template = own_base, FROM_SCRATCH, None
    lora = recipe.method.kind in ("lora", "qlora")
    model, tokenizer, head = load_for_training(
        folder, auto_class=task.auto_class, changes=task.config_changes(), frozen_base=lora and bf16,
        chat_template=template, in_4_bits=recipe.method.kind == "qlora",
    )  # fmt: skip
    if recipe.method.kind == "frozen":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(part in name.split(".") for part in head))
    elif lora:
        model = _with_lora(model, recipe, label, head)
        if recipe.method.start is not None:
            begin_with(model, folder_of(find(recipe.method.start, None, home), home))
    task.see(model, home, bf16)
    if recipe.training.gradient_checkpointing:
        model.config.use_cache = False
        model.gradient_checkpointing_enable()
    return Learner(model, tokenizer, label, folder, head, recipe.method.kind)


def _with_lora(model: Any, recipe: Recipe, base_name: str, head: tuple[str, ...]) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    method = recipe.method
    if method.kind == "qlora" and not torch.cuda.is_available():
        raise MissingExtra("QLoRA (4-bit weights) needs an NVIDIA GPU and bitsandbytes, and", "qlora")
    config = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=list(method.layers) or "all-linear",
        modules_to_save=list(head) or None,
        base_model_name_or_path=base_name,
    )
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = base_name
    for parameter in adapted.parameters():  # what learns is kept in float32, whatever the base is in
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return adapted
