from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge_rai_converters.passes.lower import lower_scalers
from edge_rai_converters.passes.quantize import NotQuantizableError, quantize

FLOAT = TensorProto.FLOAT


def feeds(name: str, rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(rows), 64):
        yield {name: rows[start : start + 64]}


def run(model: bytes, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feed)


def test_scaler_stays_float_and_every_layer_behind_it_is_int8(tumours: Path) -> None:
    rows = np.load(tumours / "data.npz")["X"]
    source = onnx.load(tumours / "mlp.onnx")
    before = source.SerializeToString()
    quantized = onnx.load_from_string(quantize(source, feeds("X", rows)))
    assert source.SerializeToString() == before
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
        channels = onnx.numpy_helper.to_array(initializers[weight.input[1]]).size
        assert channels == initializers[weight.input[0]].dims[1]


def test_same_calibration_gives_the_same_bytes(digits: Path) -> None:
    rows = np.load(digits / "data.npz")["image"][:200]
    model = onnx.load(digits / "cnn.onnx")
    assert quantize(model, feeds("image", rows)) == quantize(model, feeds("image", rows))


def test_lowered_scaler_answers_to_the_bit(tumours: Path) -> None:
    rows = np.load(tumours / "data.npz")["X"]
    model = onnx.load(tumours / "mlp.onnx")
    lowered = lower_scalers(model)
    assert [node.op_type for node in lowered.graph.node[:2]] == ["Sub", "Mul"]
    for before, after in zip(
        run(model.SerializeToString(), {"X": rows}), run(lowered.SerializeToString(), {"X": rows}), strict=True
    ):
        assert before.tobytes() == after.tobytes()


def test_model_without_a_weighted_layer_says_so(tumours: Path) -> None:
    with pytest.raises(NotQuantizableError, match="none of Conv, Gemm, MatMul"):
        quantize(onnx.load(tumours / "forest.onnx"), feeds("X", np.zeros((4, 30), np.float32)))


def test_model_that_is_quantized_already_says_so(digits: Path) -> None:
    rows = np.load(digits / "data.npz")["image"][:64]
    once = onnx.load_from_string(quantize(onnx.load(digits / "cnn.onnx"), feeds("image", rows)))
    with pytest.raises(NotQuantizableError, match="quantized already"):
        quantize(once, feeds("image", rows))


def test_bias_that_two_layers_share_is_quantized_for_each(make_model) -> None:
    generator = np.random.default_rng(0)
    path = make_model(
        [
            helper.make_node("Conv", ["x", "first", "bias"], ["a"]),
            helper.make_node("Neg", ["a"], ["negated"]),
            helper.make_node("Conv", ["x", "second", "bias"], ["b"]),
            helper.make_node("Add", ["negated", "b"], ["y"]),
        ],
        [("x", FLOAT, ["N", 3, 8, 8])],
        [("y", FLOAT, ["N", 4, 8, 8])],
        {
            "first": generator.normal(size=(4, 3, 1, 1)).astype(np.float32),
            "second": 30 * generator.normal(size=(4, 3, 1, 1)).astype(np.float32),
            "bias": generator.normal(size=4).astype(np.float32),
        },
    )
    rows = generator.normal(size=(64, 3, 8, 8)).astype(np.float32)
    (expected,) = run(path.read_bytes(), {"x": rows})
    (answer,) = run(quantize(onnx.load(path), feeds("x", rows)), {"x": rows})
    assert np.abs(answer - expected).max() < 0.05 * np.ptp(expected)


def test_layer_whose_weight_is_computed_is_left_alone(make_model) -> None:
    path = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", FLOAT, [1, 4]), ("w", FLOAT, [4, 2])],
        [("y", FLOAT, [1, 2])],
    )
    feed = {"x": np.ones((1, 4), np.float32), "w": np.ones((4, 2), np.float32)}
    with pytest.raises(NotQuantizableError, match="constant weights"):
        quantize(onnx.load(path), iter([feed]))
