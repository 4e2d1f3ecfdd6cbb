"""How likely a causal language model finds each of several continuations of one prompt.

The prompt is read once and its attention cache shared by all continuations, which go through the model as one batch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any


def continuation_likelihoods(
    model: Any, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[list[float]]:
    """The log-likelihood of each token of each continuation, given the prompt and the tokens before it.

    Args:
        model: A causal language model in evaluation mode.
        prompt: Token ids, at least 1.
        continuations: Token ids of each continuation, at least 1 each.
    """
    import torch

    device = model.device
    with torch.inference_mode():
        read = model(torch.tensor([list(prompt)], device=device), use_cache=True, logits_to_keep=1)
        first = torch.log_softmax(read.logits[0, -1].float(), -1)
        longest = max(len(tokens) for tokens in continuations)
        found = [[float(first[tokens[0]])] for tokens in continuations]
        if longest > 1:
            rest = _rest(model, read.past_key_values, len(prompt), continuations, longest)
            for index, tokens in enumerate(continuations):
                found[index] += [float(rest[index, at - 1, tokens[at]]) for at in range(1, len(tokens))]
    return found


def _rest(model: Any, cache: Any, seen: int, continuations: Sequence[Sequence[int]], longest: int) -> Any:
    """Log-probabilities after each token but the last, shape (continuations, longest - 1, vocabulary)."""
    import torch

    rows, width = len(continuations), longest - 1
    shared = copy.deepcopy(cache)
    shared.batch_repeat_interleave(rows)
    inputs = torch.zeros((rows, width), dtype=torch.long)
    mask = torch.zeros((rows, seen + width), dtype=torch.long)
    mask[:, :seen] = 1
    for row, tokens in enumerate(continuations):
        known = tokens[:-1]
        inputs[row, : len(known)] = torch.tensor(list(known), dtype=torch.long)
        mask[row, seen : seen + len(known)] = 1
    output = model(inputs.to(model.device), attention_mask=mask.to(model.device), past_key_values=shared)
    return torch.log_softmax(output.logits.float(), -1).cpu()


def text_likelihoods(model: Any, tokens: Sequence[int]) -> list[float | None]:
    """The log-likelihood of each token given those before it; None for the first, which nothing stands before."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor([list(tokens)], device=model.device)
        likelihoods = torch.log_softmax(model(ids, use_cache=False).logits[0, :-1].float(), -1)
        own = likelihoods.gather(1, ids[0, 1:, None])[:, 0]
    return [None, *own.tolist()]
