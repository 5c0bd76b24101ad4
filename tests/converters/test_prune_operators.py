"""What channels are followed through: each operator between two layers, half of whose channels are dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_rai_converters.passes.contract import Material, apply
from edge_rai_converters.passes.prune import prune
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


def test_channels_that_are_split_stay() -> None:
    graph = Graph()
    first = graph.add("Conv", "x", weights(graph, 16, 3, 3, 3, dead=0))
    graph.nodes.append(onnx.helper.make_node("Split", [first], ["left", "right"], axis=1))
    hidden = graph.add("Conv", graph.add("Add", "left", "right"), weights(graph, 16, 8, 1, 1, dead=0))
    model = graph.model((3, 6, 6), read(graph, hidden), 5)
    material: Any = Material(lambda: iter([{"x": ROWS}]), len(ROWS), batched=True)
    pruned = apply([prune(0.5, "activation")], model, material)
    np.testing.assert_allclose(answers(pruned), answers(model), rtol=0, atol=1e-4 * np.abs(answers(model)).max())
    assert (16, 3, 3, 3) in {tuple(tensor.dims) for tensor in pruned.graph.initializer}
