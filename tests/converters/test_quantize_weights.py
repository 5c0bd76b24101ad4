"""Dynamic int8, float16 and 4-bit weights: what they change, what they leave, what they refuse."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.passes.contract import NotApplicableError, Pass, apply
from edge_rai_converters.passes.quantize import dynamic_int8, float16, int4_weights
from edge_rai_converters.passes.quantize.weights4 import pack
from support.calibrating import answers, graph_model, material, two_convolutions
from support.networks import Digits, digits_mlp

IMAGES = np.random.default_rng(1).normal(size=(32, 3, 16, 16)).astype(np.float32)
ROWS = np.random.default_rng(0).normal(size=(32, 48)).astype(np.float32)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return digits_mlp(0)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def gemm(**attributes: float) -> onnx.ModelProto:
    """y = alpha x W' + beta b, W' of 48 by 20."""
    rng = np.random.default_rng(3)
    shape = (20, 48) if attributes.get("transB") else (48, 20)
    constants = {"w": rng.normal(size=shape).astype(np.float32), "b": rng.normal(size=20).astype(np.float32)}
    return graph_model([helper.make_node("Gemm", ["x", "w", "b"], ["y"], "layer", **attributes)], constants,
                       ["N", 48], ["N", 20])  # fmt: skip


@pytest.mark.parametrize(
    ("step", "size", "agreement"), [(dynamic_int8(), 0.3, 0.99), (float16(), 0.52, 1.0), (int4_weights(), 0.2, 0.99)]
)
def test_network_is_smaller_and_answers_the_same(digits: Digits, step: Pass, size: float, agreement: float) -> None:
    smaller = apply([step], digits.model, material(digits.x_train[:64]))
    assert smaller.ByteSize() < size * digits.model.ByteSize()
    expected, found = (answers(model, digits.x_test).argmax(axis=1) for model in (digits.model, smaller))
    assert np.mean(found == expected) >= agreement


@pytest.mark.parametrize("step", [dynamic_int8(), float16(), int4_weights()])
def test_same_model_gives_the_same_bytes(digits: Digits, step: Pass) -> None:
    once, twice = (apply([step], digits.model, material(digits.x_train[:64])) for _ in range(2))
    assert once.SerializeToString(deterministic=True) == twice.SerializeToString(deterministic=True)


@pytest.mark.parametrize("step", [dynamic_int8(), float16(), int4_weights()])
def test_notes_of_earlier_passes_stay(step: Pass) -> None:
    model = gemm()
    model.metadata_props.add(key="edge_rai.pruning", value="half")
    kept = apply([step], model, material(ROWS)).metadata_props
    assert [(entry.key, entry.value) for entry in kept] == [("edge_rai.pruning", "half")]


@pytest.mark.parametrize("step", [dynamic_int8(), float16(), int4_weights()])
def test_model_without_constant_weights_is_refused(step: Pass) -> None:
    model = graph_model([helper.make_node("Softmax", ["x"], ["y"])], {}, ["N", 48], ["N", 48])
    with pytest.raises(NotApplicableError):
        apply([step], model, material(ROWS))


def test_dynamic_convolutions_are_refused_with_the_reason() -> None:
    with pytest.raises(NotApplicableError, match="convolutions, which are slower in dynamic int8 than in float"):
        apply([dynamic_int8()], two_convolutions(), material(IMAGES))


def test_dynamic_layers_multiply_integers(digits: Digits) -> None:
    dynamic = apply([dynamic_int8()], digits.model, material(digits.x_train[:64]))
    assert operators(dynamic).count("MatMulInteger") == 3
    assert "MatMul" not in operators(dynamic)
    assert "Gemm" not in operators(dynamic)


def test_every_gemm_gets_weights_of_four_bits_which_the_runtimes_tool_leaves_as_they_are(digits: Digits) -> None:
    quantized = apply([int4_weights()], digits.model, material(digits.x_train[:64]))
    assert operators(quantized).count("MatMulNBits") == operators(digits.model).count("Gemm") == 3


@pytest.mark.parametrize("step", [dynamic_int8(), int4_weights()])
@pytest.mark.parametrize("attributes", [{"transB": 1}, {"alpha": 0.5, "beta": 3.0}, {"alpha": -2.0, "transB": 1}])
def test_gemm_is_rewritten_with_its_attributes(step: Pass, attributes: dict[str, float]) -> None:
    model = gemm(**attributes)
    expected, found = (answers(each, ROWS) for each in (model, apply([step], model, material(ROWS))))
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.1 * expected.std()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_convolutions_alone_are_refused_by_four_bits() -> None:
    kernels = np.ones((4, 3, 1, 1), np.float32)
    model = graph_model(
        [helper.make_node("Conv", ["x", "k"], ["y"])], {"k": kernels}, ["N", 3, 16, 16], ["N", 4, 16, 16]
    )
    with pytest.raises(NotApplicableError, match="no MatMul or Gemm with constant weights"):
        apply([int4_weights()], model, material(IMAGES))


@pytest.mark.parametrize("block_size", [0, 8, 48, 512])
def test_block_of_another_size_is_refused(block_size: int) -> None:
    with pytest.raises(ValueError, match="power of two from 16 to 256"):
        int4_weights(block_size)


@pytest.mark.parametrize("inputs", [32, 48, 5])
def test_runtime_reads_the_packed_weights_as_they_were_meant(inputs: int) -> None:
    # Multiples of a scale of 0.5, from -8 to 7, in every block: nothing is lost, and identity shows each weight.
    rng = np.random.default_rng(5)
    weights = rng.integers(-8, 8, size=(inputs, 6)).astype(np.float32) / 2
    weights[::16] = -4
    model = graph_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights}, ["N", inputs], ["N", 6])
    rows = np.eye(inputs, dtype=np.float32)
    quantized = apply([int4_weights(16)], model, material(rows))
    np.testing.assert_allclose(answers(quantized, rows), weights, rtol=1e-2, atol=1e-2)


def test_error_of_four_bits_is_at_most_a_step() -> None:
    weights = np.random.default_rng(6).normal(size=(64, 10)).astype(np.float32)
    packed, scales = pack(weights, 32)
    levels = np.stack([packed & 15, packed >> 4], axis=-1).reshape(10, 2, 32).astype(np.float32) - 8
    restored = (levels * scales.reshape(10, 2, 1)).reshape(10, 64).T
    steps = np.abs(scales.reshape(10, 2)).repeat(32, axis=1).T
    assert np.all(np.abs(restored - weights) <= steps * 1.0001)
    assert np.mean(np.abs(restored - weights) <= steps * 0.5001) > 0.95  # beyond: those that +8 would have been for


def test_half_keeps_inputs_outputs_and_arithmetic_in_float32() -> None:
    halved = apply([float16()], two_convolutions(), material(IMAGES))
    assert operators(halved)[:3] == ["Cast"] * 3
    assert {tensor.data_type for tensor in halved.graph.initializer} == {TensorProto.FLOAT16}
    assert [value.type.tensor_type.elem_type for value in (*halved.graph.input, *halved.graph.output)] == [1, 1]


def test_activations_beyond_float16_do_not_overflow() -> None:
    model = gemm(alpha=1e4)
    found = answers(apply([float16()], model, material(100 * ROWS)), 100 * ROWS)
    assert np.abs(found).max() > 1e6
    np.testing.assert_allclose(found, answers(model, 100 * ROWS), rtol=2e-2, atol=2e-3 * np.abs(found).max())


def test_weights_beyond_float16_are_refused_and_among_others_stay_float32() -> None:
    model = gemm()
    great = model.graph.initializer[0]
    great.CopyFrom(numpy_helper.from_array(1e5 * numpy_helper.to_array(great), "w"))
    with pytest.raises(NotApplicableError, match="exceed 65,504"):
        apply([float16()], model, material(ROWS))
    mixed = two_convolutions()
    kernels = mixed.graph.initializer[0]
    kernels.CopyFrom(numpy_helper.from_array(1e5 * numpy_helper.to_array(kernels), kernels.name))
    halved = apply([float16()], mixed, material(IMAGES))
    assert operators(halved).count("Cast") == 2
    assert np.isfinite(answers(halved, IMAGES)).all()


def test_runtime_folds_the_casts_when_it_opens_the_model(tmp_path) -> None:
    halved = apply([float16()], two_convolutions(), material(IMAGES))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "opened.onnx")
    onnxruntime.InferenceSession(halved.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert "Cast" not in operators(onnx.load(tmp_path / "opened.onnx"))
