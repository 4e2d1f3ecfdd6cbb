"""The plan: every row once an epoch, like lengths together, steps counted, accumulation exact (G11)."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
import torch

from training.batches import make_plan
from training.optimizer import rate_factor
from training.recipe import Training

LENGTHS = [random.Random(1).randrange(1, 60) for _ in range(103)]


@pytest.mark.parametrize("rows", [1, 8, 200])
def test_every_row_stands_in_every_epoch_once(rows: int) -> None:
    plan = make_plan(LENGTHS, Training(epochs=2, batch_rows=rows), seed=5)
    assert Counter(row for batch in plan.batches for row in batch) == dict.fromkeys(range(103), 2)
    assert plan.epoch_ends == [math.ceil(103 / rows), 2 * math.ceil(103 / rows)]
    assert plan.steps == len(plan.batches)


def test_the_plan_is_the_seeds_and_every_epoch_differs() -> None:
    one, same, other = (make_plan(LENGTHS, Training(epochs=2, batch_rows=4), seed) for seed in (1, 1, 2))
    assert one == same != other
    half = one.epoch_ends[0]
    assert one.batches[:half] != one.batches[half:]


def test_a_token_bound_holds_with_padding() -> None:
    plan = make_plan(LENGTHS, Training(epochs=1, batch_rows=64, batch_tokens=120), seed=0)
    assert all(len(batch) * max(LENGTHS[row] for row in batch) <= 120 for batch in plan.batches)


def test_rows_of_like_length_stand_together() -> None:
    plan = make_plan(LENGTHS, Training(epochs=1, batch_rows=8), seed=0)
    padded = sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in plan.batches)
    assert padded < 1.15 * sum(LENGTHS)


def test_steps_win_over_epochs_and_parts_of_epochs_count() -> None:
    plan = make_plan(LENGTHS, Training(steps=7, accumulation_steps=3, batch_rows=10), seed=0)
    assert (plan.steps, len(plan.batches)) == (7, 21)
    assert [len(plan.of_step(step)) for step in range(7)] == [3] * 7
    assert plan.epoch_at(7) == pytest.approx(21 / 11)
    assert [plan.ends_epoch(step) for step in range(1, 8)] == [False, False, False, True, False, False, True]
    assert len(make_plan(LENGTHS, Training(epochs=0.5, batch_rows=10), seed=0).batches) == 6
    longer = make_plan(LENGTHS, Training(epochs=1.5, batch_rows=10), seed=0)
    assert (len(longer.batches), longer.epoch_at(longer.steps)) == (11 + 6, pytest.approx(1 + 6 / 11))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_rate_rises_then_follows_its_course(schedule: str) -> None:
    training = Training(warmup=0.1, schedule=schedule)  # type: ignore[arg-type]
    factors = [rate_factor(step, 100, training) for step in range(101)]
    assert factors[:10] == sorted(factors[:10])
    assert max(factors) == factors[10] == 1.0
    assert factors[100] == pytest.approx(1.0 if schedule == "constant" else 0.0)
    middle = {"linear": 0.5, "cosine": 0.5, "constant": 1.0}[schedule]
    assert rate_factor(55, 100, training) == pytest.approx(middle)


def test_g11_accumulated_batches_give_the_gradient_of_one() -> None:
    torch.manual_seed(0)
    layer, inputs, labels = torch.nn.Linear(5, 3), torch.randn(8, 5), torch.randint(0, 3, (8,))

    def gradient(parts: list[int]) -> torch.Tensor:
        layer.zero_grad()
        for rows, wanted in zip(inputs.split(parts), labels.split(parts), strict=True):
            # as both loops do: each part's sum over the items of the whole step
            (torch.nn.functional.cross_entropy(layer(rows), wanted, reduction="sum") / 8).backward()  # type: ignore[no-untyped-call]
        assert layer.weight.grad is not None
        return layer.weight.grad.clone()

    whole = gradient([8])
    for parts in ([4, 4], [2, 2, 2, 2], [1, 7], [5, 1, 2]):
        assert (gradient(parts) - whole).norm() / whole.norm() < 1e-6
