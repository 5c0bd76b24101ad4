"""Quantizing at a model's edges: the C code against numpy and against LiteRT's own operators, to the bit."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from support.tflite_models import Graph, write

ROOT = Path(__file__).parents[2]
Array = npt.NDArray[Any]
CODES = {"int8": 3, "uint8": 2, "int16": 5}
SCALES = [0.1, 0.0123, 1 / 127.5, 3.7, 1e-5]
EDGES = [("int8", -3), ("int8", 127), ("uint8", 130), ("uint8", 0), ("int16", 0)]


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("affine") / "affine.so"
    flags = ["-std=c11", "-O3", "-ffp-contract=off", "-shared", "-fPIC", f"-I{ROOT}/native/include"]
    subprocess.run(["cc", *flags, str(ROOT / "native/src/affine.c"), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def quantized(affine: ctypes.CDLL, real: Array, dtype: str, scale: float, zero_point: int) -> Array:
    integers = np.empty(real.shape, dtype)
    affine.er_quantize(
        ctypes.c_void_p(real.ctypes.data),
        ctypes.c_size_t(real.size),
        CODES[dtype],
        ctypes.c_float(scale),
        zero_point,
        ctypes.c_void_p(integers.ctypes.data),
    )
    return integers


def dequantized(affine: ctypes.CDLL, integers: Array, scale: float, zero_point: int) -> Array:
    real = np.empty(integers.shape, np.float32)
    affine.er_dequantize(
        ctypes.c_void_p(integers.ctypes.data),
        ctypes.c_size_t(integers.size),
        CODES[str(integers.dtype)],
        ctypes.c_float(scale),
        zero_point,
        ctypes.c_void_p(real.ctypes.data),
    )
    return real


def hard_values(scale: float) -> Array:
    """Values on, just below and just above the middle between two integers, and ordinary ones."""
    draw = np.random.default_rng(7)
    middles = ((draw.integers(-300, 300, 5000) + 0.5) * np.float64(np.float32(scale))).astype(np.float32)
    nearby = [np.nextafter(middles, np.float32(side)) for side in (np.inf, -np.inf)]
    ordinary = draw.normal(0, 100 * scale, 5000).astype(np.float32)
    return np.concatenate([middles, *nearby, ordinary])


def litert(dtype: str, scale: float, zero_point: int, count: int, *, back: bool) -> Callable[[Array], Array]:
    """LiteRT's QUANTIZE, or, ``back``, its DEQUANTIZE."""
    from ai_edge_litert.interpreter import Interpreter

    graph, edge = Graph(), {"scale": [scale], "zero_point": [zero_point]}
    real = graph.tensor("real", (count,))
    integers = graph.tensor("integers", (count,), dtype, **edge)
    ends = [integers, real] if back else [real, integers]
    graph.operator("DEQUANTIZE" if back else "QUANTIZE", ends[:1], ends[1:])
    interpreter = Interpreter(model_content=write(graph.edges(ends[:1], ends[1:]).model))
    interpreter.allocate_tensors()

    def run(values: Array) -> Array:
        interpreter.set_tensor(ends[0], values)
        interpreter.invoke()
        result: Array = interpreter.get_tensor(ends[1])
        return result

    return run


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("dtype", "zero_point"), EDGES)
def test_quantizing_is_what_numpy_computes(affine: ctypes.CDLL, dtype: str, zero_point: int, scale: float) -> None:
    values = np.concatenate([hard_values(scale), np.array([np.inf, -np.inf, np.nan, 3e38, -3e38, -0.0], np.float32)])
    with np.errstate(over="ignore"):
        steps = np.rint(values * (np.float32(1) / np.float32(scale)))
    limits = np.iinfo(dtype)
    expected = np.clip(np.nan_to_num(steps, nan=0, posinf=1e9, neginf=-1e9) + zero_point, limits.min, limits.max)
    np.testing.assert_array_equal(quantized(affine, values, dtype, scale, zero_point), expected.astype(dtype))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("dtype", "zero_point"), EDGES)
def test_quantizing_is_what_litert_computes(affine: ctypes.CDLL, dtype: str, zero_point: int, scale: float) -> None:
    values = hard_values(scale)
    expected = litert(dtype, scale, zero_point, values.size, back=False)(values)
    np.testing.assert_array_equal(quantized(affine, values, dtype, scale, zero_point), expected)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("dtype", "zero_point"), EDGES)
def test_dequantizing_is_what_numpy_and_litert_compute(
    affine: ctypes.CDLL, dtype: str, zero_point: int, scale: float
) -> None:
    limits = np.iinfo(dtype)
    integers = np.arange(limits.min, limits.max + 1).astype(dtype)
    computed = dequantized(affine, integers, scale, zero_point)
    expected = (integers.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    np.testing.assert_array_equal(computed, expected)
    np.testing.assert_array_equal(computed, litert(dtype, scale, zero_point, integers.size, back=True)(integers))
