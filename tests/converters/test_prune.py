"""Pruning: what the digits lose, what dead channels cost, what stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from edge_rai_converters.passes.contract import Material, NotApplicableError, apply
from edge_rai_converters.passes.prune import prune
from support.graphs import BLOCKS, network
from support.networks import Graph, digits_cnn, digits_mlp

ROWS = np.random.default_rng(5).normal(size=(96, 3, 6, 6)).astype(np.float32)


def material(rows: np.ndarray, *, batched: bool = True) -> Material:
    calls = [{"x": part} for part in np.array_split(rows, 3 if batched else len(rows))]
    return Material(lambda: iter(calls), len(rows), batched)


def answers(model: onnx.ModelProto, rows: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": rows})[0]


def accuracy(model: onnx.ModelProto, rows: np.ndarray, labels: np.ndarray) -> float:
    return float((answers(model, rows).argmax(axis=1) == labels).mean())


def size(model: onnx.ModelProto) -> int:
    return len(model.SerializeToString())


def points_lost(digits: Any, pruned: onnx.ModelProto) -> float:
    rows, labels = digits.x_test, digits.y_test
    return 100 * (accuracy(digits.model, rows, labels) - accuracy(pruned, rows, labels))


def widths(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}


def test_the_convolutional_network_keeps_its_answers_at_half_its_channels() -> None:
    digits = digits_cnn(0, epochs=8)
    pruned = apply([prune(0.5)], digits.model, material(digits.x_train))
    assert points_lost(digits, pruned) <= 2.0, "trained in full, as proof_prune.py does, three of them lose 1 at most"
    assert size(digits.model) >= 3.5 * size(pruned)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_perceptron_keeps_its_answers_at_a_quarter_of_its_channels(seed: int) -> None:
    digits = digits_mlp(seed)
    pruned = apply([prune(0.25)], digits.model, material(digits.x_train))
    assert points_lost(digits, pruned) <= 1.0
    assert size(digits.model) >= 9 * size(pruned)


def test_auto_finds_a_share_for_each_group() -> None:
    digits = digits_mlp(1)
    pruned = apply([prune("auto", max_drop=2.0)], digits.model, material(digits.x_train))
    assert size(pruned) < 0.5 * size(digits.model)
    agreed = answers(pruned, digits.x_test).argmax(axis=1) == answers(digits.model, digits.x_test).argmax(axis=1)
    assert agreed.mean() >= 0.96


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(BLOCKS), max_size=5))
def test_without_dead_channels_the_answers_are_the_same(seed: int, blocks: list[str]) -> None:
    model = network(seed, blocks)
    pruned = apply([prune(0.5, "activation")], model, material(ROWS))
    onnx.checker.check_model(pruned, full_check=True)
    assert size(pruned) < 0.6 * size(model)
    expected = answers(model, ROWS)
    np.testing.assert_allclose(answers(pruned, ROWS), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("importance", ["magnitude", "activation", "redundancy", "best"])
def test_each_measure_finds_the_dead_channels(importance: Any) -> None:
    model = network(3, ["residual", "normalized", "gated", "concatenated"])
    pruned = apply([prune(0.5, importance)], model, material(ROWS))
    expected = answers(model, ROWS)
    np.testing.assert_allclose(answers(pruned, ROWS), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_calls_of_one_row_are_fitted_alike() -> None:
    model = network(4, ["residual"])
    pruned = apply([prune(0.5, "redundancy")], model, material(ROWS, batched=False))
    expected = answers(model, ROWS)
    np.testing.assert_allclose(answers(pruned, ROWS), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_equal_arguments_give_equal_bytes() -> None:
    digits = digits_mlp(0)
    first, second = (apply([prune(0.5)], digits.model, material(digits.x_train)) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def two_layers(*behind: onnx.NodeProto, last: str) -> onnx.ModelProto:
    """A convolution of 16 channels with these nodes behind it, then one of 8 that is read out."""
    rng = np.random.default_rng(0)
    graph = Graph()
    graph.add("Conv", "x", graph.constant(rng.normal(size=(16, 3, 3, 3)).astype(np.float32)), pads=[1] * 4)
    graph.nodes.extend(behind)
    mixed = graph.constant(rng.normal(size=(5, 16, 1, 1)).astype(np.float32))
    pooled = helper.make_node("GlobalAveragePool", [last], ["pooled"])
    read = helper.make_node("Conv", ["pooled", mixed], ["read"])
    flat = helper.make_node("Flatten", ["read"], ["flat"])
    graph.nodes.extend([pooled, read, flat])
    return graph.model((3, 6, 6), "flat", 5)


def test_an_operator_that_channels_cannot_be_followed_through_freezes_them() -> None:
    model = two_layers(helper.make_node("Softmax", ["t0"], ["mixed"], axis=1), last="mixed")
    with pytest.raises(NotApplicableError, match=r"no layer of more than 8 channels .* through Softmax"):
        apply([prune(0.5)], model, material(ROWS))


def test_channels_that_an_output_shows_stay() -> None:
    model = two_layers(helper.make_node("Relu", ["t0"], ["shown"]), last="shown")
    assert widths(apply([prune(0.5, "magnitude")], model, material(ROWS)))["t0_1"][0] == 8
    model.graph.output.append(helper.make_tensor_value_info("shown", onnx.TensorProto.FLOAT, ["N", 16, 6, 6]))
    with pytest.raises(NotApplicableError, match="lead to an output"):
        apply([prune(0.5)], model, material(ROWS))


def test_a_constant_that_two_nodes_share_is_cut_for_one_of_them_alone() -> None:
    rng = np.random.default_rng(0)
    graph = Graph()
    square, bias = (graph.constant(rng.normal(size=shape).astype(np.float32)) for shape in ((32, 32), (32,)))
    hidden = graph.add("Relu", graph.add("Gemm", "x", square, bias))
    model = graph.model((32,), graph.add("Gemm", hidden, square, bias), 32)
    pruned = apply([prune(0.25, "magnitude")], model, material(rng.normal(size=(64, 32)).astype(np.float32)))
    assert sorted(widths(pruned).values()) == [(8,), (8, 32), (32,), (32, 8)]


def test_a_reshape_that_names_the_count_of_channels_is_corrected() -> None:
    rng = np.random.default_rng(0)
    graph = Graph()
    first = graph.add("Conv", "x", graph.constant(rng.normal(size=(16, 3, 3, 3)).astype(np.float32)))
    flat = graph.add("Reshape", graph.add("Relu", first), graph.constant(np.array([-1, 16 * 16], np.int64)))
    read = graph.add("MatMul", flat, graph.constant(rng.normal(size=(256, 5)).astype(np.float32)))
    model = graph.model((3, 6, 6), read, 5)
    pruned = apply([prune(0.5, "magnitude")], model, material(ROWS))
    assert answers(pruned, ROWS).shape == (96, 5)
    assert (128, 5) in widths(pruned).values()


def test_a_model_without_layers_is_not_pruned() -> None:
    graph = Graph()
    model = graph.model((3,), graph.add("Relu", "x"), 3)
    with pytest.raises(NotApplicableError, match="no Conv, Gemm or MatMul"):
        apply([prune(0.5)], model, material(np.zeros((64, 3), np.float32)))


def test_weights_that_old_models_list_as_inputs_are_cut_too() -> None:
    model = network(0, ["residual"])
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model.ir_version = 3
    pruned = apply([prune(0.5, "magnitude")], model, material(ROWS))
    assert [value.name for value in pruned.graph.input] == ["x"]
    np.testing.assert_allclose(answers(pruned, ROWS), answers(model, ROWS), rtol=0, atol=1e-3)


def test_a_handful_of_rows_is_too_few() -> None:
    with pytest.raises(NotApplicableError, match="16 calibration rows are the least .* there are 3"):
        apply([prune(0.5)], network(0, []), material(ROWS[:3]))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"keep": 0.0}, "keep = 0.0"),
        ({"keep": 1.0}, "keep = 1.0"),
        ({"keep": 0.5, "importance": "random"}, "importance = 'random'"),
        ({"keep": "auto", "max_drop": -1.0}, "max_drop = -1.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        prune(**arguments)


def test_calibration_rows_that_lead_to_what_is_not_finite_are_refused() -> None:
    graph = Graph()
    hidden = graph.add("Log", graph.add("Gemm", "x", graph.constant(np.ones((4, 16), np.float32))))
    model = graph.model((4,), graph.add("Gemm", hidden, graph.constant(np.ones((16, 2), np.float32))), 2)
    rows = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    with pytest.raises(NotApplicableError, match="calibration rows lead to values that are not finite, in 't1'"):
        apply([prune(0.5)], model, material(rows))
