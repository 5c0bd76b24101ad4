"""The models of a bundle: weights in other files, a fallback model, golden strings, a required provider."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai import BundleError, IntegrityError, Source, UnsupportedModelError, Verdict, bundle, load
from edge_rai.errors import ProviderError
from edge_rai.policy import Decision, FallbackRule, InputRule, OutputRule, Policy, compile_policy
from support.bundles import Tree, read_tree, seal, write_bundle, write_tree
from support.models import FLOAT, Value, save, save_linear

ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)
LINEAR = Policy(1, True, (InputRule("x", "float32", (-1, 3), (64, 3)),), (OutputRule("y", "float32", (-1, 2)),))


# ---- Weights in other files ----


def external_tree(tmp_path: Path) -> Tree:
    """A bundle of the linear model with its weights in models/weights.bin."""
    tree = read_tree(write_bundle(tmp_path / "b.erai", save_linear(tmp_path / "m.onnx"), LINEAR, {"x": ROWS}))
    model = onnx.load(tmp_path / "m.onnx")
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    files = {"models/model.onnx": tmp_path / "e.onnx", "models/weights.bin": tmp_path / "weights.bin"}
    return {**tree, **{name: path.read_bytes() for name, path in files.items()}}


@pytest.mark.parametrize("name", ["external.erai", "external"])
def test_weights_in_another_file_of_the_bundle_are_found(tmp_path: Path, name: str) -> None:
    tree = external_tree(tmp_path)
    with load(write_tree(tmp_path / name, seal(tree))) as session:
        assert session.predict(ROWS).source is Source.PRIMARY


def test_weights_are_not_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = external_tree(tmp_path)
    del tree["models/weights.bin"]
    monkeypatch.chdir(tmp_path)
    assert Path("weights.bin").is_file()
    with pytest.raises(UnsupportedModelError, match=r"weights\.bin"):
        load(write_tree(tmp_path / "external.erai", seal(tree)))


def test_weights_of_a_subgraph_are_not_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def branch(node: onnx.NodeProto, weights: Sequence[onnx.TensorProto]) -> onnx.GraphProto:
        given = helper.make_tensor_value_info(node.output[0], FLOAT, ["N", 3])
        return helper.make_graph([node], "branch", [], [given], weights)

    weight = helper.make_tensor("w", FLOAT, [3], [1.0, 2.0, 3.0])
    added = branch(helper.make_node("Add", ["x", "w"], ["y1"]), [weight])
    plain = branch(helper.make_node("Identity", ["x"], ["y2"]), [])
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("IsNaN", ["most"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=added, else_branch=plain),
    ]
    policy = Policy(1, True, LINEAR.inputs, (OutputRule("y", "float32", (-1, 3)),))
    model = save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 3])], [("y", FLOAT, ["N", 3])])
    tree = read_tree(write_bundle(tmp_path / "b.erai", model, policy, {"x": ROWS}))
    proto = onnx.load(model)
    moved = next(given for given in proto.graph.node[2].attribute if given.name == "then_branch").g.initializer[0]
    (tmp_path / "w.bin").write_bytes(np.array([1, 2, 3], np.float32).tobytes())
    moved.ClearField("float_data")
    moved.data_location = TensorProto.EXTERNAL
    moved.external_data.add(key="location", value="w.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsupportedModelError, match="models/model.onnx"):
        load(write_tree(tmp_path / "s.erai", seal({**tree, "models/model.onnx": proto.SerializeToString()})))


def test_model_with_weights_at_an_address_is_refused(tmp_path: Path) -> None:
    proto = onnx.load(save_linear(tmp_path / "m.onnx"))
    weights = proto.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*")
    weights.external_data.add(key="offset", value="4096")
    weights.external_data.add(key="length", value="24")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(UnsupportedModelError, match="from addresses in memory"):
        load(tmp_path / "m.onnx")


# ---- The fallback model ----

QUOTIENT = Policy(
    1,
    True,
    (InputRule("a", "float32", (-1,), (64,)), InputRule("b", "float32", (-1,), (64,))),
    (OutputRule("y", "float32", (-1,)),),
    fallback=(FallbackRule(("model", "reject")),),
)


def with_fallback(
    tmp_path: Path, inputs: Sequence[Value], outputs: Sequence[Value], *nodes: onnx.NodeProto, count: int = 1
) -> Path:
    """A bundle that answers a / b, and otherwise what `nodes` say."""
    pair = [("a", FLOAT, ["N"]), ("b", FLOAT, ["N"])]
    model = save(tmp_path / "m.onnx", [helper.make_node("Div", ["a", "b"], ["y"])], pair, [("y", FLOAT, ["N"])])
    one = np.ones(2, np.float32)
    tree = read_tree(write_bundle(tmp_path / "b.erai", model, QUOTIENT, {"a": one, "b": one}))
    tree["models/simple.onnx"] = save(tmp_path / "f.onnx", nodes, inputs, outputs).read_bytes()
    models: list[dict[str, Any]] = json.loads(tree["manifest.json"])["models"]
    models += [{**models[0], "role": "fallback", "path": "models/simple.onnx"} for _ in range(count)]
    return write_tree(tmp_path / "f.erai", seal(tree, models=models))


SUM = helper.make_node("Add", ["a", "b"], ["y"])
A, B, Y = ("a", FLOAT, ["N"]), ("b", FLOAT, ["N"]), ("y", FLOAT, ["N"])


def test_fallback_model_answers_the_rows_that_the_primary_must_not(tmp_path: Path) -> None:
    with load(with_fallback(tmp_path, [B, A], [Y], SUM)) as session:  # its inputs in another order
        answer = session.predict({"a": np.array([6, 3, 8], np.float32), "b": np.array([2, 0, 4], np.float32)})
    assert answer.outputs["y"].tolist() == [3, 3, 2]
    assert answer.row_sources.tolist() == [Source.PRIMARY, Source.FALLBACK_MODEL, Source.PRIMARY]
    assert answer.row_verdicts.tolist() == [Verdict.ACCEPT, Verdict.REJECT, Verdict.ACCEPT]


MISFITS: dict[str, tuple[Sequence[Value], Sequence[Value], onnx.NodeProto]] = {
    "no input 'b'": ([A], [Y], helper.make_node("Identity", ["a"], ["y"])),
    "no output 'y'": ([A, B], [("z", FLOAT, ["N"])], helper.make_node("Add", ["a", "b"], ["z"])),
    "that the primary does not have": (
        [A, B, ("c", FLOAT, ["N"])],
        [Y],
        helper.make_node("Sum", ["a", "b", "c"], ["y"]),
    ),
    "'y': the guard program says float32, the model bool": (
        [A, B],
        [("y", TensorProto.BOOL, ["N"])],
        helper.make_node("Less", ["a", "b"], ["y"]),
    ),
    "'b': the guard program says rank 1, the model 2": ([A, ("b", FLOAT, ["N", 1])], [("y", FLOAT, ["N", "M"])], SUM),
    "'y': the fallback model says rank 2, the primary 1": (
        [A, B],
        [("y", FLOAT, ["N", 1])],
        helper.make_node("Reshape", ["a", "shape"], ["y"]),
    ),
}


@pytest.mark.parametrize("message", MISFITS)
def test_fallback_model_that_takes_or_gives_something_else_is_refused(tmp_path: Path, message: str) -> None:
    inputs, outputs, node = MISFITS[message]
    nodes = [node]
    if node.op_type == "Reshape":
        column = helper.make_tensor("c", TensorProto.INT64, [2], [-1, 1])
        nodes = [
            helper.make_node("Constant", [], ["shape"], value=column),
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("Reshape", ["sum", "shape"], ["y"]),
        ]
    with pytest.raises(BundleError, match=message):
        load(with_fallback(tmp_path, inputs, outputs, *nodes))


def test_second_fallback_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match='more than one onnx model has the role "fallback"'):
        load(with_fallback(tmp_path, [A, B], [Y], SUM, count=2))


# ---- Golden strings ----


@pytest.mark.parametrize(
    ("golden", "refused"),
    [(["a", "b\0\u00e9"], None), ([], None), (["a", "b"], "element 1")],
    ids=["same", "none", "other"],
)
def test_golden_strings_are_replayed(tmp_path: Path, golden: list[str], refused: str | None) -> None:
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", TensorProto.STRING, ["N"])],
        [("y", TensorProto.STRING, ["N"])],
    )
    policy = Policy(1, True, (InputRule("x", "string", (-1,), (64,)),), (OutputRule("y", "string", (-1,)),))
    tree = read_tree(write_bundle(tmp_path / "b.erai", save_linear(tmp_path / "l.onnx"), LINEAR, {"x": ROWS}))
    tree["models/model.onnx"], tree["guard.bin"] = model.read_bytes(), compile_policy(policy, None)
    tree["reference/golden/x.bin"] = bundle.golden_bytes(np.array(["a", "b\0\u00e9"]))
    tree["reference/golden/y.bin"] = bundle.golden_bytes(np.array(golden))
    vectors = {
        name: [{"name": name, "path": f"reference/golden/{name}.bin", "dtype": "string", "shape": [2]}] for name in "xy"
    }
    said = {"atol": 0.0, "inputs": vectors["x"], "outputs": vectors["y"] if golden else []}
    path = write_tree(tmp_path / "s.erai", seal(tree, golden=said))
    if refused is None:
        load(path).close()
    else:
        with pytest.raises(IntegrityError, match=refused):
            load(path)


# ---- The execution provider ----


def test_bundle_that_requires_a_provider_is_refused_where_there_is_none(tmp_path: Path) -> None:
    policy = Policy(1, True, LINEAR.inputs, LINEAR.outputs, decision=Decision(provider="CUDAExecutionProvider"))
    path = write_bundle(tmp_path / "b.erai", save_linear(tmp_path / "m.onnx"), policy, {"x": ROWS})
    with pytest.raises(ProviderError, match=r"CUDAExecutionProvider was asked for .*CPUExecutionProvider"):
        load(path)


def test_session_that_would_fall_back_to_the_cpu_is_refused(tmp_path: Path) -> None:
    """ONNX Runtime's wheel has AzureExecutionProvider, which runs next to nothing."""
    policy = Policy(1, True, LINEAR.inputs, LINEAR.outputs, decision=Decision(provider="AzureExecutionProvider"))
    path = write_bundle(tmp_path / "b.erai", save_linear(tmp_path / "m.onnx"), policy, {"x": ROWS})
    with pytest.raises(ProviderError, match=r"AzureExecutionProvider must run all of models/model\.onnx, and cannot"):
        load(path)


def test_bundle_that_requires_the_cpu_opens(tmp_path: Path) -> None:
    policy = Policy(1, True, LINEAR.inputs, LINEAR.outputs, decision=Decision(provider="CPUExecutionProvider"))
    path = write_bundle(tmp_path / "b.erai", save_linear(tmp_path / "m.onnx"), policy, {"x": ROWS})
    with load(path) as session:
        assert session.predict(ROWS).verdict is Verdict.ACCEPT
