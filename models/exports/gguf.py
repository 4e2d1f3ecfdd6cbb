"""A Llama-family chat model as one GGUF file, for llama.cpp and what is built on it; numbers keep their format.

Tensor names and the file's layout are the gguf package's own; what llama.cpp computes otherwise is said here.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy.typing as npt

from models.engines.parity import PROBES, ParityFailed, ParityReport, check_parity, probe_prompts, torch_logits
from models.exports.errors import CannotExport
from models.exports.programs import CHAT_BOUNDS
from models.exports.whole import Whole
from models.files import read_config, read_json, read_weights
from models.loading import load_gguf, load_tokenizer, model_from_files

FILE = "model.gguf"
# transformers' model type -> llama.cpp's architecture
_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_TURNED = ("llama",)  # llama.cpp turns pairs of neighbours in these, transformers halves of a head
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5


def write_gguf(whole: Whole, target: Path) -> ParityReport:
    """Writes `model.gguf`, opens it again through transformers and compares tokens and logits.

    Raises:
        CannotExport: another architecture, tokenizer or setting than GGUF and llama.cpp have a name for here.
        BrokenModel: it cannot be read back. ParityFailed: what is read back does not behave as the model.
    """
    config = read_config(whole.folder)
    if reason := _refusal(whole, config):
        raise CannotExport(whole.name, "gguf", reason)
    gguf = import_module("gguf")
    architecture = _ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(str(target / FILE), architecture)
    writer.add_name(whole.name)
    _write_settings(writer, config)
    _write_tokenizer(writer, whole.folder, config)
    _write_tensors(gguf, writer, whole.folder, config, architecture)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return _check(whole, target)


def _refusal(whole: Whole, config: dict[str, Any]) -> str | None:
    """Why GGUF cannot hold this model; None where it can."""
    kind = config.get("model_type")
    if whole.serves != "chat" or kind not in _ARCHITECTURES:
        return f"only chat models of the kinds {', '.join(_ARCHITECTURES)} are, and this is {kind} for {whole.serves}"
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        return f"its positions are scaled ({rope.get('rope_type', rope.get('type'))})"
    if config.get("sliding_window") and config.get("use_sliding_window", kind == "mistral"):
        return "its attention looks at a sliding window"
    if kind in ("llama", "mistral") and (config.get("attention_bias") or config.get("mlp_bias")):
        return "its layers have biases, which this architecture has not"
    if _splitting(_tokenizer_file(whole.folder)) is None:
        return "its tokenizer is no byte-level BPE that llama.cpp knows by name"
    return None


def _write_settings(writer: Any, config: dict[str, Any]) -> None:
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    head = int(config.get("head_dim") or hidden // heads)
    rope = config.get("rope_parameters") or {}
    writer.add_vocab_size(int(config["vocab_size"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(hidden)
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))


def _write_tokenizer(writer: Any, folder: Path, config: dict[str, Any]) -> None:
    tokenizer, file = load_tokenizer(folder), _tokenizer_file(folder)
    added = {int(one["id"]): one for one in file["added_tokens"]}
    words = {index: word for word, index in tokenizer.get_vocab().items()}
    tokens = [words.get(index, f"[PAD{index}]") for index in range(int(config["vocab_size"]))]
    kinds = [_kind(index, index in words, added) for index in range(len(tokens))]
    merges = [one if isinstance(one, str) else " ".join(one) for one in file["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(file))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    for name in ("bos", "eos", "unk", "pad"):
        if (found := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(int(found))
    writer.add_add_bos_token(False)  # a chat template writes what begins a text
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _kind(index: int, known: bool, added: dict[int, dict[str, Any]]) -> int:
    if not known:
        return _UNUSED
    return _NORMAL if index not in added else _CONTROL if added[index].get("special") else _USER_DEFINED


def _write_tensors(gguf: Any, writer: Any, folder: Path, config: dict[str, Any], architecture: str) -> None:
    from safetensors import safe_open

    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(number, int(config["num_hidden_layers"]))
    heads = {"q_proj": int(config["num_attention_heads"])}
    heads["k_proj"] = int(config.get("num_key_value_heads") or heads["q_proj"])
    for path in read_weights(folder).files:
        with safe_open(str(path), framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - no mapping
                tensor = tensors.get_tensor(key)
                layer = key.split(".")[-2]
                if architecture in _TURNED and layer in heads:
                    tensor = _turned(tensor, heads[layer])
                data, form = _plain(gguf, tensor)
                writer.add_tensor(names.get_name(key, try_suffixes=(".weight", ".bias")), data, raw_dtype=form)


def _turned(tensor: Any, heads: int) -> Any:
    """The rows of each head in llama.cpp's order: the two halves interleaved."""
    rows = tensor.shape[0]
    return tensor.reshape(heads, 2, rows // heads // 2, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def _plain(gguf: Any, tensor: Any) -> tuple[npt.NDArray[Any], Any]:
    """A tensor's numbers as the file keeps them: matrices as they are, norms and biases in float32."""
    import torch

    kinds = gguf.GGMLQuantizationType
    if tensor.dim() < 2 or tensor.dtype == torch.float32:
        return tensor.float().contiguous().numpy(), kinds.F32
    if tensor.dtype == torch.float16:
        return tensor.contiguous().numpy(), kinds.F16
    raw = tensor.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
    return raw, kinds.BF16


def _splitting(file: dict[str, Any]) -> str | None:
    """llama.cpp's name for how a tokenizer cuts a text before its merges; None where it has none here."""
    if file.get("model", {}).get("type") != "BPE":
        return None
    first = file.get("pre_tokenizer") or {}
    steps = first.get("pretokenizers", [first])
    kinds = [step.get("type") for step in steps]
    last = steps[-1]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if kinds == ["ByteLevel"] and last.get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and last.get("use_regex", True):
        return "smollm"
    pattern = (steps[0].get("pattern") or {}).get("Regex")
    return "qwen2" if kinds == ["Split", "ByteLevel"] and pattern == _QWEN_SPLIT else None


def _tokenizer_file(folder: Path) -> dict[str, Any]:
    return read_json(folder / "tokenizer.json")


def _check(whole: Whole, target: Path) -> ParityReport:
    import torch

    model, _ = model_from_files(whole.folder, "AutoModelForCausalLM", torch.float32)
    read, tokenizer = load_gguf(target / FILE, torch.float32)
    own = load_tokenizer(whole.folder)
    if odd := [text for text in PROBES if tokenizer(text)["input_ids"] != own(text)["input_ids"]]:
        raise ParityFailed([f"{len(odd)} of {len(PROBES)} probe texts have other tokens, first {json.dumps(odd[0])}"])
    prompts = probe_prompts(own)
    return check_parity(torch_logits(model.eval()), torch_logits(read.eval()), lambda ids: [], prompts, CHAT_BOUNDS)
