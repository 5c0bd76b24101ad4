"""How many axes LiteRT's kernels take: with more it does not load the file, or aborts."""

from __future__ import annotations

from collections.abc import Iterable

from edge_rai_converters.targets.tflite.builder import Builder, Code, Operator
from edge_rai_converters.targets.tflite.errors import refused
from edge_rai_converters.targets.tflite.graph import Node

_MOST = 8
# XNNPACK has fewer, and takes these operators without asking how many there are.
_MOST_IN_XNNPACK = 6
_IN_XNNPACK = frozenset(
    {
        *(Code.BATCH_MATMUL, Code.CONCATENATION, Code.FULLY_CONNECTED, Code.MEAN, Code.MIRROR_PAD, Code.PAD),
        *(Code.PADV2, Code.REDUCE_MAX, Code.REDUCE_MIN, Code.SOFTMAX, Code.SPLIT, Code.SPLIT_V, Code.SUM),
    }
)


def check_axes(node: Node, to: Builder, operators: Iterable[Operator]) -> None:
    """Refuses a node whose values have more axes than a kernel takes.

    Args:
        node: The node that is written.
        to: Where it is written to.
        operators: Those that were written for it.

    Raises:
        UnsupportedModelError: A tensor of theirs has more.
    """
    for written in operators:
        most = _MOST_IN_XNNPACK if written.code in _IN_XNNPACK else _MOST
        axes = max(len(to.tensors[index].shape) for index in (*written.inputs, *written.outputs) if index >= 0)
        check_rank(node.described, axes, most)


def check_rank(where: str, axes: int, most: int = _MOST) -> None:
    """Refuses a value of too many axes.

    Args:
        where: What the refusal names.
        axes: How many it has.
        most: How many it may have.

    Raises:
        UnsupportedModelError: It has more.
    """
    if axes > most:
        raise refused(
            where, f"its values have {axes} axes, where LiteRT takes {most}", "join some of them by a Reshape"
        )
