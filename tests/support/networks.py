"""Networks trained by numpy alone, in seconds, and written as ONNX: what the tests of passes work on.

Arrays of images are (N, H, W, C) while training, because a convolution is then one matrix product over contiguous
channels; the ONNX models take (N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]


class Digits(NamedTuple):
    """A model of scikit-learn's digits, and the rows it was trained with and those it never saw."""

    model: onnx.ModelProto
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


class Parameter:
    """A trained array and what Adam remembers of it."""

    def __init__(self, value: Array) -> None:
        self.value = value.astype(np.float32)
        self.gradient = np.zeros_like(self.value)
        self._mean, self._square = np.zeros_like(self.value), np.zeros_like(self.value)

    def step(self, rate: float, count: int) -> None:
        self._mean += 0.1 * (self.gradient - self._mean)
        self._square += 0.001 * (self.gradient**2 - self._square)
        mean, square = self._mean / (1 - 0.9**count), self._square / (1 - 0.999**count)
        self.value -= np.float32(rate) * (mean / (np.sqrt(square) + 1e-8)).astype(np.float32)


class Graph:
    """Nodes and constants as they are written."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], f"{operator}_{name}", **attributes))
        return name

    def model(self, shape: Sequence[int], output: str, width: int) -> onnx.ModelProto:
        """float32 "x" (N, *shape) to "scores" (N, width), opset 17."""
        next(node for node in self.nodes if output in node.output).output[0] = "scores"
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", width])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


class Layer:
    """One step of training: ``backward`` is called once after each ``forward``; answers come from what it writes."""

    parameters: tuple[Parameter, ...] = ()

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def backward(self, gradient: Array) -> Array:
        raise NotImplementedError

    def write(self, graph: Graph, x: str) -> str:
        raise NotImplementedError


class Linear(Layer):
    def __init__(self, rng: np.random.Generator, width: int, wider: int) -> None:
        self._weight = Parameter(rng.normal(0, np.sqrt(2 / width), (width, wider)))
        self._bias = Parameter(np.zeros(wider))
        self.parameters = (self._weight, self._bias)

    def forward(self, x: Array) -> Array:
        self._x = x
        return x @ self._weight.value + self._bias.value

    def backward(self, gradient: Array) -> Array:
        self._weight.gradient = self._x.T @ gradient
        self._bias.gradient = gradient.sum(axis=0)
        return gradient @ self._weight.value.T

    def write(self, graph: Graph, x: str) -> str:
        weight, bias = graph.constant(self._weight.value.T), graph.constant(self._bias.value)
        return graph.add("Gemm", x, weight, bias, transB=1)


class Conv(Layer):
    """A square kernel without bias, padded by its half; of one channel each where ``depthwise``."""

    def __init__(
        self, rng: np.random.Generator, width: int, wider: int, size: int, stride: int = 1, *, depthwise: bool = False
    ) -> None:
        each = 1 if depthwise else width
        self._size, self._stride, self._depthwise = size, stride, depthwise
        self._weight = Parameter(rng.normal(0, np.sqrt(2 / (each * size**2)), (size**2, each, wider)))
        self.parameters = (self._weight,)

    def forward(self, x: Array) -> Array:
        self._shape = x.shape
        parts = [padded for padded, _ in self._windows(self._pad(x))]
        if self._depthwise:
            self._parts = parts
            return sum(part * weight[0] for part, weight in zip(parts, self._weight.value, strict=True))
        self._columns = np.stack(parts, axis=3).reshape(-1, self._size**2 * x.shape[3])
        return (self._columns @ self._matrix()).reshape(*parts[0].shape[:3], -1)

    def backward(self, gradient: Array) -> Array:
        padded = np.zeros(self._pad_shape(), np.float32)
        if self._depthwise:
            each = [(part * gradient).sum(axis=(0, 1, 2)) for part in self._parts]
            self._weight.gradient = np.stack(each)[:, np.newaxis]
            for index, (_, place) in enumerate(self._windows(padded)):
                padded[place] += gradient * self._weight.value[index, 0]
        else:
            flat = gradient.reshape(-1, gradient.shape[3])
            self._weight.gradient = (self._columns.T @ flat).reshape(self._weight.value.shape)
            columns = (flat @ self._matrix().T).reshape(*gradient.shape[:3], self._size**2, -1)
            for index, (_, place) in enumerate(self._windows(padded)):
                padded[place] += columns[:, :, :, index]
        edge = self._size // 2
        return padded[:, edge : padded.shape[1] - edge, edge : padded.shape[2] - edge]

    def write(self, graph: Graph, x: str) -> str:
        kernels = self._weight.value.reshape(self._size, self._size, *self._weight.value.shape[1:])
        groups = kernels.shape[3] if self._depthwise else 1
        edge = self._size // 2
        weight = graph.constant(kernels.transpose(3, 2, 0, 1))
        return graph.add("Conv", x, weight, strides=[self._stride] * 2, pads=[edge] * 4, group=groups)

    def _matrix(self) -> Array:
        return self._weight.value.reshape(-1, self._weight.value.shape[2])

    def _pad_shape(self) -> tuple[int, ...]:
        count, height, width, channels = self._shape
        return count, height + self._size // 2 * 2, width + self._size // 2 * 2, channels

    def _pad(self, x: Array) -> Array:
        edge = self._size // 2
        return np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0))) if edge else x

    def _windows(self, padded: Array) -> list[tuple[Array, tuple[slice, ...]]]:
        """What each place of the kernel sees, and where that is."""
        height, width = ((extent - self._size) // self._stride + 1 for extent in padded.shape[1:3])
        places = [
            (
                slice(None),
                slice(row, row + self._stride * (height - 1) + 1, self._stride),
                slice(column, column + self._stride * (width - 1) + 1, self._stride),
            )
            for row in range(self._size)
            for column in range(self._size)
        ]
        return [(padded[place], place) for place in places]


class BatchNorm(Layer):
    def __init__(self, width: int) -> None:
        self._scale, self._shift = Parameter(np.ones(width)), Parameter(np.zeros(width))
        self._mean, self._variance = np.zeros(width, np.float32), np.ones(width, np.float32)
        self.parameters = (self._scale, self._shift)

    def forward(self, x: Array) -> Array:
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        self._mean += 0.1 * (mean - self._mean)
        self._variance += 0.1 * (variance - self._variance)
        self._deviation = np.sqrt(variance + 1e-5)
        self._normal = (x - mean) / self._deviation
        return self._normal * self._scale.value + self._shift.value

    def backward(self, gradient: Array) -> Array:
        self._scale.gradient = (gradient * self._normal).sum(axis=(0, 1, 2))
        self._shift.gradient = gradient.sum(axis=(0, 1, 2))
        count = gradient[..., 0].size
        centred = gradient - (self._shift.gradient + self._normal * self._scale.gradient) / count
        return centred * (self._scale.value / self._deviation)

    def write(self, graph: Graph, x: str) -> str:
        constants = (self._scale.value, self._shift.value, self._mean, self._variance)
        return graph.add("BatchNormalization", x, *map(graph.constant, constants))


class Relu(Layer):
    def forward(self, x: Array) -> Array:
        self._on = x > 0
        return x * self._on

    def backward(self, gradient: Array) -> Array:
        return gradient * self._on

    def write(self, graph: Graph, x: str) -> str:
        return graph.add("Relu", x)


class Mean(Layer):
    """Over the places of an image."""

    def forward(self, x: Array) -> Array:
        self._shape = x.shape
        return x.mean(axis=(1, 2))

    def backward(self, gradient: Array) -> Array:
        places = self._shape[1] * self._shape[2]
        return np.broadcast_to(gradient[:, np.newaxis, np.newaxis] / places, self._shape).astype(np.float32)

    def write(self, graph: Graph, x: str) -> str:
        return graph.add("Flatten", graph.add("GlobalAveragePool", x))


class Chain(Layer):
    def __init__(self, *layers: Layer) -> None:
        self._layers = layers
        self.parameters = tuple(parameter for layer in layers for parameter in layer.parameters)

    def forward(self, x: Array) -> Array:
        for layer in self._layers:
            x = layer.forward(x)
        return x

    def backward(self, gradient: Array) -> Array:
        for layer in reversed(self._layers):
            gradient = layer.backward(gradient)
        return gradient

    def write(self, graph: Graph, x: str) -> str:
        for layer in self._layers:
            x = layer.write(graph, x)
        return x


class Residual(Chain):
    """Its layers' answer and its argument, added."""

    def forward(self, x: Array) -> Array:
        return x + super().forward(x)

    def backward(self, gradient: Array) -> Array:
        return gradient + super().backward(gradient)

    def write(self, graph: Graph, x: str) -> str:
        return graph.add("Add", super().write(graph, x), x)


def train(network: Layer, x: Array, y: Array, *, epochs: int, seed: int, rate: float = 4e-3, batch: int = 64) -> None:
    """Adam on the cross-entropy of softmax; the rate rises, then falls to nothing."""
    rng = np.random.default_rng(seed)
    steps = epochs * (len(x) // batch)
    count = 0
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            chosen = order[start : start + batch]
            scores = network.forward(x[chosen])
            odds = np.exp(scores - scores.max(axis=1, keepdims=True))
            gradient = odds / odds.sum(axis=1, keepdims=True)
            gradient[np.arange(batch), y[chosen]] -= 1
            network.backward((gradient / batch).astype(np.float32))
            count += 1
            now = rate * min(1, 4 * count / steps) * (1 + np.cos(np.pi * count / steps)) / 2
            for parameter in network.parameters:
                parameter.step(now, count)


def digits_cnn(seed: int, epochs: int = 20) -> Digits:
    """74 thousand parameters: "x" (N, 1, 8, 8), a strided, a residual, a depthwise and a 1x1 convolution, "scores"."""
    return _copied(_digits_cnn(seed, epochs))


def digits_separable(seed: int) -> Digits:
    """17 thousand parameters: "x" (N, 1, 8, 8), a convolution, three depthwise with a 1x1 each (DS-CNN's), "scores"."""
    return _copied(_digits_separable(seed))


def digits_mlp(seed: int) -> Digits:
    """85 thousand parameters: "x" (N, 64), two hidden layers of 256, "scores"."""
    return _copied(_digits_mlp(seed))


@cache
def _digits_cnn(seed: int, epochs: int) -> Digits:
    rng = np.random.default_rng(seed)
    network = Chain(
        *(Conv(rng, 1, 32, 3), BatchNorm(32), Relu()),
        *(Conv(rng, 32, 64, 3, 2), BatchNorm(64), Relu()),
        Residual(Conv(rng, 64, 64, 3), BatchNorm(64), Relu()),
        *(Conv(rng, 64, 64, 3, depthwise=True), BatchNorm(64), Relu()),
        *(Conv(rng, 64, 128, 1), BatchNorm(128), Relu()),
        *(Mean(), Linear(rng, 128, 64), Relu(), Linear(rng, 64, 10)),
    )
    x_train, x_test, y_train, y_test = _split(seed)
    train(network, x_train.reshape(-1, 8, 8, 1), y_train, epochs=epochs, seed=seed)
    graph = Graph()
    model = graph.model((1, 8, 8), network.write(graph, "x"), 10)
    return Digits(model, x_train.reshape(-1, 1, 8, 8), y_train, x_test.reshape(-1, 1, 8, 8), y_test)


@cache
def _digits_separable(seed: int) -> Digits:
    rng = np.random.default_rng(seed)
    blocks = [
        layer
        for _ in range(3)
        for depthwise in (True, False)
        for layer in (Conv(rng, 64, 64, 3 if depthwise else 1, depthwise=depthwise), BatchNorm(64), Relu())
    ]
    network = Chain(Conv(rng, 1, 64, 3, 2), BatchNorm(64), Relu(), *blocks, Mean(), Linear(rng, 64, 10))
    x_train, x_test, y_train, y_test = _split(seed)
    train(network, x_train.reshape(-1, 8, 8, 1), y_train, epochs=20, seed=seed)
    graph = Graph()
    model = graph.model((1, 8, 8), network.write(graph, "x"), 10)
    return Digits(model, x_train.reshape(-1, 1, 8, 8), y_train, x_test.reshape(-1, 1, 8, 8), y_test)


@cache
def _digits_mlp(seed: int) -> Digits:
    rng = np.random.default_rng(seed)
    network = Chain(Linear(rng, 64, 256), Relu(), Linear(rng, 256, 256), Relu(), Linear(rng, 256, 10))
    x_train, x_test, y_train, y_test = _split(seed)
    train(network, x_train, y_train, epochs=20, seed=seed, rate=2e-3)
    graph = Graph()
    return Digits(graph.model((64,), network.write(graph, "x"), 10), x_train, y_train, x_test, y_test)


def _split(seed: int) -> list[Array]:
    """Rows of values from 0 to 1: 1,257 to train with, 540 to test with."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    loaded = load_digits()
    rows = (loaded.data / 16).astype(np.float32)
    return list(train_test_split(rows, loaded.target, test_size=0.3, random_state=seed, stratify=loaded.target))


def _copied(digits: Digits) -> Digits:
    """With a model of its own, since tests may modify theirs; the training is done once a process."""
    model = onnx.ModelProto()
    model.CopyFrom(digits.model)
    return digits._replace(model=model)
