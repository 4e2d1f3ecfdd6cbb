"""Any model or adapter as one whole model in safetensors, with the files beside its weights that other forms keep."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from models.adapted import TASK_CONFIG, adapted_config, base_folder_of, is_adapted, put_together
from models.catalog import Entry
from models.encoder_files import encoder_folder
from models.files import read_config
from models.loading import load_tokenizer
from models.manifest import MANIFEST
from models.memory import forget
from models.prepare import folder_of
from models.registry_checks import is_adapter
from models.registry_facts import CARD, ENTRY
from models.tasks.roles import served_by
from models.transformers_calls import quiet

# what Hearth keeps beside a model for itself, and forms that are made anew
_OURS = (".*", MANIFEST, ENTRY, "openvino-*")


@dataclass(frozen=True)
class Whole:
    """A whole model's folder; `serves` is what its architecture is for (`served_by`)."""

    name: str
    folder: Path
    serves: str


@contextmanager
def whole_model(entry: Entry, home: Path, beside: Path) -> Iterator[Whole]:
    """The model as a whole one while the block runs: its own folder, or an adapter merged into a folder in `beside`.

    Raises:
        ModelError: the model is not here, damaged, or an adapter that does not fit its base.
    """
    folder = folder_of(entry, home)
    if not is_adapter(folder):
        yield Whole(entry.label, folder, served_by(read_config(encoder_folder(folder))))
        return
    merged = Path(mkdtemp(prefix=".tmp-merged-", dir=beside))
    try:
        write_whole(entry, merged, home=home)
        yield Whole(entry.label, merged, served_by(read_config(merged)))
    finally:
        forget(merged)
        shutil.rmtree(merged, ignore_errors=True)


def write_whole(entry: Entry, target: Path, *, home: Path) -> None:
    """Fills a folder with the whole model: a copy, or an adapter's products added to its base's weights.

    Raises:
        ModelError: as for `whole_model`.
    """
    from models.chat_adapters import chat_source, write_merged_chat

    folder = folder_of(entry, home)
    if not is_adapter(folder):
        copy_files(folder, target)
    elif is_adapted(folder):
        _write_merged_task(folder, target, home)
    else:
        source = chat_source(entry, home)
        write_merged_chat(source.folder, folder, target)
    if is_adapter(folder) and (folder / CARD).is_file():
        shutil.copy(folder / CARD, target / CARD)  # the adapter's, not its base's


def copy_files(folder: Path, target: Path, *, weights: bool = True) -> None:
    """Copies a model's files, with or without its weights, and nothing that Hearth keeps for itself."""
    left_out = _OURS if weights else (*_OURS, "*.safetensors", "*.safetensors.index.json")
    shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*left_out))


def _write_merged_task(folder: Path, target: Path, home: Path) -> None:
    import torch

    base = base_folder_of(folder, home)
    model = put_together(folder, base, str(adapted_config(folder)["architectures"][0]), torch.float32)
    with quiet():
        model.save_pretrained(str(target))
        load_tokenizer(base).save_pretrained(str(target))
    for path in folder.iterdir():  # what serving reads beside, such as a threshold's or labels' file
        if path.suffix == ".json" and path.name not in (MANIFEST, ENTRY, TASK_CONFIG, "adapter_config.json"):
            shutil.copy(path, target / path.name)
