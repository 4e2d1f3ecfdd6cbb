"""A causal language model from its folder, an adapter put into its base: to read likelihoods from, not to chat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.adapted import base_folder_of, is_adapted
from models.loading import LoadedTask, load_task, load_tokenizer


def open_causal(folder: Path, home: Path, chat_template: str | None = None) -> LoadedTask:
    """The model of a folder with its tokenizer, loaded once a process; `chat_template` names one of ours.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel, DoesNotFit: as for every model.
    """
    base = base_folder_of(folder, home) if is_adapted(folder) else None
    loaded = load_task(folder, name=folder.name, auto_class="AutoModelForCausalLM", base=base)
    if chat_template is None:
        return loaded
    return replace(loaded, tokenizer=load_tokenizer(base or folder, chat_template=chat_template))
