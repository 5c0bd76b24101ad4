"""In which order a tensor holds the axes of an ONNX value.

A layout is a tuple with an entry an axis of the TFLite tensor: the axis of the ONNX value that lies there, or UNIT for
an axis of length 1 that the value does not have. So an ONNX value of shape (N, C, H, W) is held

- natively as (0, 1, 2, 3);
- with channels last, as TFLite's convolutions want it, as (0, 2, 3, 1);

and one of shape (N, C, L) with channels last as (0, UNIT, 2, 1), which is an image of height 1: a network of 1-D
convolutions needs no reshaping between them. Every axis of the value is in its layout exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Layout = tuple[int, ...]
Shape = tuple[int, ...]
Item = TypeVar("Item")

UNIT = -1


def native(rank: int) -> Layout:
    """The axes as ONNX has them."""
    return tuple(range(rank))


def channels_last(rank: int) -> Layout:
    """Axis 1 behind the spatial axes; one spatial axis becomes the width of an image of height 1."""
    return (0, UNIT, 2, 1) if rank == 3 else (0, *range(2, rank), 1)


def arranged(values: Sequence[Item], layout: Layout, unit: Item) -> list[Item]:
    """What holds of each axis of the ONNX value (its length, where a slice begins), in the tensor's order.

    Args:
        values: An entry an axis of the ONNX value.
        layout: Of the tensor.
        unit: What holds of axes that the value does not have.
    """
    return [unit if axis == UNIT else values[axis] for axis in layout]


def permuted(array: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """A constant as it lies in a tensor of that layout."""
    order = [axis for axis in layout if axis != UNIT]
    return np.asarray(array.transpose(order).reshape(arranged(array.shape, layout, 1)), order="C")


def broadcast(layout: Layout, rank: int) -> Layout:
    """The layout in which an operand of a lower rank must be held so that TFLite broadcasts it as ONNX does.

    Args:
        layout: Of the result.
        rank: Of the operand; ONNX aligns its axes with the last ones of the result.
    """
    missing = sum(axis != UNIT for axis in layout) - rank
    found = tuple(axis - missing if axis >= missing else UNIT for axis in layout)
    first = next((at for at, axis in enumerate(found) if axis != UNIT), len(found))
    return found[first:]


def through_transpose(layout: Layout, order: Sequence[int]) -> Layout:
    """The layout in which a tensor holds the transposed value, given the layout in which it holds the value.

    Args:
        layout: Of the value.
        order: ONNX's ``perm``: axis ``i`` of the transposed value is axis ``order[i]`` of the value.
    """
    place = {axis: at for at, axis in enumerate(order)}
    return tuple(UNIT if axis == UNIT else place[axis] for axis in layout)


def same_order(shape: Shape, one: Layout, other: Layout) -> bool:
    """Whether two layouts of a value lie in memory alike: they differ in the places of axes of length 1 only."""
    long = [[axis for axis in layout if axis != UNIT and shape[axis] != 1] for layout in (one, other)]
    return long[0] == long[1]


def through_reshape(shape: Shape, target: Shape, layout: Layout) -> tuple[Layout, Layout]:
    """In which layout a reshape of a value is a reshape of its tensor too, and which layout the result then has.

    A reshape splits axes, joins neighbours or does both. Axes that are joined must be neighbours in the tensor as well,
    in the same order, and are put where the last of them is; all else may stay where it is.

    Args:
        shape: Of the value; no length is 0.
        target: Of the reshaped value.
        layout: Of a tensor of the value; what is returned first differs from it in as little as must be.
    """
    groups = _groups(shape, target)
    order = [axis for axis in layout if axis != UNIT and shape[axis] != 1]
    before: list[int] = []
    behind: list[int] = []
    while order:
        sources, targets = next(group for group in groups if order[-1] in group[0])
        order = [axis for axis in order if axis not in sources]
        before = sources + before
        behind = targets + behind
    return _with_short(before, shape), _with_short(behind, target)


def _with_short(order: list[int], shape: Shape) -> Layout:
    """With the axes of length 1, each before the axis that it precedes in ONNX's order."""
    made = list(order)
    for axis, length in reversed(list(enumerate(shape))):
        if length == 1:
            made.insert(made.index(axis + 1) if axis + 1 < len(shape) else len(made), axis)
    return tuple(made)


def _groups(shape: Shape, target: Shape) -> list[tuple[list[int], list[int]]]:
    """Which axes longer than 1 become which, (of the value, of the reshaped value), as few as can be at a time."""
    left = [axis for axis, length in enumerate(shape) if length != 1]
    right = [axis for axis, length in enumerate(target) if length != 1]
    groups = []
    while left:
        sources, targets = [left.pop(0)], [right.pop(0)]
        before, behind = shape[sources[0]], target[targets[0]]
        while before != behind:
            if before < behind:
                sources.append(left.pop(0))
                before *= shape[sources[-1]]
            else:
                targets.append(right.pop(0))
                behind *= target[targets[-1]]
        groups.append((sources, targets))
    return groups
