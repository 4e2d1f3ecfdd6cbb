"""Rows whose prompts begin alike, read in one pass: what they share is computed once, and each goes on from it alone.

Positions and the attention mask are such that a row's tokens see the shared beginning and their own row and nothing
else, so losses and gradients are those of the rows apart; five questions about one text cost little more than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from training.tasks.base import padded

if TYPE_CHECKING:
    import torch

SHARED = 0
"""In a feature's `branch`: the token belongs to all its rows; from 1 on, the row that it belongs to."""
_NOTHING = -1
_LEAST_SHARED = 0.5  # of a row's prompt: all prompts of a job begin with the same few instructions


def joined(features: Iterable[Mapping[str, Any]], most_tokens: int) -> Iterator[dict[str, Any]]:
    """Neighbours that share at least half of their prompts, made one feature of at most so many tokens.

    Args:
        features: Each with `input_ids`, and `learned`, 1 for each token that is learned; empty ones are passed on.
        most_tokens: Of what is made of several; a longer single row stays as it is.

    Yields:
        The same with `branch` and `position_ids`, one number a token.
    """
    group: list[Mapping[str, Any]] = []
    shared = 0
    for feature in features:
        if feature["empty"]:
            yield _together([feature], 0)
            continue
        if group:
            common = _common(group[0], feature)
            common = min(shared, common) if len(group) > 1 else common
            tokens = common + sum(len(one["input_ids"]) - common for one in [*group, feature])
            if common >= _LEAST_SHARED * _prompt(feature) and tokens <= most_tokens:
                group.append(feature)
                shared = common
                continue
            yield _together(group, shared)
        group, shared = [feature], 0
    if group:
        yield _together(group, shared)


def _prompt(feature: Mapping[str, Any]) -> int:
    """Tokens before the first that is learned."""
    learned: list[int] = feature["learned"]
    return learned.index(1) if 1 in learned else len(learned)


def _common(first: Mapping[str, Any], second: Mapping[str, Any]) -> int:
    """Tokens that both begin with; each keeps one of its prompt, before which its first learned token is told."""
    most = min(_prompt(first), _prompt(second)) - 1
    pairs = zip(first["input_ids"][:most], second["input_ids"][:most], strict=True)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), max(0, most))


def _together(group: Sequence[Mapping[str, Any]], shared: int) -> dict[str, Any]:
    ids: list[int] = list(group[0]["input_ids"][:shared])
    learned, branch, positions = [0] * shared, [SHARED] * shared, list(range(shared))
    for number, feature in enumerate(group, start=1):
        own = feature["input_ids"][shared:]
        ids += own
        learned += feature["learned"][shared:]
        branch += [number] * len(own)
        positions += range(shared, shared + len(own))
    faults = {name: any(feature[name] for feature in group) for name in ("cut", "empty")}
    return {"input_ids": ids, "learned": learned, "branch": branch, "position_ids": positions, **faults}


def shared_inputs(features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """`position_ids` and `branch` of a padded batch, of shape (features, longest)."""
    return {
        "position_ids": padded([feature["position_ids"] for feature in features], 0),
        "branch": padded([feature["branch"] for feature in features], _NOTHING),
    }


def sees(branch: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What attention adds to its scores, of shape (rows, 1, width, width): 0 where a token sees one before it.

    Padding sees itself, so that no row of scores is empty.
    """
    import torch

    width = branch.shape[1]
    own = branch[:, :, None] == branch[:, None, :]
    of_all = (branch == SHARED)[:, None, :] & (branch != _NOTHING)[:, :, None]
    before = torch.ones(width, width, dtype=torch.bool, device=branch.device).tril()
    seen = (own | of_all) & before
    return torch.zeros(seen.shape, dtype=dtype, device=branch.device).masked_fill(~seen, torch.finfo(dtype).min)[
        :, None
    ]
