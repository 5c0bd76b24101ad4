"""Which models answer row by row: found by changing one row and looking at the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai_converters import data
from edge_rai_converters.answered import answered
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


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.UINT8, TensorProto.BOOL, TensorProto.STRING])
@pytest.mark.parametrize("mixes", [False, True])
def test_rows_of_other_types_are_told_apart_as_well(make_model, tmp_path: Path, kind: int, mixes: bool) -> None:
    turned = [node("Slice", "x", "back", "start", "first", "back", "y")]
    used = {key: CONSTANTS[key] for key in ("back", "start", "first")} if mixes else {}
    path = make_model(turned if mixes else [node("Identity", "x", "y")], [("x", kind, ["N", 3])],
                      [("y", kind, ["N", 3])], used)  # fmt: skip
    values = np.random.default_rng(0).integers(0, 2, size=(64, 3))
    np.savez(tmp_path / "rows.npz", x=values.astype(str) if kind == TensorProto.STRING else values)
    source = onnx_source.read(path)
    dataset = data.load(tmp_path / "rows.npz", source.inputs)
    assert is_batched(source, Runner(source.data, "model"), dataset) is not mixes


def test_sequence_of_maps_counts_rows(tumours: Path) -> None:
    source = onnx_source.read(tumours / "forest.zipmap.onnx")
    dataset = data.load(tumours / "data.npz", source.inputs, "y")
    runner = Runner(source.data, "model")
    assert is_batched(source, runner, dataset)
    assert list(answered(runner, dataset.rows, np.arange(5), batched=True).outputs) == ["output_label"]


def test_dynamic_int8_is_not_batched(tumours: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(tumours / "mlp.onnx", tmp_path / "dynamic.onnx")
    source = onnx_source.read(tmp_path / "dynamic.onnx")
    dataset = data.load(tumours / "data.npz", source.inputs, "y")
    runner = Runner(source.data, "model")
    assert not rows_are_independent(runner, dataset.rows, batched=True)
    assert not is_batched(source, runner, dataset)
