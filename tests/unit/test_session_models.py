"""Models with a trait that this version does not take, and where their weights may be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai import BundleError, UnsupportedModelError, load
from support.models import FLOAT, save

FORMS = {
    "input 'f' has rank 9": ([("f", FLOAT, [1] * 9)], [("y", FLOAT, [1] * 9)], "Identity"),
    "output 'y' has elements of ONNX type 17": ([("d", FLOAT, [2])], [("y", TensorProto.FLOAT8E4M3FN, [2])], "Cast"),
}


@pytest.mark.parametrize("message", FORMS)
def test_unsupported_form_is_named(tmp_path: Path, message: str) -> None:
    inputs, outputs, kind = FORMS[message]
    attributes = {"to": outputs[0][1]} if kind == "Cast" else {}
    node = helper.make_node(kind, [inputs[0][0]], ["y"], **attributes)
    model = save(tmp_path / "m.onnx", [node], inputs, outputs, opset=19)
    with pytest.raises(UnsupportedModelError, match=message):
        load(model)


TENSOR = helper.make_tensor_type_proto(FLOAT, [2])
INPUTS = {
    "a sequence": (helper.make_sequence_type_proto(TENSOR), helper.make_node("SequenceAt", ["x", "i"], ["y"])),
    "an optional": (helper.make_optional_type_proto(TENSOR), helper.make_node("OptionalGetElement", ["x"], ["y"])),
    "a map": (
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, [])),
        helper.make_node("DictVectorizer", ["x"], ["y"], domain="ai.onnx.ml", int64_vocabulary=[1, 2]),
    ),
    "a sparse tensor": (
        helper.make_sparse_tensor_type_proto(FLOAT, [2, 2]),
        helper.make_node("SparseToDenseMatMul", ["x", "w"], ["y"], domain="com.microsoft"),
    ),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_input_that_is_no_dense_tensor_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    form, node = INPUTS[kind]
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_value_info("x", form)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [helper.make_tensor("i", TensorProto.INT64, [], [0]), helper.make_tensor("w", FLOAT, [2, 2], [1, 2, 3, 4])],
    )
    opsets = [("", 18), ("ai.onnx.ml", 3), ("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*opset) for opset in opsets], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match=f"input 'x' is {kind}"):
        load(tmp_path / "m.onnx")


def test_model_without_inputs_is_refused(tmp_path: Path) -> None:
    value = helper.make_tensor("v", FLOAT, [1], [1.0])
    model = save(tmp_path / "m.onnx", [helper.make_node("Constant", [], ["y"], value=value)], [], [("y", FLOAT, [1])])
    with pytest.raises(UnsupportedModelError, match="the model has 0 inputs"):
        load(model)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x08", bytes(100)])
def test_file_that_is_no_model_is_refused_by_name(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(BundleError, match="broken.onnx") as caught:
        load(tmp_path / "broken.onnx")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_unknown_operator_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Frobnicate", ["x"], ["y"], domain="com.example")
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, [1])],
        [helper.make_tensor_value_info("y", FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match="Frobnicate"):
        load(tmp_path / "m.onnx")


def test_weights_beside_the_model_are_found(tmp_path: Path) -> None:
    weights = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", FLOAT, ["N", 3])],
        [("y", FLOAT, ["N", 2])],
        {"w": weights},
    )
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").is_file()
    with load(path) as session:
        rows = np.ones((2, 3), np.float32)
        assert session.predict(rows).outputs["y"].tolist() == (rows @ weights).tolist()


def test_initializer_that_is_also_an_input_is_no_input(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [("x", FLOAT, ["N"]), ("w", FLOAT, [1])],
        [("y", FLOAT, ["N"])],
        {"w": np.array([2], np.float32)},
    )
    with load(path) as session:
        assert [spec.name for spec in session.inputs] == ["x"]
        assert session.predict(np.array([1], np.float32)).outputs["y"].tolist() == [3]


def test_a_file_that_is_no_tflite_model_is_refused_before_litert_sees_it(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3")
    with pytest.raises(UnsupportedModelError, match=r"model\.tflite: "):
        load(tmp_path / "model.tflite")
