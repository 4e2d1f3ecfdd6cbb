"""The loss of a language model's head, a slice of the positions at a time, with its gradients made on the way.

A vocabulary's logits for a whole batch, their logarithms and their gradients are most of what a small model's step
writes; slices stay in the processor's cache, and on a CPU a step of a small translator takes about half the time.
"""

from __future__ import annotations

from typing import Any

import torch

_SLICE_LOGITS = 2_000_000


def head_loss(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """The cross-entropy of `hidden @ weight.T + bias`, summed over labels; as autocast computes where it is on.

    Args:
        hidden: What the head reads, of shape (labels, width).
        weight: The head's, of shape (vocabulary, width).
        bias: Of shape (vocabulary,); it is not learned.
        labels: The tokens wanted, of shape (labels,).
        smoothing: The share of the weight that all tokens get alike.
    """
    loss: torch.Tensor = _HeadLoss.apply(hidden, weight, bias, labels, smoothing)  # type: ignore[no-untyped-call]
    return loss


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        smoothing: float,
    ) -> torch.Tensor:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        rows = max(1, _SLICE_LOGITS // len(weight))
        loss = torch.zeros((), device=hidden.device)
        to_hidden, to_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        with torch.autocast(kind, enabled=False):
            head, read = weight.to(dtype), hidden.to(dtype)
            for start in range(0, len(hidden), rows):
                own = slice(start, start + rows)
                logits = torch.mm(read[own], head.T).float()
                if bias is not None:
                    logits += bias
                wanted = labels[own, None]
                log_sums = logits.logsumexp(1, keepdim=True)
                right = (1 - smoothing) * logits.gather(1, wanted) + smoothing * logits.mean(1, keepdim=True)
                loss += (log_sums - right).sum()
                # the gradient of the logits, in their place: the shares of the tokens less those wanted
                logits.sub_(log_sums).exp_().sub_(smoothing / len(weight))
                logits.scatter_add_(1, wanted, torch.full_like(log_sums, smoothing - 1))
                gradient = logits.to(dtype)
                to_hidden[own] = torch.mm(gradient, head)
                to_weight += torch.mm(gradient.T, read[own])
        ctx.save_for_backward(to_hidden, to_weight)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None, None]:
        to_hidden, to_weight = ctx.saved_tensors
        return to_hidden * gradients[0], to_weight * gradients[0], None, None, None
