"""Reductions with their axes as a constant input, counted from the front; norms and logarithms in plain reductions."""

from __future__ import annotations

import numpy as np

from edge_rai_converters.targets.tflite.lower.draft import Draft, Rules

_PLAIN = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")


def _axes(draft: Draft) -> list[int]:
    rank = len(draft.shape())
    given = draft.integers(1, "axes")
    if not given:
        return [] if draft.attribute("noop_with_empty_axes", 0) else list(range(rank))
    return sorted({axis + rank if axis < 0 else axis for axis in given})


def _reduced(draft: Draft, operator: str, values: str, named: str = "") -> str:
    """As the node says, over the axes and with the shape that it says."""
    axes = _axes(draft)
    if not axes:
        return draft.op("Identity", values, named=named)
    return draft.reduce(operator, values, axes, keep=bool(draft.attribute("keepdims", 1)), named=named)


def _plain(draft: Draft) -> bool:
    _reduced(draft, draft.node.op_type, draft.node.input[0], draft.node.output[0])
    return True


def _of_squares(draft: Draft) -> bool:
    given, made = draft.node.input[0], draft.node.output[0]
    _reduced(draft, "ReduceSum", draft.op("Mul", given, given), made)
    return True


def _l1(draft: Draft) -> bool:
    _reduced(draft, "ReduceSum", draft.op("Abs", draft.node.input[0]), draft.node.output[0])
    return True


def _l2(draft: Draft) -> bool:
    given = draft.node.input[0]
    draft.op("Sqrt", _reduced(draft, "ReduceSum", draft.op("Mul", given, given)), named=draft.node.output[0])
    return True


def _log_sum(draft: Draft) -> bool:
    draft.op("Log", _reduced(draft, "ReduceSum", draft.node.input[0]), named=draft.node.output[0])
    return True


def _log_sum_exp(draft: Draft) -> bool:
    """With the greatest value taken out, which keeps exp in range."""
    axes, given = _axes(draft), draft.node.input[0]
    if not axes:
        return draft.same()
    greatest = draft.reduce("ReduceMax", given, axes)
    powers = draft.op("Exp", draft.op("Sub", given, greatest))
    total = draft.op("Add", draft.op("Log", draft.reduce("ReduceSum", powers, axes)), greatest)
    wanted = [
        1 if axis in axes else extent
        for axis, extent in enumerate(draft.shape())
        if axis not in axes or draft.attribute("keepdims", 1)
    ]
    draft.reshape(total, wanted, draft.node.output[0])
    return True


def _softmax(draft: Draft) -> bool:
    """Along the last axis; before opset 13 over all axes from the given one on."""
    shape, given, made = draft.shape(), draft.node.input[0], draft.node.output[0]
    axis = draft.axis(-1 if draft.opset >= 13 else 1)
    operator, last = draft.node.op_type, len(shape) - 1
    if axis == last or not shape:
        draft.op(operator, given, axis=-1, named=made)
    elif draft.opset < 13:
        flat = draft.reshape(given, [*shape[:axis], int(np.prod(shape[axis:]))])
        draft.reshape(draft.op(operator, flat, axis=-1), shape, made)
    else:
        draft.op(operator, given, axis=axis, named=made)
    return True


def _argument(draft: Draft) -> bool:
    """ArgMax and ArgMin take the first of equal values; the last one is the first from the other end."""
    axis, keep, given = draft.axis(0), int(draft.attribute("keepdims", 1)), draft.node.input[0]
    operator, made, extent = draft.node.op_type, draft.node.output[0], draft.shape()[axis]
    if not draft.attribute("select_last_index", 0):
        draft.op(operator, given, axis=axis, keepdims=keep, named=made)
        return True
    turned = draft.op("Gather", given, np.arange(extent)[::-1], axis=axis)
    place = draft.op(operator, turned, axis=axis, keepdims=keep)
    draft.op("Sub", np.array(extent - 1, np.int64), place, named=made)
    return True


def _hard_max(draft: Draft) -> bool:
    """One where the greatest value is, the first of equal ones."""
    axis = draft.axis(-1 if draft.opset >= 13 else 1)
    shape = draft.shape()
    flat = shape if draft.opset >= 13 else (*shape[:axis], int(np.prod(shape[axis:])))
    given = draft.reshape(draft.node.input[0], flat)
    place = draft.op("ArgMax", given, axis=axis, keepdims=1)
    numbers = np.arange(flat[axis], dtype=np.int64).reshape([-1 if at == axis else 1 for at in range(len(flat))])
    hits = draft.op("Cast", draft.op("Equal", place, numbers), to=draft.inputs[0].dtype)
    draft.reshape(hits, shape, draft.node.output[0])
    return True


RULES: Rules = {
    **dict.fromkeys(_PLAIN, _plain),
    "ArgMax": _argument,
    "ArgMin": _argument,
    "Hardmax": _hard_max,
    "LogSoftmax": _softmax,
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": _of_squares,
    "Softmax": _softmax,
}
