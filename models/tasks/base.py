"""What every task model shares: its name becomes a checked folder at once and a loaded model at first use.

The forward passes of all tasks take their turn with the chat model in the process's one queue.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.adapted import adapted_config, base_folder_of, is_adapted
from models.catalog import Entry, find
from models.errors import WrongRole
from models.files import read_config
from models.prepare import folder_of
from models.scheduler import process_scheduler
from models.tasks.errors import EmptyText
from models.tasks.roles import ROLES, TaskRole, can_serve, served_by

if TYPE_CHECKING:
    from models.loading import LoadedTask

_UNBOUNDED = 100_000  # tokenizers say 10^30 where nobody set a limit
_DEFAULT_WINDOW = 512
# models whose positions begin after the padding id, so that two of them can never be used
_SHIFTED = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text", "ibert"}

# a tokenizer's truncation and padding are switched on the object itself, so threads take turns
tokenizer_turn = threading.RLock()


class TaskModel:
    """A model for one task; subclasses name their role and add the call.

    Args:
        name: `org/name[@revision]` on the hub, a local folder or a catalog name.
        home: The data folder.

    Raises:
        ModelNotFound, ModelNotLocal: no such model here.
        WrongRole: the model is for something else, which the message names.
    """

    role_name: ClassVar[str]

    def __init__(self, name: str, *, home: Path) -> None:
        self._entry = entry_for(name, self.role_name, home)
        self._home = home
        self._check()

    @property
    def role(self) -> TaskRole:
        """The task that the class does."""
        return ROLES[self.role_name]

    @property
    def auto_class(self) -> str:
        """The transformers class that loads it."""
        return self.role.auto_class

    @property
    def name(self) -> str:
        """The model's name, with its revision where it has one."""
        return self._entry.label

    @cached_property
    def folder(self) -> Path:
        """The folder with the model's files."""
        return folder_of(self._entry, self._home)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's config.json; an adapted model's own."""
        return adapted_config(self.folder) if is_adapted(self.folder) else read_config(self.folder)

    def load(self) -> LoadedTask:
        """Loads the model now, once a process."""
        from models.loading import load_task

        base = base_folder_of(self.folder, self._home) if is_adapted(self.folder) else None
        return load_task(self.folder, name=self.name, auto_class=self.auto_class, base=base, home=self._home)

    @cached_property
    def window(self) -> int:
        """Most tokens the model reads at once, special tokens counted."""
        return window_tokens(self.load().tokenizer, self.config)

    def _check(self) -> None:
        if not can_serve(self.config, self.role_name):
            serves = served_by(self.config)
            raise WrongRole(self.name, wanted=self.role_name, serves=serves, default=self.role.examples[0])

    def _forward(self, **inputs: Any) -> Any:
        """One forward pass, in turn with everything else that computes in this process."""
        import torch

        loaded = self.load()  # held while it computes, so that it counts as in use
        with process_scheduler().slot(), torch.inference_mode():
            return loaded.model(**{key: value.to(loaded.model.device) for key, value in inputs.items()})


def entry_for(name: str, role: str, home: Path) -> Entry:
    """The catalog's entry for a task model.

    Raises:
        ModelNotFound: no such name or folder.
        WrongRole: a known model that serves something else, such as chat.
    """
    entry = find(name, None, home)
    if entry.role is None or (entry.role == "embed" and role == "features"):
        return entry
    raise WrongRole(entry.name, wanted=role, serves=entry.role, default=ROLES[role].examples[0])


def window_tokens(tokenizer: Any, config: dict[str, Any]) -> int:
    """Most tokens a model reads at once: the smallest limit that its tokenizer or its positions set."""
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    limits = [n for n in (tokenizer.model_max_length, positions) if isinstance(n, int) and 0 < n < _UNBOUNDED]
    if isinstance(positions, int) and config.get("model_type") in _SHIFTED:
        limits.append(positions - int(config.get("pad_token_id") or 1) - 1)
    return min(limits, default=_DEFAULT_WINDOW)


def as_texts(texts: str | Sequence[str], what: str = "text") -> list[str]:
    """One text or many as a list.

    Raises:
        EmptyText: one of them is empty or white space.
    """
    found = [texts] if isinstance(texts, str) else list(texts)
    if any(not text.strip() for text in found):
        raise EmptyText(what)
    return found
