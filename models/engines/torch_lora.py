"""A LoRA adapter on a torch model that others use without it: added by hooks, for one thread, while it computes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from models.engines.lora import AdapterMismatch, Lora, misfits


class TorchLora:
    """An adapter's matrices on a model's device and in its number format; the model's own weights are not touched."""

    def __init__(self, model: Any, layers: Lora) -> None:
        """Copies the matrices.

        Raises:
            AdapterMismatch: names or shapes that the model does not have.
        """
        modules = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
        shapes = {name: tuple(module.weight.shape) for name, module in modules.items()}
        if problems := misfits(layers, shapes):
            raise AdapterMismatch(next(iter(layers.values())).adapter, problems)
        self._parts: list[tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]] = []
        for name, layer in layers.items():
            down, up = (torch.from_numpy(matrix).to(modules[name].weight) for matrix in (layer.down, layer.up))
            self._parts.append((modules[name], down, up))

    @contextmanager
    def active(self) -> Iterator[None]:
        """The model computes with the adapter for this thread, until the block ends."""
        owner = threading.get_ident()
        handles = [module.register_forward_hook(_added(owner, down, up)) for module, down, up in self._parts]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _added(owner: int, down: torch.Tensor, up: torch.Tensor) -> Callable[..., torch.Tensor | None]:
    def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
        if threading.get_ident() != owner:
            return None
        return output + torch.nn.functional.linear(torch.nn.functional.linear(inputs[0], down), up)

    return hook
