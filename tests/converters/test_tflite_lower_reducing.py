"""Reductions, and what runs along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.lowering import lowered, node_model, operators, random

REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]
PLAIN = {"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"}


@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [None, [1], [-1, 0]])
def test_reduction_is_plain_and_has_its_axes(kind: str, keepdims: int, axes: list[int] | None) -> None:
    feed = {"x": np.abs(random(2, 3, 4)) + 0.1}
    more: dict[str, Any] = {} if axes is None else {"axes": np.array(axes)}
    result = lowered(node_model(f"Reduce{kind}", feed, opset=18, keepdims=keepdims, **more), feed)
    reductions = [node for node in result.graph.node if node.op_type.startswith("Reduce")]
    assert {node.op_type for node in reductions} <= PLAIN
    assert all(len(node.input) == 2 for node in reductions)


@pytest.mark.parametrize("kind", ["L2", "Sum"])
def test_no_axes_may_mean_no_reduction(kind: str) -> None:
    feed = {"x": random(2, 3)}
    more = {"axes": np.array([], np.int64), "noop_with_empty_axes": 1}
    result = lowered(node_model(f"Reduce{kind}", feed, opset=18, **more), feed)
    assert not any(name.startswith("Reduce") for name in operators(result))


def test_logarithm_of_a_sum_of_powers_does_not_overflow() -> None:
    feed = {"x": np.float32([[1000, 1001, -1000]])}
    lowered(node_model("ReduceLogSumExp", feed, opset=18, axes=np.array([1])), feed)


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
def test_equal_values_are_told_apart_by_their_place(operator: str, last: int) -> None:
    feed = {"x": np.float32([[1, 3, 3, 1], [2, 2, 2, 2]])}
    result = lowered(node_model(operator, feed, axis=-1, select_last_index=last), feed)
    assert operators(result) == [operator] if not last else ["Gather", operator, "Sub"]


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("operator", ["Hardmax", "LogSoftmax", "Softmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_what_runs_along_an_axis_does_in_every_opset(operator: str, axis: int, opset: int) -> None:
    feed = {"x": random(2, 3, 4)}
    result = lowered(node_model(operator, feed, opset=opset, axis=axis), feed)
    assert "Hardmax" not in operators(result)
