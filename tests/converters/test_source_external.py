"""Models whose weights are in files beside them: taken in when they are there, and nothing else is ever opened."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai.errors import BundleError, UnsupportedModelError
from edge_rai_converters import sources
from edge_rai_converters.sources import external

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def model() -> onnx.ModelProto:
    """x + bias, if x is positive in sum, else x + other; the second lies in an attribute of a subgraph."""
    branches = {}
    for name, nodes in {
        "then_branch": [helper.make_node("Add", ["x", "bias"], ["a"])],
        "else_branch": [
            helper.make_node("Constant", [], ["other"], value=numpy_helper.from_array(np.full(3, 7, np.float32), "o")),
            helper.make_node("Add", ["x", "other"], ["a"]),
        ],
    }.items():
        branches[name] = helper.make_graph(nodes, name, [], [helper.make_tensor_value_info("a", 1, ["N", 3])])
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["positive"]),
            helper.make_node("If", ["positive"], ["y"], **branches),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [
            numpy_helper.from_array(np.array([1, 2, 3], np.float32), "bias"),
            numpy_helper.from_array(np.zeros((), np.float32), "zero"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """The model in a folder of its own, its tensors in files named after them."""
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save(
        model(),
        folder / "split.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=False,
        size_threshold=0,
        convert_attribute=True,
    )
    (tmp_path / "secret").write_bytes(bytes(12))
    return folder / "split.onnx"


def moved(path: Path, **entries: str | None) -> Path:
    """The file with the place of its bias changed; None leaves an entry out."""
    proto = onnx.load(path, load_external_data=False)
    bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "bias")
    known = {entry.key: entry.value for entry in bias.external_data} | entries
    del bias.external_data[:]
    for key, value in known.items():
        if value is not None:
            bias.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())
    return path


def test_model_is_whole_and_answers_as_before(split: Path) -> None:
    assert sorted(file.name for file in split.parent.iterdir()) == ["bias", "o", "split.onnx", "zero"]
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in split.parent.iterdir()}
    source = sources.read(split)
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in split.parent.iterdir()} == before
    session = onnxruntime.InferenceSession(source.data, providers=["CPUExecutionProvider"])
    for rows, added in ((ROWS, [1, 2, 3]), (-ROWS, [7, 7, 7])):
        assert session.run(None, {"x": rows})[0].tolist() == (rows + np.array(added, np.float32)).tolist()
    assert onnx.load_model_from_string(source.data) == source.proto
    whole = b"".join((split.parent / name).read_bytes() for name in ("split.onnx", "bias", "o", "zero"))
    assert source.sha256 == hashlib.sha256(whole).hexdigest()
    assert sources.read(split).data == source.data


def test_place_without_a_length_reaches_to_the_end_of_the_file(split: Path) -> None:
    (split.parent / "bias").write_bytes(bytes(8) + np.array([4, 5, 6], np.float32).tobytes())
    source = sources.read(moved(split, offset="8", length=None))
    assert numpy_helper.to_array(source.proto.graph.initializer[0]).tolist() == [4, 5, 6]


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "x/../../secret", "link"])
def test_place_outside_the_folder_is_refused(split: Path, location: str) -> None:
    (split.parent / "x").mkdir()
    (split.parent / "link").symlink_to(split.parent.parent / "secret")
    with pytest.raises(BundleError, match=r"split\.onnx: the data of tensor 'bias' .* outside the model's folder; put"):
        sources.read(moved(split, location=location))


@pytest.mark.parametrize("location", [None, "", ".", "missing", "pipe", "bias/x", "\0", "x" * 5000])
def test_place_that_is_no_file_is_refused(split: Path, location: str | None) -> None:
    os.mkfifo(split.parent / "pipe")
    with pytest.raises(BundleError, match=r"split\.onnx: the data of tensor 'bias' is to be in .*, which is no "):
        sources.read(moved(split, location=location))


def test_place_that_is_no_text_is_refused(split: Path) -> None:
    changed = split.read_bytes().replace(b"location\x12\x04bias", b"location\x12\x04bi\xffs")
    assert changed != split.read_bytes()
    split.write_bytes(changed)
    with pytest.raises(BundleError, match=r"split\.onnx: the data of tensor 'bias' is to be in .*, which is no file"):
        sources.read(split)


@pytest.mark.parametrize(
    "entries",
    [{"offset": "4"}, {"length": "13"}, {"offset": "-4"}, {"length": "-1"}, {"offset": "9" * 30}, {"offset": "a"}],
)
def test_place_beyond_the_file_is_refused(split: Path, entries: dict[str, str]) -> None:
    with pytest.raises(BundleError, match=r"split\.onnx: the data of tensor 'bias'"):
        sources.read(moved(split, **entries))


@pytest.mark.parametrize("length", ["8", "0"])
def test_data_of_another_size_than_the_tensor_is_refused(split: Path, length: str) -> None:
    with pytest.raises(BundleError, match=r"split\.onnx: "):
        sources.read(moved(split, length=length))


def test_more_than_one_file_can_hold_is_refused_before_it_is_read(split: Path) -> None:
    with (split.parent / "bias").open("r+b") as stream:
        stream.truncate(external.MAX_BYTES)  # holes, which take no room
    with pytest.raises(UnsupportedModelError, match=r"with its weights the model has 2,147,48.* less than 2 GiB"):
        sources.read(moved(split, length=str(external.MAX_BYTES)))


def test_file_of_more_than_two_gibibytes_is_no_model(tmp_path: Path) -> None:
    with (tmp_path / "large.onnx").open("wb") as stream:
        stream.truncate(external.MAX_BYTES + 1)
    with pytest.raises(BundleError, match=r"large\.onnx: not an ONNX model: it has 2 GiB or more"):
        sources.read(tmp_path / "large.onnx")
