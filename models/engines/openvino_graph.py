"""Changes to a converted program that leave its numbers as they are and save time."""

from __future__ import annotations

from collections import defaultdict
from importlib import import_module
from typing import Any

import numpy as np

WANTED = "wanted_positions"


def keep_wanted_rows(model: Any) -> bool:
    """Computes the vocabulary's logits of the tokens that the new input WANTED names, and of no others.

    They are a quarter of a long prompt's work. False where the logits do not come from a matrix product.
    """
    ops = import_module("openvino.opset13")
    head = model.output("logits").get_node().input_value(0).get_node()
    if head.get_type_name() != "MatMul":
        return False
    wanted = ops.parameter([-1], np.int64, name=WANTED)
    wanted.output(0).set_names({WANTED})
    first = ops.constant(np.array(0, np.int64))
    head.input(0).replace_source_output(ops.gather(head.input_value(0), wanted, first).output(0))
    model.add_parameters([wanted])
    model.validate_nodes_and_infer_types()
    return True


def join_triples(model: Any) -> int:
    """Makes one product of each three that read the same input (queries, keys, values), and splits its result.

    A product of a single token costs more to begin than to compute. Pairs are left alone: the runtime has a kernel of
    its own for the two before a gate. Gives how many triples were joined.
    """
    by_input = defaultdict(list)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul" and _int8_weights(node) is not None:
            source = node.input_value(0)
            by_input[source.get_node().get_friendly_name(), source.get_index()].append(node)
    triples = [nodes for nodes in by_input.values() if len(nodes) == 3]
    for nodes in triples:
        _join(nodes)
    model.validate_nodes_and_infer_types()
    return len(triples)


def _join(nodes: list[Any]) -> None:
    ops = import_module("openvino.opset13")
    parts = [part for node in nodes if (part := _int8_weights(node)) is not None]
    weights = ops.constant(np.concatenate([weight.data for weight, _ in parts]))
    scales = ops.constant(np.concatenate([scale.data for _, scale in parts]))
    rows = ops.multiply(ops.convert(weights, scales.get_element_type().to_string()), scales)
    kind = nodes[0].get_element_type().to_string()
    if rows.get_element_type().to_string() != kind:
        rows = ops.convert(rows, kind)
    product = ops.matmul(nodes[0].input_value(0), rows, False, True)
    sizes = np.array([len(weight.data) for weight, _ in parts])
    split = ops.variadic_split(product, np.array(-1), sizes)
    for place, node in enumerate(nodes):
        node.output(0).replace(split.output(place))


def _int8_weights(node: Any) -> tuple[Any, Any] | None:
    """The int8 constant and the scales of a product with compressed weights; None for any other product."""
    if not node.get_attributes().get("transpose_b"):
        return None
    product = node.input_value(1).get_node()
    if product.get_type_name() == "Convert":
        product = product.input_value(0).get_node()
    if product.get_type_name() != "Multiply":
        return None
    widened, scale = (product.input_value(place).get_node() for place in (0, 1))
    if widened.get_type_name() != "Convert" or scale.get_type_name() != "Constant":
        return None
    weight = widened.input_value(0).get_node()
    found = weight.get_type_name() == "Constant" and weight.get_element_type().to_string() == "i8"
    return (weight, scale) if found else None
