"""Which models answer row by row: found by changing one row and looking at the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai_converters import data
from edge_rai_converters.runner import Runner, is_batched, rows_are_independent
from edge_rai_converters.sources import onnx as onnx_source

FLOAT = TensorProto.FLOAT


def node(operator: str, *names: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, names[:-1], names[-1:], **attributes)


CONSTANTS = {
    "axis": np.array(0),
    "first": np.array([0]),
    "back": np.array([-1]),
    "start": np.array([-(2**31)]),
    "pads": np.array([1, 0, 0, 0]),
    "limit": np.array(50, np.float32),
}
MIXING = {
    "sum of all before": [node("CumSum", "x", "axis", "y")],
    "sum of all after": [node("CumSum", "x", "axis", "y", reverse=1)],
    "row before": [
        node("Pad", "x", "pads", "padded"),
        node("Slice", "padded", "first", "back", "first", "before"),
        node("Sub", "x", "before", "y"),
    ],
    "rows turned round": [node("Slice", "x", "back", "start", "first", "back", "y")],
    "share of the greatest": [node("ReduceMax", "x", "most", axes=[0], keepdims=1), node("Sub", "x", "most", "y")],
    "only a huge one tells": [
        node("ReduceMax", "x", "most", axes=[0], keepdims=1),
        node("Max", "most", "limit", "threshold"),
        node("Sub", "x", "threshold", "y"),
    ],
}
APART = {
    "one row at a time": [node("Tanh", "x", "y")],
    "over the columns": [node("Softmax", "x", "y", axis=1)],
}


@pytest.mark.parametrize("name", [*MIXING, *APART])
def test_rows_are_independent_only_when_no_row_moves_another(make_model, tmp_path: Path, name: str) -> None:
    nodes = {**MIXING, **APART}[name]
    used = {given for one in nodes for given in one.input}
    constants = {key: value for key, value in CONSTANTS.items() if key in used}
    path = make_model(nodes, [("x", FLOAT, ["N", 3])], [("y", FLOAT, ["N", 3])], constants)
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).uniform(-1, 1, size=(64, 3)))
    source = onnx_source.read(path)
    dataset = data.load(tmp_path / "rows.npy", source.inputs)
    runner = Runner(source.data, "model")
    assert rows_are_independent(runner, dataset.rows, batched=True) is (name in APART)
    assert is_batched(source, runner, dataset) is (name in APART)
