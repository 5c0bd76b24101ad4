"""Random graphs of operators that move, join, take, reduce and combine values, around convolutions and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from support.tflite_graphs import Nodes

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

MOST_VALUES = 4000
MOST_AXES = 6


class Draft:
    """A graph under construction; every value is an output, and each step takes values made before."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        length = (8,) if self.rng.random() < 0.3 else (4, 5)
        self.nodes = Nodes(x=self.normal(1, 3, *length), z=self.normal(4, length[-1]))
        self.shapes: dict[str, Shape] = {name: array.shape for name, array in self.nodes.inputs.items()}

    def normal(self, *shape: int) -> Array:
        return self.rng.normal(size=shape).astype(np.float32)

    def weights(self, *shape: int) -> str:
        return self.nodes.constant(self.normal(*shape) / 2, np.float32)

    def integer(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def value(self) -> tuple[str, Shape]:
        """One of the last values most often, else any."""
        names = list(self.shapes)
        names = names[-3:] if self.rng.random() < 0.7 else names
        name = names[self.integer(len(names))]
        return name, self.shapes[name]

    def add(self, shape: Shape, operator: str, *operands: str, **attributes: Any) -> None:
        """A node with one output of that shape; later steps take it unless it is large."""
        self.keep(self.nodes.add(operator, *operands, **attributes), shape)

    def keep(self, name: str, shape: Shape) -> None:
        if len(shape) <= MOST_AXES and np.prod(shape) <= MOST_VALUES:
            self.shapes[name] = tuple(map(int, shape))


def pair(draft: Draft) -> None:
    (left, shape), (right, other) = draft.value(), draft.value()
    if all(one == two or 1 in (one, two) for one, two in zip(shape[::-1], other[::-1], strict=False)):
        operator = ("Add", "Mul", "Sub", "Max")[draft.integer(4)]
        draft.add(np.broadcast_shapes(shape, other), operator, left, right)


def with_constant(draft: Draft) -> None:
    name, shape = draft.value()
    kept = tuple(length if draft.integer(2) else 1 for length in shape)[draft.integer(len(shape) + 1) :]
    operands = [name, draft.weights(*kept)][:: 1 if draft.integer(2) else -1]
    draft.add(shape, ("Add", "Mul", "Sub")[draft.integer(3)], *operands)


def alone(draft: Draft) -> None:
    name, shape = draft.value()
    draft.add(shape, ("Relu", "Tanh", "Sigmoid", "Abs", "Neg")[draft.integer(5)], name)


def reduced(draft: Draft) -> None:
    name, shape = draft.value()
    axes = [axis for axis in range(len(shape)) if draft.integer(2)]
    keep = draft.integer(2)
    left = tuple(1 if axis in axes else length for axis, length in enumerate(shape) if keep or axis not in axes)
    if axes:
        operator = ("ReduceMean", "ReduceMax", "ReduceMin")[draft.integer(3)]
        draft.add(left, operator, name, draft.nodes.constant(axes), keepdims=keep)


def turned(draft: Draft) -> None:
    name, shape = draft.value()
    if shape:
        order = draft.rng.permutation(len(shape)).tolist()
        draft.add(tuple(shape[axis] for axis in order), "Transpose", name, perm=order)


def joined(draft: Draft) -> None:
    name, shape = draft.value()
    if shape:
        axis = draft.integer(len(shape))
        wanted = np.delete(shape, axis).tolist()
        fitting = [other for other, its in draft.shapes.items() if len(its) == len(shape)]
        fitting = [other for other in fitting if np.delete(draft.shapes[other], axis).tolist() == wanted]
        other = fitting[draft.integer(len(fitting))]
        length = shape[axis] + draft.shapes[other][axis]
        draft.add((*shape[:axis], length, *shape[axis + 1 :]), "Concat", name, other, axis=axis)


def divided(draft: Draft) -> None:
    name, shape = draft.value()
    axis = draft.integer(len(shape)) if shape else 0
    if shape and shape[axis] > 1:
        first = 1 + draft.integer(shape[axis] - 1)
        sizes = first, shape[axis] - first
        pieces = draft.nodes.add_all("Split", (name, draft.nodes.constant(sizes)), 2, axis=axis)
        for piece, length in zip(pieces, sizes, strict=True):
            draft.keep(piece, (*shape[:axis], length, *shape[axis + 1 :]))


def taken(draft: Draft) -> None:
    name, shape = draft.value()
    if shape:
        axis = draft.integer(len(shape))
        places = np.array((0, -1, [0, -1], [[0], [-1]])[draft.integer(4)]) if draft.integer(2) else None
        if places is not None:
            made = (*shape[:axis], *places.shape, *shape[axis + 1 :])
            draft.add(made, "Gather", name, draft.nodes.constant(places), axis=axis)
            return
        start, step = draft.integer(shape[axis]), (1, 1, 2, -1)[draft.integer(4)]
        end = shape[axis] if step > 0 else -100
        length = len(range(start, shape[axis], step) if step > 0 else range(start, -1, step))
        bounds = (draft.nodes.constant([bound]) for bound in (start, end, axis, step))
        draft.add((*shape[:axis], length, *shape[axis + 1 :]), "Slice", name, *bounds)


def padded(draft: Draft) -> None:
    name, shape = draft.value()
    pads = draft.rng.integers(2, size=(2, len(shape)))
    mode = ("constant", "edge")[draft.integer(2)]
    if shape:
        draft.add(tuple(np.add(shape, pads.sum(0))), "Pad", name, draft.nodes.constant(pads.reshape(-1)), mode=mode)


def reshaped(draft: Draft) -> None:
    name, shape = draft.value()
    count = int(np.prod(shape))
    divisors = [number for number in range(1, count + 1) if count % number == 0]
    number = divisors[draft.integer(len(divisors))]
    forms = ((number, count // number), (count,), (1, count // number, number, 1), (*shape, 1), (1, *shape))
    made = forms[draft.integer(len(forms))]
    draft.add(made, "Reshape", name, draft.nodes.constant(made))


def repeated(draft: Draft) -> None:
    name, shape = draft.value()
    if shape:
        counts = 1 + draft.rng.integers(2, size=len(shape))
        draft.add(tuple(np.multiply(shape, counts)), "Tile", name, draft.nodes.constant(counts))
        wide = tuple(3 if length == 1 else length for length in shape)
        draft.add((2, *wide), "Expand", name, draft.nodes.constant((2, *wide)))


def normalized(draft: Draft) -> None:
    name, shape = draft.value()
    if shape:
        axis = draft.integer(len(shape))
        draft.add(shape, "Softmax", name, axis=axis)
        draft.add(shape, "CumSum", name, draft.nodes.constant(axis))


def layered(draft: Draft) -> None:
    """A convolution where there is an image, and a product with a matrix."""
    name, shape = draft.value()
    spatial = len(shape) - 2
    if spatial in (1, 2) and min(shape[2:]) > 1:
        kernels = draft.weights(3, shape[1], *(3,) * spatial)
        draft.add((shape[0], 3, *shape[2:]), "Conv", name, kernels, pads=[1] * 2 * spatial)
        draft.add((*shape[:2], *(length - 1 for length in shape[2:])), "MaxPool", name, kernel_shape=[2] * spatial)
    elif spatial >= 0:
        draft.add((*shape[:-1], 5), "MatMul", name, draft.weights(shape[-1], 5))


STEPS: tuple[Callable[[Draft], None], ...] = (
    *(pair, with_constant, alone, reduced, turned, joined, divided, taken, padded, reshaped, repeated, normalized),
    *(layered, layered),
)


def random_graph(seed: int, steps: int) -> Nodes:
    """The graph of that many steps, the first of which is a layer."""
    draft = Draft(seed)
    layered(draft)
    for _ in range(steps):
        STEPS[draft.integer(len(STEPS))](draft)
    return draft.nodes
