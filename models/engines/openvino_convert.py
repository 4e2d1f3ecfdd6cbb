"""A model's folder to one that the OpenVINO engine opens: once, whole or not at all, and only after a parity check.

It takes about a minute for a small model, so a child process of low priority does it while torch serves.
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
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from models.device import available_memory_bytes
from models.engines.base import GenerationOptions
from models.engines.openvino_paged import IR_FILE, import_openvino
from models.engines.parity import ANSWER_TOKENS, ParityReport, check_parity, probe_prompts, torch_logits
from models.errors import DoesNotFit, ModelError
from models.files import read_weights
from models.home import models_folder
from models.manifest import intact, read_manifest, sha256_of, write_manifest
from models.prepare import locked_folder, swap_in, temporary_folder

if TYPE_CHECKING:
    from models.loading import LoadedChat

_RECIPE = "2"  # raised when a conversion changes, so that older folders are made anew
_SUFFIX = "openvino-int8"
_NICE = 15
# the process's own faults, which would come again; not those by which a person or the system ends it
_CRASHES = (signal.SIGFPE, signal.SIGSEGV, signal.SIGILL, signal.SIGABRT, signal.SIGBUS)
_PACKAGES = ("openvino", "nncf", "transformers", "torch")
_BYTES_A_PARAMETER = 8  # at the peak: the model, the program and its compressed copy
_LIBRARY_BYTES = 1024**3
_TRIAL_CACHE_BYTES = 64 * 1024**2


def converted_folder(folder: Path, home: Path) -> Path:
    """Where the converted form of a model's folder goes: into it when it lies in the home, else beside those that do.

    A folder of the user's own is never written to.
    """
    ours = models_folder(home)
    if folder.resolve().is_relative_to(ours.resolve()):
        return folder / _SUFFIX
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return ours / "converted" / f"{folder.name}-{name}" / _SUFFIX


def is_ready(folder: Path, home: Path) -> bool:
    """Whether the model is converted, undamaged, from these weights and with these versions."""
    target = converted_folder(folder, home)
    manifest = read_manifest(target)
    return manifest is not None and manifest.made_from == _made_from(folder) and intact(target, manifest)


def refusal(folder: Path, home: Path) -> str | None:
    """The sentence with which an earlier conversion of these weights failed; None where it may be tried."""
    try:
        note = json.loads(_note(converted_folder(folder, home)).read_text(encoding="utf-8"))
        return str(note["message"]) if note["made_from"] == _made_from(folder) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def convert(folder: Path, home: Path, *, name: str) -> Path:
    """Converts a model once, however many processes ask, and gives the converted folder.

    Raises:
        EngineUnavailable: OpenVINO is not installed.
        DoesNotFit: too little memory is free.
        ConversionFailed, ParityFailed: the model cannot be converted, or behaves differently then; noted for next time.
    """
    import_openvino()
    target = converted_folder(folder, home)
    with locked_folder(f"{name} for OpenVINO", home, target.parent):
        if is_ready(folder, home):  # another process may have finished while this one waited
            return target
        _require_memory(folder, name)
        made_from = _made_from(folder)
        temporary = temporary_folder(target.parent)
        try:
            _fill(temporary, folder, name)
            write_manifest(temporary, name=name, version=_RECIPE, made_from=made_from)
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

    def __init__(self, folder: Path, home: Path, *, name: str) -> None:
        self._folder, self._home, self._name = folder, home, name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "models.engines.openvino_convert", str(folder), str(home), name],
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
            _write_note(converted_folder(self._folder, self._home), message, _made_from(self._folder))
        return message

    def stop(self) -> None:
        """Ends it; nothing half done stays."""
        self._process.terminate()
        self._process.wait()


def convert_in_background(folder: Path, home: Path, *, name: str) -> Conversion:
    """Starts a conversion in a child process of low priority."""
    return Conversion(folder, home, name=name)


def _fill(temporary: Path, folder: Path, name: str) -> None:
    from models.engines.openvino_export import export_int8
    from models.loading import load_chat

    loaded = load_chat(folder, name=name)
    prompts = probe_prompts(loaded.tokenizer)
    program = export_int8(loaded.model, prompts, name=name)
    import_openvino().save_model(program, str(temporary / IR_FILE), compress_to_fp16=False)
    _check_parity(temporary, loaded, prompts).save(temporary)


def _check_parity(converted: Path, loaded: LoadedChat, prompts: Sequence[Sequence[int]]) -> ParityReport:
    """Opens the converted model as it will serve and compares it with the one it was made from."""
    from models.engines.openvino import OpenVinoEngine

    options = GenerationOptions(max_new_tokens=ANSWER_TOKENS, stop_token_ids=loaded.stop_token_ids)
    with closing(OpenVinoEngine(converted, cache_bytes=_TRIAL_CACHE_BYTES)) as engine:
        return check_parity(
            torch_logits(loaded.model),
            engine.logits,
            lambda prompt: list(engine.stream(prompt, options, threading.Event())),
            prompts,
        )


def _made_from(folder: Path) -> dict[str, str]:
    """What a converted model depends on; a difference in any of it makes it anew."""
    manifest = read_manifest(folder)
    weights = manifest.weights_sha256() if manifest and intact(folder, manifest) else _weights_sha256(folder)
    texts = {name: sha256_of(folder / name) for name in ("config.json", "tokenizer.json") if (folder / name).is_file()}
    versions = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"weights": weights, "recipe": _RECIPE, **texts, **versions}


def _weights_sha256(folder: Path) -> str:
    hashes = [sha256_of(path) for path in read_weights(folder).files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _require_memory(folder: Path, name: str) -> None:
    needed = read_weights(folder).parameters * _BYTES_A_PARAMETER + _LIBRARY_BYTES
    available = available_memory_bytes()
    if needed > available:
        raise DoesNotFit(f"{name} (to convert it)", needed, available)


def _write_note(target: Path, message: str, made_from: dict[str, str]) -> None:
    _note(target).write_text(json.dumps({"message": message, "made_from": made_from}), encoding="utf-8")


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.refused.json")


def main(arguments: Sequence[str]) -> int:
    """The child process: folder, home, name."""
    folder, home, name = arguments
    os.nice(_NICE)
    try:
        convert(Path(folder), Path(home), name=name)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
