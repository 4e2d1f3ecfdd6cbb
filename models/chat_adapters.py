"""LoRA adapters of chat models: found with their base, checked before anything is loaded, served, merged for export.

Several adapters share one base in memory; each adds its own small matrices while it answers.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.catalog import ADAPTER_CONFIG, SMOLLM2, Entry, find
from models.device import choose_device
from models.encoder_files import encoder_folder
from models.engines.adapted_choice import AdaptedChoice
from models.engines.choice import engine_choice
from models.engines.lora import AdapterMismatch, misfits, read_lora
from models.errors import ModelError, ModelNotFound, WrongRole
from models.files import read_config, read_weights
from models.loading import LoadedChat, load_chat
from models.manifest import MANIFEST, write_manifest
from models.memory import kept
from models.prepare import folder_of, locked_folder, swap_in, temporary_folder
from models.tasks.roles import served_by

if TYPE_CHECKING:
    from models.registry_facts import Base

_RECIPE = "merged-1"
# some models that read pictures, too, bear the name of a translator's architecture; loading finds out
_MAY_CHAT = ("chat", "unknown", "translate or summarize")


class ModelExists(ModelError):
    """A folder that should be new is there already."""

    code = "model_exists"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"The folder {folder} is there already: name a new one.")


class NoAdapter(ModelError):
    """A whole model where an adapter is needed."""

    code = "no_adapter"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} is a whole model and no adapter, so there is nothing to merge.")


@dataclass(frozen=True)
class ChatSource:
    """Where a chat model's files are.

    Attributes:
        entry: The model's; an adapter's base. Its chat template, context and habits hold for both.
        folder: The folder with config, tokenizer and weights.
        adapter: The adapter's folder, None for a whole model.
    """

    entry: Entry
    folder: Path
    adapter: Path | None = None


def chat_source(entry: Entry, home: Path) -> ChatSource:
    """The files of a chat model; an adapter's fit to its base is checked here, from the files' headers.

    Raises:
        ModelNotFound, ModelNotLocal: the model, or an adapter's base, is not on this machine.
        WrongRole: its files say that it was made for another task.
        BaseDiffers: the base is not the one that the adapter was trained on, with both names and hashes.
        AdapterMismatch: names or sizes that do not fit, or another kind of adapter (M07).
        BrokenModel: the adapter's files are damaged or hold NaN.
    """
    from models.registry_checks import check_adapter, is_adapter

    folder = folder_of(entry, home)
    if not is_adapter(folder):
        if entry.kind in ("folder", "hub"):
            _refuse_other_tasks(entry, folder)
        return ChatSource(entry, folder)
    base = _base_of(folder, entry.label, home)
    found = find(base.name, None, home)
    if found.role not in (None, "chat"):
        raise WrongRole(found.name, wanted="chat", serves=str(found.role), default="an adapter on a chat model")
    check_adapter(folder, entry.label, base, home)
    read_lora(folder)  # refuses other kinds of adapters, too, before the base is loaded
    return ChatSource(found, folder_of(found, home), folder)


def load_adapted(adapter: Path, folder: Path, *, name: str, chat_template: str | None = None) -> LoadedChat:
    """A base with an adapter, each loaded once a process; `name` is what a person calls the base.

    Raises:
        AdapterMismatch: the adapter does not fit.
        ModelNotFound, UnsafeModel, BrokenModel, DoesNotFit: as for `load_chat`.
    """
    base = load_chat(folder, name=name, chat_template=chat_template)

    def load() -> LoadedChat:
        return replace(base, engine=base.engine.adapted(read_lora(adapter)), adapter=adapter, base=base)

    key = ("adapted", adapter, folder, chat_template)
    found: LoadedChat = kept(key, load)
    if found.base is not base:  # the base was let go and loaded again
        found = kept(key, load, anew=True)
    return found


def adapted_choice(adapter: Path, folder: Path, home: Path, name: str) -> AdaptedChoice:
    """The one choice of engines for an adapter on the base in `folder`; `name` is what a person calls it."""
    base = engine_choice(folder, home, name, choose_device().device)
    found: AdaptedChoice = kept(("adapted choice", adapter, base.folder), lambda: AdaptedChoice(base, adapter, name))
    return found


def merge_adapter(entry: Entry, target: Path, *, home: Path) -> Path:
    """Writes the base with the adapter's products added to its weights as a whole model in safetensors; gives `target`.

    The merged model needs no base, can be converted for OpenVINO without the adapter's cost, and given to others.

    Args:
        entry: The adapter's.
        target: The new folder; must not exist yet.
        home: The data folder, where the base is looked for.

    Raises:
        ModelExists: the target is there.
        NoAdapter: the entry is a whole model.
        ModelError: as for `chat_source`.
    """
    source = chat_source(entry, home)
    if source.adapter is None:
        raise NoAdapter(entry.label)
    if target.exists():
        raise ModelExists(target)
    with locked_folder(entry.label, home, target.parent):
        temporary = temporary_folder(target.parent)
        try:
            write_merged_chat(source.folder, source.adapter, temporary)
            made_from = {"base": source.entry.label, "adapter": entry.label, "recipe": _RECIPE}
            write_manifest(temporary, name=entry.label, version=_RECIPE, made_from=made_from)
            swap_in(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def write_merged_chat(base: Path, adapter: Path, target: Path) -> None:
    """Fills a folder with a chat model's base, an adapter's products added to its weights.

    Raises:
        AdapterMismatch: the adapter does not fit the base.
    """
    import torch
    from safetensors.torch import load_file, save_file

    layers = read_lora(adapter)
    weights = read_weights(base)
    places = {key.removesuffix(".weight"): shape for key, shape in weights.shapes.items() if len(shape) == 2}
    if problems := misfits(layers, places):
        raise AdapterMismatch(adapter, problems)
    for path in base.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name != MANIFEST and path.name[0] != ".":
            shutil.copy(path, target / path.name)
    for path in weights.files:  # one file at a time, so that a large model needs the memory of one
        tensors = load_file(path)
        for layer, parts in layers.items():
            if (weight := tensors.get(f"{layer}.weight")) is not None:
                added = torch.from_numpy(parts.up) @ torch.from_numpy(parts.down)
                tensors[f"{layer}.weight"] = (weight.float() + added).to(weight.dtype)
        save_file(tensors, target / path.name, metadata={"format": "pt"})


def _refuse_other_tasks(entry: Entry, folder: Path) -> None:
    serves = served_by(read_config(encoder_folder(folder)))
    if serves not in _MAY_CHAT:
        raise WrongRole(entry.label, wanted="chat", serves=serves, default=SMOLLM2.name)


def _base_of(folder: Path, name: str, home: Path) -> Base:
    """The base that a registered adapter was trained on, or that another's own config names."""
    from models.registry_checks import base_named_by
    from models.registry_facts import ENTRY, Base, read_facts

    registered = read_facts(folder).base if (folder / ENTRY).is_file() else None
    if registered is not None:
        return registered
    written = base_named_by(folder)
    try:
        return Base.of(written, home)
    except ModelNotFound as error:
        hint = f"The adapter {name} was made for {written}, by its {ADAPTER_CONFIG}, and that is not here: {error}"
        raise ModelNotFound(written, hint=hint) from error
