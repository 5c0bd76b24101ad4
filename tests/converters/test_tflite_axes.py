"""Operators along axes in TFLite, on values that a convolution left with their channels last, and on others."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Literal

import numpy as np
import pytest

from edge_rai.errors import UnsupportedModelError
from support.tflite_graphs import Nodes, compared

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

SPATIAL = {3: (7,), 4: (5, 6)}


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def convolved(rank: int) -> tuple[Nodes, str]:
    """A value (1, 4, ...) that lies with its channels last, and the nodes that made it."""
    nodes = Nodes(x=drawn(1, 2, *SPATIAL[rank]))
    kernels = nodes.constant(drawn(4, 2, *(3,) * (rank - 2), seed=1), np.float32)
    return nodes, nodes.add("Conv", "x", kernels, pads=[1] * (2 * (rank - 2)))


both_ranks = pytest.mark.parametrize("rank", [3, 4])


@both_ranks
def test_reductions_over_any_axes(rank: int) -> None:
    nodes, y = convolved(rank)
    for count in range(1, rank + 1):
        for axes in combinations(range(rank), count):
            for keep in (0, 1):
                operator = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd")[sum(axes) % 5]
                given = [y, nodes.constant(axes)] if operator == "ReduceSum" else [y]
                more = {} if operator == "ReduceSum" else {"axes": axes}
                made = nodes.add(operator, *given, keepdims=keep, **more)
                nodes.add("Neg", made)
    nodes.add("ReduceMean", y, axes=[-1], keepdims=0)
    nodes.add("ReduceSum", y, keepdims=0)
    nodes.add("ReduceSum", y, noop_with_empty_axes=1)
    compared(nodes, opset=17)


@both_ranks
def test_places_of_extreme_values_and_running_sums_along_any_axis(rank: int) -> None:
    nodes, y = convolved(rank)
    for axis in (*range(rank), -1):
        for keep in (0, 1):
            nodes.add("ArgMax", y, axis=axis, keepdims=keep)
            nodes.add("ArgMin", y, axis=axis, keepdims=keep, select_last_index=1)
        nodes.add("CumSum", y, nodes.constant(axis), exclusive=axis % 2, reverse=axis // 2 % 2)
        nodes.add("Softmax", y, axis=axis)
    for axis, largest in ((1, 1), (rank - 1, 0)):
        nodes.add_all("TopK", (y, nodes.constant([3])), 2, axis=axis, largest=largest)
    compared(nodes)


@both_ranks
def test_joining_and_taking_apart_along_any_axis(rank: int) -> None:
    nodes, y = convolved(rank)
    constant = nodes.constant(drawn(1, 4, *SPATIAL[rank], seed=2), np.float32)
    for axis in (*range(rank), -2):
        nodes.add("Concat", y, constant, y, axis=axis)
    nodes.add_all("Split", (y,), 2, axis=1, num_outputs=2)
    nodes.add_all("Split", (y, nodes.constant([1, 3])), 2, axis=1)
    last = SPATIAL[rank][-1]
    nodes.add_all("Split", (y, nodes.constant([1] * last)), last, axis=-1)
    nodes.add_all("Split", (nodes.add("Greater", y, nodes.constant(0, np.float32)),), 2, axis=1, num_outputs=2)
    compared(nodes)


@both_ranks
def test_slices_and_gathers_of_any_axes(rank: int) -> None:
    nodes, y = convolved(rank)
    for starts, ends, axes, steps in (
        ([1], [3], [1], [1]),
        ([-3], [-1], [-1], [1]),
        ([0, 1], [100, 100], [1, 2], [2, 3]),
        ([-1], [-100], [2], [-1]),
        ([3, 4], [0, -100], [1, rank - 1], [-2, -1]),
    ):
        nodes.add("Slice", y, *map(nodes.constant, (starts, ends, axes, steps)))
    nodes.inputs["places"] = np.array([[1, 0], [3, -1]])
    for axis in range(1, rank):
        for places in (2, -1, [2, 0], [[1, -2], [3, 3]]):
            nodes.add("Relu", nodes.add("Gather", y, nodes.constant(places), axis=axis))
        nodes.add("Gather", y, "places", axis=axis)
    table = nodes.constant(drawn(9, 5), np.float32)
    nodes.add("Gather", table, "places")
    compared(nodes)


@both_ranks
def test_paddings_of_every_mode(rank: int) -> None:
    nodes, y = convolved(rank)
    last = [(rank - 1, 1, 2)]
    for sides in (last, [(1, 2, 0), *last], [(0, 1, 1), (2, 0, 3)], [(2, -1, 2)]):
        pads = np.zeros((2, rank), np.int64)
        for axis, before, behind in sides:
            pads[:, axis] = before, behind
        given = nodes.constant(pads.reshape(-1))
        nodes.add("Pad", y, given)
        nodes.add("Pad", y, given, nodes.constant(-1.5, np.float32))
        for mode in ("edge", "wrap") if sides[0][0] else ("edge",):
            nodes.add("Pad", y, given, mode=mode)
        if all(axis > 0 and before >= 0 for axis, before, _ in sides):
            nodes.add("Pad", y, given, mode="reflect")
    nodes.add("Pad", y, nodes.constant([1, 2]), "", nodes.constant([-1]))
    compared(nodes)


@both_ranks
def test_repeating_turning_and_reshaping(rank: int) -> None:
    nodes, y = convolved(rank)
    nodes.add("Tile", y, nodes.constant([2, 1, 3, 1][:rank]))
    nodes.add("Expand", nodes.add("ReduceMax", y, axes=[1]), nodes.constant((3, 4, *SPATIAL[rank])))
    nodes.add("Expand", y, nodes.constant((2, 1, 1, *SPATIAL[rank])))
    for order in permutations(range(rank)):
        nodes.add("Exp", nodes.add("Transpose", y, perm=order))
    nodes.add("Reshape", nodes.add("Tanh", y), nodes.constant([2, -1]))
    nodes.add("Flatten", y)
    nodes.add("Unsqueeze", nodes.add("Squeeze", y, nodes.constant([0])), nodes.constant([1, -1]))
    compared(nodes, opset=17)


@both_ranks
def test_operands_of_lower_rank_meet_the_axes_that_onnx_gives_them(rank: int) -> None:
    nodes, y = convolved(rank)
    wide = SPATIAL[rank]
    for shape in ((), (1,), (wide[-1],), (4, *[1] * (rank - 2)), (1, 4, *[1] * (rank - 2)), wide, (2, 1, 4, *wide)):
        name = nodes.constant(drawn(*shape, seed=len(shape)), np.float32)
        nodes.add("Mul", y, name)
        nodes.add("Sub", name, y)
        nodes.add("Where", nodes.add("Greater", y, name), name, y)
    nodes.inputs["row"] = drawn(wide[-1], seed=9)
    nodes.add("Add", y, "row")
    compared(nodes)


def test_blocks_of_pixels_and_channels_change_places() -> None:
    nodes = Nodes(x=drawn(2, 12, 4, 6))
    for mode in ("DCR", "CRD"):
        nodes.add("DepthToSpace", "x", blocksize=2, mode=mode)
    nodes.add("SpaceToDepth", "x", blocksize=2)
    compared(nodes)


def test_places_that_are_vectors_count_from_either_end() -> None:
    nodes = Nodes(x=drawn(3, 4, 5), places=np.array([[[0, -1], [2, 3]], [[-3, 1], [1, 1]]]))
    nodes.add("GatherND", "x", "places")
    nodes.add("GatherND", "x", nodes.constant([[0, 1, -1], [-1, -1, 0]]))
    compared(nodes)


TYPES = (np.float32, np.int32, np.int64, np.int16, np.int8, np.uint8, bool)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_values_of_every_type_are_moved(dtype: type) -> None:
    # By numpy: ONNX Runtime has no kernels of some of these for some types.
    from edge_rai_converters.targets import tflite

    x = np.random.default_rng(0).integers(0, 100, (2, 4, 5)).astype(dtype)
    nodes, one = Nodes(x=x), dtype(1)
    wanted = {
        nodes.add("Concat", "x", "x", axis=1): np.concatenate([x, x], 1),
        nodes.add("Slice", "x", *map(nodes.constant, ([1], [5], [2], [2]))): x[:, :, 1:5:2],
        nodes.add("Slice", "x", *map(nodes.constant, ([-1], [-9], [1], [-1]))): x[:, ::-1],
        nodes.add("Gather", "x", nodes.constant([3, -4, 0]), axis=1): x[:, [3, 0, 0]],
        nodes.add("GatherND", "x", nodes.constant([[1, -1], [0, 2]])): x[[1, 0], [3, 2]],
        nodes.add("Pad", "x", nodes.constant([0, 1, 0, 0, 0, 2])): np.pad(x, ((0, 0), (1, 0), (0, 2))),
        nodes.add("Pad", "x", nodes.constant([0, 1, 0, 0, 0, 0]), nodes.constant(one, dtype)): np.pad(
            x, ((0, 0), (1, 0), (0, 0)), constant_values=one
        ),
        nodes.add("Pad", "x", nodes.constant([0, 0, 1, 0, 0, 3]), mode="reflect"): np.pad(
            x, ((0, 0), (0, 0), (1, 3)), mode="reflect"
        ),
        nodes.add("Tile", "x", nodes.constant([1, 2, 1])): np.tile(x, (1, 2, 1)),
        nodes.add("Expand", "x", nodes.constant([3, 1, 1, 1])): np.broadcast_to(x, (3, 2, 4, 5)),
        nodes.add("Transpose", "x", perm=[2, 0, 1]): x.transpose(2, 0, 1),
        nodes.add("Reshape", "x", nodes.constant([5, -1])): x.reshape(5, -1),
    }
    halves = nodes.add_all("Split", ("x", nodes.constant([2, 2])), 2, axis=1)
    pieces = nodes.add_all("Split", ("x", nodes.constant([1, 4])), 2, axis=2)
    parts = (x[:, :2], x[:, 2:], x[:, :, :1], x[:, :, 1:])
    wanted.update(zip((*halves, *pieces), parts, strict=True))
    written = tflite.write(nodes.model())
    (answer,) = tflite.probed(written.model, [nodes.inputs]).answers
    for name, array in wanted.items():
        assert answer[name].dtype == array.dtype
        assert np.array_equal(answer[name], array), name


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integers_are_taken_together_exactly(dtype: type) -> None:
    nodes = Nodes(x=np.random.default_rng(0).integers(-9, 9, (2, 3, 5)).astype(dtype))
    for operator in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"):
        nodes.add(operator, "x", nodes.constant([1, -1]))
    nodes.add("CumSum", "x", nodes.constant(2))
    nodes.add_all("TopK", ("x", nodes.constant([2])), 2, largest=0)
    nodes.add("Max", "x", "x")
    if dtype is np.int32:
        nodes.add("ReduceMean", "x", nodes.constant([2]))
        nodes.add("ArgMax", "x", axis=1)
    compared(nodes)


def test_any_and_all_of_booleans_are_their_extremes() -> None:
    nodes = Nodes(x=np.random.default_rng(0).integers(0, 3, (3, 4, 2)) > 0)
    for operator in ("ReduceMax", "ReduceMin"):
        for axes in ([0], [1, 2]):
            nodes.add(operator, "x", nodes.constant(axes))
    compared(nodes, opset=20)


@pytest.mark.parametrize("layout", ["keep", "nhwc"])
def test_networks_stay_in_one_layout_between_their_edges(layout: Literal["keep", "nhwc"]) -> None:
    nodes, y = convolved(4)
    gate = nodes.add("Sigmoid", nodes.add("ReduceMean", y, axes=[2, 3]))
    scaled = nodes.add("Mul", nodes.add("Pad", y, nodes.constant([0] * 8)), gate)
    halves = nodes.add_all("Split", (scaled, nodes.constant([2, 2])), 2, axis=1)
    joined = nodes.add("Concat", *halves, axis=1)
    nodes.add("Add", nodes.add("Slice", joined, *map(nodes.constant, ([0], [4], [1]))), y)
    used = compared(nodes, opset=17, layout=layout)
    outputs = len(nodes.model(17).graph.output)
    # Of each edge of four axes one, where its layout is kept: the gate and the mean hold one place each.
    assert used.count("TRANSPOSE") <= (1 + outputs - 2 if layout == "keep" else 0)


def test_axes_that_are_computed_are_refused_by_name() -> None:
    from edge_rai_converters.targets import tflite

    nodes = Nodes(x=drawn(2, 3), axes=np.array([1]))
    nodes.add("ReduceSum", "x", "axes", keepdims=1)
    with pytest.raises(UnsupportedModelError, match=r"ReduceSum node 'ReduceSum0': .* computed"):
        tflite.write(nodes.model())
