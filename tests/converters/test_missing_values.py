"""Models that know missing values themselves: their data may hold some, and their bundles take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_rai import Verdict, bundle, load
from edge_rai.cli import main
from edge_rai.errors import DataError, PolicyError
from edge_rai.policy import load_policy
from edge_rai_converters import convert
from edge_rai_converters.gate import gate

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries that are not ours
FEATURES = 5
LOADED = load_breast_cancer()
WHOLE = LOADED.data[:, :FEATURES].astype(np.float32)
LABELS = LOADED.target
ALWAYS_THERE = FEATURES - 1
GAPS = np.random.default_rng(0).random(WHOLE.shape) < 0.1
GAPS[:, ALWAYS_THERE] = False
ROWS = np.where(GAPS, np.float32(np.nan), WHOLE)
PLAIN = {"prune": "none", "quantize": "none", "reproducible": True}


def imputing() -> Any:
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)


def boosted(library: str) -> Any:
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    kind = module.XGBClassifier if library == "xgboost" else module.LGBMClassifier
    return kind(n_estimators=5, verbosity=0 if library == "xgboost" else -1, n_jobs=1).fit(ROWS, LABELS)


KNOWING: dict[str, Callable[[], Any]] = {
    "imputer": imputing,
    "scaled first": lambda: make_pipeline(StandardScaler(), SimpleImputer(), LogisticRegression()).fit(ROWS, LABELS),
    "trees": lambda: HistGradientBoostingClassifier(max_iter=5).fit(ROWS, LABELS),
    "xgboost": lambda: boosted("xgboost"),
    "lightgbm": lambda: boosted("lightgbm"),
}


@pytest.mark.parametrize("kind", KNOWING)
def test_bundle_answers_missing_values_as_the_library_does(kind: str, tmp_path: Path) -> None:
    model = KNOWING[kind]()
    report = convert(model, ROWS, tmp_path / "m.erai", labels=LABELS, **PLAIN)
    assert report.false_rejections.rejected <= 2
    some = np.flatnonzero(GAPS.any(axis=1))[:100]
    with load(tmp_path / "m.erai", threads=1) as session:
        answer = session.predict(ROWS[some])
        taken = answer.row_verdicts == Verdict.ACCEPT
        found = list(answer.outputs.values())[1]
        assert taken.mean() > 0.9
        np.testing.assert_allclose(found[taken], model.predict_proba(ROWS[some])[taken], atol=1e-4)
        never = WHOLE[:1].copy()
        never[0, ALWAYS_THERE] = np.nan
        assert session.predict(never).verdict is Verdict.REJECT


def test_file_with_an_imputer_is_profiled_and_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(to_onnx(imputing(), WHOLE[:1], options={"zipmap": False}), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", X=ROWS, y=LABELS)
    given = [str(tmp_path / "m.onnx"), "--data", str(tmp_path / "d.npz"), "--labels", "y"]
    assert main(["profile", *given, "-o", str(tmp_path / "rules")]) == 0
    policy = load_policy(tmp_path / "rules/policy.toml")
    missing = [feature.missing for feature in policy.inputs[0].features]
    assert [gap is not None for gap in missing] == [place != ALWAYS_THERE for place in range(FEATURES)]
    assert all(gap.value is None and gap.becomes is None for gap in missing if gap is not None)
    assert all(feature.low is not None and np.isfinite(feature.low) for feature in policy.inputs[0].features)
    assert main(["convert", *given, "-o", str(tmp_path / "m.erai"), "--quantize", "none", "--reproducible"]) == 0
    edited = ["--policy", str(tmp_path / "rules/policy.toml"), "-o", str(tmp_path / "n.erai"), "--reproducible"]
    assert main(["convert", *given, *edited]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_quantized_model_behind_an_imputer_answers_missing_values(tmp_path: Path) -> None:
    model = make_pipeline(SimpleImputer(), StandardScaler(), MLPClassifier((16,), max_iter=60, random_state=0))
    model.fit(ROWS, LABELS)
    report = convert(
        model, ROWS, tmp_path / "m.erai", labels=LABELS, prune="none", quantize="int8", max_drop=3, reproducible=True
    )
    assert report.chosen.quantization == "static_int8_qdq"
    with load(tmp_path / "m.erai", threads=1) as session:
        answer = session.predict(ROWS[GAPS.any(axis=1)])
    assert (answer.row_verdicts == Verdict.ACCEPT).mean() > 0.9
    assert np.isfinite(list(answer.outputs.values())[1][answer.row_verdicts == Verdict.ACCEPT]).all()


def refused(model: object, rows: Any, path: Path, **options: Any) -> str:
    with pytest.raises((DataError, PolicyError)) as raised:
        convert(model, rows, path / "m.erai", labels=LABELS, **PLAIN, **options)
    assert not (path / "m.erai").exists()
    return str(raised.value)


def test_model_that_does_not_know_them_is_refused_such_data(tmp_path: Path) -> None:
    model = LogisticRegression(max_iter=5000).fit(WHOLE, LABELS)
    assert "feature 'data[2]' is nan in row 0, and 213 of 569 rows" in refused(model, ROWS, tmp_path)
    assert "values are missing in each of the first rows" in refused(model, np.full_like(ROWS, np.nan), tmp_path)


def test_column_that_no_imputer_reaches_is_named(tmp_path: Path) -> None:
    imputed = make_column_transformer((SimpleImputer(), [0, 1, 2, 3]), remainder="passthrough")
    model = make_pipeline(imputed, LogisticRegression(max_iter=5000)).fit(ROWS, LABELS)
    late = ROWS.copy()
    late[400, ALWAYS_THERE] = np.nan  # behind the rows that an export is held to
    said = refused(model, late, tmp_path)
    assert "'data[1]', 'data[4]' are missing in row 400, and the model answers NaN to that" in said


def test_answer_that_comes_of_nan_by_accident_is_refused(tmp_path: Path) -> None:
    """One column is imputed; of the other a comparison makes 0."""
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1),
        helper.make_node(
            "Imputer", ["a"], ["c"], domain="ai.onnx.ml", imputed_value_floats=[1.0], replaced_value_float=np.nan
        ),
        helper.make_node("Greater", ["b", "zero"], ["d"]),
        helper.make_node("Cast", ["d"], ["e"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["c", "e"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    rows = WHOLE[:, :2].copy()
    rows[::3, 0] = np.nan
    convert(model, rows, tmp_path / "good.erai", **PLAIN)
    rows[7, 1] = np.nan
    with pytest.raises(DataError, match=r"'x\[1\]' is missing in row 7, and the model's operator Greater makes"):
        convert(model, rows, tmp_path / "m.erai", **PLAIN)


def test_what_an_export_loses_of_missing_values_is_said_and_a_policy_helps(tmp_path: Path) -> None:
    model = RandomForestClassifier(5, random_state=0).fit(ROWS, LABELS)
    said = refused(model, ROWS, tmp_path)
    assert "the model's export to ONNX answers that otherwise than the model itself" in said
    convert(model, WHOLE, tmp_path / "whole.erai", labels=LABELS, **PLAIN)
    learned = bundle.read(tmp_path / "whole.erai").files["policy.toml"].decode()
    rows = WHOLE.copy()
    rows[3::9, 0] = np.nan
    path = tmp_path / "p.toml"
    path.write_text(learned.replace('name = "data[0]"', 'name = "data[0]", missing = {}'), encoding="utf-8")
    assert "the policy lets the model see missing values of 'data[0]'" in refused(model, rows, tmp_path, policy=path)
    path.write_text(
        learned.replace('name = "data[0]"', 'name = "data[0]", missing = { becomes = 0.0 }'), encoding="utf-8"
    )
    convert(model, rows, tmp_path / "filled.erai", labels=LABELS, policy=path, **PLAIN)


def test_gate_judges_models_that_know_missing_values(tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text("format_version = 1\n[margins]\naccuracy = 0.2\n", encoding="utf-8")
    convert(imputing(), ROWS, tmp_path / "m.erai", labels=LABELS, **PLAIN)
    report = gate(tmp_path / "m.erai", imputing(), ROWS, tmp_path / "gate.toml", labels=LABELS)
    assert report.passed
    plain = LogisticRegression(max_iter=5000).fit(WHOLE, LABELS)
    with pytest.raises(DataError, match=r"is nan in row 0, and 213 of 569 rows"):
        gate(plain, plain, ROWS, tmp_path / "gate.toml", labels=LABELS)
