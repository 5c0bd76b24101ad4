"""What channels are followed through: each operator between two layers, half of whose channels are dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_rai_converters.passes.contract import Material, apply
from edge_rai_converters.passes.prune import Importance, prune
from support.networks import Graph

ROWS = np.random.default_rng(5).normal(size=(96, 3, 6, 6)).astype(np.float32)
DEAD = np.arange(16) >= 8


def weights(graph: Graph, *shape: int, dead: int | None = None, spread: float = 0.2) -> str:
    """Random ones; the last 8 of every 16 entries along the axis ``dead`` are zero."""
    values = np.random.default_rng(len(graph.constants)).normal(0, spread, shape).astype(np.float32)
    if dead is not None:
        gone = np.arange(shape[dead]) % 16 >= 8
        values = np.where(np.expand_dims(gone, [axis for axis in range(len(shape)) if axis != dead]), 0, values)
    return graph.constant(values.astype(np.float32))


def numbers(graph: Graph, *values: int) -> str:
    return graph.constant(np.array(values, np.int64))


def read(graph: Graph, x: str, width: int = 16) -> str:
    """A layer of five outputs on top of an image of 16 channels."""
    mixed = graph.add("Conv", x, weights(graph, 5, width, 3, 3), auto_pad="SAME_LOWER", strides=[2, 2])
    return graph.add("Flatten", graph.add("GlobalMaxPool", mixed))


def transposed_convolution(graph: Graph, x: str) -> str:
    wider = graph.add("ConvTranspose", x, weights(graph, 16, 16, 2, 2, dead=1), strides=[2, 2])
    return read(graph, graph.add("LeakyRelu", wider, alpha=0.1))


def grouped_convolution(graph: Graph, x: str) -> str:
    # Of two blocks of 16 the last 8 of each are dead.
    wide = graph.add("Conv", x, weights(graph, 32, 16, 1, 1, dead=0))
    inner = graph.add("Conv", wide, weights(graph, 32, 16, 3, 3, dead=0), pads=[1] * 4, group=2)
    return read(graph, graph.add("Clip", inner, graph.constant(np.float32(0)), graph.constant(np.float32(6))), 32)


def depthwise_multiplier(graph: Graph, x: str) -> str:
    return read(graph, graph.add("Conv", x, weights(graph, 32, 1, 3, 3), group=16, auto_pad="SAME_UPPER"), 32)


def product_of_rows_of_rows(graph: Graph, x: str) -> str:
    flat = graph.add("Reshape", x, numbers(graph, 0, 16, 36))
    moved = graph.add("Transpose", flat, perm=[0, 2, 1])
    hidden = graph.add("Add", graph.add("MatMul", moved, weights(graph, 16, 16, dead=1)), weights(graph, 16, dead=0))
    made = graph.add("MatMul", graph.add("Relu", hidden), weights(graph, 16, 5))
    return graph.add("ReduceMean", made, axes=[1], keepdims=0)


def view_by_size(graph: Graph, x: str) -> str:
    """``x.view(x.size(0), -1)`` as it is exported."""
    first = graph.add("Gather", graph.add("Shape", x), graph.constant(np.array(0, np.int64)), axis=0)
    count = graph.add("Unsqueeze", first, numbers(graph, 0))
    flat = graph.add("Reshape", x, graph.add("Concat", count, numbers(graph, -1), axis=0))
    return graph.add("Gemm", flat, weights(graph, 16 * 36, 5))


def mean_over_places(graph: Graph, x: str) -> str:
    pooled = graph.add("ReduceMean", x, axes=[2, 3], keepdims=0)
    scaled = graph.add("Mul", pooled, weights(graph, 1, 16))
    return graph.add("Gemm", scaled, weights(graph, 5, 16), weights(graph, 5), transB=1, alpha=0.5, beta=2.0)


def padded_resized_and_sliced(graph: Graph, x: str) -> str:
    padded = graph.add("Pad", x, numbers(graph, 0, 0, 1, 1, 0, 0, 1, 1))
    scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
    larger = graph.add("Resize", padded, "", scales, mode="nearest")
    return read(graph, graph.add("Slice", larger, numbers(graph, 1), numbers(graph, 9), numbers(graph, 2)))


def squeezed(graph: Graph, x: str) -> str:
    pooled = graph.add("Squeeze", graph.add("GlobalAveragePool", x), numbers(graph, 2, 3))
    back = graph.add("Unsqueeze", pooled, numbers(graph, 2, 3))
    return graph.add("Flatten", graph.add("Conv", back, weights(graph, 5, 16, 1, 1)))


BUILDERS = [
    transposed_convolution,
    grouped_convolution,
    depthwise_multiplier,
    product_of_rows_of_rows,
    view_by_size,
    mean_over_places,
    padded_resized_and_sliced,
    squeezed,
]


def answers(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": ROWS})[0]


@pytest.mark.parametrize("build", BUILDERS)
def test_dead_channels_go_and_the_answers_stay(build: Callable[[Graph, str], str]) -> None:
    graph = Graph()
    first = graph.add("Conv", "x", weights(graph, 16, 3, 3, 3, dead=0), weights(graph, 16, dead=0), pads=[1] * 4)
    model = graph.model((3, 6, 6), build(graph, graph.add("Relu", first)), 5)
    material = Material(lambda: iter([{"x": ROWS[:50]}, {"x": ROWS[50:]}]), len(ROWS), batched=True)
    pruned = apply([prune(0.5, "activation")], model, material)
    expected = answers(model)
    np.testing.assert_allclose(answers(pruned), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert widest(pruned) <= widest(model) // 2


def widest(model: onnx.ModelProto) -> int:
    return max(max(tensor.dims, default=0) for tensor in model.graph.initializer)


def split(graph: Graph, x: str) -> str:
    graph.nodes.append(onnx.helper.make_node("Split", [x], ["left", "right"], axis=1))
    return read(graph, graph.add("Conv", graph.add("Add", "left", "right"), weights(graph, 16, 8, 1, 1, dead=0)))


def counted_by_a_part_of_the_shape(graph: Graph, x: str) -> str:
    return by_the_count(graph, x, graph.add("Gather", graph.add("Shape", x, start=1, end=3), numbers(graph, 0)))


def counted_from_the_end(graph: Graph, x: str) -> str:
    return by_the_count(graph, x, graph.add("Gather", graph.add("Shape", x), numbers(graph, -3)))


def by_the_count(graph: Graph, x: str, count: str) -> str:
    return graph.add("Div", read(graph, x), graph.add("Cast", count, to=onnx.TensorProto.FLOAT))


def bias_that_is_computed(graph: Graph, x: str) -> str:
    """Of a layer that reads what a cut changes, and cannot be refitted."""
    inner = graph.add("Conv", x, weights(graph, 16, 16, 3, 3, dead=0))
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", inner))
    bias = graph.add("Gemm", flat, weights(graph, 16, 5))
    return graph.add("Gemm", flat, weights(graph, 16, 5), bias)


def sum_of_all(graph: Graph, x: str) -> str:
    """No axes are all axes."""
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    total = graph.add("ReduceSum", flat, numbers(graph))
    return graph.add(
        "Add", graph.add("Gemm", flat, weights(graph, 16, 5)), graph.add("Gemm", total, weights(graph, 1, 5))
    )


@pytest.mark.parametrize(
    "build", [split, counted_by_a_part_of_the_shape, counted_from_the_end, bias_that_is_computed, sum_of_all]
)
def test_answers_stay_where_channels_cannot_be_followed(build: Callable[[Graph, str], str]) -> None:
    graph = Graph()
    wide = graph.add("Conv", "x", weights(graph, 16, 3, 3, 3, dead=0))
    first = graph.add("Conv", graph.add("Relu", wide), weights(graph, 16, 16, 1, 1, dead=0))
    model = graph.model((3, 6, 6), build(graph, graph.add("Relu", first)), 5)
    np.testing.assert_allclose(answers(halved(model)), answers(model), rtol=0, atol=1e-4 * np.abs(answers(model)).max())


def test_shape_that_is_an_output_keeps_its_channels() -> None:
    graph = Graph()
    x = graph.add("Relu", graph.add("Conv", "x", weights(graph, 16, 3, 3, 3, dead=0)))
    shape = graph.add("Shape", x)
    hidden = graph.add("Relu", graph.add("Conv", x, weights(graph, 16, 16, 1, 1, dead=0)))
    model = graph.model((3, 6, 6), read(graph, hidden), 5)
    model.graph.output.append(onnx.helper.make_tensor_value_info(shape, onnx.TensorProto.INT64, [4]))
    session = onnxruntime.InferenceSession(halved(model).SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run([shape], {"x": ROWS})[0].tolist() == [96, 16, 4, 4]


def test_product_without_a_place_for_a_bias_is_refitted_without_one() -> None:
    graph = Graph()
    hidden = graph.add("Relu", graph.add("MatMul", "x", weights(graph, 6, 64)))
    made = graph.add("MatMul", hidden, weights(graph, 64, 5))
    model = graph.model((3, 6, 6), graph.add("ReduceMean", made, axes=[1, 2], keepdims=0), 5)
    lost = np.abs((answers(halved(model)) - answers(model)).mean(axis=0))
    assert lost.max() < 0.02 * answers(model).std()


@pytest.mark.parametrize(
    "places",
    [
        {"strides": [2, 2], "pads": [1, 0, 0, 1], "output_padding": [1, 0]},
        {"dilations": [2, 1], "pads": [0, 1, 3, 0], "strides": [1, 3]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 1]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
        {"auto_pad": "VALID", "strides": [2, 3]},
        {"output_shape": [8, 7], "strides": [2, 2]},
        {"output_shape": [8, 12], "strides": [2, 3]},
        {"output_shape": [10, 8], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ],
)
def test_transposed_convolution_is_refitted_to_what_is_left(places: dict[str, Any]) -> None:
    """Every channel twice: what reads them answers as before without half of them, once it is refitted."""
    graph = Graph()
    twice = np.tile(np.random.default_rng(0).normal(0, 0.3, (8, 3, 3, 3)), (2, 1, 1, 1)).astype(np.float32)
    hidden = graph.add("Relu", graph.add("Conv", "x", graph.constant(twice)))
    wider = graph.add("ConvTranspose", hidden, weights(graph, 16, 5, 3, 2), weights(graph, 5), **places)
    model = graph.model((3, 6, 6), graph.add("Flatten", graph.add("GlobalMaxPool", wider)), 5)
    expected = answers(model)
    np.testing.assert_allclose(
        answers(halved(model, "redundancy")), expected, rtol=0, atol=0.01 * np.abs(expected).max()
    )


def halved(model: onnx.ModelProto, importance: Importance = "activation") -> onnx.ModelProto:
    material: Any = Material(lambda: iter([{"x": ROWS}]), len(ROWS), batched=True)
    return apply([prune(0.5, importance)], model, material)
