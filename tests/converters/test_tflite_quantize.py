"""A TFLite model in fewer bits: what becomes integers, what stays float, and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.errors import MissingExtraError
from edge_rai_converters.litert import LiteRTRunner
from edge_rai_converters.passes.contract import NotApplicableError, Rewrite, apply
from edge_rai_converters.passes.quantize import mixed_int8
from edge_rai_converters.passes.quantize.prepare import prepare
from edge_rai_converters.passes.quantize.static import activations
from edge_rai_converters.runner import Runner
from edge_rai_converters.targets.tflite import write
from edge_rai_converters.targets.tflite.quantize import (
    measure_ranges,
    quantization_of,
    tflite_dynamic_int8,
    tflite_float16,
    tflite_int8,
    tflite_int16,
)
from edge_rai_converters.targets.tflite.structure import Structure
from support.calibrating import answers, delicate, graph_model, material, two_convolutions
from support.networks import Digits, digits_mlp

FLOAT = TensorProto.FLOAT
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(400, 16)).astype(np.float32)
KINDS = {
    "static_int8": tflite_int8(max_drop=1.0),
    "static_int16": tflite_int16(),
    "dynamic_int8": tflite_dynamic_int8(),
    "float16": tflite_float16(),
}


@pytest.fixture(scope="module")
def digits() -> Digits:
    return digits_mlp(0)


@pytest.fixture(scope="module")
def written(digits: Digits) -> bytes:
    return write(digits.model).model


def scores(model: bytes, rows: np.ndarray) -> np.ndarray:
    (values,) = LiteRTRunner(model, "the model").call({"x": rows}).values()
    return values


def types(model: bytes) -> dict[str, str]:
    """What each operator makes, by its name."""
    return {operator.name: operator.outputs[0].dtype for operator in Structure(model).operators}


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_bits_make_it_smaller_and_keep_the_accuracy(kind: str, digits: Digits, written: bytes) -> None:
    model = apply([KINDS[kind]], written, material(digits.x_train[:400]))
    assert quantization_of(model) == kind
    assert len(model) < (0.52 if kind == "float16" else 0.31) * len(written)
    found, before = (
        np.mean(scores(entry, digits.x_test).argmax(axis=1) == digits.y_test) for entry in (model, written)
    )
    assert found >= before - 0.005


def test_int8_is_within_half_a_point_of_onnx_on_the_same_calibration_rows(digits: Digits, written: bytes) -> None:
    rows = digits.x_train[:400]
    onnx_int8 = apply([mixed_int8(max_drop=1.0)], digits.model, material(rows))
    tflite_model = apply([tflite_int8(max_drop=1.0)], written, material(rows))
    expected = answers(digits.model, digits.x_test)
    in_onnx, in_tflite = answers(onnx_int8, digits.x_test), scores(tflite_model, digits.x_test)
    right = [np.mean(values.argmax(axis=1) == digits.y_test) for values in (in_onnx, in_tflite)]
    assert right[1] >= right[0] - 0.005
    assert np.abs(in_tflite - expected).max() < np.abs(in_onnx - expected).max()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_give_equal_bytes(kind: str, digits: Digits, written: bytes) -> None:
    rows = material(digits.x_train[:60])
    assert apply([KINDS[kind]], written, rows) == apply([KINDS[kind]], written, rows)


def test_ranges_reach_to_the_extremes_of_all_rows() -> None:
    # The quantizer's own calibration moves a twentieth of the way to the last row, far from its value here.
    rows = ROWS[:40].copy()
    rows[-1] *= 50
    model = delicate()
    ranges = measure_ranges(write(model).model, material(rows))
    prepared = prepare(model)
    runner = Runner(prepared.SerializeToString(), "prepared")
    assert "x" in activations(prepared.graph)
    assert ranges["x"] == (rows.min(), rows.max())
    expected = runner.call({"x": rows})["y"]
    assert ranges["y"] == pytest.approx((expected.min(), expected.max()), rel=1e-4)


def test_worst_layers_return_to_float_and_that_is_noted() -> None:
    model = write(delicate()).model
    notes: dict[str, str] = {}
    mixed = apply([tflite_int8(max_drop=3.0)], model, material(ROWS, note=notes.__setitem__))
    layers = {entry.name: entry.weights.dtype for entry in Structure(mixed).operators if entry.weights}
    kept = [name for name, dtype in layers.items() if dtype == "FLOAT32"]
    assert kept
    assert "INT8" in layers.values()
    assert notes["float_layers"] == ", ".join(kept)
    shares = [float(entry.split()[-1]) for entry in notes["int8_harm"].split(", ")]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    same = scores(mixed, ROWS).argmax(axis=1) == scores(model, ROWS).argmax(axis=1)
    assert same.mean() > 0.95


def test_named_layers_stay_float(digits: Digits, written: bytes) -> None:
    first, *_, last = (entry.name for entry in Structure(written).operators if entry.weights)
    model = apply([tflite_int8(max_drop=5.0, keep_float=[first])], written, material(digits.x_train[:100]))
    kinds = {entry.name: entry.weights.dtype for entry in Structure(model).operators if entry.weights}
    assert (kinds[first], kinds[last]) == ("FLOAT32", "INT8")
    with pytest.raises(NotApplicableError, match="it has no layer 'none' to keep in float; it has"):
        apply([tflite_int8(max_drop=5.0, keep_float=["none"])], written, material(digits.x_train[:100]))


def test_layers_that_share_their_weights_are_one_to_the_sweep() -> None:
    shared, head = (np.linalg.qr(RNG.normal(size=(16, 16)))[0].astype(np.float32) for _ in range(2))
    nodes = [
        helper.make_node("Gemm", ["x", "shared"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "shared"], ["c"]),
        helper.make_node("Tanh", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "head"], ["y"]),
    ]
    model = write(graph_model(nodes, {"shared": shared, "head": head}, ["N", 16], ["N", 16])).model
    notes: dict[str, str] = {}
    int8 = apply([tflite_int8(max_drop=20.0)], model, material(ROWS, note=notes.__setitem__))
    assert [entry.split()[0] for entry in sorted(notes["int8_harm"].split(", "))] == ["a", "y"]
    assert {operator.weights.dtype for operator in Structure(int8).operators if operator.weights} == {"INT8"}


def test_scaler_on_raw_features_stays_float_and_the_answer_too() -> None:
    scale = np.logspace(-3, 3, 16).astype(np.float32)
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=(16, 16)).astype(np.float32) / 4 for _ in range(2)]
    model = graph_model(
        [
            helper.make_node("Mul", ["x", "scale"], ["scaled"]),
            helper.make_node("Gemm", ["scaled", "w0"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Gemm", ["b", "w1"], ["y"]),
        ],
        {"scale": 1 / scale, "w0": weights[0], "w1": weights[1]},
        ["N", 16],
        ["N", 16],
    )
    rows = ROWS * scale
    int8 = apply([tflite_int8(max_drop=5.0)], write(model).model, material(rows))
    made = types(int8)
    assert made["scaled"] == made["y"] == "FLOAT32"
    assert quantization_of(int8) == "static_int8"
    assert (scores(int8, rows).argmax(axis=1) == answers(model, rows).argmax(axis=1)).mean() > 0.97


def test_integer_edges_take_and_give_integers_and_a_runner_floats(digits: Digits, written: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    model = apply([tflite_int8(max_drop=1.0, edges="int8")], written, material(digits.x_train[:400]))
    interpreter = Interpreter(model_content=model)
    ends = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    assert [end["dtype"] for end in ends] == [np.int8, np.int8]
    assert not {"QUANTIZE", "DEQUANTIZE"} & {operator.code for operator in Structure(model).operators}
    step = ends[1]["quantization"][0]
    assert np.abs(scores(model, digits.x_test) - scores(written, digits.x_test)).mean() < step


def test_output_that_the_model_reads_itself_is_given_in_integers_too() -> None:
    rng = np.random.default_rng(4)
    model = graph_model(
        [
            helper.make_node("Gemm", ["x", "w"], ["y"]),
            helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0),
        ],
        {"w": rng.normal(size=(16, 5)).astype(np.float32)},
        ["N", 16],
        ["N", 5],
    )
    model.graph.output.append(helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["N"]))
    int8 = apply([tflite_int8(max_drop=10.0, edges="int8")], write(model).model, material(ROWS))
    found = LiteRTRunner(int8, "int8").call({"x": ROWS[:50]})
    assert (found["label"] == found["y"].argmax(axis=1)).all()
    assert types(int8)["y"] == "INT8"


def test_weights_beyond_float16_stay_float32() -> None:
    small, large = np.eye(16, dtype=np.float32) / 3, np.eye(16, dtype=np.float32) * 1e5
    nodes = [helper.make_node("Gemm", ["x", "w0"], ["a"]), helper.make_node("Gemm", ["a", "w1"], ["y"])]
    model = write(graph_model(nodes, {"w0": small, "w1": large}, ["N", 16], ["N", 16])).model
    half = apply([tflite_float16()], model, material(ROWS))
    assert np.allclose(scores(half, ROWS), scores(model, ROWS), rtol=1e-3)
    too_large = write(graph_model(nodes, {"w0": large, "w1": large}, ["N", 16], ["N", 16])).model
    with pytest.raises(NotApplicableError, match="its weights exceed 65,504"):
        apply([tflite_float16()], too_large, material(ROWS))


def test_one_row_a_call_is_calibrated_like_a_batch(digits: Digits, written: bytes) -> None:
    rows = digits.x_train[:100]
    together = apply([tflite_int8(max_drop=1.0)], written, material(rows))
    alone = apply([tflite_int8(max_drop=1.0)], written, material(rows, batched=False))
    assert together == alone


def test_convolutions_are_quantized_with_what_moves_their_images() -> None:
    model = write(two_convolutions()).model
    rows = RNG.random((24, 3, 16, 16)).astype(np.float32)
    operators = Structure(apply([tflite_int8(max_drop=100.0)], model, material(rows))).operators
    first, *between, restored, answer = (operator.outputs[0].dtype for operator in operators)
    assert {first, *between} == {"INT8"}
    assert (restored, answer) == ("FLOAT32", "FLOAT32")


@pytest.mark.parametrize("step", [KINDS["static_int8"], KINDS["float16"]])
def test_quantized_model_is_not_quantized_again(step: Rewrite, digits: Digits, written: bytes) -> None:
    rows = material(digits.x_train[:100])
    once = apply([tflite_dynamic_int8()], written, rows)
    with pytest.raises(NotApplicableError, match="quantized already"):
        apply([step], once, rows)


def test_model_without_layers_is_refused() -> None:
    model = write(graph_model([helper.make_node("Relu", ["x"], ["y"])], {}, ["N", 16], ["N", 16])).model
    for step in KINDS.values():
        with pytest.raises(NotApplicableError, match="no layer with constant weights of float32"):
            apply([step], model, material(ROWS))


def test_rows_that_lead_to_infinity_are_refused() -> None:
    model = write(delicate()).model
    rows = np.full((40, 16), 3e38, np.float32)
    with pytest.raises(NotApplicableError, match="values that are not finite"):
        apply([tflite_int16()], model, material(rows))


def test_edges_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="edges is 'uint8'; expected one of float, int8"):
        tflite_int8(max_drop=1.0, edges="uint8")  # type: ignore[arg-type]


def test_missing_quantizer_is_one_sentence_with_the_remedy(
    digits: Digits, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ai-edge-quantizer==[\d.*]+'$"):
        apply([tflite_dynamic_int8()], written, material(digits.x_train[:10]))


def test_constants_that_are_put_together_with_values_leave_the_rest_integers() -> None:
    draw = np.random.default_rng(1)
    constants = {
        "w": draw.normal(size=(16, 8)).astype(np.float32),
        "token": np.ones((1, 8), np.float32),
        "v": draw.normal(size=(16, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Concat", ["r", "token"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "v"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "token",
        [value("x", FLOAT, [1, 16])],
        [value("y", FLOAT, [1, 4])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)).model
    found = apply([tflite_int16()], model, material(ROWS[:50]))
    by_code = {entry.code: entry.outputs[0].dtype for entry in Structure(found).operators}
    assert by_code["CONCATENATION"] == "FLOAT32"
    assert quantization_of(found) == "static_int16"
    gap = np.abs(scores(found, ROWS[:50]) - scores(model, ROWS[:50])).max()
    assert gap <= 0.01 * np.abs(scores(model, ROWS[:50])).max()


def test_steps_that_read_their_weights_in_place_stay_float_in_static_integers() -> None:
    draw = np.random.default_rng(2)
    weights = {"w": draw.normal(size=(1, 512, 4)), "r": draw.normal(size=(1, 512, 128)) / 16}
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r"], ["", "y"], hidden_size=128),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "steps",
        [value("x", FLOAT, [1, 36, 4])],
        [value("y", FLOAT, [1, 1, 128])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)).model
    rows = draw.normal(size=(3, 36, 4)).astype(np.float32)
    found = apply([tflite_int16()], model, material(rows))
    stored = {entry.weights.dtype for entry in Structure(found).operators if entry.weights}
    assert stored == {"INT8", "FLOAT32"}
    assert np.abs(scores(found, rows) - scores(model, rows)).max() <= 0.02
