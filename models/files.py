"""What a model folder's files say before anything is loaded: safe or not, complete or not, how big.

Reads JSON and safetensors headers only; loads no torch.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import BrokenModel, ModelNotFound, UnsafeModel

_HEADER_LIMIT_BYTES = 100_000_000  # the format's own limit
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".msgpack", ".h5")
_COMPANIONS = (
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
# keys with a leading underscore are set on the library's own objects; these words steer which code runs
_STEERING = re.compile(r"^_.*(implementation|internal|auto_class|kernel|hook|compile)")
_FREE_NAMES = {"label2id", "id2label"}  # their keys are the model's own labels, whatever they look like
_LARGEST_CONTEXT = 20_000_000


@dataclass(frozen=True)
class Weights:
    """The weight files of a folder, each tensor's shape by name, and how many numbers they hold."""

    files: tuple[Path, ...]
    shapes: dict[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        """Numbers in all tensors together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of the files on disk."""
        return sum(path.stat().st_size for path in self.files)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model's file; {} where there is no such file.

    Raises:
        BrokenModel: the file is not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise BrokenModel(path.parent, f"{path.name} is not valid JSON") from error
    if not isinstance(value, dict):
        raise BrokenModel(path.parent, f"{path.name} holds no JSON object")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config.json, refused where it asks for code of its own.

    Raises:
        ModelNotFound: the folder or its config.json is missing.
        UnsafeModel: `auto_map` anywhere in config.json or the tokenizer's and processors' files, or an internal setting
            in config.json.
    """
    if not folder.is_dir():
        raise ModelNotFound(str(folder), hint=f"There is no model folder {folder}: check the path.")
    if not (folder / "config.json").is_file():
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing"
        raise ModelNotFound(
            str(folder), hint=f"The folder {folder} holds no model: config.json is missing, it has {found}."
        )
    config = read_json(folder / "config.json")
    _refuse_code(folder, "config.json", config, private_too=True)
    for name in _COMPANIONS:
        _refuse_code(folder, name, read_json(folder / name), private_too=False)
    return config


def read_weights(folder: Path) -> Weights:
    """Checks every weight file's header against its size and gives the tensors' shapes.

    Raises:
        UnsafeModel: the weights come only in a pickled form.
        BrokenModel: no weights, a missing shard, a truncated or oversized file.
    """
    return read_weight_files(_weight_files(folder))


def read_weight_files(files: tuple[Path, ...]) -> Weights:
    """The tensors of some safetensors files, each header checked against its file's size.

    Raises:
        BrokenModel: a truncated or oversized file, or a header that cannot be read.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        shapes.update(_header(path))
    return Weights(files, shapes)


def context_tokens(folder: Path, config: dict[str, Any]) -> int:
    """The most tokens the model can read at once, by its own config.

    Raises:
        BrokenModel: the number is missing, below 1 or absurd.
    """
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    assert text is not None
    names = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
    found = next((text[name] for name in names if name in text), None)
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= _LARGEST_CONTEXT:
        raise BrokenModel(folder, f"config.json gives a context of {found!r} tokens and a number above 0 was expected")
    return found


def cache_bytes_per_token(config: dict[str, Any]) -> int:
    """Bytes that one token of context costs in the attention cache at two bytes a number; 0 where unknown."""
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    hidden = config.get("hidden_size")
    if not (isinstance(layers, int) and isinstance(heads, int) and isinstance(hidden, int) and heads > 0):
        return 0
    kv_heads = config.get("num_key_value_heads") or heads
    head_size = config.get("head_dim") or hidden // heads
    return int(2 * layers * kv_heads * head_size * 2)


def _weight_files(folder: Path) -> tuple[Path, ...]:
    if (folder / _INDEX).is_file():
        mapping = read_json(folder / _INDEX).get("weight_map")
        if not isinstance(mapping, dict) or not mapping:
            raise BrokenModel(folder, f"{_INDEX} names no weight files")
        names = sorted({str(name) for name in mapping.values()})
        outside = [name for name in names if Path(name).name != name]
        if outside:
            raise UnsafeModel(folder, f"{_INDEX} points outside the folder ({outside[0]})")
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise BrokenModel(folder, f"{len(missing)} of {len(names)} weight files are missing, first {missing[0]}")
        return tuple(folder / name for name in names)
    if (folder / _SINGLE).is_file():
        return (folder / _SINGLE,)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if pickled:
        raise UnsafeModel(folder, f"its weights come only as {pickled[0]}, a form that can run code when it is opened")
    raise BrokenModel(folder, f"{_SINGLE} is missing")


def _header(path: Path) -> dict[str, tuple[int, ...]]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_LIMIT_BYTES):
            raise BrokenModel(path.parent, f"{path.name} has {size} bytes and its header claims {length}")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        tensors = {name: facts for name, facts in header.items() if name != "__metadata__"}
        end = max((facts["data_offsets"][1] for facts in tensors.values()), default=0)
        shapes = {name: tuple(int(side) for side in facts["shape"]) for name, facts in tensors.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise BrokenModel(path.parent, f"the header of {path.name} cannot be read") from error
    if 8 + length + end != size:
        raise BrokenModel(path.parent, f"{path.name} has {size} bytes where its header promises {8 + length + end}")
    return shapes


def _refuse_code(folder: Path, file: str, value: Any, *, private_too: bool) -> None:
    if isinstance(value, list):
        for item in value:
            _refuse_code(folder, file, item, private_too=private_too)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if key == "auto_map":
            raise UnsafeModel(folder, f"{file} asks to run code of its own (auto_map)")
        if key == "trust_remote_code" and inner:
            raise UnsafeModel(folder, f"{file} asks to trust remote code")
        if private_too and _STEERING.search(key):
            raise UnsafeModel(folder, f"{file} sets the internal option {key}")
        if key not in _FREE_NAMES:
            _refuse_code(folder, file, inner, private_too=private_too)
