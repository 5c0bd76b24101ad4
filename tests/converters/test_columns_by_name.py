"""Columns of a table reach a model, and the rules of a policy, by the names that these know, and else by place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_rai.errors import EdgeRaiError, PolicyError
from edge_rai.policy import policy_to_toml
from edge_rai_converters.errors import DataError
from edge_rai_converters.learning import Learned, learn
from edge_rai_converters.wishes import Wishes

pd = pytest.importorskip("pandas", reason="pandas is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries that are not ours
NAMES = ["age", "income", "tenure"]
SHUFFLED = ["tenure", "income", "age"]
DRAWN = np.random.default_rng(0)
TABLE = pd.DataFrame(DRAWN.normal([40, 3000, 5], [9, 700, 2], (160, 3)), columns=NAMES)
GOOD = (TABLE["age"] / 9 - TABLE["tenure"] > TABLE["age"].mean() / 9 - 5).astype(int)
SEX = np.where(DRAWN.random(160) < 0.5, "f", "m")


def pipeline(rows: Any = TABLE) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, GOOD)


def picking() -> Any:
    scaled = ColumnTransformer([("scaled", StandardScaler(), NAMES)])
    return make_pipeline(scaled, LogisticRegression()).fit(TABLE, GOOD)


def boosted(kind: str) -> Any:
    pytest.importorskip("onnxmltools", reason="onnxmltools is not installed")
    made = pytest.importorskip(kind, reason=f"{kind} is not installed")
    if kind == "xgboost":
        return made.XGBClassifier(n_estimators=4, n_jobs=1).fit(TABLE, GOOD)
    return made.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(TABLE, GOOD)


def csv(folder: Path, columns: list[str], **others: Any) -> Path:
    TABLE[columns].assign(**others).to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def check_right(learned: Learned, model: Any) -> None:
    (rule,) = learned.policy.inputs
    assert [feature.name for feature in rule.features] == NAMES
    assert [entry.name for entry in learned.reference.features] == NAMES
    np.testing.assert_allclose([entry.mean for entry in learned.reference.features], TABLE.mean(), rtol=0.1)
    rows = np.asarray(learned.dataset.rows[rule.name][:]).reshape(-1, 3)
    np.testing.assert_allclose(rows, TABLE.to_numpy(), rtol=1e-6)
    session = onnxruntime.InferenceSession(learned.source.data, providers=["CPUExecutionProvider"])
    _, probabilities = session.run(None, {rule.name: rows})
    np.testing.assert_allclose(probabilities, model.predict_proba(TABLE), atol=1e-4)


@pytest.mark.parametrize("kind", ["scikit-learn", "xgboost", "lightgbm"])
def test_model_in_memory_takes_shuffled_columns_by_name(kind: str, tmp_path: Path) -> None:
    model = pipeline() if kind == "scikit-learn" else boosted(kind)
    check_right(learn(model, csv(tmp_path, SHUFFLED)), model)


def test_file_of_a_booster_takes_shuffled_columns_by_name(tmp_path: Path) -> None:
    model = boosted("xgboost")
    model.save_model(str(tmp_path / "model.json"))
    check_right(learn(tmp_path / "model.json", csv(tmp_path, SHUFFLED)), model)


def test_booster_of_lightgbm_takes_shuffled_columns_by_name(tmp_path: Path) -> None:
    model = boosted("lightgbm")
    check_right(learn(model.booster_, csv(tmp_path, SHUFFLED)), model)


def test_lightgbm_that_wrote_underscores_for_blanks_finds_its_columns(tmp_path: Path) -> None:
    pytest.importorskip("onnxmltools", reason="onnxmltools is not installed")
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    blank = TABLE.rename(columns={"age": "mean age"})
    model = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(blank, GOOD)
    blank[["tenure", "income", "mean age"]].to_csv(tmp_path / "data.csv", index=False)
    names = learn(model, tmp_path / "data.csv").dataset.feature_names
    assert names == ("mean age", "income", "tenure")


def test_columns_that_the_model_was_not_fitted_with_are_left_out_and_said(tmp_path: Path) -> None:
    model = pipeline()
    learned = learn(model, csv(tmp_path, SHUFFLED, sex=SEX, y=GOOD, height=1.0), Wishes(labels="y"))
    check_right(learned, model)
    assert learned.dataset.not_taken == ("sex", "height")
    assert learned.dataset.labels is not None


def test_pipeline_that_picks_columns_takes_no_others(tmp_path: Path) -> None:
    learned = learn(picking(), csv(tmp_path, SHUFFLED, sex=SEX))
    assert [spec.name for spec in learned.source.inputs] == NAMES
    assert learned.dataset.not_taken == ("sex",)


@pytest.mark.parametrize("model", [pipeline, picking])
def test_arrays_that_are_named_as_columns_are_taken_by_name(model: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", height=np.ones(160), **{name: TABLE[name].to_numpy("f4") for name in SHUFFLED})
    learned = learn(model(), tmp_path / "data.npz")
    assert [spec.name for spec in learned.source.inputs] == NAMES
    assert learned.dataset.not_taken == ("height",)


@pytest.mark.parametrize("model", [pipeline, picking])
def test_column_that_the_table_lacks_is_refused_by_name(model: Any, tmp_path: Path) -> None:
    path = csv(tmp_path, ["tenure", "age"], sex=SEX)
    with pytest.raises(DataError, match="no column 'income', which the model was fitted with"):
        learn(model(), path)


def test_model_that_was_fitted_with_an_array_takes_columns_in_the_table_s_order(tmp_path: Path) -> None:
    learned = learn(pipeline(TABLE[SHUFFLED].to_numpy()), csv(tmp_path, SHUFFLED))
    assert learned.dataset.feature_names == tuple(SHUFFLED)


def test_columns_of_other_names_stand_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    path = csv(tmp_path, ["tenure", "income"], years=TABLE["age"])
    learned = learn(pipeline(), path, Wishes(columns=("years", "income", "tenure")))
    assert learned.dataset.feature_names == ("years", "income", "tenure")
    with pytest.raises(DataError, match="has 'tenure' in the place of 'age'"):
        learn(pipeline(), path, Wishes(columns=("tenure", "income", "years")))


def test_named_arrays_in_another_order_than_the_model_s_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", X=TABLE[SHUFFLED].to_numpy("f4"), feature_names=np.array(SHUFFLED))
    with pytest.raises(DataError, match="fitted with the columns age, income, tenure; give them in this order"):
        learn(pipeline(), tmp_path / "data.npz")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model that knows no names, and the policy that was learned with the table in its order."""
    folder = tmp_path_factory.mktemp("written")
    model = pipeline(TABLE.to_numpy())
    (folder / "policy.toml").write_text(policy_to_toml(learn(model, csv(folder, NAMES)).policy), encoding="utf-8")
    return model, folder / "policy.toml"


def test_policy_s_features_are_paired_with_columns_by_name(written: tuple[Any, Path], tmp_path: Path) -> None:
    model, policy = written
    learned = learn(model, csv(tmp_path, SHUFFLED), Wishes(policy=policy))
    check_right(learned, model)


def test_policy_s_features_follow_the_model_s_order(written: tuple[Any, Path], tmp_path: Path) -> None:
    model = pipeline(TABLE[SHUFFLED])
    learned = learn(model, csv(tmp_path, NAMES), Wishes(policy=written[1]))
    limits = {feature.name: feature.high for feature in learned.policy.inputs[0].features}
    assert list(limits) == list(learned.dataset.feature_names or ()) == SHUFFLED
    assert limits["income"] > 1000 > limits["age"] > limits["tenure"]


def test_policy_with_other_names_than_the_data_is_refused(written: tuple[Any, Path], tmp_path: Path) -> None:
    model, policy = written
    path = csv(tmp_path, ["tenure", "income"], years=TABLE["age"])
    with pytest.raises(EdgeRaiError, match="no column 'age', which the policy names"):
        learn(model, path, Wishes(policy=policy))
    with pytest.raises(PolicyError, match="differ in age, years; give both the same names"):
        learn(pipeline(TABLE.rename(columns={"age": "years"})), path, Wishes(policy=policy))
