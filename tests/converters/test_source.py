from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai.errors import BundleError, UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters.runner import Runner
from edge_rai_converters.sources.onnx import checked, read

FLOAT = TensorProto.FLOAT


def test_inputs_and_outputs_are_read_with_free_axes(tumours: Path) -> None:
    source = read(tumours / "mlp.onnx")
    assert source.inputs == (TensorSpec("X", "float32", (None, 30)),)
    assert source.outputs[0] == TensorSpec("label", "int64", (None,))
    assert source.outputs[1] == TensorSpec("probabilities", "float32", (None, 2))


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07" * 40])
def test_file_that_is_no_model_is_one_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"broken\.onnx: not a"):
        read(tmp_path / "broken.onnx")


@pytest.mark.parametrize("opset", [9, 99])
def test_opset_that_cannot_be_run_is_one_sentence_with_one_that_can(tumours: Path, tmp_path: Path, opset: int) -> None:
    model = onnx.load(tumours / "mlp.onnx")
    next(entry for entry in model.opset_import if entry.domain == "").version = opset
    with pytest.raises(UnsupportedModelError, match=r"opset 17 \(skl2onnx: to_onnx\(model, X, target_opset=17\)\)$"):
        Runner(model.SerializeToString(), "m") if opset > 9 else checked(tmp_path, b"", model, "", "onnx")


def test_every_truncation_is_refused(tumours: Path, tmp_path: Path) -> None:
    whole = (tumours / "mlp.onnx").read_bytes()
    for size in range(0, len(whole), len(whole) // 40):
        (tmp_path / "cut.onnx").write_bytes(whole[:size])
        with pytest.raises(BundleError, match=r"cut\.onnx"):
            read(tmp_path / "cut.onnx")


def test_no_change_of_bytes_is_worse_than_one_sentence(tumours: Path, tmp_path: Path) -> None:
    whole = np.frombuffer((tumours / "mlp.onnx").read_bytes(), np.uint8)
    generator, path, messages = np.random.default_rng(0), tmp_path / "changed.onnx", []
    for _ in range(300):
        content = whole.copy()
        # The weights lie in the middle; what can be wrong, around them.
        places = generator.integers(-600, 600, generator.integers(1, 4))
        content[places] = generator.integers(0, 256, len(places))
        path.write_bytes(content.tobytes())
        try:
            read(path)
        except (BundleError, UnsupportedModelError) as error:
            messages.append(str(error))
    assert 100 < len(messages) < 300
    assert [message for message in messages if not message.startswith(f"{path}: ") or "\n" in message] == []


def test_output_that_is_no_tensor_is_an_object_without_shape(tumours: Path) -> None:
    label, probability = read(tumours / "mlp.zipmap.onnx").outputs
    assert label == TensorSpec("output_label", "int64", (None,))
    assert probability == TensorSpec("output_probability", "object", ())


def test_input_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("SequenceLength", ["many"], ["count"])],
        "graph",
        [helper.make_tensor_sequence_value_info("many", FLOAT, None)],
        [helper.make_tensor_value_info("count", TensorProto.INT64, [])],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match="input 'many' is a sequence; only tensors can be given"):
        read(tmp_path / "m.onnx")


@pytest.mark.parametrize("dtype", ["FLOAT16", "DOUBLE", "INT8", "INT64", "UINT64", "BOOL", "STRING"])
def test_every_type_that_data_can_hold_is_read(make_model, dtype: str) -> None:
    kind = TensorProto.DataType.Value(dtype)
    path = make_model([helper.make_node("Identity", ["x"], ["y"])], [("x", kind, ["N"])], [("y", kind, ["N"])])
    source = read(path)
    name = {"DOUBLE": "float64"}.get(dtype, dtype.lower())
    assert (source.inputs[0].dtype, source.outputs[0].dtype) == (name, name)


def test_type_that_no_data_can_hold_is_named(make_model) -> None:
    kind = TensorProto.BFLOAT16
    path = make_model([helper.make_node("Identity", ["x"], ["y"])], [("x", kind, ["N"])], [("y", kind, ["N"])])
    with pytest.raises(UnsupportedModelError, match="input 'x' holds bfloat16, which is not supported"):
        read(path)


@pytest.mark.parametrize("kind", ["input", "output"])
def test_type_that_onnx_does_not_know_is_numbered(make_model, kind: str) -> None:
    path = make_model([helper.make_node("Identity", ["x"], ["y"])], [("x", FLOAT, ["N"])], [("y", FLOAT, ["N"])])
    model = onnx.load(path)
    getattr(model.graph, kind)[0].type.tensor_type.elem_type = 47
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedModelError, match=f"{kind} '.' holds type 47, which is not supported"):
        read(path)


def test_old_opset_is_named(make_model) -> None:
    path = make_model([helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, [1])], [("y", FLOAT, [1])], opset=9)
    with pytest.raises(UnsupportedModelError, match="opset 9; at least 11"):
        read(path)
