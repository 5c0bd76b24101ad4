"""Which models are read, and what is said of the others."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LinearRegression

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters import convert, sources
from edge_rai_converters.errors import MissingExtraError

KNOWN = ".onnx files, .keras files, .json and .ubj files of XGBoost, .txt files of LightGBM, and objects of"


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib", ".pt", ".PTH"])
def test_file_that_runs_code_when_it_is_opened_is_not_opened(tmp_path: Path, suffix: str) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.write_text, (tmp_path / "ran", "it did"))

    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Runs()))
    with pytest.raises(
        UnsupportedModelError, match=rf"model{suffix}: opening a {suffix.lower()} file runs code .* pass"
    ):
        sources.read(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["model.h5", "model.mlmodel", "model.pb", "saved_model", "model.onnx.zip"])
def test_file_of_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    with pytest.raises(UnsupportedModelError, match=f"{name}: not a known kind of model; known are {KNOWN}"):
        sources.read(str(tmp_path / name))


@pytest.mark.parametrize("thing", [3, None, np.zeros(3), Path, lambda rows: rows])
def test_object_of_an_unknown_kind_is_refused_with_the_known_ones(thing: object) -> None:
    with pytest.raises(UnsupportedModelError, match=f"is no known model; known are {KNOWN}"):
        sources.read(thing)


def test_class_in_the_place_of_an_object_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"LinearRegression: a class is .*: make an object of it, and fit that"
    ):
        convert(LinearRegression, np.zeros((40, 2)), tmp_path / "m.erai")


def test_model_in_memory_is_read_as_its_file_is(tumours: Path) -> None:
    path = tumours / "mlp.onnx"
    from_file, from_memory = sources.read(path), sources.read(onnx.load(path), name="in memory")
    assert from_file.data == path.read_bytes()
    assert (from_file.kind, from_memory.kind) == ("onnx", "onnx")
    assert (from_memory.inputs, from_memory.outputs) == (from_file.inputs, from_file.outputs)
    assert from_memory.path.name == "in memory"


def test_file_is_never_written(tumours: Path) -> None:
    path = tumours / "forest.zipmap.onnx"
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    source = sources.read(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert any(node.op_type == "ZipMap" for node in source.proto.graph.node)


@pytest.mark.parametrize(
    ("suffix", "package", "wanted"),
    [
        (".json", "xgboost", "xgboost>=2"),
        (".ubj", "xgboost", "xgboost>=2"),
        (".txt", "lightgbm", "lightgbm>=4"),
        (".keras", "keras", "keras>=3.8"),
    ],
)
def test_missing_package_is_one_sentence_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, package: str, wanted: str
) -> None:
    without(monkeypatch, package)
    (tmp_path / f"model{suffix}").write_bytes(b"tree\n")
    with pytest.raises(MissingExtraError) as missing:
        sources.read(tmp_path / f"model{suffix}")
    assert str(missing.value) == (
        f"this model needs {package}, which cannot be imported (no {package} here): pip install '{wanted}'"
    )


def test_tflite_model_is_the_end_of_a_conversion_and_not_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "m.TFLITE").write_bytes(b"\x1c\0\0\0TFL3")
    with pytest.raises(UnsupportedModelError, match="give the model that it was made from"):
        sources.read(tmp_path / "m.TFLITE")


def test_estimator_without_skl2onnx_is_one_sentence_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(np.eye(3), np.ones(3))
    without(monkeypatch, "skl2onnx")
    with pytest.raises(MissingExtraError, match=r"needs skl2onnx, .*: pip install 'skl2onnx>=1.20'$"):
        sources.read(model)


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Makes a package one that is not installed."""
    monkeypatch.setattr(sys, "meta_path", [Absent(package), *sys.meta_path])
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)


class Absent:
    """A finder that says of one package that it is not there."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"no {self.package} here", name=name)


def test_trees_are_neither_quantized_nor_pruned_and_networks_are(tumours: Path) -> None:
    forest, network = (sources.read(tumours / f"{name}.onnx").proto for name in ("forest", "mlp"))
    assert (sources.kind_of_trees(forest), sources.kind_of_trees(network)) == (True, False)
    assert sources.refusal(network) == ""
    assert sources.refusal(forest) == (
        "the model is an ensemble of trees (TreeEnsembleClassifier), which has thresholds and no weights: nothing in "
        "it can be quantized or pruned, and it is kept as it is"
    )


def test_trees_in_a_branch_are_found(tumours: Path) -> None:
    forest = sources.read(tumours / "forest.onnx").proto
    branch = helper.make_graph(forest.graph.node, "branch", [], forest.graph.output)
    node = helper.make_node("If", ["which"], ["label", "probabilities"], then_branch=branch, else_branch=branch)
    which = helper.make_tensor_value_info("which", TensorProto.BOOL, [])
    graph = helper.make_graph([node], "graph", [*forest.graph.input, which], forest.graph.output)
    assert sources.kind_of_trees(helper.make_model(graph))
