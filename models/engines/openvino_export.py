"""A torch model to an OpenVINO program, by transformers' own exporter: a chat model with int8 weights through nncf, an
encoder with its own weights (in int8 MiniLM's vectors come down to a cosine of 0.999, and no sooner)."""

from __future__ import annotations

import math
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from models.device import cpu_flags
from models.errors import ModelError
from models.transformers_calls import EXPORT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Two rows with real padding: with one row, or none padded, the exporter freezes the batch and drops the mask.
_SAMPLE = [[0, 0, 1, 2, 3], [1, 2, 3, 1, 2]]
_MASK = [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
_PORTS = {"input_ids", "attention_mask", "position_ids", "beam_idx"}
_ENCODER_SAMPLE = [[1, 2, 3, 0, 0], [1, 2, 3, 1, 2]]
_ENCODER_MASK = [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]

# With AMX, the layers around a gate run fused, with activations rounded to 8 bits for each token. Where the input of
# the one after the gate has large outliers that hurts, so those layers are kept in 16 bits: for 5 of SmolLM2's 30 the
# next token agrees with float32 at 95.5 % of the places instead of 92.7 %, and all 30 would bring 95.6 %.
_AFTER_GATE = ".down_proj"
_KEPT_SHARE = 1 / 6


class ConversionFailed(ModelError):
    """The exporter cannot convert this model; torch serves it."""

    code = "conversion_failed"

    def __init__(self, model: str, reason: str) -> None:
        self.model = model
        self.reason = reason
        super().__init__(
            f"The model {model} could not be converted for OpenVINO ({reason}); the torch engine serves it."
        )


def export_int8(model: Any, texts: Sequence[Sequence[int]], *, name: str) -> Any:
    """The openvino program of a transformers causal model, stateful, weights in int8.

    Each linear layer's node bears the layer's name in the model, so that adapters find it.

    Args:
        model: The model.
        texts: Token ids of a few texts, on which the layers with outliers are found.
        name: What a person calls the model.

    Raises:
        ConversionFailed: the exporter does not know how, or gives a program of another form.
    """
    with _failing_as(name), _plain_progress():
        program = _export(model)
        _name_linears(program, model)
        _forget_options(program)
        _check(program, name, _PORTS)
        return _compress(program, _outlier_layers(model, texts) if "amx_int8" in cpu_flags() else [])


def export_encoder(model: Any, inputs: Sequence[str], *, name: str, linears: Any = None) -> Any:
    """The openvino program of a module that reads whole texts, any number of any length.

    Args:
        model: A torch module in float32 that takes the inputs by name and gives one tensor, a row for each text.
        inputs: Names of its inputs; "input_ids" and "attention_mask" at least.
        name: What a person calls the model.
        linears: The part of it after whose modules the nodes of linear layers are named, so that adapters find them.

    Raises:
        ConversionFailed: the exporter does not know how, or gives a program of another form.
    """
    import torch

    exporters: Any = import_module("transformers.exporters")
    sample = {key: torch.zeros((2, 5), dtype=torch.long) for key in inputs}
    sample |= {"input_ids": torch.tensor(_ENCODER_SAMPLE), "attention_mask": torch.tensor(_ENCODER_MASK)}
    either = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    config = exporters.OpenVINOConfig(dynamic=True, dynamic_shapes=dict.fromkeys(sample, either))
    with _failing_as(name), _plain_progress():
        program, _ = exporters.OpenVINOExporter().export_program(model, sample, config)
        if linears is not None:
            _name_linears(program, linears)
        _forget_options(program)
        _check(program, name, {"input_ids", "attention_mask"})
        return program


@contextmanager
def _failing_as(name: str) -> Iterator[None]:
    """Turns what the exporter raises into one sentence."""
    try:
        yield
    except EXPORT_ERRORS as error:
        reason = " ".join(str(error).split())[:300]
        raise ConversionFailed(name, f"{type(error).__name__}: {reason}") from error


def _export(model: Any) -> Any:
    import torch

    exporters: Any = import_module("transformers.exporters")
    decompose = import_module("transformers.exporters.utils").decompose_for_generation
    inputs = {"input_ids": torch.tensor(_SAMPLE), "attention_mask": torch.tensor(_MASK)}
    parts = decompose(model, inputs, multi_token_decode=True)
    config = exporters.OpenVINOConfig(dynamic=True, stateful=True)
    # the decode part reads prompts as well; exporting the other would take as long again
    part, sample = parts["decode"]
    program, _ = exporters.OpenVINOExporter().export_program(part, sample, config)
    return program


def _name_linears(program: Any, model: Any) -> None:
    """Gives each linear layer's node the layer's name: the exporter numbers them in the order in which they run."""
    layers = _linears_in_order(model)
    nodes = [
        node
        for node in program.get_ordered_ops()
        if node.get_type_name() == "MatMul" and node.get_friendly_name().startswith("linear")
    ]
    nodes.sort(key=lambda node: int("".join(filter(str.isdigit, node.get_friendly_name().split("/")[0])) or 0))
    shapes = [tuple(side.get_length() for side in node.input_value(1).get_partial_shape()) for node in nodes]
    if shapes != [tuple(layer.weight.shape) for _, layer in layers]:
        return  # another layout: adapters will say that they find no layer
    for node, (name, _) in zip(nodes, layers, strict=True):
        node.set_friendly_name(name)


def _linears_in_order(model: Any) -> list[tuple[str, Any]]:
    import torch

    ran: list[tuple[str, Any]] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name, module=module: ran.append((name, module)))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    try:
        with torch.inference_mode():
            model(torch.tensor(_SAMPLE[1:], device=model.device))
    finally:
        for hook in hooks:
            hook.remove()
    return ran


def _forget_options(program: Any) -> None:
    """Drops the precisions that the exporter writes into the program: nothing given at load overrides them, and their
    float32 costs half the speed."""
    if "runtime_options" in program.rt_info:
        del program.rt_info["runtime_options"]


def _check(program: Any, name: str, ports: set[str]) -> None:
    missing = ports - {port.get_any_name() for port in program.inputs}
    if missing:
        raise ConversionFailed(name, f"the program has no input {', '.join(sorted(missing))}")
    if not program.input("input_ids").get_partial_shape()[0].is_dynamic:
        raise ConversionFailed(name, "the program takes a fixed batch size")


def _outlier_layers(model: Any, texts: Sequence[Sequence[int]]) -> list[str]:
    """The names of the layers after a gate whose inputs are largest, a sixth of them."""
    import torch

    largest: dict[str, float] = {}

    def note(name: str, inputs: Any) -> None:
        largest[name] = max(largest.get(name, 0.0), float(inputs[0].abs().max()))

    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: note(name, inputs))
        for name, module in model.named_modules()
        if name.endswith(_AFTER_GATE)
    ]
    try:
        with torch.inference_mode():
            for ids in texts:
                model(torch.tensor([list(ids)], device=model.device))
    finally:
        for hook in hooks:
            hook.remove()
    return sorted(largest, key=lambda name: -largest[name])[: math.ceil(len(largest) * _KEPT_SHARE)]


def _compress(program: Any, kept: Sequence[str]) -> Any:
    nncf = import_module("nncf")

    places = {node.get_friendly_name() for node in program.get_ordered_ops()}
    ignored = nncf.IgnoredScope(names=[name for name in kept if name in places])
    return nncf.compress_weights(program, mode=nncf.CompressWeightsMode.INT8_SYM, ignored_scope=ignored)


@contextmanager
def _plain_progress() -> Iterator[None]:
    """Keeps nncf's tables and bars, and the exporter's remarks about versions, off the screen."""
    import logging

    import_module("nncf").set_log_level(logging.ERROR)
    verbosity: Any = import_module("transformers.utils.logging")
    level = verbosity.get_verbosity()
    verbosity.set_verbosity_error()
    try:
        yield
    finally:
        verbosity.set_verbosity(level)
