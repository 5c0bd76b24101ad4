"""Random networks with channels that are provably dead: zero wherever a layer reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from support.networks import Graph

Array = np.ndarray[Any, Any]

WIDTH = 16
SIDE = 6
DEAD = np.arange(WIDTH) >= WIDTH // 2


class DeadHalves:
    """Builds a network block by block; the last 8 of 16 channels are always zero."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._graph = Graph()
        self._now = self._conv("x", 3)

    def residual(self) -> None:
        inner = self._graph.add("Relu", self._conv(self._now, WIDTH))
        self._now = self._graph.add("Add", self._now, self._conv(inner, WIDTH))

    def depthwise(self) -> None:
        weight, bias = self._rng.normal(0, 0.4, (WIDTH, 1, 3, 3)), ~DEAD * self._rng.normal(0, 0.1, WIDTH)
        self._now = self._node("Conv", weight, bias, pads=[1] * 4, group=WIDTH)

    def normalized(self) -> None:
        scale, variance = self._rng.uniform(0.5, 2, (2, WIDTH))
        shift, mean = ~DEAD * self._rng.normal(size=(2, WIDTH))
        self._now = self._node("BatchNormalization", scale, shift, mean, variance)

    def concatenated(self) -> None:
        both = self._graph.add("Concat", self._now, self._conv(self._now, WIDTH), axis=1)
        self._now = self._conv(both, 2 * WIDTH)

    def gated(self) -> None:
        """Squeeze and excitation."""
        pooled = self._graph.add("GlobalAveragePool", self._now)
        small = self._graph.add("Relu", self._conv(pooled, WIDTH, size=1))
        self._now = self._graph.add("Mul", self._now, self._graph.add("Sigmoid", self._conv(small, WIDTH, size=1)))

    def sloped(self) -> None:
        slope = self._graph.constant(self._rng.uniform(0, 1, (WIDTH, 1, 1)).astype(np.float32))
        self._now = self._graph.add("PRelu", self._now, slope)

    def dilated(self) -> None:
        self._now = self._graph.add("Relu", self._conv(self._now, WIDTH, dilation=2))

    def finished(self) -> onnx.ModelProto:
        """Flattened places of all channels, read by two Gemms."""
        flat = self._graph.add("Flatten", self._now)
        hidden = self._graph.add("Relu", self._gemm(flat, WIDTH * SIDE * SIDE, DEAD))
        return self._graph.model((3, SIDE, SIDE), self._gemm(hidden, WIDTH, np.zeros(5, bool)), 5)

    def _conv(self, x: str, width: int, size: int = 3, dilation: int = 1) -> str:
        """What reads a dead channel may weigh it as it likes; the last 8 it makes are dead."""
        weight = self._rng.normal(0, np.sqrt(1 / (width * size**2)), (WIDTH, width, size, size))
        bias = self._rng.normal(0, 0.1, WIDTH)
        weight[DEAD], bias[DEAD] = 0, 0
        constants = [self._graph.constant(values.astype(np.float32)) for values in (weight, bias)]
        return self._graph.add("Conv", x, *constants, pads=[size // 2 * dilation] * 4, dilations=[dilation] * 2)

    def _gemm(self, x: str, width: int, gone: Array) -> str:
        weight = self._rng.normal(0, np.sqrt(1 / width), (len(gone), width))
        bias = np.where(gone, 0, self._rng.normal(0, 0.1, len(gone)))
        weight[gone] = 0
        constants = [self._graph.constant(values.astype(np.float32)) for values in (weight, bias)]
        return self._graph.add("Gemm", x, *constants, transB=1)

    def _node(self, operator: str, *constants: Array, **attributes: Any) -> str:
        names = [self._graph.constant(values.astype(np.float32)) for values in constants]
        return self._graph.add(operator, self._now, *names, **attributes)


BLOCKS = ("residual", "depthwise", "normalized", "concatenated", "gated", "sloped", "dilated")


def network(seed: int, blocks: list[str]) -> onnx.ModelProto:
    """A network of these blocks, "x" (N, 3, 6, 6) to "scores" (N, 5)."""
    builder = DeadHalves(seed)
    for block in blocks:
        getattr(builder, block)()
    return builder.finished()
