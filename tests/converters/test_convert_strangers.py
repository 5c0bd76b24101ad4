"""Models, data and endings as strangers have them: what once went wrong, and the sentence or the answer it gets now."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai import cli
from edge_rai.errors import EdgeRaiError, UnsupportedModelError
from edge_rai_converters import convert, sources
from edge_rai_converters.errors import AccuracyDropError, DataError
from edge_rai_converters.sources.exported import exporting
from support.children import run_python

Array = np.ndarray[Any, Any]
node = helper.make_node
ROWS = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)


def weights(*shape: int) -> Array:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32) / 3


def model(nodes: list[onnx.NodeProto], constants: dict[str, Array], *domains: str) -> onnx.ModelProto:
    """From "x" (N, 6) to "y" (N, 3)."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def perceptron(*names: str) -> tuple[list[onnx.NodeProto], dict[str, Array]]:
    """Layers whose answers have these names, the last one "y"."""
    first, second = names
    nodes = [node("Gemm", ["x", "a"], [first]), node("Relu", [first], ["r"]), node("Gemm", ["r", "b"], [second])]
    nodes += [node("Relu", [second], ["s"]), node("Gemm", ["s", "c"], ["y"])]
    return nodes, {"a": weights(6, 32), "b": weights(32, 32), "c": weights(32, 3)}


def test_classifier_that_imports_its_operators_twice_is_quantized(tmp_path: Path) -> None:
    """As skl2onnx exports a logistic regression."""
    classifier = node(
        "LinearClassifier",
        ["x"],
        ["label", "y"],
        domain="ai.onnx.ml",
        classlabels_ints=[0, 1, 2],
        coefficients=weights(3, 6).reshape(-1),
        intercepts=weights(3),
        multi_class=1,
        post_transform="SOFTMAX",
    )
    exported = model([classifier], {}, "ai.onnx.ml")
    exported.opset_import.append(helper.make_opsetid("", 17))
    source = sources.read(exported)
    assert [entry.domain for entry in source.proto.opset_import] == ["", "ai.onnx.ml"]
    wish = {"quantize": "int8", "prune": "none", "max_drop": 10.0, "reproducible": True}
    assert convert(exported, ROWS, tmp_path / "m", **wish).choice.recipe == "int8"  # type: ignore[arg-type]


def test_layers_that_are_counted_as_torch_does_are_pruned(tmp_path: Path) -> None:
    nodes, constants = perceptron("linear", "linear_1")
    wish = {"prune": 0.5, "quantize": "none", "max_drop": 100.0, "reproducible": True}
    report = convert(model(nodes, constants), ROWS, tmp_path / "m", **wish)  # type: ignore[arg-type]
    assert report.choice.recipe == "pruned"


def test_branches_are_quantized_behind_what_they_read(tmp_path: Path) -> None:
    made = [helper.make_tensor_value_info("b", TensorProto.FLOAT, ["N", 3])]
    branches = [
        helper.make_graph([node("Gemm", ["r", f"w{place}"], ["b"])], "g", [], made, [
            numpy_helper.from_array(weights(32, 3) * sign, f"w{place}")
        ])
        for place, sign in enumerate((1, -1))
    ]  # fmt: skip
    nodes = [node("Gemm", ["x", "a"], ["h"]), node("Relu", ["h"], ["r"]), node("ReduceMean", ["x"], ["m"], keepdims=0)]
    nodes.append(node("Greater", ["m", "zero"], ["c"]))
    nodes.append(node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]))
    network = model(nodes, {"a": weights(6, 32), "zero": np.float32(0)})
    wish = {"quantize": "int8-dynamic", "prune": "none", "max_drop": 10.0, "reproducible": True}
    assert convert(network, ROWS, tmp_path / "m", **wish).choice.recipe == "int8-dynamic"  # type: ignore[arg-type]


def test_operator_that_no_runtime_has_is_named(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "a"], ["h"]), node("Fancy", ["h"], ["y"], domain="com.acme")]
    with pytest.raises(UnsupportedModelError, match="cannot open it: it has no operator com.acme:Fancy; .* mend the"):
        convert(model(nodes, {"a": weights(6, 3)}, "com.acme"), ROWS, tmp_path / "m")


def test_reasons_for_what_cannot_be_made_are_sentences_of_ours(tmp_path: Path) -> None:
    nodes, constants = perceptron("h", "i")
    network = model(nodes, {name: values * np.float32(1e15) for name, values in constants.items()})
    with pytest.raises(AccuracyDropError) as refused:
        convert(network, ROWS, tmp_path / "m", quantize="fp16", prune="none", reproducible=True)
    assert "ONNXRuntimeError" not in str(refused.value)
    assert "its weights exceed 65,504" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "code", "match"),
    [
        ({"labels": np.arange(80) % 4}, 1, "labels run from 0 to 3, .* number them as the model does"),
        ({"labels": np.arange(80) % 3 + 1}, 1, "subtract 1 from each"),
        ({"seed": -1}, 2, "seed is -1; expected a whole number from 0 on"),
    ],
)
def test_what_does_not_fit_ends_with_the_code_of_its_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], code: int, match: str
) -> None:
    nodes, constants = perceptron("h", "i")
    onnx.save(model(nodes, constants), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=ROWS, y=change.pop("labels", np.arange(80) % 3))
    options = [text for key, value in change.items() for text in (f"--{key}", str(value))]
    arguments = [tmp_path / "m.onnx", "--data", tmp_path / "d.npz", "--labels", "y", "-o", tmp_path / "m.erai"]
    assert cli.main(["convert", *map(str, arguments), "--reproducible", *options]) == code
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("edge-rai: ")
    with pytest.raises(EdgeRaiError, match=match):
        raise EdgeRaiError(said)
    assert not (tmp_path / "m.erai").exists()


def test_label_column_that_is_not_there_is_what_is_complained_of(tmp_path: Path) -> None:
    lines = ["a,b,c,d,e,f,kind", *(",".join(map(str, [*row, 1])) for row in ROWS)]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    nodes, constants = perceptron("h", "i")
    with pytest.raises(DataError, match="labels 'kinds' are neither a file nor in .*; it has 'a', .* 'kind'"):
        convert(model(nodes, constants), tmp_path / "d.csv", tmp_path / "m", labels="kinds")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "the file is empty; copy it"),
        (b"\x08\x09\x12\xff\xff", "cut short or damaged; copy it or export it again"),
    ],
)
def test_damaged_model_is_told_with_what_to_do(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(EdgeRaiError, match=match):
        sources.read(tmp_path / "m.onnx")


def test_name_of_a_column_that_cannot_be_printed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a\0,b\n" + "1,2\n" * 40)
    nodes, constants = perceptron("h", "i")
    with pytest.raises(DataError, match=r"d\.csv: the column 'a\\x00' has a name that cannot be printed"):
        convert(model(nodes, constants), tmp_path / "d.csv", tmp_path / "m")


def test_exporters_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with exporting("model", "library"):
        sys.stdout.write("by Python\n")
        sys.stderr.write("a graph\n")
        os.write(1, b"by C++\n")
    sys.stdout.write("a report\n")
    with (
        pytest.raises(UnsupportedModelError, match="^model: library cannot export it to ONNX: what it came of$"),
        exporting("model", "library"),
    ):
        raise RuntimeError("advice") from ValueError("what it came of")
    assert capfd.readouterr() == ("a report\n", "")


ENDED = """
import os, signal, tempfile
from edge_rai_converters.cli.report import Stages
with Stages("convert"), tempfile.TemporaryDirectory() as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signal_to_end_leaves_no_temporary_files() -> None:
    child = run_python(ENDED)
    assert child.returncode == 128 + signal.SIGTERM
    assert child.stderr == ""
    assert not Path(child.stdout.strip()).exists()


def test_full_disk_is_a_sentence_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    nodes, constants = perceptron("h", "i")
    onnx.save(model(nodes, constants), tmp_path / "m.onnx")
    np.save(tmp_path / "d.npy", ROWS)
    arguments = [tmp_path / "m.onnx", "--data", tmp_path / "d.npy", "-o", tmp_path / "m.erai"]
    assert cli.main(["convert", *map(str, arguments)]) == 4
    assert "edge-rai: a disk: No space left on device; free some, or write" in capsys.readouterr().err
    assert not (tmp_path / "m.erai").exists()
