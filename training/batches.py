"""Which rows stand together in which step: the whole run's plan, made once from the seed and the lengths.

Rows of like length share a batch, so that little is padding; the plan is the same in both training loops and after a
resume, because it is data and not the state of a generator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.recipe import Training

_BUCKET_BATCHES = 50  # a bucket of so many batches is sorted by length; whole epochs sorted would not be random


@dataclass(frozen=True)
class Plan:
    """Every forward pass of a run in order, each a list of row indices.

    `accumulation_steps` consecutive ones make an optimizer step; `epoch_ends` has the number of batches that each epoch
    ends with, the last one's where it would end if the run did not end in it.
    """

    batches: list[list[int]]
    accumulation_steps: int
    epoch_ends: list[int]

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return math.ceil(len(self.batches) / self.accumulation_steps)

    def of_step(self, step: int) -> list[list[int]]:
        """The batches of one optimizer step, counted from 0."""
        return self.batches[step * self.accumulation_steps : (step + 1) * self.accumulation_steps]

    def ends_epoch(self, step: int) -> bool:
        """Whether the optimizer step that makes `step` of them is an epoch's last, or the run's."""
        return step == self.steps or int(self.epoch_at(step)) > int(self.epoch_at(step - 1))

    def epoch_at(self, step: int) -> float:
        """Epochs done after so many optimizer steps."""
        done = min(step * self.accumulation_steps, len(self.batches))
        before = 0
        for epoch, end in enumerate(self.epoch_ends):
            if done < end:
                return epoch + (done - before) / (end - before)
            before = end
        return float(len(self.epoch_ends))


def make_plan(lengths: Sequence[int], training: Training, seed: int) -> Plan:
    """The plan for rows of these lengths in tokens.

    The run ends after `training.steps` optimizer steps, else after `training.epochs` epochs (a part of one counts in
    its share of the batches).
    """
    batches: list[list[int]] = []
    ends: list[int] = []
    wanted = training.steps * training.accumulation_steps if training.steps else None
    epoch = 0
    while (wanted is None and epoch < math.ceil(training.epochs)) or (wanted is not None and len(batches) < wanted):
        own = _epoch(lengths, training, random.Random(f"{seed}:{epoch}"))
        ends.append(len(batches) + len(own))
        if wanted is None and epoch + 1 > training.epochs:
            own = own[: max(1, round(len(own) * (training.epochs - epoch)))]
        batches += own
        epoch += 1
    return Plan(batches[:wanted], training.accumulation_steps, ends)


def _epoch(lengths: Sequence[int], training: Training, draw: random.Random) -> list[list[int]]:
    order = list(range(len(lengths)))
    draw.shuffle(order)
    size = training.batch_rows * _BUCKET_BATCHES
    batches: list[list[int]] = []
    for start in range(0, len(order), size):
        bucket = sorted(order[start : start + size], key=lengths.__getitem__, reverse=True)
        batches += _cut(bucket, lengths, training)
    draw.shuffle(batches)
    return batches


def _cut(rows: Sequence[int], lengths: Sequence[int], training: Training) -> list[list[int]]:
    """Rows, longest first, in batches bounded in rows and, where asked, in tokens with padding."""
    batches: list[list[int]] = []
    start = 0
    while start < len(rows):
        room = training.batch_rows
        if training.batch_tokens:
            room = max(1, min(room, training.batch_tokens // max(1, lengths[rows[start]])))
        batches.append(list(rows[start : start + room]))
        start += room
    return batches
