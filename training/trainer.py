"""The Hugging Face Trainer over the same plan, losses, steps and checkpoints as our own loop; the default.

It is handed one epoch that holds the whole rest of the run, an optimizer and a schedule that are already where they
should be, so that resuming needs nothing of its own machinery.
"""

from __future__ import annotations

from typing import Any

from transformers import Trainer, TrainerCallback, TrainingArguments

from training.feed import Feed, tokens_in
from training.recipe import Training
from training.steps import StepResult, Steps
from training.tasks.base import Task


def train_with_trainer(
    model: Any, task: Task, feed: Feed, steps: Steps, optimizer: Any, schedule: Any, training: Training, bf16: bool
) -> None:
    """Trains until the plan is done or `steps` says that it is enough."""
    import torch

    arguments = TrainingArguments(
        output_dir=str(steps.run / "trainer"),
        max_steps=feed.plan.steps - steps.place.step,
        gradient_accumulation_steps=training.accumulation_steps,
        max_grad_norm=training.gradient_clip_norm,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        average_tokens_across_devices=True,
        ddp_find_unused_parameters=True,
    )
    trainer = _PlanTrainer(model=model, args=arguments, train_dataset=feed, optimizers=(optimizer, schedule))
    trainer.follow(task, feed, steps, schedule)
    trainer.train()


class _PlanTrainer(Trainer):
    """A Trainer whose batches, losses and bookkeeping are ours."""

    def follow(self, task: Task, feed: Feed, steps: Steps, schedule: Any) -> None:
        self._task, self._feed, self._steps, self._schedule = task, feed, steps, schedule
        self.loss_is_scaled_for_ga = True
        self._norm, self._loss, self._rows, self._tokens = 0.0, 0.0, 0, 0
        self._asked = self._passed = 0  # batches handed out, and batches gone through the model
        self.callback_handler.callbacks = [
            callback for callback in self.callback_handler.callbacks if type(callback).__name__ != "PrinterCallback"
        ]
        self.add_callback(_AfterStep(self))

    def get_train_dataloader(self) -> Any:
        from torch.utils.data import DataLoader

        return DataLoader(self._feed, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        import torch

        own = [batch for number, batch in enumerate(batch_samples, self._asked) if self._feed.owns(number)]
        self._asked += len(batch_samples)
        self._loss, self._rows = 0.0, sum(len(next(iter(batch.values()))) for batch in own)
        self._tokens = sum(map(tokens_in, own))
        items = torch.tensor(sum(map(self._task.items, own)), device=device)
        return self.accelerator.reduce(items)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        # several processes average their gradients, so each must count for its share of the sum
        scale = self.accelerator.num_processes / max(1, int(num_items_in_batch))
        loss = self._task.loss(model, inputs) * (scale * self._feed.owns(self._passed))
        self._passed += 1
        self._loss += loss.item()
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]
        self._norm = float(norm)
        self._steps.check(self._loss, self._norm)
        return norm

    def begin(self) -> None:
        """Lets the first step begin."""
        self._steps.begin()

    def take_stock(self) -> bool:
        """What this optimizer step was, told to `Steps`; gives whether the run goes on."""
        rate = self._rate_before
        result = StepResult(self._loss, self._norm, rate, self._rows, self._tokens)
        model = self.accelerator.unwrap_model(self.model)
        return self._steps.done(result, model, self.optimizer, self.lr_scheduler)

    def note_rate(self) -> None:
        """Remembers the rate that the step about to be made learns with."""
        self._rate_before = float(self._schedule.get_last_lr()[0])


class _AfterStep(TrainerCallback):
    """Calls `Steps` after every optimizer step and ends the run where it says so."""

    def __init__(self, trainer: _PlanTrainer) -> None:
        self._trainer = trainer

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 0:  # making the Trainer and its loader has drawn from the generators
            self._trainer.begin()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._trainer.note_rate()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not self._trainer.take_stock():
            control.should_training_stop = True
