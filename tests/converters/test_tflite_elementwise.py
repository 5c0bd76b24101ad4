"""Operators of each value by itself in TFLite: every type that they take, broadcast as ONNX does, exact or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from edge_rai.errors import UnsupportedModelError
from support.tflite_graphs import Nodes, compared

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mod")
COMPARISON = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
LOGIC = ("And", "Or", "Xor")


def drawn(dtype: Any, *shape: int, seed: int = 0) -> np.ndarray:
    """Values at which integers overflow where they are small; never 0."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype is bool:
        return rng.integers(0, 2, shape).astype(bool)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(10**6)), min(info.max, 10**6), shape).astype(dtype) | 1


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
def test_arithmetic_and_comparison_of_every_wide_type_agree(dtype: Any) -> None:
    nodes = Nodes(a=drawn(dtype, 2, 3, 4), b=drawn(dtype, 3, 1, seed=1))
    for operator in (*ARITHMETIC, *COMPARISON):
        if not (dtype is np.int64 and operator == "Div") and not (dtype is np.float32 and operator == "Mod"):
            nodes.add(operator, "a", "b")
            nodes.add(operator, "b", "a")
    compared(nodes)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_small_integers_wrap_around_as_onnx_says(dtype: Any) -> None:
    # ONNX Runtime has no kernels of some of these types; numpy has the same arithmetic modulo the type's width.
    from edge_rai_converters.targets import tflite

    a, b = drawn(dtype, 5, 7), drawn(dtype, 5, 1, seed=1)
    expected = {"Add": a + b, "Sub": a - b, "Mul": a * b, "Max": np.maximum(a, b), "Min": np.minimum(a, b)}
    expected |= {"Equal": a == b, "Less": a < b, "GreaterOrEqual": a >= b, "Mod": np.mod(a, b)}
    expected |= {"Div": np.trunc(a / b).astype(np.int64).astype(dtype)}
    nodes = Nodes(a=a, b=b)
    made = {operator: nodes.add(operator, "a", "b") for operator in expected}
    written = tflite.write(nodes.model())
    (answer,) = tflite.probed(written.model, [nodes.inputs]).answers
    for operator, array in expected.items():
        assert answer[made[operator]].dtype == array.dtype
        assert np.array_equal(answer[made[operator]], array), operator


def test_operands_broadcast_at_any_rank() -> None:
    shapes = [(), (1,), (4,), (3, 1), (2, 1, 4), (5, 1, 3, 4), (2, 1, 2, 3, 1), (1, 2, 5, 1, 3, 4)]
    nodes = Nodes(**{f"x{i}": drawn(np.float32, *shape, seed=i) for i, shape in enumerate(shapes)})
    for i in range(len(shapes)):
        for j in range(len(shapes)):
            nodes.add("Sub", f"x{i}", f"x{j}")
            nodes.add("Less", f"x{i}", f"x{j}")
    for i in range(1, len(shapes)):
        nodes.add("Where", nodes.add("Greater", "x0", f"x{i}"), "x4", f"x{i}")
    compared(nodes)


def test_unary_operators_agree() -> None:
    nodes = Nodes(x=drawn(np.float32, 3, 40), positive=np.abs(drawn(np.float32, 40)) + 0.01)
    for operator in ("Abs", "Ceil", "Cos", "Exp", "Floor", "Neg", "Sign", "Sin", "Tan", "Reciprocal"):
        nodes.add(operator, "x")
    for operator in ("Log", "Sqrt", "Reciprocal"):
        nodes.add(operator, "positive")
    nodes.inputs["halves"] = np.arange(-4, 4, 0.5, dtype=np.float32)
    nodes.add("Round", "halves")
    for dtype in (np.int32, np.int64):
        name = np.dtype(dtype).name
        nodes.inputs[name] = drawn(dtype, 9)
        nodes.add("Neg", name)
    nodes.add("Abs", "int32")
    nodes.add("Sign", "int32")
    compared(nodes)


def test_powers_and_roots_agree() -> None:
    nodes = Nodes(x=drawn(np.float32, 3, 4), positive=np.abs(drawn(np.float32, 3, 4)), y=drawn(np.float32, 4, seed=1))
    for exponent in (0.0, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0):
        nodes.add("Pow", "x", nodes.constant(exponent, np.float32))
    for exponent in (0.5, -0.5, 1.7):
        nodes.add("Pow", "positive", nodes.constant(exponent, np.float32))
    nodes.add("Pow", "x", nodes.constant(2, np.int64))
    nodes.add("Pow", "positive", "y")
    compared(nodes)


def test_logic_and_choice_agree() -> None:
    nodes = Nodes(p=drawn(bool, 2, 3, 4), q=drawn(bool, 3, 1, seed=1), x=drawn(np.float32, 4), n=drawn(np.int64, 1, 4))
    for operator in LOGIC:
        nodes.add(operator, "p", "q")
    nodes.add("Not", "p")
    nodes.add("Equal", "p", "q")
    nodes.add("Where", "p", "x", nodes.constant(0.5, np.float32))
    nodes.add("Where", "q", "n", nodes.constant([[7], [8], [9]]))
    compared(nodes)


def test_casts_between_all_written_types_agree() -> None:
    types = (np.float32, np.int32, np.int64, np.int8, np.uint8, np.int16, bool)
    small = np.array([0, 1, 3, 100, 7, 0])
    nodes = Nodes(**{np.dtype(dtype).name: small.astype(dtype) for dtype in types})
    for name in list(nodes.inputs):
        for dtype in types:
            nodes.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    compared(nodes)


@pytest.mark.parametrize(
    ("operator", "dtype", "words"),
    [
        (
            "Div",
            np.int64,
            "Div node 'Div0': it computes int64, for which TFLite has no kernel",
        ),
        ("Add", np.float64, "float64"),
        ("Mul", np.uint32, "uint32"),
        ("Add", np.float16, "float16"),
    ],
)
def test_types_without_a_kernel_are_refused_by_name(operator: str, dtype: Any, words: str) -> None:
    from edge_rai_converters.targets import tflite

    nodes = Nodes(a=np.ones((2, 2), dtype), b=np.ones((2, 2), dtype))
    nodes.add(operator, "a", "b")
    with pytest.raises(UnsupportedModelError, match="^TFLite: ") as refused:
        tflite.write(nodes.model())
    assert words in str(refused.value)
