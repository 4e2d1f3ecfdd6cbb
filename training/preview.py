"""What a recipe would do, before it does it: values, rows, labels, lengths, examples, steps, minutes and memory.

Nothing is trained: a few steps are timed on weights that are thrown away.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from training.batches import Plan, make_plan
from training.chance import seed_all
from training.checks import check_data
from training.data import Part, load_data
from training.features import Features, make_features
from training.feed import Feed
from training.learner import Learner, make_learner
from training.optimizer import learning, make_optimizer
from training.recipe import Recipe
from training.run import settle, window_of
from training.scratch import base_for
from training.tasks import open_task
from training.tasks.base import Task

_TIMED_STEPS = 3
_EXAMPLES = 3
_PERCENTILES = (5, 50, 95, 100)
_PER_WEIGHT = 4 + 4 + 8  # float32 weight, its gradient, AdamW's two moments


def check(recipe: Recipe, *, home: Path) -> dict[str, Any]:
    """Everything that can be known before training.

    Raises:
        TrainingError, ModelError: what would stop the run.
    """
    task = open_task(recipe)
    with tempfile.TemporaryDirectory(prefix="hearth-check-") as name:
        folder = Path(name)
        splits = load_data(recipe, task.columns, folder, task.layout)
        found = check_data(recipe, task.columns, splits)
        task.prepare(splits)
        bf16 = settle(recipe)
        seed_all(recipe.seed)
        learner = make_learner(recipe, task, home, bf16, base_for(recipe, task, splits, folder / "base"))
        task.attach(learner.tokenizer, window_of(learner))
        features = make_features(task, splits.train, folder / "features.arrow")
        learner.fit_attention(features.lengths, bf16)
        plan = make_plan(features.lengths, recipe.training, recipe.seed)
        seconds = _seconds_per_token(recipe, task, learner, features, plan, bf16)
        tokens = sum(features.lengths[row] for batch in plan.batches for row in batch)
        return {
            "recipe": recipe.resolved(),
            "data": found.to_json(),
            "labels": _labels(task, splits.train),
            "tokens": _percentiles(features.lengths),
            "longer_than_window": features.cut,
            "window_tokens": task.max_tokens,
            "examples": [task.example(features[index]) for index in range(min(_EXAMPLES, len(features)))],
            "steps": plan.steps,
            "train_tokens": tokens,
            "parameters": dict(zip(("learning", "all"), learner.parameters, strict=True)),
            "estimated_minutes": round(seconds * tokens / 60, 2),
            "estimated_memory_bytes": _memory(learner),
        }


def _seconds_per_token(
    recipe: Recipe, task: Task, learner: Learner, features: Features, plan: Plan, bf16: bool
) -> float:
    """The time of a few whole steps over batches of the middle length, after one that warms up."""
    import torch

    feed = Feed(task, features, plan, recipe.seed, 0)
    order = sorted(range(len(plan.batches)), key=lambda index: sum(features.lengths[r] for r in plan.batches[index]))
    middle = order[len(order) // 2 :][: _TIMED_STEPS + 1]
    optimizer = make_optimizer(learner.model, recipe.training, learner.head)
    learner.model.train()
    tokens, began = 0, 0.0
    for count, index in enumerate(middle):
        if count == min(1, len(middle) - 1):
            tokens, began = 0, time.perf_counter()
        batch = {name: value.to(learner.model.device) for name, value in feed[index].items()}
        with torch.autocast(learner.model.device.type, dtype=torch.bfloat16, enabled=bf16):
            loss = task.loss(learner.model, batch) / max(1, task.items(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        tokens += sum(features.lengths[row] for row in plan.batches[index])
    return (time.perf_counter() - began) / max(1, tokens)


def _memory(learner: Learner) -> int:
    """Bytes of weights, gradients and moments, and the peak that the timed steps reached where it is known."""
    import torch

    learns = sum(one.numel() for one in learning(learner.model).values())
    rest = sum(one.numel() * one.element_size() for one in learner.model.parameters() if not one.requires_grad)
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    import psutil

    return int(max(learns * _PER_WEIGHT + rest, psutil.Process().memory_info().rss))


def _labels(task: Task, part: Part) -> dict[str, int]:
    """Rows of each label, the commonest first; empty where a task has no labels."""
    return dict(Counter(task.single_labels(list(part))).most_common())


def _percentiles(lengths: list[int]) -> dict[str, int]:
    import numpy as np

    return {f"p{share}": int(np.percentile(lengths, share)) for share in _PERCENTILES}
