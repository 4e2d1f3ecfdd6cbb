"""LoRA adapters on a converted model: each adds its small matrices beside the linear layers that it was trained on.

Several stand side by side in one program, and every token says which of them it wants: requests with different
adapters run in one batch over one copy of the weights. The converter names every linear layer of the graph as the
original model does, so an adapter finds its places by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines.lora import AdapterMismatch, Lora, misfits

MASK = "adapter_mask"


class AdapterTable:
    """Which columns of the joint low-rank space belong to which adapter; one row a token makes the mask.

    Attributes:
        rank: Columns in all.
    """

    def __init__(self, adapters: Mapping[int, Lora]) -> None:
        self.adapters = dict(adapters)
        self._spans: dict[int, range] = {}
        self.rank = 0
        for number, layers in self.adapters.items():
            width = max((len(layer.down) for layer in layers.values()), default=0)
            self._spans[number] = range(self.rank, self.rank + width)
            self.rank += width

    def mask(self, adapters: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Ones where a token's adapter has its columns, shape (tokens, 1, rank); a token of adapter 0 has none."""
        mask = np.zeros((len(adapters), 1, self.rank), np.float32)
        for number, span in self._spans.items():
            mask[adapters == number, :, span.start : span.stop] = 1
        return mask

    def layer(self, name: str) -> tuple[list[int], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The columns in use at a linear layer, and the adapters' matrices there: down (columns, inputs), up."""
        found = [(self._spans[number], layers[name]) for number, layers in self.adapters.items() if name in layers]
        columns = [column for span, _ in found for column in span]
        down = np.concatenate([layer.down for _, layer in found])
        return columns, down, np.concatenate([layer.up for _, layer in found], axis=1)


def add_lora(model: Any, table: AdapterTable) -> None:
    """Adds the adapters to an openvino model, which gets the input MASK.

    Raises:
        AdapterMismatch: names or shapes that the model does not have.
    """
    if not table.adapters:
        return
    places = {node.get_friendly_name(): node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"}
    shapes = {name: _shape(node) for name, node in places.items()}
    for layers in table.adapters.values():
        if problems := misfits(layers, shapes):
            raise AdapterMismatch(next(iter(layers.values())).adapter, problems)
    ops = import_module("openvino.opset13")
    mask = ops.parameter([-1, 1, table.rank], np.float32, name=MASK)
    mask.output(0).set_names({MASK})
    for name in sorted({name for layers in table.adapters.values() for name in layers}):
        _add_one(places[name], mask, table, name)
    model.add_parameters([mask])
    model.validate_nodes_and_infer_types()


def _add_one(node: Any, mask: Any, table: AdapterTable, name: str) -> None:
    ops = import_module("openvino.opset13")
    columns, down, up = table.layer(name)
    kind = node.input_value(0).get_element_type().to_string()

    def constant(values: npt.NDArray[np.float32]) -> Any:
        made = ops.constant(values)
        return made if kind == "f32" else ops.convert(made, kind)

    chosen = mask if len(columns) == table.rank else ops.gather(mask, np.array(columns), np.array(2))
    chosen = chosen if kind == "f32" else ops.convert(chosen, kind)
    readers = list(node.output(0).get_target_inputs())
    small = ops.multiply(ops.matmul(node.input_value(0), constant(down), False, True), chosen)
    added = ops.matmul(small, constant(up), False, True)
    if (out := node.get_element_type().to_string()) != kind:
        added = ops.convert(added, out)
    total = ops.add(node, added)
    for reader in readers:
        reader.replace_source_output(total.output(0))


def _shape(node: Any) -> tuple[int, ...]:
    sides = list(node.input_value(1).get_partial_shape())[-2:]
    return tuple(side.get_length() if side.is_static else -1 for side in sides)
