"""Changes to the program leave its numbers alone; layers with outliers are found by measuring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models.engines.openvino_export import _linears_in_order, _outlier_layers
from models.engines.openvino_graph import WANTED, join_triples, keep_wanted_rows

openvino = pytest.importorskip("openvino", reason="openvino is not installed here")
ops: Any = pytest.importorskip("openvino.opset13")
SIZE = 32


def compressed(source: Any, outputs: int, seed: int) -> Any:
    """A linear layer as nncf leaves it: int8 weights, a scale for each output."""
    draw = np.random.default_rng(seed)
    weights = ops.constant(draw.integers(-127, 128, (outputs, SIZE), dtype=np.int8))
    scales = ops.constant(draw.random((outputs, 1)).astype(np.float16))
    rows = ops.convert(ops.multiply(ops.convert(weights, "f16"), scales), "f32")
    return ops.matmul(source, rows, False, True)


def program(*sizes: int) -> Any:
    """A program with one product of each size on one input, each an output of its own."""
    source = ops.parameter([-1, SIZE], np.float32, name="x")
    return openvino.Model([ops.tanh(compressed(source, size, seed)) for seed, size in enumerate(sizes)], [source])


def run(model: Any, *inputs: Any) -> list[np.ndarray]:
    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    results = openvino.Core().compile_model(model, "CPU", exact)(list(inputs))
    return [np.array(results[place]) for place in range(len(model.outputs))]


def products(model: Any) -> int:
    return sum(node.get_type_name() == "MatMul" for node in model.get_ordered_ops())


def test_three_products_of_one_input_become_one_with_the_same_results() -> None:
    inputs = np.random.default_rng(9).normal(size=(5, SIZE)).astype(np.float32)
    expected = run(program(48, 16, 16), inputs)
    model = program(48, 16, 16)
    assert join_triples(model) == 1
    assert products(model) == 1
    for ours, theirs in zip(run(model, inputs), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", [(16,), (16, 16), (16, 16, 16, 16)])
def test_other_numbers_of_products_are_left_alone(sizes: tuple[int, ...]) -> None:
    model = program(*sizes)
    assert join_triples(model) == 0
    assert products(model) == len(sizes)


def test_only_the_wanted_rows_reach_the_vocabulary() -> None:
    source = ops.parameter([-1, SIZE], np.float32, name="x")
    logits = compressed(ops.tanh(source), 64, 0)
    logits.output(0).set_names({"logits"})
    model = openvino.Model([logits], [source])
    inputs = np.random.default_rng(1).normal(size=(7, SIZE)).astype(np.float32)
    (whole,) = run(model.clone(), inputs)
    assert keep_wanted_rows(model)
    assert [port.get_any_name() for port in model.inputs][-1] == WANTED
    (some,) = run(model, inputs, np.array([6, 2]))
    np.testing.assert_allclose(some, whole[[6, 2]], rtol=1e-5)


def test_logits_from_elsewhere_are_said_so() -> None:
    source = ops.parameter([-1, SIZE], np.float32, name="x")
    result = ops.tanh(source)
    result.output(0).set_names({"logits"})
    assert not keep_wanted_rows(openvino.Model([result], [source]))


@pytest.fixture
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=7,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    return LlamaForCausalLM(config).eval()


def test_layers_with_outliers_are_found_and_are_a_sixth(llama: LlamaForCausalLM) -> None:
    with torch.no_grad():
        for layer, factor in ((2, 50.0), (5, 900.0)):
            llama.model.layers[layer].mlp.up_proj.weight.mul_(factor)
    found = _outlier_layers(llama, [[1, 2, 3], [4, 5]])
    assert found == ["model.layers.5.mlp.down_proj", "model.layers.2.mlp.down_proj"]


def test_linear_layers_in_the_order_in_which_they_run(llama: LlamaForCausalLM) -> None:
    names = [name for name, _ in _linears_in_order(llama)]
    parts = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
    parts += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    assert names == [f"model.layers.{layer}.{part}" for layer in range(7) for part in parts] + ["lm_head"]
