"""A GGUF file of the person's own as a model folder: dequantised once into bfloat16 safetensors under the home.

The file is looked through first, so one that cannot be run is refused before anything is converted.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from models.catalog import Entry
from models.device import available_memory_bytes
from models.errors import BrokenModel, DoesNotFit, UnsupportedModel
from models.home import models_folder
from models.manifest import intact, read_manifest, sha256_of
from models.prepare import Progress, bar_on_stderr, locked_folder, make_folder

_RECIPE = "1"  # raised when the conversion changes, so that older folders are made anew
_MAGIC = b"GGUF"
# at the peak: every weight in bfloat16 twice (the tensors read, and the model they are copied into)
_BYTES_A_PARAMETER = 4
_LARGEST_TENSOR_BYTES = 8  # and one tensor in float32, before and after it is given its order
_LIBRARY_BYTES = 300 * 1024**2


@dataclass(frozen=True)
class GgufFacts:
    """What a GGUF file says of itself; `largest` is the number of parameters in its largest tensor."""

    architecture: str
    parameters: int
    largest: int


def prepare_gguf(entry: Entry, home: Path, on_progress: Progress | None = None) -> Path:
    """The folder made from a GGUF file, once however many processes ask; made again where the file has changed.

    Raises:
        BrokenModel: no GGUF file, or a damaged one.
        UnsupportedModel: an architecture that transformers cannot read from GGUF, or a file in several parts.
        DoesNotFit: too little memory is free to convert it.
        HomeNotWritable, PreparationBusy: the folder could not be made.
    """
    source = Path(entry.source)
    target = _target(source, home)
    if _ready(source, target):
        return target
    with locked_folder(entry.name, home, target.parent):
        if _ready(source, target):  # another process may have finished while this one waited
            return target
        facts = read_gguf(source)
        _require_memory(entry.name, facts)
        show = on_progress or bar_on_stderr(f"Preparing {source.name}")

        def fill(folder: Path) -> None:
            from models.loading import convert_gguf

            show("converting", 0.0)
            convert_gguf(source, folder, chat_template=None, on_fraction=lambda part: show("converting", 0.7 * part))

        made_from = _stamp(source) | {"sha256": sha256_of(source), "recipe": _RECIPE}
        make_folder(target, fill, name=source.stem, version=_RECIPE, made_from=made_from, on_progress=show)
    return target


def prepared_gguf(entry: Entry, home: Path) -> Path | None:
    """The folder made from a GGUF file where it is ready and undamaged, else None."""
    target = _target(Path(entry.source), home)
    return target if _ready(Path(entry.source), target) else None


def read_gguf(path: Path) -> GgufFacts:
    """What the file's header says, after checking that it can be run here.

    Raises:
        BrokenModel, UnsupportedModel: as for `prepare_gguf`.
    """
    with path.open("rb") as stream:
        if stream.read(4) != _MAGIC:
            raise BrokenModel(path, "it does not begin as a GGUF file does")
    reader = _reader(path)
    architecture = _text(reader, "general.architecture")
    if "split.count" in reader.fields and int(reader.fields["split.count"].parts[-1][0]) > 1:
        raise UnsupportedModel(path, "it is one part of several, so merge them with llama.cpp's `gguf-split --merge`")
    supported = import_module("transformers.modeling_gguf_pytorch_utils").GGUF_SUPPORTED_ARCHITECTURES
    if _plain(architecture) not in map(_plain, supported):
        raise UnsupportedModel(
            path, f"transformers reads no GGUF file of the architecture {architecture}, use its safetensors instead"
        )
    sizes = [math.prod(int(side) for side in tensor.shape) for tensor in reader.tensors]
    if not sizes:
        raise BrokenModel(path, "it holds no weights")
    return GgufFacts(architecture, sum(sizes), max(sizes))


def _reader(path: Path) -> Any:
    gguf = import_module("gguf")
    try:
        return gguf.GGUFReader(str(path))
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BrokenModel(path, f"it is damaged or cut off ({type(error).__name__}: {reason})") from error


def _text(reader: Any, key: str) -> str:
    field = reader.fields.get(key)
    return bytes(field.parts[-1]).decode("utf-8", errors="replace") if field is not None else "unknown"


def _plain(architecture: str) -> str:
    return architecture.replace("-", "").replace("_", "")  # gpt-oss here is gpt_oss there


def _require_memory(name: str, facts: GgufFacts) -> None:
    needed = facts.parameters * _BYTES_A_PARAMETER + facts.largest * _LARGEST_TENSOR_BYTES + _LIBRARY_BYTES
    available = available_memory_bytes()
    if needed > available:
        raise DoesNotFit(f"{name} (to convert it)", needed, available)


def _target(source: Path, home: Path) -> Path:
    place = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:16]
    return models_folder(home) / "gguf" / f"{source.stem}-{place}"


def _stamp(source: Path) -> dict[str, str]:
    stat = source.stat()
    return {"gguf": str(source), "size": str(stat.st_size), "mtime_ns": str(stat.st_mtime_ns)}


def _ready(source: Path, target: Path) -> bool:
    manifest = read_manifest(target)
    if manifest is None or manifest.made_from.get("recipe") != _RECIPE or not intact(target, manifest):
        return False
    if _stamp(source).items() <= manifest.made_from.items():
        return True
    return manifest.made_from.get("sha256") == sha256_of(source)  # the file was touched or moved
