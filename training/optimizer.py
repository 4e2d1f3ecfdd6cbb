"""The optimizer and the learning rate's course, the same objects for both training loops.

Source: AdamW, Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from training.recipe import Training

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LambdaLR

_NO_DECAY = ("bias", "norm", "embedding", "embed_")


def make_optimizer(model: Any, training: Training, head: tuple[str, ...] = ()) -> torch.optim.AdamW:
    """AdamW over the weights that learn, in four groups at most: head or not, with weight decay or without.

    Args:
        model: Whose parameters with `requires_grad` learn.
        training: The hyper-parameters.
        head: Beginnings of the names of the new head's parameters; they get `head_learning_rate` where it is set.
    """
    import torch

    groups: dict[tuple[bool, bool], list[Any]] = {}
    for name, parameter in learning(model).items():
        decays = parameter.dim() > 1 and not any(part in name.lower() for part in _NO_DECAY)
        groups.setdefault((_in_head(name, head), decays), []).append(parameter)
    rate = training.learning_rate
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": (training.head_learning_rate or rate) if in_head else rate,
                "weight_decay": training.weight_decay if decays else 0.0,
            }
            for (in_head, decays), parameters in groups.items()
        ],
        fused=True,
    )


def make_schedule(optimizer: torch.optim.Optimizer, training: Training, steps: int) -> LambdaLR:
    """The rate's course over the run, stepped once after every optimizer step."""
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, lambda step: rate_factor(step, steps, training))


def rate_factor(step: int, steps: int, training: Training) -> float:
    """The share of the full rate that optimizer step `step`, counted from 0, learns with."""
    rising = training.warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    if training.schedule == "constant":
        return 1.0
    done = min(1.0, (step - rising) / max(1.0, steps - rising))
    return 0.5 * (1 + math.cos(math.pi * done)) if training.schedule == "cosine" else 1 - done


def learning(model: Any) -> dict[str, Any]:
    """The parameters that learn, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _in_head(name: str, head: tuple[str, ...]) -> bool:
    return any(part in name.split(".") for part in head)
