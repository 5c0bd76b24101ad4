"""A classifier's list of dicts as a matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge_rai.types import TensorSpec
from edge_rai_converters import sources
from edge_rai_converters.passes.contract import Material, NotApplicableError, apply
from edge_rai_converters.passes.zipmap import without_zipmap

FLOAT = TensorProto.FLOAT
ROWS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def run(model: onnx.ModelProto, rows: np.ndarray, name: str = "X"):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {name: rows}
    )


def changed(model: onnx.ModelProto, rows: np.ndarray, name: str = "X") -> onnx.ModelProto:
    return apply([without_zipmap()], model, Material(lambda: iter([{name: rows}]), len(rows), batched=True))


@pytest.mark.parametrize("kind", ["mlp", "forest"])
def test_list_of_dicts_becomes_a_matrix_of_the_same_name(tumours: Path, kind: str) -> None:
    rows = np.load(tumours / "data.npz")["X"][:20]
    model = onnx.load(tumours / f"{kind}.zipmap.onnx")
    result = changed(model, rows)
    label, maps = run(model, rows)
    same_label, matrix = run(result, rows)
    assert same_label.tolist() == label.tolist()
    assert [dict(enumerate(row)) for row in matrix.tolist()] == maps
    assert sources.read(result).outputs[1] == TensorSpec("output_probability", "float32", (None, 2))


def classified(attributes: dict[str, list[object]]) -> onnx.ModelProto:
    node = helper.make_node("ZipMap", ["X"], ["maps"], domain="ai.onnx.ml", **attributes)
    key = TensorProto.STRING if "classlabels_strings" in attributes else TensorProto.INT64
    value = helper.make_tensor_type_proto(FLOAT, [])
    maps = onnx.ValueInfoProto(name="maps")
    maps.type.CopyFrom(helper.make_sequence_type_proto(helper.make_map_type_proto(key, value)))
    graph = helper.make_graph([node], "graph", [helper.make_tensor_value_info("X", FLOAT, ["rows", 3])], [maps])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 1)], ir_version=8)


@pytest.mark.parametrize(
    "attributes",
    [{"classlabels_strings": ["c", "a", "b"]}, {"classlabels_int64s": [7, -3, 5]}],
    ids=["words", "numbers"],
)
def test_columns_keep_the_order_of_the_classes(attributes: dict[str, list[object]]) -> None:
    model = classified(attributes)
    (maps,) = run(model, ROWS)
    (matrix,) = run(changed(model, ROWS), ROWS)
    (classes,) = attributes.values()
    assert [dict(zip(classes, row, strict=True)) for row in matrix.tolist()] == maps
    assert list(maps[0]) != classes  # the maps are sorted, the columns are not


def test_model_without_a_zipmap_is_left_alone(tumours: Path) -> None:
    rows = np.load(tumours / "data.npz")["X"][:20]
    with pytest.raises(NotApplicableError, match="none of its outputs comes of a ZipMap"):
        changed(onnx.load(tumours / "mlp.onnx"), rows)


def test_maps_that_are_no_answer_are_left_alone(tumours: Path) -> None:
    rows = np.load(tumours / "data.npz")["X"][:20]
    model = onnx.load(tumours / "mlp.zipmap.onnx")
    del model.graph.output[1]
    with pytest.raises(NotApplicableError, match="the maps 'output_probability' are used within it"):
        changed(model, rows)
