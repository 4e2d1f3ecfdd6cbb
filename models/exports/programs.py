"""ONNX and OpenVINO by transformers' own exporters: one graph traced, written, opened again and held against the model.

A chat model's graph takes and gives its attention cache; the other models' graphs read whole texts.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines import encoder_parity
from models.engines.encoder_parity import EncoderParity
from models.engines.parity import ParityBounds, ParityReport, check_parity, probe_prompts, torch_logits
from models.errors import MissingExtra
from models.exports.errors import CannotExport
from models.exports.parts import Feed, Part, part_of, stacked
from models.exports.whole import Whole, copy_files
from models.loading import load_tokenizer, model_from_files
from models.transformers_calls import EXPORT_ERRORS, quiet

LARGEST_DIFFERENCE = 0.005  # of a probability, both sides computing in float32
LEAST_COSINE = 0.9999
CHAT_BOUNDS = ParityBounds(mean_difference=0.005, spread=0.01, agreement=0.99)

_EXPORTERS = {"onnx": ("OnnxExporter", "OnnxConfig"), "openvino": ("OpenVINOExporter", "OpenVINOConfig")}
_FILES = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}

Run = Callable[[Feed], dict[str, npt.NDArray[Any]]]


def write_onnx(whole: Whole, target: Path) -> EncoderParity | ParityReport:
    """Writes `model.onnx` with its weights beside it, and everything a tokenizer needs.

    Raises:
        MissingExtra: onnx, onnxscript or onnxruntime is not installed.
        CannotExport: a model of another kind, or one that the exporter does not know.
        ParityFailed: the program does not behave as the model; onnxruntime ran it.
    """
    if any(find_spec(package) is None for package in ("onnx", "onnxscript", "onnxruntime")):
        raise MissingExtra("An export to ONNX, and its check in onnxruntime,", "onnx")
    return _write_chat(whole, target) if whole.serves == "chat" else _write_part("onnx", whole, target)


def write_openvino(whole: Whole, target: Path) -> EncoderParity | ParityReport | None:
    """Writes `openvino_model.xml` and `.bin`; a chat model in the form that Hearth serves, stateful with int8 weights.

    Raises:
        EngineUnavailable: OpenVINO is not installed.
        CannotExport, ConversionFailed: a model of another kind, or one that the exporter does not know.
        ParityFailed: the program does not behave as the model.
    """
    from models.engines.openvino_forms import fill
    from models.engines.openvino_paged import import_openvino

    import_openvino()
    if whole.serves != "chat":
        return _write_part("openvino", whole, target)
    copy_files(whole.folder, target, weights=False)
    fill("chat", target, whole.folder, whole.name)  # checks, and writes its own report
    return None


def _write_part(form: str, whole: Whole, target: Path) -> EncoderParity:
    part = part_of(whole)
    if part is None:
        raise CannotExport(whole.name, form, f"its files say that it serves {whole.serves}, and it is no text model")
    import torch

    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    shapes = {"dynamic": True, "dynamic_shapes": dict.fromkeys(part.sample, free)}
    with _refusing(whole.name, form):
        _save(form, part.module, part.sample, shapes, target)
    copy_files(whole.folder, target, weights=False)
    run = opened(form, target)
    return compare(part, lambda feed: _chosen(part, run(feed)))


def compare(part: Part, candidate: Callable[[Feed], list[npt.NDArray[np.float32]]]) -> EncoderParity:
    """Holds a candidate against a part's own module on all of its probes.

    Raises:
        ParityFailed: a bound does not hold.
    """
    ours, theirs = [candidate(feed) for feed in part.probes], [part.outputs(feed) for feed in part.probes]
    if part.kind == "vectors":
        return encoder_parity.check_vectors(stacked(theirs), stacked(ours), LEAST_COSINE)
    return encoder_parity.check_scores(stacked(theirs), stacked(ours), LARGEST_DIFFERENCE)


def opened(form: str, folder: Path) -> Run:
    """An exported program, run in float32 on the CPU: a feed by the inputs' names to the outputs by theirs."""
    path = str(folder / _FILES[form])
    if form == "onnx":
        session = import_module("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
        inputs, outputs = ([port.name for port in ports] for ports in (session.get_inputs(), session.get_outputs()))
        return lambda feed: dict(zip(outputs, session.run(None, {name: feed[name] for name in inputs}), strict=True))
    openvino = import_module("openvino")
    program = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    taken = [port.get_any_name() for port in program.inputs]
    given = [next(iter(port.get_names()), str(at)) for at, port in enumerate(program.outputs)]

    def run(feed: Feed) -> dict[str, npt.NDArray[Any]]:
        found = program({name: feed[name] for name in taken})
        return {name: found[at] for at, name in enumerate(given)}

    return run


def _chosen(part: Part, found: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
    if all(name in found for name in part.names):
        return [found[name] for name in part.names]
    return list(found.values())[: len(part.names)]


def _write_chat(whole: Whole, target: Path) -> ParityReport:
    """The graph that reads any number of tokens after a cache of any length, the empty one of a prompt among them."""
    import torch

    model, _ = model_from_files(whole.folder, "AutoModelForCausalLM", torch.float32)
    model.eval()
    decompose = import_module("transformers.exporters.utils").decompose_for_generation
    # two rows with real padding, on the left as answers are made
    inputs = {
        "input_ids": torch.tensor([[0, 0, 1, 2, 3], [1, 2, 3, 1, 2]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]),
    }
    with _refusing(whole.name, "onnx"):
        part, sample = decompose(model, inputs, multi_token_decode=True)["decode"]
        _save("onnx", part, sample, {"dynamic": True}, target)
    copy_files(whole.folder, target, weights=False)
    prompts = probe_prompts(load_tokenizer(whole.folder))
    return check_parity(torch_logits(model), _logits_of(target), lambda prompt: [], prompts, CHAT_BOUNDS)


def _logits_of(folder: Path) -> Callable[[Any], npt.NDArray[np.float32]]:
    """The logits of an ONNX chat model on token ids, read half at once and half after the cache that this leaves."""
    session = import_module("onnxruntime").InferenceSession(
        str(folder / _FILES["onnx"]), providers=["CPUExecutionProvider"]
    )
    caches = {
        port.name: np.zeros((1, int(port.shape[1]), 0, int(port.shape[3])), np.float32)
        for port in session.get_inputs()
        if "past_key_values" in port.name
    }
    outputs = [port.name for port in session.get_outputs()]

    def read(ids: list[int], before: int, cache: dict[str, Any]) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        feed = cache | {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, before + len(ids)), np.int64),
            "position_ids": np.arange(before, before + len(ids))[None],
        }
        wanted = {port.name for port in session.get_inputs()}
        found = dict(zip(outputs, session.run(None, {key: feed[key] for key in wanted}), strict=True))
        return found["logits"][0], {name: found[name.replace("input.", "output.", 1)] for name in cache}

    def logits(ids: Any) -> npt.NDArray[np.float32]:
        half = len(ids) // 2
        first, cache = read(list(ids[:half]), 0, dict(caches))
        second, _ = read(list(ids[half:]), half, cache)
        return np.concatenate([first, second])

    return logits


def _save(form: str, module: Any, sample: dict[str, Any], shapes: dict[str, Any], target: Path) -> None:
    exporters: Any = import_module("transformers.exporters")
    exporter, config = (getattr(exporters, name) for name in _EXPORTERS[form])
    exported = exporter().export(module, sample, config(**shapes))
    if form == "openvino" and "runtime_options" in exported.program.rt_info:
        del exported.program.rt_info["runtime_options"]  # its float32 would cost half the speed, whatever a user asks
    exported.save_pretrained(str(target))


@contextmanager
def _refusing(name: str, form: str) -> Iterator[None]:
    """Turns what an exporter raises into one sentence, and keeps its remarks off the screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            yield
    except EXPORT_ERRORS as error:
        reason = " ".join(str(error).split())[:300]
        raise CannotExport(name, form, f"the exporter failed with {type(error).__name__}: {reason}") from error
    finally:
        logger.setLevel(level)


__all__ = ["CHAT_BOUNDS", "LARGEST_DIFFERENCE", "LEAST_COSINE", "compare", "opened", "write_onnx", "write_openvino"]
