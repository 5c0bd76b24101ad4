"""Models of other kinds than columns of floats: types, strings, states, ZipMap, trees, a second model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import edge_rai
from edge_rai import ReasonCode, Source, Verdict, bundle
from edge_rai.errors import DataError, EdgeRaiError, PolicyError, UnsupportedModelError
from edge_rai.policy import Policy, StateRule, load_policy, parse_policy
from edge_rai_converters import convert
from edge_rai_converters.data import drawn

FLOAT = TensorProto.FLOAT
KINDS = ["FLOAT16", "DOUBLE", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64", "BOOL"]


@pytest.mark.parametrize("dtype", KINDS)
def test_model_of_every_numeric_type_is_guarded_by_learned_limits(make_model, tmp_path: Path, dtype: str) -> None:
    kind = TensorProto.DataType.Value(dtype)
    path = make_model(
        [helper.make_node("Cast", ["x"], ["y"], to=FLOAT)], [("x", kind, ["N", 2])], [("y", FLOAT, ["N", 2])]
    )
    numpy_type = helper.tensor_dtype_to_np_dtype(kind)
    rows = np.random.default_rng(0).integers(0, 2 if dtype == "BOOL" else 50, size=(200, 2)).astype(numpy_type)
    np.save(tmp_path / "rows.npy", rows)
    report = convert(path, tmp_path / "rows.npy", tmp_path / "m.erai", distance="none")
    assert report.batched
    assert report.false_rejections.rejected <= 1
    with edge_rai.load(tmp_path / "m.erai") as session:
        answer = session.predict(rows[:4])
        assert answer.verdict is Verdict.ACCEPT
        assert answer.outputs["y"].tolist() == rows[:4].astype(np.float32).tolist()
        if dtype != "BOOL":
            far = np.full((1, 2), 120, numpy_type)
            assert session.predict(far).reasons[0].code == ReasonCode.ABOVE_RANGE


def test_strings_become_categories(tmp_path: Path) -> None:
    nodes = [
        helper.make_node(
            "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=["red", "blue"], values_floats=[1.0, 2.0]
        )
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["N", 1])],
        [helper.make_tensor_value_info("y", FLOAT, ["N", 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "colours.onnx")
    rows = np.array([["red"], ["blue"]] * 40)
    np.savez(tmp_path / "data.npz", x=rows)
    report = convert(tmp_path / "colours.onnx", tmp_path / "data.npz", tmp_path / "m.erai")
    assert report.without_distance == {"x": "it holds no numbers"}
    assert policy_of(tmp_path / "m.erai").inputs[0].features[0].categories == ("blue", "red")
    with edge_rai.load(tmp_path / "m.erai") as session:
        answer = session.predict(np.array([["red"], ["green"]], object))
    assert answer.row_verdicts.tolist() == [Verdict.ACCEPT, Verdict.REJECT]
    assert answer.outputs["y"][0].tolist() == [1.0]
    assert answer.reasons[0].code == ReasonCode.CATEGORY


def policy_of(path: Path) -> Policy:
    return parse_policy(bundle.read(path).files["policy.toml"].decode())


def test_trees_are_bundled_as_they_are(tumours: Path, tmp_path: Path) -> None:
    report = convert(tumours / "forest.onnx", tumours / "data.npz", tmp_path / "m.erai", labels="y")
    assert [entry.quantization for entry in report.candidates] == ["none"]
    assert bundle.read(tmp_path / "m.erai").files["models/m.onnx"] == (tumours / "forest.onnx").read_bytes()


def test_dynamic_int8_has_rows_that_depend_on_each_other(tumours: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(tumours / "mlp.onnx", tmp_path / "dynamic.onnx", weight_type=QuantType.QUInt8)
    report = convert(tmp_path / "dynamic.onnx", tumours / "data.npz", tmp_path / "m.erai")
    assert (report.batched, report.rows_independent) == (False, False)
    assert bundle.read(tmp_path / "m.erai").manifest.primary.rows_independent is False


# ---- A second model ----


def test_fallback_model_answers_rejected_rows_and_the_card_says_so(tumours: Path, tmp_path: Path) -> None:
    data = np.load(tumours / "data.npz")
    report = convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "m.erai",
        labels="y",
        prune="none",
        quantize="none",
        false_rejection_rate=0.02,  # at 1 %, 142 rows have their greatest distance for a threshold, here an outlier's
        fallback_model=renamed(tumours / "forest.onnx", tmp_path),
    )
    assert report.fallback is not None
    assert report.fallback.comparison.agreement is not None
    assert report.fallback.comparison.agreement > 0.9
    found = bundle.read(tmp_path / "m.erai")
    assert found.manifest.fallback is not None
    assert found.manifest.fallback.path == "models/m.fallback.onnx"
    assert "## The fallback model" in found.files["card.md"].decode()
    assert json.loads(found.files["evidence/candidates.json"])["fallback"]["source_name"] == "renamed.onnx"
    far = data["X"][:1].copy()  # a large radius with a small perimeter: each is within its limits
    far[0, 0], far[0, 2] = data["X"][:, 0].max(), data["X"][:, 2].min()
    with edge_rai.load(tmp_path / "m.erai") as session:
        answer = session.predict(far)
    assert {reason.code for reason in answer.reasons} == {ReasonCode.OUT_OF_DISTRIBUTION}
    assert answer.source is Source.FALLBACK_MODEL
    bare = onnxruntime.InferenceSession(tmp_path / "renamed.onnx").run(["probabilities"], {"X": far})
    assert answer.outputs["probabilities"].tolist() == bare[0].tolist()


def renamed(path: Path, folder: Path) -> Path:
    (folder / "renamed.onnx").write_bytes(path.read_bytes())
    return folder / "renamed.onnx"


def test_fallback_model_of_another_form_is_refused(tumours: Path, make_model, tmp_path: Path) -> None:
    shapes = {"X": ["N", 29], "probabilities": ["N", 2], "label": ["N"]}
    path = make_model(
        [
            helper.make_node("ReduceSum", ["X", "one"], ["label_"], keepdims=0),
            helper.make_node("Cast", ["label_"], ["label"], to=TensorProto.INT64),
            helper.make_node("MatMul", ["X", "w"], ["probabilities"]),
        ],
        [("X", FLOAT, shapes["X"])],
        [("label", TensorProto.INT64, shapes["label"]), ("probabilities", FLOAT, shapes["probabilities"])],
        {"w": np.zeros((29, 2), np.float32), "one": np.array([1])},
    )
    arguments = (tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai")
    with pytest.raises(UnsupportedModelError, match=r"input 'X' is float32 \[free, 29\], in the primary model float32"):
        convert(*arguments, prune="none", quantize="none", fallback_model=path)
    with pytest.raises(UnsupportedModelError, match="has no output 'label', which the primary model has"):
        convert(*arguments, prune="none", quantize="none", fallback_model=tumours / "mlp.zipmap.onnx")
    assert not (tmp_path / "m.erai").exists()


def test_policy_and_fallback_model_agree(tumours: Path, tmp_path: Path) -> None:
    arguments = (tumours / "mlp.onnx", tumours / "data.npz")
    convert(*arguments, tmp_path / "m.erai", prune="none", quantize="none", distance="none")
    text = bundle.read(tmp_path / "m.erai").files["policy.toml"].decode()
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(PolicyError, match=r"no fallback chain of the policy has \"model\", so nobody would ask"):
        convert(
            *arguments, tmp_path / "m.erai", policy=tmp_path / "policy.toml", fallback_model=tumours / "forest.onnx"
        )
    (tmp_path / "policy.toml").write_text(text + '\n[[fallback]]\nchain = ["model"]\n')
    with pytest.raises(PolicyError, match=r"fallback chain has \"model\", but there is no fallback model"):
        convert(*arguments, tmp_path / "m.erai", policy=tmp_path / "policy.toml")


# ---- Recurrent states ----


@pytest.fixture
def leaky(make_model, tmp_path: Path) -> tuple[Path, Path]:
    """y = state + x, and the next state is y: a running sum of columns, and its data."""
    path = make_model(
        [helper.make_node("Add", ["x", "h"], ["y"]), helper.make_node("Identity", ["y"], ["next h"])],
        [("x", FLOAT, [1, 3]), ("h", FLOAT, [1, 3])],
        [("y", FLOAT, [1, 3]), ("next h", FLOAT, [1, 3])],
    )
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32))
    return path, tmp_path / "data.npz"


def test_state_needs_no_data_and_is_carried(leaky: tuple[Path, Path], tmp_path: Path) -> None:
    report = convert(*leaky, tmp_path / "m.erai", states=["h=next h"], prune="none", quantize="none")
    assert report.false_rejections.rejected <= 2
    assert list(report.without_distance) == []
    rows = np.load(leaky[1])["x"]
    with edge_rai.load(tmp_path / "m.erai") as session:
        sums = [session.predict(row[np.newaxis]).outputs["y"][0].copy() for row in rows[:3]]
        session.reset()
        again = session.predict(rows[:1]).outputs["y"][0]
    np.testing.assert_allclose(sums, np.cumsum(rows[:3], axis=0), rtol=1e-6)
    np.testing.assert_allclose(again, rows[0])
    assert "recurrent state `h`" in bundle.read(tmp_path / "m.erai").files["card.md"].decode()


def test_gru_with_a_free_row_axis_begins_with_one_row_of_zeros(make_model, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weights = {
        name: generator.normal(size=(1, 12, width)).astype(np.float32) for name, width in (("w", 3), ("r", 4))
    }  # fmt: skip
    path = make_model(
        [helper.make_node("GRU", ["x", "w", "r", "", "", "h"], ["y", "next h"], hidden_size=4)],
        [("x", FLOAT, [1, "B", 3]), ("h", FLOAT, [1, "B", 4])],
        [("y", FLOAT, [1, 1, "B", 4]), ("next h", FLOAT, [1, "B", 4])],
        weights,
    )
    rows = generator.normal(size=(100, 1, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=rows)
    report = convert(path, tmp_path / "data.npz", tmp_path / "m.erai", states=["h=next h"])
    assert policy_of(tmp_path / "m.erai").states == (StateRule("h", "next h", 1),)
    assert (report.batched, report.false_rejections.rows) == (False, 25)
    bare, state = onnxruntime.InferenceSession(path), np.zeros((1, 1, 4), np.float32)
    with edge_rai.load(tmp_path / "m.erai") as session:
        for row in rows[:5]:
            expected, state = bare.run(["y", "next h"], {"x": row[np.newaxis], "h": state})
            np.testing.assert_allclose(session.predict(row[np.newaxis]).outputs["y"], expected, atol=1e-6)


def test_missing_values_of_a_written_policy_are_what_the_model_sees(make_model, tmp_path: Path) -> None:
    path = make_model([helper.make_node("Identity", ["x"], ["y"])], [("x", FLOAT, ["N", 2])], [("y", FLOAT, ["N", 2])])
    rows = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    rows[::5, 0], rows[::7, 1] = np.nan, -999
    np.savez(tmp_path / "data.npz", x=rows)
    (tmp_path / "policy.toml").write_text(
        """
format_version = 1
batched = true
[[inputs]]
name = "x"
dtype = "float32"
shape = [-1, 2]
max_shape = [9, 2]
feature_axis = 1
features = [
  { name = "a", low = -9, high = 9, missing = { becomes = 0.5 } },
  { name = "b", low = -9, high = 9, missing = { value = -999, becomes = -0.5, verdict = "flag" } },
]
distance = { threshold = 50 }
[[outputs]]
name = "y"
dtype = "float32"
shape = [-1, 2]
"""
    )
    report = convert(path, tmp_path / "data.npz", tmp_path / "m.erai", policy=tmp_path / "policy.toml")
    held_back = rows[drawn(len(rows), 4)]
    flagged = int((held_back[:, 1] == -999).sum())
    assert (report.false_rejections.rejected, report.false_rejections.flagged) == (0, flagged)
    assert (report.distances[0].threshold, report.distances[0].above) == (50.0, 0)
    with edge_rai.load(tmp_path / "m.erai") as session:
        answer = session.predict(np.array([[np.nan, 1], [1, -999]], np.float32))
    assert answer.outputs["y"].tolist() == [[0.5, 1.0], [1.0, -0.5]]
    assert answer.row_verdicts.tolist() == [Verdict.ACCEPT, Verdict.FLAG]


def test_state_of_a_written_policy_is_taken_from_it(leaky: tuple[Path, Path], tmp_path: Path) -> None:
    convert(*leaky, tmp_path / "m", states=["h=next h"], prune="none", quantize="none")
    convert(*leaky, tmp_path / "again", policy=tmp_path / "m/policy.toml", prune="none", quantize="none")
    assert load_policy(tmp_path / "again/policy.toml").states == (StateRule("h", "next h"),)
    assert (tmp_path / "again/guard.bin").read_bytes() == (tmp_path / "m/guard.bin").read_bytes()


def test_state_that_is_no_pair_is_explained(leaky: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="state 'h': expected INPUT=OUTPUT; the inputs are x, h, the outputs y, "):
        convert(*leaky, tmp_path / "m.erai", states=["h"])
    with pytest.raises(ValueError, match="no array for input 'h'"):
        convert(*leaky, tmp_path / "m.erai")


def test_model_that_takes_no_rows_is_refused_in_a_sentence(make_model, tmp_path: Path) -> None:
    output = [("y", TensorProto.FLOAT, ["N", 2])]
    path = make_model([helper.make_node("Neg", ["x"], ["y"])], [("x", TensorProto.FLOAT, ["N", 2])], output)
    np.save(tmp_path / "rows.npy", np.zeros((40, 2), np.float32))
    with pytest.raises(DataError, match="every input of the model is a state, so that no row of the data reaches it"):
        convert(path, tmp_path / "rows.npy", tmp_path / "m", states=["x=y"])
    constant = {"w": np.ones((1, 2), np.float32)}
    path = make_model([helper.make_node("Neg", ["w"], ["y"])], [], [("y", TensorProto.FLOAT, [1, 2])], constant)
    with pytest.raises(EdgeRaiError, match="no input"):
        convert(path, tmp_path / "rows.npy", tmp_path / "m")


def test_policy_says_its_distances_and_states_itself(leaky: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("")
    for options in ({"distance": "full"}, {"false_rejection_rate": 0.1}, {"states": ["h=next h"]}):
        with pytest.raises(ValueError, match="a policy says itself what its distances and states are"):
            convert(*leaky, tmp_path / "m.erai", policy=tmp_path / "policy.toml", **options)
