from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai.errors import BundleError, UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters.sources.onnx import read

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


def test_every_truncation_is_refused(tumours: Path, tmp_path: Path) -> None:
    whole = (tumours / "mlp.onnx").read_bytes()
    for size in range(0, len(whole), len(whole) // 40):
        (tmp_path / "cut.onnx").write_bytes(whole[:size])
        with pytest.raises(BundleError, match=r"cut\.onnx"):
            read(tmp_path / "cut.onnx")


def test_sequence_output_is_refused_with_the_way_out(tumours: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"output 'output_probability' is a sequence.*'zipmap': False"):
        read(tumours / "mlp.zipmap.onnx")


def test_input_of_another_type_is_named(make_model) -> None:
    path = make_model(
        [helper.make_node("Cast", ["tokens"], ["y"], to=FLOAT)],
        [("tokens", TensorProto.INT64, ["N", 4])],
        [("y", FLOAT, ["N", 4])],
    )
    with pytest.raises(UnsupportedModelError, match="input 'tokens' is int64; only float32"):
        read(path)


def test_text_output_is_named(make_model) -> None:
    path = make_model(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)],
        [("x", FLOAT, ["N"])],
        [("y", TensorProto.STRING, ["N"])],
    )
    with pytest.raises(UnsupportedModelError, match="output 'y' holds string"):
        read(path)


def test_old_opset_is_named(make_model) -> None:
    path = make_model([helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, [1])], [("y", FLOAT, [1])], opset=9)
    with pytest.raises(UnsupportedModelError, match="opset 9; at least 11"):
        read(path)


def test_data_outside_the_file_is_named(make_model, tmp_path: Path) -> None:
    path = make_model(
        [helper.make_node("Add", ["x", "bias"], ["y"])],
        [("x", FLOAT, [1000])],
        [("y", FLOAT, [1000])],
        {"bias": np.ones(1000, np.float32)},
    )
    onnx.save(onnx.load(path), tmp_path / "split.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(UnsupportedModelError, match="initializer 'bias' is in a file of its own"):
        read(tmp_path / "split.onnx")
