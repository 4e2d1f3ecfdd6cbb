"""The loss that a head's slices give, against torch's own over all logits at once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from training.tasks import head_loss as module
from training.tasks.generating import label_loss, logits_at, loss_at
from training.tasks.head_loss import head_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("slice_logits", [1, 200, 10_000])
def test_the_loss_and_its_gradients_are_those_of_all_logits_at_once(
    smoothing: float, slice_logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SLICE_LOGITS", slice_logits)
    torch.manual_seed(0)
    hidden, weight = torch.randn(50, 8, requires_grad=True), torch.randn(30, 8, requires_grad=True)
    bias, labels = torch.randn(30), torch.randint(0, 30, (50,))
    found = head_loss(hidden, weight, bias, labels, smoothing)
    gradients = torch.autograd.grad(found * 3, [hidden, weight])
    wanted = functional.cross_entropy(hidden @ weight.T + bias, labels, reduction="sum", label_smoothing=smoothing)
    expected = torch.autograd.grad(wanted * 3, [hidden, weight])
    torch.testing.assert_close(found, wanted)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_in_autocast_it_computes_in_bfloat16_and_gives_gradients_in_the_weights_own_format() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 16, requires_grad=True), torch.randn(64, 16, requires_grad=True)
    labels = torch.randint(0, 64, (40,))
    with torch.autocast("cpu", torch.bfloat16):
        found = head_loss(hidden, weight, None, labels, 0.1)
    to_hidden, to_weight = torch.autograd.grad(found, [hidden, weight])
    wanted = functional.cross_entropy(hidden @ weight.T, labels, reduction="sum", label_smoothing=0.1)
    expected = torch.autograd.grad(wanted, [hidden, weight])
    assert (to_hidden.dtype, to_weight.dtype) == (torch.float32, torch.float32)
    assert found.item() == pytest.approx(wanted.item(), rel=0.01)
    for one, other in zip((to_hidden, to_weight), expected, strict=True):
        assert (one - other).norm() < 0.02 * other.norm()


def test_of_a_model_it_is_the_loss_of_its_logits() -> None:
    from transformers import PegasusConfig, PegasusForConditionalGeneration

    torch.manual_seed(0)
    config = PegasusConfig(
        vocab_size=20, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, forced_eos_token_id=None, dropout=0.0,
    )  # fmt: skip
    model = PegasusForConditionalGeneration(config)
    model.final_logits_bias.normal_()
    inputs = {name: torch.randint(2, 20, (3, 5)) for name in ("input_ids", "decoder_input_ids")}
    positions = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]])
    labels = torch.randint(0, 20, (12,))
    found = loss_at(model, positions, labels, 0.1, **inputs)
    found.backward()
    weight = model.get_input_embeddings().weight
    own, weight.grad = weight.grad, None
    wanted = label_loss(logits_at(model, positions, **inputs), labels, 0.1)
    wanted.backward()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(own, weight.grad)
