"""A converted encoder that any number of LoRA adapters share: one copy of its weights, an adapter's matrices a request.

Each linear layer of the program has two more inputs, an adapter's matrices there; a request keeps its own ones.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.device import usable_cores
from models.engines.lora import AdapterMismatch, Lora, LoraLayer, misfits
from models.engines.mapped import WeightPages
from models.engines.openvino_paged import IR_FILE, EngineUnavailable, import_openvino

_DOWN, _UP = "down:", "up:"
_LENGTH_STEP = 8  # lengths are rounded up to it: each new shape costs the runtime some preparation


class OpenVinoStates:
    """One compiled encoder that gives the last layer's states, with room for an adapter at each linear layer."""

    def __init__(self, folder: Path, *, window: int, precision: str | None = None) -> None:
        """Opens a folder that `openvino_convert.convert` made in the form "states".

        Args:
            folder: The converted encoder.
            window: Most tokens of a text that it reads, special tokens counted.
            precision: None for the CPU's fastest (bfloat16 where it has it), or "f32".

        Raises:
            EngineUnavailable: OpenVINO is not installed, or cannot run this model.
        """
        openvino = import_openvino()
        self.window = window
        properties: dict[str, Any] = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": usable_cores()}
        if precision is not None:
            properties["INFERENCE_PRECISION_HINT"] = precision
        try:
            core = openvino.Core()
            program = core.read_model(str(folder / IR_FILE))
            self.ports = tuple(port.get_any_name() for port in program.inputs)
            self.places = _make_room(program)
            self._compiled = core.compile_model(program, "CPU", properties)
            self.pages = WeightPages(folder / IR_FILE)
        except RuntimeError as error:
            raise EngineUnavailable(" ".join(str(error).split())[-300:]) from error

    def adapted(self, layers: Lora) -> AdaptedStates:
        """The encoder with an adapter; the weights are this one's.

        Raises:
            AdapterMismatch: the adapter has a layer that the encoder has no place for.
        """
        if problems := misfits(layers, self.places):
            raise AdapterMismatch(next(iter(layers.values())).adapter, problems)
        return AdaptedStates(self._compiled.create_infer_request(), self, layers)


class AdaptedStates:
    """An encoder with one adapter; threads take turns."""

    def __init__(self, request: Any, encoder: OpenVinoStates, layers: Lora) -> None:
        tensor = import_openvino().Tensor
        self._request, self.encoder = request, encoder
        self._turn = threading.Lock()
        for name, (outputs, inputs) in encoder.places.items():
            layer = layers.get(name) or _nothing(outputs, inputs)
            request.set_tensor(_DOWN + name, tensor(np.ascontiguousarray(layer.down)))
            request.set_tensor(_UP + name, tensor(np.ascontiguousarray(layer.up)))

    def __call__(self, inputs: Mapping[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        """States of shape (texts, tokens, size) for inputs of shape (texts, tokens); one that is absent is all 0."""
        given = inputs["input_ids"]
        length = given.shape[1]
        more = max(0, min(-length % _LENGTH_STEP, self.encoder.window - length))
        feeds = {
            name: np.pad(inputs.get(name, np.zeros_like(given)), ((0, 0), (0, more))) for name in self.encoder.ports
        }
        with self._turn:
            self._request.infer(feeds, share_inputs=True)
            found: npt.NDArray[np.float32] = self._request.get_output_tensor(0).data[:, :length].copy()
            self.encoder.pages.after_run()
        return found


def _nothing(outputs: int, inputs: int) -> LoraLayer:
    return LoraLayer(Path(), np.zeros((1, inputs), np.float32), np.zeros((outputs, 1), np.float32))


def _make_room(program: Any) -> dict[str, tuple[int, ...]]:
    """Adds the two inputs to each linear layer that bears a name; gives names with (outputs, inputs)."""
    ops = import_module("openvino.opset13")
    places: dict[str, tuple[int, ...]] = {}
    added: list[Any] = []
    for node in program.get_ordered_ops():
        name = node.get_friendly_name()
        if node.get_type_name() != "MatMul" or "." not in name:  # the converter names linear layers like their modules
            continue
        outputs, inputs = places[name] = tuple(node.input_value(1).get_partial_shape().to_shape())
        down, up = (ops.parameter(shape, np.float32) for shape in ([-1, inputs], [outputs, -1]))
        for port, parameter in ((_DOWN, down), (_UP, up)):
            parameter.output(0).set_names({port + name})
        readers = list(node.output(0).get_target_inputs())
        small = ops.matmul(node.input_value(0), down, False, True)
        total = ops.add(node, ops.matmul(small, up, False, True))
        for reader in readers:
            reader.replace_source_output(total.output(0))
        added += [down, up]
    program.add_parameters(added)
    program.validate_nodes_and_infer_types()
    return places
