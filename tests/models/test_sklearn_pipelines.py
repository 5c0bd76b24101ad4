"""scikit-learn pipelines of several kinds, converted by skl2onnx: guarded as bare, and as scikit-learn itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from support.parity import Inputs, answered

ESTIMATORS = {
    "linear": LogisticRegression(),
    "mlp": MLPClassifier((32, 16), tol=1e-2, max_iter=400, random_state=0),
    "random forest": RandomForestClassifier(20, random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=20, random_state=0),
    "naive bayes": GaussianNB(),
    "neighbours": KNeighborsClassifier(),
}
CANCER, BENIGN = load_breast_cancer(return_X_y=True)
# Rows are judged as they come, alone and in batches of changing size.
BATCHES = (slice(0, 1), slice(1, 65), slice(65, 66), slice(66, 130))


def converted(path: Path, pipeline: Any, types: Mapping[str, Any], zipmap: object) -> Path:
    model = to_onnx(pipeline, initial_types=list(types.items()), options={"zipmap": zipmap}, target_opset=17)
    path.write_bytes(model.SerializeToString())
    return path


def check(model: Path, inputs: Inputs, labels: npt.NDArray[Any], shares: npt.NDArray[Any], classes: Any) -> None:
    """Holds every batch to the bare runtime (to the bit) and to scikit-learn (to rounding)."""
    batches = [{name: values[rows] for name, values in inputs.items()} for rows in BATCHES]
    for rows, outputs in zip(BATCHES, answered(model, *batches), strict=True):
        label, *probabilities = outputs.values()
        assert label.tolist() == labels[rows].tolist()
        np.testing.assert_allclose(table(probabilities, classes), shares[rows], atol=1e-5)


def table(probabilities: list[Any], classes: Any) -> npt.NDArray[Any]:
    """(rows, classes) out of a matrix, of a dict a row, or of a column a class."""
    if len(probabilities) > 1:
        return np.stack(probabilities, axis=1)
    (only,) = probabilities
    if isinstance(only, list):
        assert [list(row) for row in only] == [list(classes)] * len(only)
        return np.array([list(row.values()) for row in only])
    return np.asarray(only)


@pytest.mark.parametrize("zipmap", [True, False, "columns"], ids=["list of dicts", "matrix", "columns"])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_classifier_of_float32_answers_as_scikit_learn(tmp_path: Path, kind: str, zipmap: object) -> None:
    rows = CANCER.astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), ESTIMATORS[kind]).fit(rows, BENIGN)
    model = converted(tmp_path / "m.onnx", pipeline, {"x": FloatTensorType([None, 30])}, zipmap)
    check(model, {"x": rows}, pipeline.predict(rows), pipeline.predict_proba(rows), pipeline.classes_)


@pytest.mark.parametrize("kind", ["linear", "mlp", "naive bayes", "neighbours"])
def test_classifier_of_float64_answers_as_scikit_learn(tmp_path: Path, kind: str) -> None:
    pipeline = make_pipeline(StandardScaler(), ESTIMATORS[kind]).fit(CANCER, BENIGN)
    model = converted(tmp_path / "m.onnx", pipeline, {"x": DoubleTensorType([None, 30])}, False)
    check(model, {"x": CANCER}, pipeline.predict(CANCER), pipeline.predict_proba(CANCER), pipeline.classes_)


@pytest.mark.parametrize("zipmap", [True, False], ids=["list of dicts", "matrix"])
@pytest.mark.parametrize("kind", ["linear", "tree"])
def test_classifier_of_int64_pixels_answers_as_scikit_learn(tmp_path: Path, kind: str, zipmap: bool) -> None:
    pixels, digits = load_digits(return_X_y=True)
    pixels = pixels.astype(np.int64)
    linear = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-2))
    pipeline = (linear if kind == "linear" else DecisionTreeClassifier(max_depth=8, random_state=0)).fit(pixels, digits)
    model = converted(tmp_path / "m.onnx", pipeline, {"x": Int64TensorType([None, 64])}, zipmap)
    check(model, {"x": pixels}, pipeline.predict(pixels), pipeline.predict_proba(pixels), pipeline.classes_)


@pytest.mark.parametrize("zipmap", [True, False], ids=["list of dicts", "matrix"])
@pytest.mark.parametrize("kind", ["linear", "random forest"])
@pytest.mark.parametrize("text", [object, str], ids=["objects", "fixed width"])
def test_columns_of_strings_beside_numbers_answer_as_scikit_learn(
    tmp_path: Path, kind: str, zipmap: bool, text: type
) -> None:
    generator = np.random.default_rng(0)
    rows = np.empty((130, 4), object)
    rows[:, 0] = generator.choice(["red", "green", "bl\u00fc"], 130)
    rows[:, 1] = generator.choice(["oslo", "\u6771\u4eac"], 130)
    rows[:, 2:] = generator.normal(size=(130, 2)).astype(np.float32)
    wanted = np.where((rows[:, 0] == "red") ^ (rows[:, 2] > 0), "yes", "no")
    columns = ColumnTransformer(
        [("words", OneHotEncoder(handle_unknown="ignore"), [0, 1]), ("numbers", StandardScaler(), [2, 3])]
    )
    pipeline = make_pipeline(columns, ESTIMATORS[kind]).fit(rows, wanted)
    word = StringTensorType([None, 1])
    types = {"colour": word, "town": word, "size": FloatTensorType([None, 2])}
    model = converted(tmp_path / "m.onnx", pipeline, types, zipmap)
    rows[3, 0] = "a colour that no training row had"
    inputs = {
        "colour": rows[:, :1].astype(text),
        "town": rows[:, 1:2].astype(text),
        "size": rows[:, 2:].astype(np.float32),
    }
    check(model, inputs, pipeline.predict(rows), pipeline.predict_proba(rows), pipeline.classes_)
