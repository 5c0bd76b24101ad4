"""Static int8: what becomes int8, in which types, and what stays float."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.passes.contract import NotApplicableError, apply
from edge_rai_converters.passes.lower import lower
from edge_rai_converters.passes.quantize import dynamic_int8, mixed_layers, static_int8
from support.calibrating import answers, graph_model, material, two_convolutions
from support.networks import digits_mlp

IMAGES = np.random.default_rng(1).normal(size=(96, 3, 16, 16)).astype(np.float32)


def types(model: onnx.ModelProto) -> tuple[set[int], set[int]]:
    """Element types of the zero points of activations and of weights."""
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    restoring = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    activations = {constants[node.input[2]] for node in restoring if node.input[0] not in constants}
    weights = {constants[node.input[0]] for node in restoring if node.input[0] in constants} - {TensorProto.INT32}
    return activations, weights


def test_scaler_stays_float_and_every_layer_behind_it_is_int8(tumours: Path) -> None:
    rows = np.load(tumours / "data.npz")["X"]
    quantized = apply([lower(), static_int8()], onnx.load(tumours / "mlp.onnx"), material(rows, "X"))
    made_by = {name: node for node in quantized.graph.node for name in node.output}
    consumers = [node.op_type for node in quantized.graph.node if "X" in node.input]
    assert consumers == ["BatchNormalization"]  # the scaler, fused
    layers = [node for node in quantized.graph.node if node.op_type == "Gemm"]
    assert len(layers) == 3
    initializers = {tensor.name: tensor for tensor in quantized.graph.initializer}
    for layer in layers:
        activation, weight = (made_by[name] for name in layer.input[:2])
        assert activation.op_type == weight.op_type == "DequantizeLinear"
        assert made_by[activation.input[0]].op_type == "QuantizeLinear"
        assert initializers[activation.input[2]].data_type == TensorProto.UINT8
        assert initializers[weight.input[0]].data_type == TensorProto.INT8
        channels = numpy_helper.to_array(initializers[weight.input[1]]).size
        assert channels == initializers[weight.input[0]].dims[1]


def test_activations_are_unsigned_for_x86_where_signed_convolutions_are_slower_than_float() -> None:
    assert types(apply([static_int8()], two_convolutions(), material(IMAGES))) == (
        {TensorProto.UINT8},
        {TensorProto.INT8},
    )


def test_activations_are_signed_for_arm() -> None:
    quantized = apply([static_int8()], two_convolutions(), material(IMAGES, target="arm"))
    assert types(quantized) == ({TensorProto.INT8}, {TensorProto.INT8})


def test_weights_have_seven_bits_for_x86_where_sums_of_whole_bytes_overflow_without_vnni() -> None:
    assert greatest_weight(apply([static_int8()], two_convolutions(), material(IMAGES))) == 64
    assert greatest_weight(apply([static_int8()], two_convolutions(), material(IMAGES, target="arm"))) == 127
    perceptron = digits_mlp(0)
    rows = perceptron.x_train[:64]
    assert greatest_weight(apply([dynamic_int8()], perceptron.model, material(rows))) == 64
    assert greatest_weight(apply([dynamic_int8()], perceptron.model, material(rows, target="arm"))) == 127


def greatest_weight(model: onnx.ModelProto) -> int:
    weights = [numpy_helper.to_array(each) for each in model.graph.initializer if each.data_type == TensorProto.INT8]
    return max(int(np.abs(each.astype(int)).max()) for each in weights if each.ndim > 1)


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "entropy"])
def test_every_calibration_keeps_a_networks_answers(calibration: str) -> None:
    digits = digits_mlp(0)
    quantized = apply([static_int8(calibration)], digits.model, material(digits.x_train[:400]))
    expected, found = (answers(model, digits.x_test).argmax(axis=1) for model in (digits.model, quantized))
    assert np.mean(found == expected) >= 0.99
    assert quantized.ByteSize() < 0.3 * digits.model.ByteSize()


def test_calibration_by_distribution_is_not_offered() -> None:
    with pytest.raises(ValueError, match="'distribution'; expected one of minmax, percentile, entropy"):
        static_int8("distribution")


def test_same_calibration_gives_the_same_bytes() -> None:
    once, twice = (apply([static_int8("entropy")], two_convolutions(), material(IMAGES)) for _ in range(2))
    assert once.SerializeToString(deterministic=True) == twice.SerializeToString(deterministic=True)


def test_last_layer_answers_in_float() -> None:
    quantized = apply([static_int8()], two_convolutions(), material(IMAGES))
    made_by = {name: node for node in quantized.graph.node for name in node.output}
    last = made_by["y"]
    assert last.op_type == "Gemm"
    assert {made_by[name].op_type for name in last.input} == {"DequantizeLinear"}


def test_layer_that_is_named_stays_float_and_is_noted() -> None:
    quantized = apply([static_int8(keep_float=["second"])], two_convolutions(), material(IMAGES))
    assert mixed_layers(quantized) == ("second",)
    assert [(entry.key, entry.value) for entry in quantized.metadata_props] == [("edge_rai.float_layers", "second")]
    assert mixed_layers(apply([static_int8()], two_convolutions(), material(IMAGES))) == ()


def test_layers_keep_their_names_when_what_follows_is_fused_into_them() -> None:
    rng = np.random.default_rng(0)
    shapes = {"k": (4, 3, 1, 1), "s": (4,), "b": (4,), "m": (4,), "w": (4, 2), "c": (2,)}
    constants = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    model = graph_model(
        [
            helper.make_node("Conv", ["x", "k"], ["1"], "body/conv"),
            helper.make_node("BatchNormalization", ["1", "s", "b", "m", "v"], ["2"], "body/norm"),
            helper.make_node("GlobalAveragePool", ["2"], ["3"]),
            helper.make_node("Flatten", ["3"], ["4"]),
            helper.make_node("MatMul", ["4", "w"], ["5"], "head"),
            helper.make_node("Add", ["5", "c"], ["y"], "head/add"),
        ],
        {**constants, "v": np.ones(4, np.float32)},
        ["N", 3, 16, 16],
        ["N", 2],
    )
    with pytest.raises(NotApplicableError, match="no layer 'neck' to keep in float; it has body/conv, head$"):
        apply([static_int8(keep_float=["neck"])], model, material(IMAGES))


def test_keeping_every_layer_in_float_is_refused() -> None:
    with pytest.raises(NotApplicableError, match="all its layers were to stay float"):
        apply([static_int8(keep_float=["first", "second", "last"])], two_convolutions(), material(IMAGES))


def test_model_without_a_weighted_layer_says_so(tumours: Path) -> None:
    with pytest.raises(NotApplicableError, match="none of Conv, Gemm, MatMul"):
        apply([static_int8()], onnx.load(tumours / "forest.onnx"), material(np.zeros((4, 30), np.float32), "X"))


def test_model_that_is_quantized_already_says_so() -> None:
    with pytest.raises(NotApplicableError, match="quantized already"):
        apply([static_int8(), static_int8()], two_convolutions(), material(IMAGES))


def test_no_calibration_rows_are_refused() -> None:
    with pytest.raises(NotApplicableError, match="no calibration rows"):
        apply([static_int8()], two_convolutions(), material(IMAGES[:0]))


def test_calibration_rows_that_are_not_finite_are_refused() -> None:
    rows = IMAGES.copy()
    rows[70, 0, 0, 0] = np.nan
    with pytest.raises(NotApplicableError, match="not finite, in 'x'"):
        apply([static_int8()], two_convolutions(), material(rows))


def test_bias_that_two_layers_share_is_quantized_for_each() -> None:
    generator = np.random.default_rng(0)
    model = graph_model(
        [
            helper.make_node("Conv", ["x", "first", "bias"], ["a"]),
            helper.make_node("Neg", ["a"], ["negated"]),
            helper.make_node("Conv", ["x", "second", "bias"], ["b"]),
            helper.make_node("Add", ["negated", "b"], ["y"]),
        ],
        {
            "first": generator.normal(size=(4, 3, 1, 1)).astype(np.float32),
            "second": 30 * generator.normal(size=(4, 3, 1, 1)).astype(np.float32),
            "bias": generator.normal(size=4).astype(np.float32),
        },
        ["N", 3, 16, 16],
        ["N", 4, 16, 16],
    )
    expected = answers(model, IMAGES)
    found = answers(apply([static_int8()], model, material(IMAGES)), IMAGES)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def test_layer_whose_weight_is_computed_is_left_alone() -> None:
    model = graph_model([helper.make_node("MatMul", ["x", "x"], ["y"])], {}, [4, 4], [4, 4])
    with pytest.raises(NotApplicableError, match="constant weights"):
        apply([static_int8()], model, material(np.ones((4, 4), np.float32), batched=False))


@pytest.mark.parametrize("ir_version", [3, 8])
def test_constants_that_a_caller_could_override_are_folded_all_the_same(ir_version: int) -> None:
    model = two_convolutions()
    model.ir_version = ir_version
    model.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in model.graph.initializer
    )
    quantized = apply([static_int8()], model, material(IMAGES))
    assert [value.name for value in quantized.graph.input] == ["x"]


def test_old_opset_is_raised_to_the_first_with_scales_per_channel() -> None:
    model = two_convolutions()
    model.opset_import[0].version = 11
    quantized = apply([static_int8()], model, material(IMAGES))
    assert quantized.opset_import[0].version == 13


@pytest.mark.skipif(
    any(wanted.startswith("sympy") and "extra" not in wanted for wanted in requires("onnxruntime") or ()),
    reason="this onnxruntime depends on sympy itself",
)
def test_quantizing_needs_no_sympy() -> None:
    program = """
import sys
sys.modules["sympy"] = None  # import raises
from support.calibrating import material, two_convolutions
import numpy as np
from edge_rai_converters.passes.contract import apply
from edge_rai_converters.passes.quantize import dynamic_int8, float16, int4_weights, mixed_int8, static_int8
rows = np.random.default_rng(1).normal(size=(96, 3, 16, 16)).astype(np.float32)
for step in (static_int8(), static_int8("percentile"), mixed_int8(1.0), float16(), int4_weights()):
    apply([step], two_convolutions(), material(rows))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_weights_that_layers_use_along_different_axes_are_quantized_for_each() -> None:
    rng = np.random.default_rng(5)
    weights = {"w": rng.normal(0, 0.3, (8, 32)).astype(np.float32), "b": rng.normal(size=32).astype(np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Gemm", ["r", "w"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tied",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rows = rng.normal(size=(200, 8)).astype(np.float32)
    result = apply([static_int8()], model, material(rows))
    assert sum(node.op_type == "DequantizeLinear" and "w" in node.input[0] for node in result.graph.node) == 2
    np.testing.assert_allclose(
        answers(result, rows), answers(model, rows), atol=0.05 * np.abs(answers(model, rows)).max()
    )
