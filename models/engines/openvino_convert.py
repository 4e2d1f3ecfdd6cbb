"""A model's folder to one that OpenVINO serves from: once, whole or not at all, and only after a parity check.

It takes seconds for an encoder and about a minute for a small chat model, so a child process of low priority does it
while torch serves.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from models.device import available_memory_bytes
from models.encoder_files import encoder_folder
from models.engines.openvino_forms import FORMS, FormName, fill
from models.engines.openvino_paged import import_openvino
from models.errors import DoesNotFit, ModelError
from models.files import Weights, read_weights
from models.home import models_folder
from models.manifest import MANIFEST, intact, read_manifest, sha256_of, write_manifest
from models.prepare import locked_folder, swap_in, temporary_folder

_NICE = 15
# the process's own faults, which would come again; not those by which a person or the system ends it
_CRASHES = (signal.SIGFPE, signal.SIGSEGV, signal.SIGILL, signal.SIGABRT, signal.SIGBUS)
_PACKAGES = ("openvino", "nncf", "transformers", "torch")
_BYTES_A_PARAMETER = 8  # at the peak: the model, the program and its compressed copy
_LIBRARY_BYTES = 1024**3


def converted_folder(folder: Path, home: Path, form: FormName = "chat") -> Path:
    """Where a converted form of a model's folder goes: into it when it lies in the home, else beside those that do.

    A folder of the user's own is never written to.
    """
    ours = models_folder(home)
    if folder.resolve().is_relative_to(ours.resolve()):
        return folder / FORMS[form].suffix
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return ours / "converted" / f"{folder.name}-{name}" / FORMS[form].suffix


def is_ready(folder: Path, home: Path, form: FormName = "chat") -> bool:
    """Whether the model is converted, undamaged, from these weights and with these versions."""
    target = converted_folder(folder, home, form)
    manifest = read_manifest(target)
    return manifest is not None and manifest.made_from == _made_from(folder, form) and intact(target, manifest)


def refusal(folder: Path, home: Path, form: FormName = "chat") -> str | None:
    """The sentence with which an earlier conversion of these weights failed; None where it may be tried."""
    try:
        note = json.loads(_note(converted_folder(folder, home, form)).read_text(encoding="utf-8"))
        return str(note["message"]) if note["made_from"] == _made_from(folder, form) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def convert(folder: Path, home: Path, *, name: str, form: FormName = "chat") -> Path:
    """Converts a model once, however many processes ask, and gives the converted folder.

    Raises:
        EngineUnavailable: OpenVINO is not installed.
        DoesNotFit: too little memory is free.
        ConversionFailed, ParityFailed: the model cannot be converted, or behaves differently then; noted for next time.
    """
    import_openvino()
    target = converted_folder(folder, home, form)
    with locked_folder(f"{name} for OpenVINO", home, target.parent):
        if is_ready(folder, home, form):  # another process may have finished while this one waited
            return target
        _require_memory(folder, name)
        made_from = _made_from(folder, form)
        temporary = temporary_folder(target.parent)
        try:
            fill(form, temporary, folder, name)
            write_manifest(temporary, name=name, version=FORMS[form].recipe, made_from=made_from)
            swap_in(temporary, target)
            _note(target).unlink(missing_ok=True)
        except ModelError as error:
            _write_note(target, str(error), made_from)
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


class Conversion:
    """A conversion that runs in a child process of low priority."""

    def __init__(self, folder: Path, home: Path, *, name: str, form: FormName = "chat") -> None:
        self._folder, self._home, self._name, self._form = folder, home, name, form
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "models.engines.openvino_convert", str(folder), str(home), name, form],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
        )

    @property
    def running(self) -> bool:
        """Whether it still works."""
        return self._process.poll() is None

    def wait(self, timeout_seconds: float | None = None) -> str | None:
        """Waits for the end; None when the model is ready, else the sentence that says why not."""
        code = self._process.wait(timeout_seconds)
        if code == 0:
            return None
        if code == 1:
            self._said.seek(0)
            return self._said.read().decode(errors="replace").strip().splitlines()[-1]
        message = (
            f"The conversion of {self._name} for OpenVINO ended with exit code {code}; the torch engine serves it."
        )
        if -code in _CRASHES:
            target = converted_folder(self._folder, self._home, self._form)
            _write_note(target, message, _made_from(self._folder, self._form))
        return message

    def stop(self) -> None:
        """Ends it; nothing half done stays."""
        self._process.terminate()
        self._process.wait()


def convert_in_background(folder: Path, home: Path, *, name: str, form: FormName = "chat") -> Conversion:
    """Starts a conversion in a child process of low priority."""
    return Conversion(folder, home, name=name, form=form)


def _made_from(folder: Path, form: FormName) -> dict[str, str]:
    """What a converted model depends on; a difference in any of it makes it anew."""
    manifest = read_manifest(folder)
    weights = manifest.weights_sha256() if manifest and intact(folder, manifest) else _weights_sha256(folder)
    texts = {name: sha256_of(folder / name) for name in _texts(folder, form)}
    versions = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"weights": weights, "recipe": FORMS[form].recipe, **texts, **versions}


def _texts(folder: Path, form: FormName) -> list[str]:
    """Files beside the weights that say what the model does; a sentence encoder has some for each of its modules."""
    if form != "vectors":
        return [name for name in ("config.json", "tokenizer.json") if (folder / name).is_file()]
    found = [path.relative_to(folder) for path in (*folder.glob("*.json"), *folder.glob("[0-9]*/*.json"))]
    return sorted(path.as_posix() for path in found if path.name != MANIFEST and ".refused" not in path.suffixes)


def _weights_sha256(folder: Path) -> str:
    hashes = [sha256_of(path) for path in _weights(folder).files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _weights(folder: Path) -> Weights:
    return read_weights(encoder_folder(folder))  # the folder itself for all but some sentence encoders


def _require_memory(folder: Path, name: str) -> None:
    needed = _weights(folder).parameters * _BYTES_A_PARAMETER + _LIBRARY_BYTES
    available = available_memory_bytes()
    if needed > available:
        raise DoesNotFit(f"{name} (to convert it)", needed, available)


def _write_note(target: Path, message: str, made_from: dict[str, str]) -> None:
    _note(target).write_text(json.dumps({"message": message, "made_from": made_from}), encoding="utf-8")


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.refused.json")


def main(arguments: Sequence[str]) -> int:
    """The child process: folder, home, name, form."""
    folder, home, name, form = arguments
    os.nice(_NICE)
    try:
        convert(Path(folder), Path(home), name=name, form=cast(FormName, form))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
