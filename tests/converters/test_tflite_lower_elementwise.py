"""Arithmetic and activations in operators that TFLite has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite.lower import lower
from support.lowering import answers, lowered, node_model, operators, random

GRID = {"x": np.linspace(-30, 30, 2400, dtype=np.float32).reshape(3, -1)}
DIRECT = {
    *("Abs", "Add", "And", "Cast", "Clip", "Div", "Elu", "Equal", "Exp", "Greater", "Less", "Log", "Max", "Min", "Mul"),
    *("Neg", "Not", "Or", "Pow", "Relu", "Sigmoid", "Sqrt", "Sub", "Tanh", "Where"),
}


@pytest.mark.parametrize("operator", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_operands_is_two_at_a_time(operator: str, count: int) -> None:
    feed = {f"x{index}": random(2, 3, seed=index)[: 1 + index % 2] for index in range(count)}
    result = lowered(node_model(operator, feed), feed)
    assert all(len(node.input) <= 2 for node in result.graph.node)


@pytest.mark.parametrize(
    ("power", "written"),
    [(1, ["Identity"]), (2, ["Mul"]), (3, ["Mul", "Mul"]), (0.5, ["Sqrt"]), (1.7, ["Pow"])],
)
def test_powers_are_products_and_roots(power: float, written: list[str]) -> None:
    feed = {"x": np.abs(random(2, 3))}
    assert operators(lowered(node_model("Pow", feed, exponent=np.float32(power)), feed)) == written


def test_operands_of_a_power_have_one_type() -> None:
    feed = {"x": np.abs(random(2, 3)), "exponent": np.array([[1], [4]])}
    assert operators(lowered(node_model("Pow", feed), feed)) == ["Cast", "Pow"]


def test_broken_power_of_whole_numbers_is_refused() -> None:
    feed = {"x": np.array([4, 9]), "exponent": np.float32([0.5, 2])}
    with pytest.raises(UnsupportedModelError, match="Pow node 'node'.*cast them to float32"):
        lower(node_model("Pow", feed))


@pytest.mark.parametrize(
    ("operator", "more"),
    [
        ("Celu", {"alpha": 0.7}),
        ("Elu", {}),
        ("Elu", {"alpha": 0.3}),
        ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
        ("Mish", {}),
        ("Reciprocal", {}),
        ("Selu", {}),
        ("Selu", {"alpha": 0.5, "gamma": 2.0}),
        ("Shrink", {"bias": 0.25, "lambd": 1.5}),
        ("Softplus", {}),
        ("Softsign", {}),
        ("ThresholdedRelu", {"alpha": 0.8}),
    ],
)
def test_activation_is_written_in_direct_operators(operator: str, more: dict[str, Any]) -> None:
    result = lowered(node_model(operator, GRID, **more), GRID)
    assert set(operators(result)) <= DIRECT


def test_swish_is_written_in_direct_operators() -> None:
    result = lower(node_model("Swish", GRID, opset=24, alpha=0.6))
    x = GRID["x"].astype(np.float64)
    np.testing.assert_allclose(answers(result, GRID)["y0"], x / (1 + np.exp(-0.6 * x)), atol=1e-5)
    assert set(operators(result)) <= DIRECT


def test_error_function_is_good_to_three_tenths_of_a_millionth() -> None:
    x = np.concatenate([np.linspace(-6, 6, 60001), [-1e30, -1e4, -0.0, 1e-20, 1e4, 1e30, np.inf, -np.inf]])
    feed = {"x": x.astype(np.float32)}
    result = lower(node_model("Erf", feed))
    expected = np.array([math.erf(value) for value in feed["x"].astype(np.float64)])
    assert np.abs(answers(result, feed)["y0"] - expected).max() < 3e-7
    assert set(operators(result)) <= DIRECT


def test_what_is_no_number_stays_none() -> None:
    feed = {"x": np.float32([np.nan, np.inf, -np.inf, 0])}
    assert np.isnan(answers(lower(node_model("Erf", feed)), feed)["y0"][0])
    assert operators(lowered(node_model("IsNaN", feed), feed)) == ["Equal", "Not"]


@pytest.mark.parametrize(("positive", "negative"), [(1, 1), (1, 0), (0, 1)])
def test_infinities_are_told_apart(positive: int, negative: int) -> None:
    feed = {"x": np.float32([np.nan, np.inf, -np.inf, 0, 3e38])}
    lowered(node_model("IsInf", feed, detect_positive=positive, detect_negative=negative), feed)


def test_cast_to_the_type_of_another_value_is_a_cast() -> None:
    feed = {"x": random(2, 3), "like": np.array([1])}
    assert operators(lowered(node_model("CastLike", feed), feed)) == ["Cast"]


@pytest.mark.parametrize("inputs", [["x", "low"], ["x", "", "high"], ["x", "low", "high"], ["x"]])
def test_limits_may_be_left_out(inputs: list[str]) -> None:
    constants = {name: np.float32(value) for name, value in (("low", -0.5), ("high", 0.7)) if name in inputs}
    feed = {"x": random(2, 3)}
    result = lowered(node_model("Clip", feed, inputs=inputs, **constants), feed)
    assert operators(result) == ["Clip" if constants else "Identity"]


def test_limits_that_are_computed_are_operands() -> None:
    feed = {"x": random(2, 3), "low": np.array(-0.5, np.float32), "high": np.array(0.1, np.float32)}
    assert operators(lowered(node_model("Clip", feed), feed)) == ["Max", "Min"]


def test_dropout_is_nothing_outside_of_training() -> None:
    feed = {"x": random(2, 3)}
    assert operators(lowered(node_model("Dropout", feed, outputs=2, ratio=np.float32(0.5)), feed)) == ["Identity"]
    training = node_model("Dropout", feed, ratio=np.float32(0.5), training=np.array(True))
    with pytest.raises(UnsupportedModelError, match="it drops values as in training"):
        lower(training)


def test_type_of_arithmetic_is_that_of_the_operands() -> None:
    feed = {"x": np.array([1, 2, 3], np.int32)}
    result = lowered(node_model("Pow", feed, exponent=np.array(2, np.int64)), feed)
    assert result.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.INT32
