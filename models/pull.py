"""`hearth models pull`: the only part of Hearth that downloads a model, always on a person's explicit word.

A pulled model lies in the data home like a prepared one, with a manifest of hashes, and works offline from then on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.catalog import Entry
from models.encoder_files import encoder_folder
from models.environment import allow_hub, go_offline
from models.errors import HubFailed, UnsafeModel
from models.files import Weights, read_config, read_weight_files, read_weights
from models.home import models_folder
from models.manifest import intact, read_manifest, write_manifest
from models.prepare import locked_folder, swap_in, temporary_folder
from models.registry_checks import ADAPTER_WEIGHTS, is_adapter, refuse_not_finite

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "LICENSE*")  # no pickles, no code


def pull(entry: Entry, home: Path) -> Path:
    """Downloads a hub model's safetensors and settings into the home and gives its folder; again only if it changed.

    Raises:
        HubFailed: the hub could not be reached or does not have it.
        UnsafeModel, BrokenModel: what came is refused, and nothing is kept.
        HomeNotWritable: the home cannot be written.
    """
    allow_hub()
    try:
        return _pull(entry, home)
    finally:
        go_offline()


def pulled_folder(entry: Entry, home: Path) -> Path | None:
    """Where a pulled model lies, undamaged, in the revision asked for (any, where none was asked for), newest first."""
    for folder in sorted(_folder(entry, home).glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True):
        manifest = read_manifest(folder)
        asked = entry.revision in (None, folder.name, manifest.made_from.get("revision") if manifest else None)
        if manifest and asked and intact(folder, manifest):
            return folder
    return None


def pulled_models(home: Path) -> list[tuple[Entry, Path]]:
    """Every pulled model in the home with its folder, by name."""
    found = []
    for folder in sorted(models_folder(home).glob("*--*/[!.]*")):
        manifest = read_manifest(folder)
        if manifest:
            source = manifest.made_from["hub"]
            found.append((Entry(name=source, kind="hub", source=source, revision=folder.name), folder))
    return found


def _pull(entry: Entry, home: Path) -> Path:
    from huggingface_hub import HfApi

    api = HfApi()
    commit = _commit(api, entry)
    parent = _folder(entry, home)
    target = parent / commit
    with locked_folder(entry.name, home, parent):
        manifest = read_manifest(target)
        if manifest and intact(target, manifest):
            return target
        temporary = temporary_folder(parent)
        try:
            with _hub_errors(entry):
                api.snapshot_download(entry.source, revision=commit, local_dir=temporary, allow_patterns=list(_WANTED))
            shutil.rmtree(temporary / ".cache", ignore_errors=True)  # the downloader's own notes
            refuse_not_finite(temporary, _checked(temporary).files)
            write_manifest(
                temporary,
                name=entry.name,
                version=commit,
                made_from={"hub": entry.source, "revision": entry.revision or "main", "commit": commit},
            )
            swap_in(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return target


def _checked(folder: Path) -> Weights:
    """The weights of what came: a model's, a sentence encoder's, or an adapter's (its fit to a base is seen later)."""
    if is_adapter(folder):
        if not (folder / ADAPTER_WEIGHTS).is_file():
            raise UnsafeModel(folder, f"it has no {ADAPTER_WEIGHTS}, the one form in which an adapter cannot run code")
        return read_weight_files((folder / ADAPTER_WEIGHTS,))
    encoder = encoder_folder(folder)
    read_config(encoder)
    return read_weights(encoder)


def _commit(api: HfApi, entry: Entry) -> str:
    with _hub_errors(entry):
        commit = api.model_info(entry.source, revision=entry.revision).sha
    if not commit:
        raise HubFailed(entry.label, "it names no revision")
    return commit


def _folder(entry: Entry, home: Path) -> Path:
    return models_folder(home) / entry.source.replace("/", "--")


@contextmanager
def _hub_errors(entry: Entry) -> Iterator[None]:
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except (httpx.HTTPError, HfHubHTTPError, LocalEntryNotFoundError, ConnectionError) as error:
        raise HubFailed(entry.label, " ".join(str(error).split())[:200]) from error
