"""Operators that only move or shape values, in one form: constant shapes, axes counted from the front."""

from __future__ import annotations

import numpy as np

from edge_rai_converters.targets.tflite.lower.draft import Draft, Rules, Shape, numpy_type, static


def _reshape(draft: Draft) -> bool:
    """Reshape, Flatten, Squeeze and Unsqueeze: a Reshape to the shape that was inferred."""
    wanted = static(draft.outputs[0])
    if wanted == draft.shape():
        return draft.same()
    if -1 in wanted:
        raise draft.refusal("the shape it makes depends on values", "make it constant")
    if 0 in wanted:
        raise draft.refusal("it makes a tensor without values", "leave it away")
    draft.reshape(draft.node.input[0], wanted, draft.node.output[0])
    return True


def _expand(draft: Draft) -> bool:
    wanted = static(draft.outputs[0])
    if wanted == draft.shape():
        return draft.same()
    if -1 in wanted:
        raise draft.refusal("the shape it makes depends on values", "make it constant")
    draft.op("Expand", draft.node.input[0], np.array(wanted, np.int64), named=draft.node.output[0])
    return True


def _tile(draft: Draft) -> bool:
    return draft.same() if (draft.constant(1, "repeats") == 1).all() else False


def _transpose(draft: Draft) -> bool:
    order = draft.attribute("perm") or list(reversed(range(len(draft.shape()))))
    if list(order) == sorted(order):
        return draft.same()
    draft.op("Transpose", draft.node.input[0], perm=order, named=draft.node.output[0])
    return True


def _concat(draft: Draft) -> bool:
    """Without what holds no value."""
    axis = draft.axis(0)
    parts = [name for index, name in enumerate(draft.node.input) if draft.shape(index)[axis] != 0]
    if len(parts) == 1:
        return draft.same(parts[0])
    draft.op("Concat", *parts, axis=axis, named=draft.node.output[0])
    return True


def _split(draft: Draft) -> bool:
    """With the sizes of the pieces; one without values is a constant."""
    axis, given = draft.axis(0), draft.node.input[0]
    sizes = draft.integers(1, "split") or _even(draft.shape()[axis], len(draft.node.output))
    filled = [size for size in sizes if size]
    parts = iter([given] if len(filled) == 1 else draft.split(given, axis, filled))
    for index, size in enumerate(sizes):
        part = next(parts) if size else draft.held(np.empty(static(draft.outputs[index]), numpy_type(draft.inputs[0])))
        if draft.wants(index):
            draft.same(part, index)
    return True


def _even(extent: int, pieces: int) -> list[int]:
    """Pieces of one size, but for the last."""
    size = -(-extent // pieces)
    return [min(size, extent - index * size) for index in range(pieces)]


def _slice(draft: Draft) -> bool:
    """Ranges of all axes within their bounds; where it goes backwards, a Gather of constant places."""
    shape = draft.shape()
    ranges = _ranges(draft, shape)
    if all(found == range(extent) for found, extent in zip(ranges, shape, strict=True)):
        return draft.same()
    given = draft.node.input[0]
    for axis, found in enumerate(ranges):
        if found.step < 0 and len(found) > 1:
            given = draft.op("Gather", given, np.array(found, np.int64), axis=axis)
            ranges[axis] = range(len(found))
    bounds = [[found.start, found.stop, axis, abs(found.step)] for axis, found in enumerate(ranges)]
    wanted = [np.array(numbers, np.int64) for numbers in zip(*bounds, strict=True)]
    draft.op("Slice", given, *wanted, named=draft.node.output[0])
    return True


def _ranges(draft: Draft, shape: Shape) -> list[range]:
    """Of each axis the places that are kept."""
    starts, ends = (draft.integers(index, name) or [] for index, name in ((1, "starts"), (2, "ends")))
    axes = draft.integers(3, "axes") or range(len(starts))
    steps = draft.integers(4, "steps") or [1] * len(starts)
    found = [range(extent) for extent in shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        places = range(shape[axis])[start:end:step]
        # Of one place and of none the end would be arbitrary.
        found[axis] = range(places.start, places.start + len(places)) if len(places) < 2 else places
    return found


def _gather(draft: Draft) -> bool:
    """Constant places are counted from the front, and a range of them is a Slice; computed ones are made positive."""
    axis, places = draft.axis(0), draft.value(1)
    if places is None:
        return _computed_places(draft, axis)
    places = np.where(places < 0, places + draft.shape()[axis], places)
    flat = [int(place) for place in places.reshape(-1)]
    if flat and flat == list(range(flat[0], flat[0] + len(flat))):
        piece = draft.slice(draft.node.input[0], axis, flat[0], flat[-1] + 1)
        draft.reshape(piece, static(draft.outputs[0]), draft.node.output[0])
        return True
    draft.op("Gather", draft.node.input[0], places, axis=axis, named=draft.node.output[0])
    return True


def _computed_places(draft: Draft, axis: int) -> bool:
    """Nothing where what is gathered are the places themselves, as with classes that are 0, 1, 2."""
    (given, places), table = draft.node.input, draft.value(0)
    if places not in draft.counts:
        return _counted_from_front(draft, axis, draft.shape()[axis])
    if table is not None and table.ndim == 1 and np.array_equal(table, np.arange(len(table))):
        draft.op("Cast", places, to=draft.inputs[0].dtype, named=draft.node.output[0])
    else:
        draft.op("Gather", given, places, axis=axis, named=draft.node.output[0])
    return True


def _counted_from_front(draft: Draft, axis: int, extent: int) -> bool:
    places, dtype = draft.node.input[1], numpy_type(draft.inputs[1])
    behind = draft.op("Add", places, np.array(extent, dtype))
    negative = draft.op("Less", places, np.array(0, dtype))
    counted = draft.op("Where", negative, behind, places)
    draft.op("Gather", draft.node.input[0], counted, axis=axis, named=draft.node.output[0])
    return True


def _pad(draft: Draft) -> bool:
    """Paddings of all axes; what is cut off is a Slice, what is repeated a Concat."""
    shape, given = draft.shape(), draft.node.input[0]
    before, behind = _paddings(draft, shape)
    cut = [(max(-first, 0), extent - max(-last, 0)) for first, last, extent in zip(before, behind, shape, strict=True)]
    before, behind = [max(number, 0) for number in before], [max(number, 0) for number in behind]
    for axis, (start, end) in enumerate(cut):
        if (start, end) != (0, shape[axis]):
            given = draft.slice(given, axis, start, end)
    if not any(before) and not any(behind):
        return draft.same(given)
    mode = draft.attribute("mode", "constant")
    if mode in ("edge", "wrap"):
        lengths = [end - start for start, end in cut]
        return draft.same(_repeated(draft, mode, given, lengths, before, behind))
    if mode == "reflect" and any(
        max(first, last) >= end - start for first, last, (start, end) in zip(before, behind, cut, strict=True)
    ):
        raise draft.refusal("it reflects more than there is", "pad by less than the extent")
    pads = np.array([*before, *behind], np.int64)
    stated = draft.constant(2, "constant_value") if draft.has(2) else draft.scalar(draft.attribute("value", 0.0))
    value = stated.reshape(())
    draft.op("Pad", given, pads, value, mode=mode, named=draft.node.output[0])
    return True


def _paddings(draft: Draft, shape: Shape) -> tuple[list[int], list[int]]:
    pads = draft.integers(1, "pads") or []
    axes = [axis % len(shape) for axis in draft.constant(3, "axes").tolist()] if draft.has(3) else range(len(shape))
    before, behind = [0] * len(shape), [0] * len(shape)
    for index, axis in enumerate(axes):
        before[axis], behind[axis] = pads[index], pads[index + len(axes)]
    return before, behind


def _repeated(draft: Draft, mode: str, given: str, lengths: list[int], before: list[int], behind: list[int]) -> str:
    """The values between copies of those at the edge, or of those at the other end."""
    for axis, (first, last) in enumerate(zip(before, behind, strict=True)):
        length = lengths[axis]
        if max(first, last) > length and mode == "wrap":
            raise draft.refusal("it wraps around more than once", "pad by less than the extent")
        ranges = [(length - first, length)] if mode == "wrap" else [(0, 1)] * first
        after = [(0, last)] if mode == "wrap" else [(length - 1, length)] * last
        parts = [draft.slice(given, axis, *bounds) for bounds in ranges if bounds[0] < bounds[1]]
        parts += [given, *(draft.slice(given, axis, *bounds) for bounds in after if bounds[0] < bounds[1])]
        if len(parts) > 1:
            given = draft.op("Concat", *parts, axis=axis)
    return given


def _depth_to_space(draft: Draft) -> bool:
    """CRD is DCR of channels in another order."""
    if draft.attribute("mode", "DCR") == "DCR":
        return False
    block, channels = draft.attribute("blocksize"), draft.shape()[1]
    order = np.arange(channels).reshape(-1, block * block).T.reshape(-1)
    moved = draft.op("Gather", draft.node.input[0], order, axis=1)
    draft.op("DepthToSpace", moved, blocksize=block, mode="DCR", named=draft.node.output[0])
    return True


def _trilu(draft: Draft) -> bool:
    shift = int(draft.constant(1, "k").reshape(())) if draft.has(1) else 0
    ones = np.ones(draft.shape()[-2:], bool)
    kept = np.triu(ones, shift) if draft.attribute("upper", 1) else np.tril(ones, shift)
    draft.op("Where", kept, draft.node.input[0], draft.scalar(0), named=draft.node.output[0])
    return True


def _one_hot(draft: Draft) -> bool:
    """Where places equal the numbers from 0 on; negative ones count from the end."""
    depth, values = int(draft.constant(1, "depth").reshape(())), draft.constant(2, "values")
    axis = int(draft.attribute("axis", -1))
    wanted, dtype = static(draft.outputs[0]), numpy_type(draft.inputs[0])
    axis += len(wanted) if axis < 0 else 0
    numbers = np.arange(depth, dtype=dtype).reshape([-1 if at == axis else 1 for at in range(len(wanted))])
    places = draft.reshape(draft.node.input[0], [1 if at == axis else size for at, size in enumerate(wanted)])
    hits = draft.op("Equal", places, numbers)
    if dtype.kind != "u":
        hits = draft.op("Or", hits, draft.op("Equal", places, (numbers - depth).astype(dtype)))
    draft.op("Where", hits, values[1], values[0], named=draft.node.output[0])
    return True


def _resize(draft: Draft) -> bool:
    """Upsample, and Resize before opset 11, took places as Resize does that is asymmetric and rounds down."""
    if draft.opset >= 11:
        return False
    scales = draft.value(1)
    if scales is None:
        scales = np.array(draft.attribute("scales"), np.float32)
    options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    mode = draft.attribute("mode", "nearest")
    draft.op("Resize", draft.node.input[0], "", scales, mode=mode, named=draft.node.output[0], **options)
    return True


def _constant_of(draft: Draft) -> bool:
    """EyeLike: of its input it asks the shape alone."""
    (rows, columns), dtype = draft.shape(), numpy_type(draft.outputs[0])
    eye = np.eye(rows, columns, k=int(draft.attribute("k", 0)), dtype=dtype)
    draft.op("Identity", eye, named=draft.node.output[0])
    return True


RULES: Rules = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "EyeLike": _constant_of,
    "Flatten": _reshape,
    "Gather": _gather,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _reshape,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _reshape,
    "Upsample": _resize,
}
