"""scikit-learn's estimators and pipelines: the export, and the export lowered, answer as scikit-learn itself."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import skl2onnx
import skl2onnx.common.shape_calculator
import skl2onnx.operator_converters.linear_classifier
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC

from edge_rai.errors import UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters import convert, sources
from edge_rai_converters.errors import DataError
from edge_rai_converters.passes.contract import Material, apply
from edge_rai_converters.passes.lower import lower
from edge_rai_converters.sources import SourceModel

Array = npt.NDArray[Any]
TUMOURS, BENIGN = load_breast_cancer(return_X_y=True)
WINES, CULTIVAR = load_wine(return_X_y=True)
PATIENTS, PROGRESS = load_diabetes(return_X_y=True)


def logistic(**given: Any) -> LogisticRegression:
    return LogisticRegression(tol=1e-2, **given)


CLASSIFIERS = {
    "logistic": make_pipeline(StandardScaler(), logistic()),
    "one against the rest": make_pipeline(StandardScaler(), OneVsRestClassifier(logistic())),
    "stochastic gradient": make_pipeline(RobustScaler(), SGDClassifier(loss="log_loss", random_state=0)),
    "network": make_pipeline(StandardScaler(), MLPClassifier((16, 8), tol=1e-2, max_iter=400, random_state=0)),
    "components": make_pipeline(StandardScaler(), PCA(6), logistic()),
    "unit rows": make_pipeline(MinMaxScaler(), Normalizer("l2"), logistic()),
    "shares": make_pipeline(MaxAbsScaler(), Normalizer("l1"), logistic()),
    "greatest is one": make_pipeline(MaxAbsScaler(), Normalizer("max"), logistic()),
    "thresholds": make_pipeline(StandardScaler(), Binarizer(threshold=0.3), logistic()),
    "bins": make_pipeline(KBinsDiscretizer(4, encode="onehot-dense", quantile_method="linear"), logistic()),
    "union": make_pipeline(StandardScaler(), make_union(PCA(3), PolynomialFeatures(1)), logistic()),
    "search": GridSearchCV(make_pipeline(StandardScaler(), logistic()), {"logisticregression__C": [0.1, 1]}, cv=2),
    "vote": make_pipeline(
        StandardScaler(),
        VotingClassifier([("a", logistic()), ("b", GaussianNB())], voting="soft", flatten_transform=False),
    ),
    "naive Bayes": GaussianNB(),
    "forest": RandomForestClassifier(10, random_state=0),
    "boosted": GradientBoostingClassifier(n_estimators=10, random_state=0),
}
REGRESSORS = {
    "least squares": make_pipeline(StandardScaler(), LinearRegression()),
    "ridge of two targets": make_pipeline(StandardScaler(), Ridge()),
    "lasso": make_pipeline(RobustScaler(), Lasso()),
    "network": make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(16,), tol=10, max_iter=900, random_state=0)
    ),
    "forest": RandomForestRegressor(10, random_state=0),
}
TREES = {"forest", "boosted"}
# skl2onnx writes nothing of ai.onnx.ml for these but trees.
NOTHING_TO_LOWER = {"forest", "boosted", "naive Bayes"}


def run(model: onnx.ModelProto, feed: Mapping[str, Array]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feed))


def lowered(source: SourceModel, feed: Mapping[str, Array]) -> onnx.ModelProto:
    material = Material(lambda: iter([dict(feed)]), len(next(iter(feed.values()))), batched=True)
    return apply([lower()], source.proto, material)


def check_lowered(source: SourceModel, feed: Mapping[str, Array]) -> onnx.ModelProto:
    """Labels are the same, numbers but for rounding."""
    result = lowered(source, feed)
    for before, after in zip(run(source.proto, feed), run(result, feed), strict=True):
        if before.dtype.kind == "f":
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6 * np.abs(before).max())
        else:
            assert after.tolist() == before.tolist()
    return result


def foreign(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node if node.domain}


@pytest.mark.parametrize("named", [False, True], ids=["numbers", "names"])
@pytest.mark.parametrize("data", [(TUMOURS, BENIGN), (WINES, CULTIVAR)], ids=["two classes", "three classes"])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifier_answers_as_scikit_learn_and_so_does_its_lowered_form(
    kind: str, data: tuple[Array, Array], named: bool
) -> None:
    rows, classes = data[0].astype(np.float32), np.array(["a", "b", "c"])[data[1]] if named else data[1]
    model = clone(CLASSIFIERS[kind]).fit(rows[::2], classes[::2])
    source = sources.read(model, sample={"rows": rows[:20]})
    assert source.kind == "scikit-learn"
    assert source.inputs == (TensorSpec("rows", "float32", (None, rows.shape[1])),)
    assert [(spec.name, spec.shape) for spec in source.outputs] == [
        ("label", (None,)),
        ("probabilities", (None, len(model.classes_))),
    ]
    label, probabilities = run(source.proto, {"rows": rows})
    np.testing.assert_allclose(probabilities, model.predict_proba(rows), atol=1e-5)
    assert label.tolist() == model.predict(rows).tolist()
    assert sources.kind_of_trees(source.proto) == (kind in TREES)
    if kind not in NOTHING_TO_LOWER:
        assert not foreign(check_lowered(source, {"rows": rows}))


@pytest.mark.parametrize("kind", REGRESSORS)
def test_regressor_answers_as_scikit_learn_and_so_does_its_lowered_form(kind: str) -> None:
    rows = PATIENTS.astype(np.float32)
    wanted = np.stack([PROGRESS, -2 * PROGRESS], axis=1) if "two targets" in kind else PROGRESS
    model = clone(REGRESSORS[kind]).fit(rows[::2], wanted[::2])
    source = sources.read(model)
    assert source.inputs == (TensorSpec("X", "float32", (None, 10)),)
    expected = model.predict(rows)
    (found,) = run(source.proto, {"X": rows})
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5 * np.abs(expected).max())
    if kind not in {*NOTHING_TO_LOWER, "network"}:
        assert not foreign(check_lowered(source, {"X": rows}))


def test_columns_of_strings_and_numbers_with_holes_answer_as_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    count = 120
    colours, towns = generator.choice(["red", "blue"], count), generator.choice(["oslo", "ky\u014dto", "lima"], count)
    floors, sizes = generator.integers(0, 4, count), generator.normal(size=(count, 2))
    sizes[generator.random(sizes.shape) < 0.2] = np.nan
    table = np.column_stack([colours.astype(object), towns, floors, sizes])
    wanted = (colours == "red") & (np.nan_to_num(sizes[:, 0]) > 0)
    columns = ColumnTransformer(
        [
            ("words", OneHotEncoder(handle_unknown="ignore"), [0, 1]),
            ("floors", OneHotEncoder(handle_unknown="ignore"), [2]),
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), [3, 4]),
        ]
    )
    model = make_pipeline(columns, logistic()).fit(table, wanted.astype(np.int64))
    sample = {"colour": colours, "town": towns, "floor": floors, "size": sizes}
    source = sources.read(model, sample={name: array[:16] for name, array in sample.items()})
    assert source.inputs == (
        TensorSpec("colour", "string", (None, 1)),
        TensorSpec("town", "string", (None, 1)),
        TensorSpec("floor", "int64", (None, 1)),
        TensorSpec("size", "float32", (None, 2)),
    )
    colours[0], floors[1] = "a colour that no row had", 77
    table[0, 0], table[1, 2] = colours[0], 77
    feed = {
        "colour": colours[:, None].astype(object),
        "town": towns[:, None].astype(object),
        "floor": floors[:, None],
        "size": sizes.astype(np.float32),
    }
    np.testing.assert_allclose(run(source.proto, feed)[1], model.predict_proba(table), atol=1e-5)
    result = check_lowered(source, feed)
    strings = [node for node in result.graph.node if node.domain]
    assert [node.op_type for node in strings] == ["OneHotEncoder", "OneHotEncoder"]


def test_classifier_without_probabilities_and_one_of_two_targets_are_read() -> None:
    rows = WINES.astype(np.float32)
    margins = make_pipeline(StandardScaler(), LinearSVC(tol=1e-2)).fit(rows, CULTIVAR)
    source = sources.read(margins, sample={"rows": rows[:9]})
    label, scores = run(source.proto, {"rows": rows})
    assert label.tolist() == margins.predict(rows).tolist()
    np.testing.assert_allclose(scores, margins.decision_function(rows), atol=1e-4)
    both = RandomForestClassifier(5, random_state=0).fit(rows, np.stack([CULTIVAR, CULTIVAR > 0], axis=1))
    source = sources.read(both, sample={"rows": rows[:9]})
    assert run(source.proto, {"rows": rows})[0].tolist() == both.predict(rows).tolist()


def test_transformer_to_a_sparse_matrix_is_read() -> None:
    counts = np.random.default_rng(0).integers(0, 5, (40, 6)).astype(np.float32)
    model = TfidfTransformer().fit(counts)
    (found,) = run(sources.read(model, sample={"counts": counts}).proto, {"counts": counts})
    np.testing.assert_allclose(found, model.transform(counts).toarray(), atol=1e-5)


def test_float64_of_a_sample_becomes_float32_as_a_device_has_it() -> None:
    model = make_pipeline(StandardScaler(), logistic()).fit(TUMOURS, BENIGN)
    source = sources.read(model, sample={"rows": TUMOURS[:9]})
    assert source.inputs[0].dtype == "float32"
    np.testing.assert_allclose(
        run(source.proto, {"rows": TUMOURS.astype(np.float32)})[1], model.predict_proba(TUMOURS), atol=1e-5
    )


def test_name_and_digest_are_those_of_the_export() -> None:
    model = logistic().fit(WINES[:, :3], CULTIVAR)
    source = sources.read(model, name="wines")
    assert (source.path.name, sources.read(model).path.name) == ("wines", "LogisticRegression")
    assert source.sha256 == hashlib.sha256(source.data).hexdigest()
    assert onnx.load_model_from_string(source.data) == source.proto


def test_equal_models_give_equal_bytes_in_other_processes(tmp_path: Path) -> None:
    program = """
        import hashlib, warnings
        import numpy as np
        from sklearn.datasets import load_wine
        from sklearn.ensemble import RandomForestClassifier, StackingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer, StandardScaler
        from sklearn.svm import SVC
        from edge_rai_converters import sources
        warnings.simplefilter("ignore")
        rows, classes = load_wine(return_X_y=True)
        stack = StackingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(3, random_state=0))])
        for model in (make_pipeline(StandardScaler(), Normalizer(), LogisticRegression()), SVC(), stack):
            print(hashlib.sha256(sources.read(model.fit(rows, classes)).data).hexdigest())
    """
    printed = [
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(set(printed[0].split())) == 3
    assert printed[0] == printed[1]


class Doubled(TransformerMixin, BaseEstimator):
    """A transformer that nobody else knows."""

    def fit(self, rows: Array, _: Array | None = None) -> Doubled:
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, rows: Array) -> Array:
        return 2 * rows


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (
            {"x": WINES[:5, :4]},
            "Pipeline: it was fitted with 13 columns, and the data have 4; give it those and no others",
        ),
        ({"x": WINES[:5, :, None]}, r"'x' of the sample has shape \[5, 13, 1\]"),
        ({"x": WINES[:0]}, r"'x' of the sample has shape \[0, 13\]"),
        ({"x": np.array([["a", 1.0]], object)}, "'x' of the sample mixes types or holds object"),
    ],
)
def test_sample_that_does_not_fit_is_one_sentence(sample: Any, message: str) -> None:
    model = make_pipeline(StandardScaler(), logistic()).fit(WINES, CULTIVAR)
    with pytest.raises((UnsupportedModelError, DataError), match=message) as refused:
        sources.read(model, sample=sample)
    assert "\n" not in str(refused.value)


def test_estimator_that_cannot_be_exported_is_one_sentence() -> None:
    with pytest.raises(UnsupportedModelError, match="the types of its inputs are not known; give a sample of its rows"):
        sources.read(logistic())
    with pytest.raises(UnsupportedModelError, match="^LogisticRegression: it is not fitted; fit it before"):
        sources.read(logistic(), sample={"x": WINES})
    unknown = make_pipeline(StandardScaler(), Doubled(), logistic()).fit(WINES, CULTIVAR)
    with pytest.raises(UnsupportedModelError, match="^Pipeline: skl2onnx cannot export .* for type '.*Doubled'"):
        sources.read(unknown)


def test_export_that_answers_otherwise_than_its_model_is_refused() -> None:
    class Turned(LogisticRegression):
        """skl2onnx takes it for what it is derived from."""

        def predict_proba(self, rows: Array) -> Array:
            return super().predict_proba(rows)[:, ::-1]

    skl2onnx.update_registered_converter(
        Turned,
        "TestTurned",
        skl2onnx.common.shape_calculator.calculate_linear_classifier_output_shapes,
        skl2onnx.operator_converters.linear_classifier.convert_sklearn_linear_classifier,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            "raw_scores": [True, False],
            "output_class_labels": [True, False],
        },
    )
    model = Turned(tol=1e-2).fit(TUMOURS[:, :4], BENIGN)
    sources.read(logistic().fit(TUMOURS[:, :4], BENIGN), sample={"x": TUMOURS[:64, :4]})
    with pytest.raises(UnsupportedModelError, match=r"Turned: its export to ONNX answers \d+ % of the sample's rows"):
        sources.read(model, sample={"x": TUMOURS[:64, :4]})


def test_rows_that_are_not_finite_are_the_fault_of_the_data_and_not_of_the_exporter(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), logistic()).fit(WINES, CULTIVAR)
    rows = WINES.copy()
    rows[3, 4] = np.nan
    with pytest.raises(DataError, match=r"feature 'data\[4\]' is nan in row 3, and 1 of 178 rows hold values that are"):
        convert(model, rows, tmp_path / "m.erai")
    rows[:] = np.inf
    with pytest.raises(DataError, match="each of the first 178 rows holds an infinity; give rows without them"):
        convert(model, rows, tmp_path / "m.erai")
    with pytest.raises(DataError, match="Pipeline: values are missing in each of the first rows; impute them, or"):
        sources.read(model, sample={"x": np.full_like(WINES, np.nan)})


@pytest.mark.parametrize("width", [12, 14])
def test_rows_of_another_width_than_the_model_was_fitted_with_are_explained(tmp_path: Path, width: int) -> None:
    model = make_pipeline(StandardScaler(), logistic()).fit(WINES, CULTIVAR)
    rows = np.column_stack([WINES, CULTIVAR])[:, :width].astype(np.float32)
    message = f"Pipeline: it was fitted with 13 columns, and the data have {width}; give it those and no others"
    with pytest.raises(DataError, match=message):
        convert(model, rows, tmp_path / "m.erai")


def test_columns_of_a_table_are_chosen_for_a_model_in_memory(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), logistic()).fit(WINES, CULTIVAR)
    names = [f"c{place}" for place in range(13)]
    lines = [",".join(["station", *names]), *(f"7,{','.join(map(str, row))}" for row in WINES)]
    (tmp_path / "wines.csv").write_text("\n".join(lines))
    report = convert(
        model, tmp_path / "wines.csv", tmp_path / "m.erai", columns=names, quantize="none", reproducible=True
    )
    assert report.features == 13


def test_column_that_the_model_picks_by_name_and_the_data_lack_is_named() -> None:
    model = ColumnTransformer([("scaled", StandardScaler(), [0])], remainder="passthrough").fit(WINES)
    model.feature_names_in_ = np.array([f"c{place}" for place in range(13)], object)
    sample = {f"c{place}": WINES[:5, place : place + 1] for place in range(12)}
    with pytest.raises(DataError, match="it was fitted with a column 'c12', and the data have none of that name"):
        sources.read(model, sample=sample)
