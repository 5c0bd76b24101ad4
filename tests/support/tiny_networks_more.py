"""More small networks: the operators and shapes that those of the bars do not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import onnx

from support.tiny_networks import Writer, recurrent, unet


def signal_cnn(seed: int) -> onnx.ModelProto:
    """1-D convolutions over sensors: "x" (N, 6, 128) to "scores" (N, 5)."""
    to = Writer(seed)
    x = to.conv_norm_relu("x", 6, 16, (5,), 2)
    x = to.add("MaxPool", x, kernel_shape=[2], strides=[2])
    x = to.conv_norm_relu(x, 16, 16, (3,), group=16)
    weights = to.drawn(32, 16, 3, scale=0.2), to.drawn(32, scale=0.1)
    x = to.add("Relu", to.add("Conv", x, *weights, kernel_shape=[3], dilations=[2], pads=[2, 2]))
    pooled = to.add("GlobalAveragePool", x)
    return to.classifier(to.linear(to.add("Flatten", pooled), 32, 5), (6, 128), 5)


def squeeze_excite(seed: int) -> onnx.ModelProto:
    """MobileNetV3's blocks, with HardSwish and a gate a channel: "x" (N, 3, 32, 32) to "scores" (N, 10)."""
    to = Writer(seed)
    x = to.add("HardSwish", to.norm(to.conv("x", 3, 16, (3, 3), 2, bias=False), 16))
    for _ in range(2):
        wide = to.add("HardSwish", to.norm(to.conv(x, 16, 48, (1, 1), bias=False), 48))
        wide = to.norm(to.conv(wide, 48, 48, (5, 5), group=48, bias=False), 48)
        gate = to.add("Relu", to.conv(to.add("GlobalAveragePool", wide), 48, 12, (1, 1)))
        gate = to.add("HardSigmoid", to.conv(gate, 12, 48, (1, 1)), alpha=1 / 6, beta=0.5)
        narrow = to.norm(to.conv(to.add("Mul", wide, gate), 48, 16, (1, 1), bias=False), 16)
        x = to.add("Add", x, narrow)
    pooled = to.add("ReduceMean", x, axes=[2, 3], keepdims=0)
    return to.classifier(to.linear(pooled, 16, 10), (3, 32, 32), 10)


def shuffled(seed: int) -> onnx.ModelProto:
    """ShuffleNet's blocks, which split, join and shuffle channels: "x" (N, 3, 32, 32) to "scores" (N, 10)."""
    to = Writer(seed)
    x = to.conv_norm_relu("x", 3, 24, (3, 3), 2)
    for _ in range(2):
        left, right = f"left{len(to.nodes)}", f"right{len(to.nodes)}"
        halves = onnx.helper.make_node("Split", [x, to.integers(12, 12)], [left, right], f"Split_{left}", axis=1)
        to.nodes.append(halves)
        right = to.conv_norm_relu(right, 12, 12, (1, 1))
        right = to.norm(to.conv(right, 12, 12, (3, 3), group=12, bias=False), 12)
        joined = to.add("Concat", left, to.conv_norm_relu(right, 12, 12, (1, 1)), axis=1)
        grouped = to.add("Reshape", joined, to.integers(-1, 2, 12, 16, 16))
        x = to.add("Reshape", to.add("Transpose", grouped, perm=[0, 2, 1, 3, 4]), to.integers(-1, 24, 16, 16))
    pooled = to.add("GlobalMaxPool", x)
    return to.classifier(to.linear(to.add("Flatten", pooled), 24, 10), (3, 32, 32), 10)


def grouped(seed: int) -> onnx.ModelProto:
    """Groups, dilation, PRelu, Clip to six, and a flattened image: "x" (N, 2, 12, 12) to "scores" (N, 3)."""
    to = Writer(seed)
    x = to.conv("x", 2, 8, (3, 3), group=2)
    x = to.add("PRelu", x, to.constant(to.rng.uniform(0, 0.5, (8, 1, 1)).astype(np.float32)))
    weights = to.drawn(8, 8, 3, 3, scale=0.15), to.drawn(8, scale=0.1)
    x = to.add("Conv", x, *weights, kernel_shape=[3, 3], dilations=[2, 2], pads=[2] * 4)
    x = to.add("Clip", x, to.constant(np.float32(0)), to.constant(np.float32(6)))
    padded = to.add("Pad", x, to.integers(0, 0, 1, 0, 0, 0, 0, 1), to.constant(np.float32(0)))
    x = to.add("AveragePool", padded, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1])
    return to.classifier(to.linear(to.add("Flatten", x), 8 * 7 * 7, 3), (2, 12, 12), 3)


def super_resolution(seed: int) -> onnx.ModelProto:
    """Pixels out of channels, added to the image made larger: "x" (N, 1, 16, 16) to "y" (N, 1, 32, 32)."""
    to = Writer(seed)
    hidden = to.add("LeakyRelu", to.conv("x", 1, 8, (3, 3)), alpha=0.1)
    detail = to.add("DepthToSpace", to.conv(hidden, 8, 4, (3, 3)), blocksize=2, mode="CRD")
    scales = to.constant(np.array([1, 1, 2, 2], np.float32))
    modes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    to.named(to.add("Add", to.add("Resize", "x", "", scales, **modes), detail), "y")
    return to.finished({"x": ["N", 1, 16, 16]}, {"y": ["N", 1, 32, 32]})


def two_headed(seed: int) -> onnx.ModelProto:
    """Takes "image" (N, 1, 8, 8) and "row" (N, 5) to "scores" (N, 3) and "heat" (N, 4, 8, 8)."""
    to = Writer(seed)
    heat = to.conv_norm_relu("image", 1, 4, (3, 3))
    pooled = to.add("Flatten", to.add("MaxPool", heat, kernel_shape=[2, 2], strides=[2, 2]))
    joined = to.add("Concat", pooled, to.add("Tanh", to.linear("row", 5, 8)), axis=1)
    to.named(to.linear(joined, 72, 3), "scores")
    to.named(heat, "heat")
    return to.finished({"image": ["N", 1, 8, 8], "row": ["N", 5]}, {"scores": ["N", 3], "heat": ["N", 4, 8, 8]})


MORE: Mapping[str, Callable[[int], onnx.ModelProto]] = {
    "1-D CNN": signal_cnn,
    "squeeze-excite": squeeze_excite,
    "split and shuffle": shuffled,
    "groups and dilation": grouped,
    "super-resolution": super_resolution,
    "two inputs, two outputs": two_headed,
    "U-Net by Resize": partial(unet, resized=True),
    "GRU classifier": partial(recurrent, operator="GRU"),
    "bidirectional LSTM": partial(recurrent, operator="LSTM", directions=2),
}
