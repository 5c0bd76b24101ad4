"""Small networks of the kinds that edge devices run, as PyTorch writes them in ONNX: NCHW, batch norms still apart.

The weights are random, at scales that keep activations near 1, and the same for a seed. Every network takes float32
"x" with a free number of rows, unless its docstring says otherwise. The first four are those of MLPerf Tiny
(https://github.com/mlcommons/tiny), in its sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.networks import Graph

Array = np.ndarray[Any, Any]
Signature = Mapping[str, Sequence[int | str]]


class Writer(Graph):
    """A graph under construction, with the random weights that its layers take."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def drawn(self, *shape: int, scale: float) -> str:
        return self.constant(self.rng.normal(0, scale, shape).astype(np.float32))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def conv(
        self, x: str, width: int, wider: int, size: Sequence[int], stride: int = 1, *, group: int = 1, bias: bool = True
    ) -> str:
        """Padded by its half; without a bias it is one that a batch norm follows."""
        each = width // group
        inputs = [x, self.drawn(wider, each, *size, scale=np.sqrt(2 / (each * np.prod(size))))]
        if bias:
            inputs.append(self.drawn(wider, scale=0.1))
        pads = [extent // 2 for extent in size] * 2
        return self.add("Conv", *inputs, kernel_shape=size, strides=[stride] * len(size), pads=pads, group=group)

    def norm(self, x: str, width: int) -> str:
        scale, variance = self.rng.uniform(0.5, 1.5, (2, width)).astype(np.float32)
        shift, mean = self.rng.normal(0, 0.2, (2, width)).astype(np.float32)
        return self.add("BatchNormalization", x, *map(self.constant, (scale, shift, mean, variance)), epsilon=1e-5)

    def conv_norm_relu(
        self, x: str, width: int, wider: int, size: Sequence[int], stride: int = 1, *, group: int = 1
    ) -> str:
        convolved = self.conv(x, width, wider, size, stride, group=group, bias=False)
        return self.add("Relu", self.norm(convolved, wider))

    def linear(self, x: str, width: int, wider: int) -> str:
        weight = self.drawn(wider, width, scale=np.sqrt(1 / width))
        return self.add("Gemm", x, weight, self.drawn(wider, scale=0.1), transB=1)

    def named(self, value: str, name: str) -> None:
        """Makes a value an output of the network."""
        for node in self.nodes:
            node.output[:] = [name if output == value else output for output in node.output]
            node.input[:] = [name if given == value else given for given in node.input]

    def finished(
        self, inputs: Signature, outputs: Signature, *, element: int = TensorProto.FLOAT, opset: int = 17
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(name, element, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    def classifier(self, scores: str, shape: Sequence[int], classes: int) -> onnx.ModelProto:
        self.named(self.add("Softmax", scores, axis=-1), "scores")
        return self.finished({"x": ["N", *shape]}, {"scores": ["N", classes]})


# ---- MLPerf Tiny ----


def resnet8(seed: int) -> onnx.ModelProto:
    """CIFAR-10: "x" (N, 3, 32, 32) to "scores" (N, 10), 78,000 parameters."""
    to = Writer(seed)
    x = to.conv_norm_relu("x", 3, 16, (3, 3))
    for width, wider, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        inner = to.conv_norm_relu(x, width, wider, (3, 3), stride)
        inner = to.norm(to.conv(inner, wider, wider, (3, 3), bias=False), wider)
        x = x if stride == 1 else to.conv(x, width, wider, (1, 1), stride)
        x = to.add("Relu", to.add("Add", x, inner))
    pooled = to.add("AveragePool", x, kernel_shape=[8, 8], strides=[8, 8])
    return to.classifier(to.linear(to.add("Flatten", pooled), 64, 10), (3, 32, 32), 10)


def mobilenet_v1(seed: int) -> onnx.ModelProto:
    """Person detection at width 0.25: "x" (N, 3, 96, 96) to "scores" (N, 2), 219,000 parameters."""
    to = Writer(seed)
    x, width = to.conv_norm_relu("x", 3, 8, (3, 3), 2), 8
    steps = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1))
    for wider, stride in steps:
        x = to.conv_norm_relu(x, width, width, (3, 3), stride, group=width)
        x, width = to.conv_norm_relu(x, width, wider, (1, 1)), wider
    pooled = to.add("GlobalAveragePool", x)
    return to.classifier(to.linear(to.add("Flatten", pooled), 256, 2), (3, 96, 96), 2)


def ds_cnn(seed: int) -> onnx.ModelProto:
    """Keyword spotting: "x" (N, 1, 49, 10), 49 frames of 10 coefficients, to "scores" (N, 12), 24,000 parameters."""
    to = Writer(seed)
    # TensorFlow's "same" of a (10, 4) kernel with stride 2 pads an edge more than the other.
    weight = to.drawn(64, 1, 10, 4, scale=np.sqrt(2 / 40))
    convolved = to.add("Conv", "x", weight, kernel_shape=[10, 4], strides=[2, 2], auto_pad="SAME_UPPER")
    x = to.add("Relu", to.norm(convolved, 64))
    for _ in range(4):
        x = to.conv_norm_relu(x, 64, 64, (3, 3), group=64)
        x = to.conv_norm_relu(x, 64, 64, (1, 1))
    pooled = to.add("AveragePool", x, kernel_shape=[25, 5])
    return to.classifier(to.linear(to.add("Flatten", pooled), 64, 12), (1, 49, 10), 12)


def auto_encoder(seed: int) -> onnx.ModelProto:
    """Anomalies of machines' sounds: "x" (N, 640), 5 frames of 128 bands, to "y" (N, 640), 270,000 parameters."""
    to = Writer(seed)
    x, widths = "x", (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
    for width, wider in pairwise(widths):
        x = to.add("Relu", to.norm(to.linear(x, width, wider), wider))
    to.named(to.linear(x, 128, 640), "y")
    return to.finished({"x": ["N", 640]}, {"y": ["N", 640]})


# ---- Other kinds that the bars name ----


def unet(seed: int, *, resized: bool = False) -> onnx.ModelProto:
    """Segmentation: "x" (N, 3, 32, 32) to "mask" (N, 1, 32, 32), three levels.

    Args:
        seed: Of its weights.
        resized: It widens images by Resize and a convolution; else by a transposed convolution.
    """
    to = Writer(seed)
    x, width, skips = "x", 3, []
    for wider in (8, 16, 32):
        x = to.conv_norm_relu(to.conv_norm_relu(x, width, wider, (3, 3)), wider, wider, (3, 3))
        width = wider
        if wider < 32:
            skips.append((x, wider))
            x = to.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    for skip, narrower in reversed(skips):
        if resized:
            scales = to.constant(np.array([1, 1, 2, 2], np.float32))
            modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            x = to.conv(to.add("Resize", x, "", scales, **modes), width, narrower, (3, 3))
        else:
            weights = to.drawn(width, narrower, 2, 2, scale=np.sqrt(1 / width)), to.drawn(narrower, scale=0.1)
            x = to.add("ConvTranspose", x, *weights, kernel_shape=[2, 2], strides=[2, 2])
        x = to.conv_norm_relu(to.add("Concat", skip, x, axis=1), 2 * narrower, narrower, (3, 3))
        width = narrower
    to.named(to.add("Sigmoid", to.conv(x, 8, 1, (1, 1))), "mask")
    return to.finished({"x": ["N", 3, 32, 32]}, {"mask": ["N", 1, 32, 32]})


def transformer_encoder(seed: int) -> onnx.ModelProto:
    """int64 "tokens" (N, 16), ids below 100, to "scores" (N, 4): two layers of width 32 with four heads."""
    to = Writer(seed)
    x = to.add("Gather", to.drawn(100, 32, scale=1), "tokens")
    x = to.add("Add", x, to.drawn(1, 16, 32, scale=0.5))
    for _ in range(2):
        x = _normalized(to, to.add("Add", x, _attention(to, x, 32, 4)), 32)
        x = _normalized(to, to.add("Add", x, _feed_forward(to, x, 32)), 32)
    pooled = to.add("ReduceMean", x, axes=[1], keepdims=0)
    to.named(to.linear(pooled, 32, 4), "scores")
    return to.finished({"tokens": ["N", 16]}, {"scores": ["N", 4]}, element=TensorProto.INT64)


def _projected(to: Writer, x: str, width: int, wider: int) -> str:
    """A linear layer over the last of three axes, as PyTorch writes it."""
    product = to.add("MatMul", x, to.drawn(width, wider, scale=np.sqrt(1 / width)))
    return to.add("Add", to.drawn(wider, scale=0.1), product)


def _normalized(to: Writer, x: str, width: int) -> str:
    scale = to.constant(to.rng.uniform(0.5, 1.5, width).astype(np.float32))
    return to.add("LayerNormalization", x, scale, to.drawn(width, scale=0.1), axis=-1, epsilon=1e-5)


def _attention(to: Writer, x: str, width: int, heads: int) -> str:
    split = to.integers(0, -1, heads, width // heads)
    query, key, value = (to.add("Reshape", _projected(to, x, width, width), split) for _ in range(3))
    query = to.add("Transpose", query, perm=[0, 2, 1, 3])
    key = to.add("Transpose", key, perm=[0, 2, 3, 1])
    value = to.add("Transpose", value, perm=[0, 2, 1, 3])
    alike = to.add("Div", to.add("MatMul", query, key), to.constant(np.float32(np.sqrt(width // heads))))
    mixed = to.add("MatMul", to.add("Softmax", alike, axis=-1), value)
    joined = to.add("Reshape", to.add("Transpose", mixed, perm=[0, 2, 1, 3]), to.integers(0, -1, width))
    return _projected(to, joined, width, width)


def _feed_forward(to: Writer, x: str, width: int) -> str:
    """With GELU by the error function, in PyTorch's five nodes."""
    x = _projected(to, x, width, 4 * width)
    risen = to.add("Erf", to.add("Div", x, to.constant(np.float32(np.sqrt(2)))))
    gated = to.add("Mul", x, to.add("Add", risen, to.constant(np.float32(1))))
    return _projected(to, to.add("Mul", gated, to.constant(np.float32(0.5))), 4 * width, width)


def lstm_classifier(seed: int) -> onnx.ModelProto:
    """Gestures: "x" (N, 28, 6), 28 samples of 6 sensors, to "scores" (N, 5): an LSTM of width 32, its last output."""
    return recurrent(seed, "LSTM")


def recurrent(seed: int, operator: str, *, directions: int = 1) -> onnx.ModelProto:
    """As lstm_classifier, of an LSTM, a GRU or an RNN; the first states come of the number of rows, as in PyTorch."""
    to = Writer(seed)
    hidden, gates = 32, {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    scale = np.sqrt(1 / hidden)
    weights = [to.drawn(directions, gates * hidden, width, scale=scale) for width in (6, hidden)]
    rows = to.add("Gather", to.add("Shape", "x"), to.constant(np.int64(0)), axis=0)
    rows = to.add("Unsqueeze", rows, to.integers(0))
    zeros = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    first = to.add("Concat", to.integers(directions), rows, to.integers(hidden), axis=0)
    first = to.add("ConstantOfShape", first, value=zeros)
    frames = to.add("Transpose", "x", perm=[1, 0, 2])
    bias = to.drawn(directions, 2 * gates * hidden, scale=0.1)
    states = [first, first] if operator == "LSTM" else [first]
    more: dict[str, Any] = {"direction": "bidirectional"} if directions == 2 else {}
    if operator == "GRU":
        more["linear_before_reset"] = 1
    y = to.add(operator, frames, *weights, bias, "", *states, hidden_size=hidden, **more)
    joined = to.add("Reshape", to.add("Transpose", y, perm=[0, 2, 1, 3]), to.integers(0, 0, -1))
    last = to.add("Gather", joined, to.constant(np.int64(-1)), axis=0)
    return to.classifier(to.linear(last, directions * hidden, 5), (28, 6), 5)


# ---- What the bars ask for, and how a test feeds it ----

BARS: Mapping[str, Callable[[int], onnx.ModelProto]] = {
    "ResNet-8": resnet8,
    "MobileNetV1 0.25": mobilenet_v1,
    "DS-CNN": ds_cnn,
    "auto-encoder": auto_encoder,
    "U-Net": unet,
    "transformer encoder": transformer_encoder,
    "LSTM classifier": lstm_classifier,
}
# Those that a delegate must run in one partition.
CONVOLUTIONAL = ("ResNet-8", "MobileNetV1 0.25", "DS-CNN", "auto-encoder", "U-Net")


def rows_for(model: onnx.ModelProto, rows: int, seed: int = 0) -> dict[str, Array]:
    """Inputs of a network of these files: standard normal values, or ids below 100."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for given in model.graph.input:
        shape = [rows, *(axis.dim_value for axis in given.type.tensor_type.shape.dim[1:])]
        if given.type.tensor_type.elem_type == TensorProto.INT64:
            feeds[given.name] = rng.integers(0, 100, shape)
        else:
            feeds[given.name] = rng.normal(size=shape).astype(np.float32)
    return feeds
