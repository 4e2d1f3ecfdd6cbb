"""A base of one's own where the recipe names none: a tokenizer trained on its text and weights drawn with its seed.

It is written once into the run folder as any base model lies on disk, so everything after it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.manifest import read_manifest, write_manifest
from training.errors import MissingKey
from training.recipe import Recipe
from training.tokenizers import Form, TokenizerOptions, train_tokenizer

if TYPE_CHECKING:
    from training.data import Part, Splits
    from training.tasks.base import Task

FROM_SCRATCH = "none: trained from scratch"  # what a run with a base of its own names as its base


@dataclass(frozen=True)
class Scratch:
    """What a new base is made of.

    Attributes:
        tokenizer, form: The tokenizer to train, and its special tokens.
        texts: The columns whose texts it learns from; lists of texts are taken one by one.
        window: Most tokens of an input.
        config: The tokenizer to the configuration's values, `model_type` among them.
        more: Further special tokens.
    """

    tokenizer: TokenizerOptions
    form: Form
    texts: tuple[str, ...]
    window: int
    config: Callable[[Any], dict[str, Any]]
    more: Sequence[str] = ()


def base_for(recipe: Recipe, task: Task, splits: Splits, folder: Path) -> Path | None:
    """The folder of the run's own base, made where it is not whole yet; None where the recipe names a base.

    Raises:
        MissingKey: the recipe names none and the task cannot begin without.
    """
    from models.trainable import save_new_model

    if recipe.base is not None:
        return None
    plan = task.scratch()
    if plan is None:
        raise MissingKey(recipe.path.name, "base", "the model to begin from")
    if read_manifest(folder) is None:
        texts = _texts(splits.train, plan.texts)
        tokenizer = train_tokenizer(texts, plan.tokenizer, plan.form, folder, window=plan.window, more=plan.more)
        save_new_model(folder, task.auto_class, plan.config(tokenizer))
        write_manifest(folder, name=recipe.name, version="0", made_from={})
    return folder


def _texts(part: Part, columns: Sequence[str]) -> Iterator[str]:
    for row in part:
        for column in columns:
            value = row[column]
            yield from [value] if isinstance(value, str) else value
