"""Dropout from bytes keeps means, drops the share it should and repeats with a seed."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from training.dropout import byte_dropout, dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_share_is_dropped_and_the_rest_scaled(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    found = dropout(torch.ones(1000, 1001, dtype=dtype), share)
    rounded = round(share * 256) / 256
    deviation = (rounded * (1 - rounded) / found.numel()) ** 0.5
    assert (found == 0).double().mean().item() == pytest.approx(rounded, abs=5 * deviation)
    assert found.double().unique().tolist() == [0.0, torch.tensor(1 / (1 - rounded), dtype=dtype).item()]


def test_neighbours_and_the_bytes_of_a_word_are_independent() -> None:
    torch.manual_seed(1)
    kept = (dropout(torch.ones(2**20), 0.5) != 0).double().view(-1, 8)
    assert kept.mean(0).tolist() == pytest.approx([0.5] * 8, abs=0.01)
    assert torch.corrcoef(kept.T).fill_diagonal_(0).abs().max().item() < 0.02


def test_gradients_flow_where_numbers_stayed() -> None:
    torch.manual_seed(2)
    numbers = torch.randn(7, 5, requires_grad=True)
    kept = dropout(numbers, 0.25)
    kept.sum().backward()
    assert numbers.grad is not None
    assert torch.equal(numbers.grad, torch.where(kept != 0, 256 / 192, 0.0))


def test_it_repeats_with_a_seed_and_leaves_serving_alone() -> None:
    layer, numbers = torch.nn.Dropout(0.3), torch.ones(100)
    with byte_dropout():
        drawn = []
        for _ in range(2):
            torch.manual_seed(3)
            drawn.append(layer(numbers))
        assert torch.equal(*drawn)
        assert torch.equal(layer.eval()(numbers), numbers)
        assert functional.dropout is dropout
    assert functional.dropout is not dropout
