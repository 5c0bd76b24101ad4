"""What convolutions and pools share: a window that moves over two spatial axes, and what lies outside of the image.

TFLite knows two paddings: VALID, none; and SAME, as much as makes the output ``ceil(length / stride)`` long, half of it
before the image and the odd one behind. Any other padding is an operator of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Graph, Node
from edge_rai_converters.targets.tflite.layout import Shape, channels_last


@dataclass(frozen=True, slots=True)
class Span:
    """A window along one axis.

    Attributes:
        length: Of the image.
        size: Of the window, without what dilation adds.
        stride: How far it moves.
        dilation: How far its values lie apart.
        before: Padding before the image.
        behind: Padding behind it.
        places: How many places the window takes.
    """

    length: int = 1
    size: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    behind: int = 0
    places: int = 1

    @property
    def reach(self) -> int:
        """By how much the window, over all its places, is longer than the image."""
        return max((self.places - 1) * self.stride + self.width - self.length, 0)

    @property
    def width(self) -> int:
        """Of the window, with what dilation adds."""
        return (self.size - 1) * self.dilation + 1

    @property
    def needed(self) -> int:
        """How far behind the image the last place reaches; with rounded up sizes that may be beyond the padding."""
        return max((self.places - 1) * self.stride + self.width - self.before - self.length, 0)

    def is_valid(self) -> bool:
        """Whether TFLite's padding VALID puts the window at the same places."""
        return self.before == 0 and self.places == (self.length - self.width) // self.stride + 1

    def is_same(self) -> bool:
        """Whether TFLite's padding SAME puts the window at the same places."""
        return self.places == -(-self.length // self.stride) and self.before == self.reach // 2

    def automatic(self, mode: str) -> Span:
        """With the padding of ONNX's auto_pad SAME_UPPER or SAME_LOWER, where the odd one is behind or before."""
        half = self.reach // 2
        rest = self.reach - half
        return (
            replace(self, before=half, behind=rest) if mode == "SAME_UPPER" else replace(self, before=rest, behind=half)
        )


Window = tuple[Span, Span]


def window(node: Node, shape: Shape, sizes: Sequence[int], out: Shape) -> Window:
    """The window of a node with ONNX's attributes strides, dilations, pads and auto_pad, over height and width.

    Args:
        node: A convolution or pool.
        shape: Of the image, (N, C, L) or (N, C, H, W).
        sizes: Of the window, a number a spatial axis.
        out: The shape of the node's output.

    Raises:
        UnsupportedModelError: It cuts off the image's sides by a negative padding.
    """
    spatial = len(sizes)
    pads = node.attribute("pads", [0] * (2 * spatial))
    if min(pads) < 0:
        raise node.refused(f"it pads by {min(pads)}", "pads of 0 and more are written")
    spans = [
        Span(*(int(value) for value in axis))
        for axis in zip(
            shape[2:],
            sizes,
            node.attribute("strides", [1] * spatial),
            node.attribute("dilations", [1] * spatial),
            pads[:spatial],
            pads[spatial:],
            out[2:],
            strict=True,
        )
    ]
    mode = node.attribute("auto_pad", "NOTSET")
    if mode.startswith("SAME"):
        spans = [span.automatic(mode) for span in spans]
    return (spans[0] if spatial == 2 else Span()), spans[-1]


def padding_of(spans: Window) -> int | None:
    """TFLite's padding that puts the window at the same places; None where neither does."""
    if all(span.is_valid() for span in spans):
        return int(schema.Padding.VALID)
    return int(schema.Padding.SAME) if all(span.is_same() for span in spans) else None


def padded(to: Builder, source: int, spans: Window, name: str) -> int:
    """The tensor with zeros around it, so that the window moves over it with padding VALID.

    Args:
        to: Where the padding is written to.
        source: Index of the image's tensor, channels last.
        spans: The window.
        name: Of the result.
    """
    around = [(0, 0), *((span.before, span.needed) for span in spans), (0, 0)]
    shape = [sum(sides) + length for sides, length in zip(around, to.tensors[source].shape, strict=True)]
    made = to.temporary(shape, np.float32, name)
    to.add(Code.PAD, [source, to.constant(np.array(around, dtype=np.int32))], [made], schema.PadOptionsT())
    return made


def extended(to: Builder, source: int, spans: Window, name: str) -> int:
    """The tensor with its first and last row and column repeated around it; arguments as in padded()."""
    for axis, span in enumerate(spans, start=1):
        shape = to.tensors[source].shape
        parts = [source]
        for count, at in ((span.before, 0), (span.needed, span.length - 1)):
            if count:
                edge = to.temporary(
                    [1 if place == axis else length for place, length in enumerate(shape)], np.float32, name
                )
                begin = to.integers(at if place == axis else 0 for place in range(len(shape)))
                inputs = [source, begin, to.integers(to.tensors[edge].shape)]
                to.add(Code.SLICE, inputs, [edge], schema.SliceOptionsT())
                parts = [edge] * count + parts if at == 0 else parts + [edge] * count
        if len(parts) > 1:
            longer = [length + len(parts) - 1 if place == axis else length for place, length in enumerate(shape)]
            source = to.temporary(longer, np.float32, name)
            to.add(Code.CONCATENATION, parts, [source], schema.ConcatenationOptionsT(axis=axis))
    return source


def before_pad(graph: Graph, name: str, spans: Window) -> tuple[str, Window]:
    """The value before a Pad node that puts zeros around the image, and the window with those zeros as its padding.

    Where there is no such node, what was given.
    """
    node, rank = graph.maker(name), graph.rank(name)
    if node is None or node.operator != "Pad" or node.attribute("mode", "constant") != "constant":
        return name, spans
    pads, value, axes = (graph.constant(node.input(index)) for index in (1, 2, 3))
    unknown = any(node.input(index) and found is None for index, found in ((1, pads), (2, value), (3, axes)))
    if pads is None or unknown or (value is not None and value.size and np.any(value != 0)):
        return name, spans
    places = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    around = {axis: (int(low), int(high)) for axis, low, high in zip(places, *np.split(pads, 2), strict=True)}
    if any(min(sides) < 0 or (axis < 2 and sides != (0, 0)) for axis, sides in around.items()):
        return name, spans
    last = [around.get(axis, (0, 0)) for axis in (rank - 2, rank - 1)]
    first, second = (
        replace(span, length=span.length - low - high, before=span.before + low, behind=span.behind + high)
        for span, (low, high) in zip(spans, last if rank == 4 else [(0, 0), last[1]], strict=True)
    )
    return node.inputs[0], (first, second)


def image(to: Builder, name: str) -> int:
    """The tensor of an image, channels last."""
    return to.tensor(name, channels_last(to.graph.rank(name)))
