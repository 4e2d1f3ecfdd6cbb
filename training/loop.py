"""The training loop, to be read from top to bottom; `training.loop = "accelerate"` in a recipe runs it.

It gives the same weights as the Hugging Face Trainer on the same seed, on one process or several.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from training.feed import Feed, tokens_in
from training.optimizer import learning
from training.recipe import Training
from training.steps import StepResult, Steps
from training.tasks.base import Task


def train_with_loop(
    model: Any, task: Task, feed: Feed, steps: Steps, optimizer: Any, schedule: Any, training: Training, bf16: bool
) -> None:
    """Trains until the plan is done or `steps` says that it is enough."""
    import torch
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # a run before in this process may have had another number format
    accelerator = Accelerator(
        mixed_precision="bf16" if bf16 else "no",
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    batches = enumerate(feed)
    steps.begin()
    goes_on = True
    while goes_on:
        # one optimizer step: its forward passes are read first, because the loss is a mean over all their items
        # (a batch of fewer rows than processes leaves one with a row that is not its own and must not count)
        taken = islice(batches, training.accumulation_steps)
        group = [(feed.owns(number), _to(batch, accelerator.device)) for number, batch in taken]
        own = sum(counts * task.items(batch) for counts, batch in group)
        items = accelerator.reduce(torch.tensor(own, device=accelerator.device)).item()
        # several processes average their gradients, so each must count for its share of the sum
        scale = accelerator.num_processes / max(1, int(items))
        loss_sum = 0.0
        model.train()
        for counts, batch in group:
            with accelerator.autocast():
                loss = task.loss(model, batch) * (scale * counts)
            accelerator.backward(loss)
            loss_sum += loss.item()
        norm = accelerator.clip_grad_norm_(learning(model).values(), training.gradient_clip_norm or float("inf"))
        steps.check(loss_sum, float(norm))
        rate = schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        rows, tokens = (sum(counts * of(batch) for counts, batch in group) for of in (_rows, tokens_in))
        result = StepResult(loss_sum, float(norm), rate, rows, tokens)
        goes_on = steps.done(result, accelerator.unwrap_model(model), optimizer, schedule)


def _to(batch: dict[str, Any], device: Any) -> dict[str, Any]:
    return {name: value.to(device) for name, value in batch.items()}


def _rows(batch: dict[str, Any]) -> int:
    return len(next(iter(batch.values())))
