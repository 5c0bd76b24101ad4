"""Networks that converters seldom meet in tests: several inputs, several heads, tied weights, other types and opsets.

Weights are drawn, not trained: whether a form of a network answers as the network does needs no sense in the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
Tensor = tuple[str, int, Sequence[int | str]]
FLOAT, DOUBLE, HALF = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16
INT32, INT64 = TensorProto.INT32, TensorProto.INT64
ROWS = 200

node = helper.make_node


class Unusual(NamedTuple):
    """A model and rows for it.

    Attributes:
        model: Of random weights.
        data: By input.
        classes: The output whose greatest value is the class, where the network says one.
        quantities: Its other outputs of floats.
    """

    model: onnx.ModelProto
    data: Mapping[str, Array]
    classes: str | None
    quantities: tuple[str, ...] = ()


def assembled(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    constants: Mapping[str, Array],
    opset: int,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "unusual",
        [helper.make_tensor_value_info(*given) for given in inputs],
        [helper.make_tensor_value_info(*given) for given in outputs],
        [numpy_helper.from_array(np.asarray(values, order="C"), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


class Draw:
    """Weights and rows of one seed."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def weights(self, *shape: int) -> Array:
        """Of such a size that activations keep theirs."""
        read = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        return self.rows(*shape) * np.float32(np.sqrt(2 / read))

    def rows(self, *shape: int) -> Array:
        return self._generator.normal(size=shape).astype(np.float32)

    def numbers(self, low: int, high: int, *shape: int) -> Array:
        return self._generator.integers(low, high, shape)

    def normalization(self, name: str, width: int) -> dict[str, Array]:
        """Of a BatchNormalization: scale, shift, mean and variance."""
        scale, variance = self._generator.uniform(0.5, 1.5, (2, width)).astype(np.float32)
        return {
            f"{name}_scale": scale,
            f"{name}_shift": self.weights(width),
            f"{name}_mean": self.weights(width),
            f"{name}_variance": variance,
        }


def normalize(name: str, given: str, made: str) -> onnx.NodeProto:
    parts = [f"{name}_{part}" for part in ("scale", "shift", "mean", "variance")]
    return node("BatchNormalization", [given, *parts], [made])


def image_and_table() -> Unusual:
    draw = Draw(0)
    nodes = [
        node("Conv", ["image", "k"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["b"]),
        node("GlobalAveragePool", ["b"], ["c"]),
        node("Flatten", ["c"], ["seen"]),
        node("Gemm", ["table", "w1", "b1"], ["d"]),
        node("Relu", ["d"], ["read"]),
        node("Concat", ["seen", "read"], ["both"], axis=1),
        node("Gemm", ["both", "w2", "b2"], ["e"]),
        node("Relu", ["e"], ["f"]),
        node("Gemm", ["f", "w3"], ["y"]),
    ]
    constants = {"k": draw.weights(32, 3, 3, 3), "w1": draw.weights(5, 24), "b1": draw.weights(24)}
    constants |= {"w2": draw.weights(56, 64), "b2": draw.weights(64), "w3": draw.weights(64, 4)}
    inputs = [("image", FLOAT, ["N", 3, 8, 8]), ("table", FLOAT, ["N", 5])]
    model = assembled(nodes, inputs, [("y", FLOAT, ["N", 4])], constants, 13)
    return Unusual(model, {"image": draw.rows(ROWS, 3, 8, 8), "table": draw.rows(ROWS, 5)}, "y")


def classes_and_boxes() -> Unusual:
    """Three heads: a class, its shares, and four quantities of which the first is far from the others."""
    draw = Draw(1)
    nodes = [
        node("Gemm", ["x", "w1", "b1"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("Gemm", ["b", "w2"], ["c"]),
        node("Softmax", ["c"], ["shares"], axis=1),
        node("ArgMax", ["shares"], ["label"], axis=1, keepdims=0),
        node("Gemm", ["b", "w3", "b3"], ["box"]),
    ]
    constants = {"w1": draw.weights(16, 96), "b1": draw.weights(96), "w2": draw.weights(96, 3)}
    constants |= {"w3": draw.weights(96, 4), "b3": np.array([500, -2, 3, 0.01], np.float32)}
    outputs = [("label", INT64, ["N"]), ("shares", FLOAT, ["N", 3]), ("box", FLOAT, ["N", 4])]
    model = assembled(nodes, [("x", FLOAT, ["N", 16])], outputs, constants, 13)
    return Unusual(model, {"x": draw.rows(ROWS, 16)}, "shares", ("box",))


def quantities_of_three_scales() -> Unusual:
    """The first is the greatest in every row, so that the greatest says nothing."""
    draw = Draw(10)
    layers = [("x", "w1", "b1", "a"), ("ra", "w2", "b2", "b"), ("rb", "w3", "b3", "y")]
    nodes = [node("Gemm", list(names[:3]), [names[3]]) for names in layers]
    nodes[1:1], nodes[3:3] = [node("Relu", ["a"], ["ra"])], [node("Relu", ["b"], ["rb"])]
    constants = {"w1": draw.weights(8, 64), "b1": draw.weights(64), "w2": draw.weights(64, 64), "b2": draw.weights(64)}
    constants |= {"w3": draw.weights(64, 3) * np.float32([1, 1, 0.01]), "b3": np.float32([1000, 0, -5])}
    model = assembled(nodes, [("x", FLOAT, ["N", 8])], [("y", FLOAT, ["N", 3])], constants, 21)
    return Unusual(model, {"x": draw.rows(ROWS, 8)}, None, ("y",))


def one_row_a_call() -> Unusual:
    draw = Draw(2)
    nodes = [
        node("Conv", ["x", "k1", "b1"], ["a"], strides=[2, 2], auto_pad="SAME_UPPER"),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "k2"], ["c"], pads=[1] * 4),
        node("Relu", ["c"], ["d"]),
        node("Reshape", ["d", "shape"], ["e"]),
        node("Gemm", ["e", "w"], ["y"], transB=1),
    ]
    constants = {"k1": draw.weights(16, 1, 5, 5), "b1": draw.weights(16), "k2": draw.weights(24, 16, 3, 3)}
    constants |= {"shape": np.array([1, -1]), "w": draw.weights(24 * 36, 5).T}
    model = assembled(nodes, [("x", FLOAT, [1, 1, 12, 12])], [("y", FLOAT, [1, 5])], constants, 11)
    return Unusual(model, {"x": draw.rows(ROWS, 1, 1, 12, 12)}, "y")


def double_precision() -> Unusual:
    draw = Draw(3)
    nodes = [
        node("MatMul", ["x", "w1"], ["a"]),
        node("Tanh", ["a"], ["b"]),
        node("MatMul", ["b", "w2"], ["y"]),
    ]
    constants = {"w1": draw.weights(6, 32).astype(np.float64), "w2": draw.weights(32, 2).astype(np.float64)}
    model = assembled(nodes, [("x", DOUBLE, ["N", 6])], [("y", DOUBLE, ["N", 2])], constants, 15)
    return Unusual(model, {"x": draw.rows(ROWS, 6).astype(np.float64)}, "y")


def half_precision() -> Unusual:
    draw = Draw(4)
    nodes = [
        node("MatMul", ["x", "w1"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("MatMul", ["b", "w2"], ["y"]),
    ]
    constants = {"w1": draw.weights(6, 32).astype(np.float16), "w2": draw.weights(32, 3).astype(np.float16)}
    model = assembled(nodes, [("x", HALF, ["N", 6])], [("y", HALF, ["N", 3])], constants, 14)
    return Unusual(model, {"x": draw.rows(ROWS, 6).astype(np.float16)}, "y")


def tied_weights() -> Unusual:
    """The last layer's weights are the first's, transposed, and the two between share weights and biases."""
    draw = Draw(5)
    nodes = [
        node("Gemm", ["x", "w", "b"], ["a"]),
        node("Relu", ["a"], ["ra"]),
        node("Gemm", ["ra", "v", "b"], ["c"]),
        node("Relu", ["c"], ["rc"]),
        node("Gemm", ["rc", "v", "b"], ["d"]),
        node("Relu", ["d"], ["rd"]),
        node("Gemm", ["rd", "w"], ["y"], transB=1),
    ]
    constants = {"w": draw.weights(10, 64), "v": draw.weights(64, 64), "b": draw.weights(64)}
    model = assembled(nodes, [("x", FLOAT, ["N", 10])], [("y", FLOAT, ["N", 10])], constants, 16)
    return Unusual(model, {"x": draw.rows(ROWS, 10)}, "y")


def groups_and_a_sum() -> Unusual:
    """Grouped and depthwise convolutions beside a residual; one class in every row."""
    draw = Draw(6)
    nodes = [
        node("Conv", ["x", "k0"], ["a"], pads=[1] * 4),
        normalize("n", "a", "b"),
        node("Relu", ["b"], ["c"]),
        node("Conv", ["c", "k1"], ["d"], pads=[1] * 4, group=4),
        node("Relu", ["d"], ["e"]),
        node("Conv", ["e", "k2"], ["f"], pads=[1] * 4, group=32),
        node("Conv", ["f", "k3"], ["g"]),
        node("Add", ["g", "c"], ["h"]),
        node("GlobalAveragePool", ["h"], ["p"]),
        node("Flatten", ["p"], ["q"]),
        node("Gemm", ["q", "w", "b0"], ["y"]),
    ]
    constants = {"k0": draw.weights(32, 3, 3, 3), "k1": draw.weights(32, 8, 3, 3), "k2": draw.weights(32, 1, 3, 3)}
    constants |= {"k3": draw.weights(32, 32, 1, 1), "w": draw.weights(32, 3), "b0": np.float32([9, 0, 0])}
    constants |= draw.normalization("n", 32)
    model = assembled(nodes, [("x", FLOAT, ["N", 3, 8, 8])], [("y", FLOAT, ["N", 3])], constants, 18)
    return Unusual(model, {"x": draw.rows(ROWS, 3, 8, 8)}, None, ("y",))


def normalized_behind_activations() -> Unusual:
    """No normalisation has a layer right before it."""
    draw = Draw(7)
    nodes = [
        normalize("first", "x", "a"),
        node("Conv", ["a", "k1"], ["b"]),
        node("Relu", ["b"], ["c"]),
        normalize("second", "c", "d"),
        node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["e", "k2"], ["f"]),
        node("LeakyRelu", ["f"], ["g"], alpha=0.2),
        normalize("third", "g", "h"),
        node("ReduceMean", ["h"], ["i"], axes=[2, 3], keepdims=0),
        node("MatMul", ["i", "w"], ["y"]),
    ]
    constants = {"k1": draw.weights(24, 2, 3, 3), "k2": draw.weights(32, 24, 3, 3), "w": draw.weights(32, 1)}
    for name, width in (("first", 2), ("second", 24), ("third", 32)):
        constants |= draw.normalization(name, width)
    model = assembled(nodes, [("x", FLOAT, ["N", 2, 12, 12])], [("y", FLOAT, ["N", 1])], constants, 12)
    return Unusual(model, {"x": draw.rows(ROWS, 2, 12, 12)}, None, ("y",))


def words_and_attention() -> Unusual:
    draw = Draw(8)
    nodes = [node("Gather", ["words", "x"], ["e"])]
    nodes += [node("MatMul", ["e", f"w{part}"], [part]) for part in "qkv"]
    nodes += [
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["s"]),
        node("Softmax", ["s"], ["shares"], axis=-1),
        node("MatMul", ["shares", "v"], ["o"]),
        node("MatMul", ["o", "w1"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "w2"], ["g"]),
        node("Add", ["g", "e"], ["z"]),
        node("ReduceMean", ["z"], ["p"], axes=[1], keepdims=0),
        node("MatMul", ["p", "w3"], ["y"]),
    ]
    constants = {"words": draw.rows(50, 16), "w1": draw.weights(16, 48), "w2": draw.weights(48, 16)}
    constants |= {f"w{part}": draw.weights(16, 16) for part in "qkv"} | {"w3": draw.weights(16, 4)}
    model = assembled(nodes, [("x", INT64, ["N", 7])], [("y", FLOAT, ["N", 4])], constants, 17)
    return Unusual(model, {"x": draw.numbers(0, 50, ROWS, 7)}, "y")


def integers_multiplied() -> Unusual:
    draw = Draw(17)
    nodes = [
        node("MatMul", ["x", "w0"], ["a"]),
        node("Cast", ["a"], ["b"], to=FLOAT),
        node("Gemm", ["b", "w1", "b1"], ["c"]),
        node("Relu", ["c"], ["d"]),
        node("Gemm", ["d", "w2"], ["y"]),
    ]
    constants = {"w0": draw.numbers(-2, 3, 4, 6).astype(np.int32), "w1": draw.weights(6, 32), "b1": draw.weights(32)}
    constants |= {"w2": draw.weights(32, 3)}
    model = assembled(nodes, [("x", INT32, ["N", 4])], [("y", FLOAT, ["N", 3])], constants, 13)
    return Unusual(model, {"x": draw.numbers(0, 5, ROWS, 4).astype(np.int32)}, "y")


def residuals_with_limits() -> Unusual:
    """The limits of each Clip have one axis, which ONNX forbids and ONNX Runtime takes."""
    draw = Draw(11)
    constants = {"k": draw.weights(16, 3, 3, 3), "low": np.zeros(1, np.float32), "high": np.full(1, 6, np.float32)}
    nodes = [node("Conv", ["x", "k"], ["h0"], pads=[1] * 4)]
    for block in range(2):
        nodes += [
            node("InstanceNormalization", [f"h{block}", f"s{block}", f"t{block}"], [f"n{block}"]),
            node("Relu", [f"n{block}"], [f"a{block}"]),
            node("Conv", [f"a{block}", f"p{block}", f"b{block}"], [f"c{block}"], pads=[1] * 4),
            node("Clip", [f"c{block}", "low", "high"], [f"d{block}"]),
            node("Conv", [f"d{block}", f"q{block}"], [f"e{block}"], pads=[1] * 4),
            node("Add", [f"h{block}", f"e{block}"], [f"h{block + 1}"]),
        ]
        constants |= {f"s{block}": draw.weights(16) + 1, f"t{block}": draw.weights(16), f"b{block}": draw.weights(40)}
        constants |= {f"p{block}": draw.weights(40, 16, 3, 3), f"q{block}": draw.weights(16, 40, 3, 3)}
    nodes += [
        node("GlobalAveragePool", ["h2"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("MatMul", ["f", "w"], ["y"]),
    ]
    constants["w"] = draw.weights(16, 10)
    model = assembled(nodes, [("x", FLOAT, ["N", 3, 8, 8])], [("y", FLOAT, ["N", 10])], constants, 13)
    return Unusual(model, {"x": draw.rows(ROWS, 3, 8, 8)}, "y")


BUILDERS: tuple[Callable[[], Unusual], ...] = (
    image_and_table,
    classes_and_boxes,
    quantities_of_three_scales,
    one_row_a_call,
    double_precision,
    half_precision,
    tied_weights,
    groups_and_a_sum,
    normalized_behind_activations,
    words_and_attention,
    integers_multiplied,
    residuals_with_limits,
)
