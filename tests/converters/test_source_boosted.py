"""XGBoost's and LightGBM's models answer as their libraries; what is not installed is skipped, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_rai.errors import BundleError, UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters import sources
from edge_rai_converters.sources import SourceModel

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries that are not ours
Array = npt.NDArray[Any]
TUMOURS, BENIGN = load_breast_cancer(return_X_y=True)
TUMOURS = TUMOURS.astype(np.float32)
HOLES = np.where(np.random.default_rng(0).random(TUMOURS.shape) < 0.1, np.float32(np.nan), TUMOURS)
WINES, CULTIVAR = load_wine(return_X_y=True)
WINES = WINES.astype(np.float32)


def answers(source: SourceModel, *rows: Array) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(source.data, options, providers=["CPUExecutionProvider"])
    feed = {spec.name: array for spec, array in zip(source.inputs, rows, strict=True)}
    return session.run(None, feed)


def library(name: str) -> Any:
    pytest.importorskip("onnxmltools", reason="onnxmltools is not installed")
    return pytest.importorskip(name, reason=f"{name} is not installed")


def xgboost(task: str, **given: Any) -> Any:
    return getattr(library("xgboost"), f"XGB{task}")(n_estimators=8, max_depth=4, n_jobs=1, **given)


def lightgbm(task: str, **given: Any) -> Any:
    return getattr(library("lightgbm"), f"LGBM{task}")(n_estimators=8, n_jobs=1, verbose=-1, **given)


MAKERS = {"xgboost": xgboost, "lightgbm": lightgbm}


@pytest.mark.parametrize("rows", [TUMOURS, HOLES], ids=["whole", "with missing values"])
@pytest.mark.parametrize("kind", MAKERS)
def test_classifier_of_two_classes_answers_as_its_library(kind: str, rows: Array) -> None:
    model = MAKERS[kind]("Classifier").fit(rows, BENIGN)
    source = sources.read(model, sample={"rows": rows[:50]})
    assert (source.kind, source.inputs) == (kind, (TensorSpec("rows", "float32", (None, 30)),))
    assert [spec.shape for spec in source.outputs] == [(None,), (None, 2)]
    label, probabilities = answers(source, rows)
    np.testing.assert_allclose(probabilities, model.predict_proba(rows), atol=1e-5)
    assert label.tolist() == model.predict(rows).tolist()
    assert sources.kind_of_trees(source.proto)


@pytest.mark.parametrize("kind", MAKERS)
def test_classifier_of_three_classes_answers_as_its_library(kind: str) -> None:
    model = MAKERS[kind]("Classifier").fit(WINES, CULTIVAR)
    label, probabilities = answers(sources.read(model), WINES)
    np.testing.assert_allclose(probabilities, model.predict_proba(WINES), atol=1e-5)
    assert label.tolist() == model.predict(WINES).tolist()


@pytest.mark.parametrize("kind", MAKERS)
def test_regressor_answers_as_its_library(kind: str) -> None:
    model = MAKERS[kind]("Regressor").fit(TUMOURS, TUMOURS[:, 3])
    (found,) = answers(sources.read(model), TUMOURS)
    np.testing.assert_allclose(found[:, 0], model.predict(TUMOURS), rtol=1e-5)


@pytest.mark.parametrize("kind", MAKERS)
def test_step_of_a_pipeline_answers_as_its_library(kind: str) -> None:
    model = make_pipeline(StandardScaler(), MAKERS[kind]("Classifier")).fit(WINES, CULTIVAR)
    source = sources.read(model, sample={"rows": WINES[:50]})
    assert source.kind == "scikit-learn"
    # float32 rounds another way than scikit-learn's scaler: a row that stands at a threshold may pass it.
    same = np.isclose(answers(source, WINES)[1], model.predict_proba(WINES), atol=1e-5).all(axis=1)
    assert same.mean() > 0.95


def test_files_of_both_libraries_are_read(tmp_path: Path) -> None:
    trees = xgboost("Classifier").fit(TUMOURS, BENIGN)
    leaves = lightgbm("Classifier").fit(TUMOURS, BENIGN)
    trees.save_model(tmp_path / "trees.json")
    trees.save_model(tmp_path / "trees.ubj")
    leaves.booster_.save_model(tmp_path / "leaves.txt")
    for name, model in (("trees.json", trees), ("trees.ubj", trees), ("leaves.txt", leaves)):
        path = tmp_path / name
        before = (path.read_bytes(), path.stat().st_mtime_ns)
        source = sources.read(path)
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
        assert source.path == path
        np.testing.assert_allclose(answers(source, TUMOURS)[1], model.predict_proba(TUMOURS), atol=1e-5)


@pytest.mark.parametrize("name", ["trees.json", "trees.ubj", "leaves.txt"])
def test_damaged_files_of_both_libraries_are_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "leaves.txt":
        lightgbm("Classifier").fit(TUMOURS, BENIGN).booster_.save_model(path)
    else:
        xgboost("Classifier").fit(TUMOURS, BENIGN).save_model(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BundleError, match=f"{name}: not a model of .*, or a damaged one") as refused:
        sources.read(path)
    assert "\n" not in str(refused.value)


def test_booster_with_names_of_its_own_is_exported_and_keeps_them() -> None:
    xgb = library("xgboost")
    names = [f"column {index}" for index in range(30)]
    rows = xgb.DMatrix(TUMOURS, TUMOURS[:, 3], feature_names=names)
    model = xgb.train({"max_depth": 3, "nthread": 1}, rows, 6)
    source = sources.read(model, sample={"rows": TUMOURS[:50]})
    np.testing.assert_allclose(answers(source, TUMOURS)[0][:, 0], model.predict(rows), rtol=1e-5)
    assert model.feature_names == names


def test_models_that_an_exporter_gets_wrong_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="exports boosters of kind gbtree, and this one is a dart"):
        sources.read(xgboost("Classifier", booster="dart").fit(TUMOURS, BENIGN))
    averaged = lightgbm("Classifier", boosting_type="rf", bagging_freq=1, bagging_fraction=0.5).fit(TUMOURS, BENIGN)
    with pytest.raises(UnsupportedModelError, match="its export to ONNX answers 100 % of the sample's rows otherwise"):
        sources.read(averaged, sample={"rows": TUMOURS[:50]})
    with pytest.raises(UnsupportedModelError, match="takes one array with its 30 features; the sample has 'a' with 2"):
        sources.read(xgboost("Classifier").fit(TUMOURS, BENIGN), sample={"a": TUMOURS[:9, :2], "b": TUMOURS[:9, 2:]})
