"""What all tasks that learn to write share: logits where a label is, and the loss of the labels.

A vocabulary is far wider than a hidden state, so the head is applied to the positions that learn and to no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training.tasks.base import IGNORED

if TYPE_CHECKING:
    import torch


def logits_at(model: Any, positions: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """The model's logits at some positions of its output, of shape (positions that are true, vocabulary).

    Args:
        model: A causal language model or an encoder-decoder, wrapped or not.
        positions: True where logits are wanted, of shape (rows, width).
        inputs: What the model's forward takes.
    """
    hook = _head(model).register_forward_pre_hook(lambda module, args: (args[0][positions],))
    try:
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
    finally:
        hook.remove()
    return logits


def loss_at(
    model: Any, positions: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0, **inputs: Any
) -> torch.Tensor:
    """`label_loss` of `logits_at` for an encoder-decoder, by slices that never hold all logits at once.

    Args:
        model: Wrapped or not; its head is one linear layer without a bias of its own.
        positions: True where its output has a label, of shape (rows, width).
        labels: The tokens wanted there, of shape (positions that are true,).
        smoothing: As `label_loss` takes it.
        inputs: What the model's forward takes.
    """
    from training.tasks.head_loss import head_loss

    read: list[torch.Tensor] = []

    def keep(module: Any, args: tuple[torch.Tensor, ...]) -> torch.Tensor:
        read.append(args[0][positions])
        return args[0][:1, :1]  # so that the model's own head has next to nothing to do

    head = _head(model)
    hook = head.register_forward_pre_hook(keep)
    try:
        model(**inputs, use_cache=False)
    finally:
        hook.remove()
    bias = getattr(_inner(model), "final_logits_bias", None)
    return head_loss(read[0], head.weight, None if bias is None else bias.reshape(-1), labels, smoothing)


def label_loss(logits: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """The cross-entropy summed over labels; `smoothing` gives that share of the weight to all tokens alike."""
    from torch.nn import functional

    return functional.cross_entropy(logits.float(), labels, reduction="sum", label_smoothing=smoothing)


def label_count(batch: Mapping[str, torch.Tensor]) -> int:
    """Tokens of a batch that have a label."""
    return int((batch["labels"] != IGNORED).sum())


def cut_to(ids: list[int], most: int) -> list[int]:
    """At most so many tokens, the last one, which ends a text, kept."""
    return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]


def _head(model: Any) -> Any:
    """The layer that makes logits, beneath whatever wraps the model."""
    return _inner(model).get_output_embeddings()


def _inner(model: Any) -> Any:
    from accelerate.utils import extract_model_from_parallel

    inner = extract_model_from_parallel(model)
    return getattr(inner, "get_base_model", lambda: inner)()
