"""``edge-rai gate`` takes columns and classes by the names that a model has for them, and says which it judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai import cli
from edge_rai.bundle import read, write_bundle
from edge_rai.policy import Missing, parse_policy, policy_to_toml
from edge_rai_converters import convert
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate import GateReport, gate, parse_gate_policy

COLUMNS = ("age", "income", "tenure")
CLASSES = ("box", "disc", "stripes")
POLICY = "format_version = 1\n[margins]\naccuracy = 0.2\n"
Array = np.ndarray


def classifier() -> onnx.ModelProto:
    """Answers with shares of three classes: whether the first column is nearest to 0.5, 1.5 or 2.5."""
    nearest = np.array([0.5, 1.5, 2.5])
    weights = np.stack([20 * nearest, 0 * nearest, -10 * nearest**2 / 945])  # the third column is always about 945
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "w"], ["s"]), helper.make_node("Softmax", ["s"], ["p"], axis=1)],
        "nearest",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def people() -> tuple[Array, Array]:
    """Three columns of unlike size, and a class of three that the first decides."""
    generator = np.random.default_rng(0)
    rows = np.stack([generator.uniform(low, high, 400) for low, high in ((0, 3), (50, 60), (944, 946))], axis=1)
    return rows.astype(np.float32), rows[:, 0].astype(np.int64)


def table(path: Path, order: tuple[str, ...] = COLUMNS, classes: tuple[str, ...] = CLASSES, shoe: str = "M") -> Path:
    """The people of these classes, with their columns in this order, beside one that no model takes."""
    rows, of = people()
    lines = [",".join((*order, "shoe", "kind"))]
    for row, place in zip(rows, of, strict=True):
        if CLASSES[place] in classes:
            lines.append(",".join((*(str(row[COLUMNS.index(name)]) for name in order), shoe, CLASSES[place])))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data.csv, original.onnx, and people.erai, which was made of both."""
    folder = tmp_path_factory.mktemp("made")
    onnx.save(classifier(), folder / "original.onnx")
    convert(
        folder / "original.onnx",
        table(folder / "data.csv"),
        folder / "people.erai",
        labels="kind",
        quantize="none",
        prune="none",
        reproducible=True,
    )
    return folder


def judged(made: Path, data: Path, candidate: object = "people.erai") -> GateReport:
    candidate = made / candidate if isinstance(candidate, str) else candidate
    return gate(candidate, made / "original.onnx", data, parse_gate_policy(POLICY), labels="kind")


def figures(report: GateReport) -> list[tuple[float, float]]:
    return [(cell.measured.original, cell.measured.candidate) for cell in report.cells]


def test_columns_of_a_table_are_taken_by_the_names_that_a_bundle_has(made: Path, tmp_path: Path) -> None:
    found = judged(made, table(tmp_path / "data.csv", ("tenure", "age", "income")))
    assert figures(found) == figures(judged(made, made / "data.csv"))
    assert figures(found)[0][0] > 0.95
    assert found.notes == ()


def test_columns_of_a_table_make_groups_beside_those_that_the_models_take(made: Path, tmp_path: Path) -> None:
    policy = parse_gate_policy(
        POLICY + '[slice_margins]\naccuracy = 0.3\n[columns.age]\nbins = [1.5]\n[[slices]]\nby = ["age"]\n'
    )
    data = table(tmp_path / "data.csv", ("tenure", "age", "income"), shoe="40")
    report = gate(made / "people.erai", made / "original.onnx", data, policy, labels="kind")
    assert len(report.cells) == 3
    assert min(before for before, _ in figures(report)) > 0.95


def test_column_that_a_bundle_names_and_a_table_lacks_is_refused(made: Path, tmp_path: Path) -> None:
    text = made.joinpath("data.csv").read_text().replace("tenure", "years", 1)
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(DataError, match="no column 'tenure', which people.erai takes; "):
        judged(made, tmp_path / "data.csv")


def test_features_of_an_npz_file_are_taken_by_the_names_that_a_bundle_has(made: Path, tmp_path: Path) -> None:
    rows, of = people()
    named = {"feature_names": np.array(COLUMNS)[[2, 0, 1]], "kind": of}
    np.savez(tmp_path / "data.npz", X=rows[:, [2, 0, 1]], **named)
    assert figures(judged(made, tmp_path / "data.npz")) == figures(judged(made, made / "data.csv"))
    np.savez(tmp_path / "data.npz", X=rows, feature_names=np.array(["age", "income", "years"]), kind=of)
    with pytest.raises(DataError, match="feature_names has no 'tenure', and people.erai takes age, income, tenure"):
        judged(made, tmp_path / "data.npz")


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")  # as the export is asked without
def test_columns_are_taken_by_the_names_that_a_model_in_memory_was_fitted_with(tmp_path: Path) -> None:
    from sklearn.tree import DecisionTreeClassifier

    rows, of = people()
    fitted = DecisionTreeClassifier(max_depth=3).fit(rows, np.array(CLASSES)[of])
    fitted.feature_names_in_ = np.array(COLUMNS, object)  # as of a data frame
    data = table(tmp_path / "data.csv", ("tenure", "age", "income"))
    report = gate(fitted, fitted, data, parse_gate_policy(POLICY), labels="kind")
    assert figures(report)[0][0] > 0.95


def test_columns_are_taken_by_the_names_in_a_file_of_a_booster(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    pytest.importorskip("onnxmltools", reason="onnxmltools is not installed")
    rows, of = people()
    data = lightgbm.Dataset(rows, of, feature_name=["age in years", "income", "tenure"])
    rules = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1}
    lightgbm.train(rules, data, num_boost_round=3).save_model(tmp_path / "booster.txt")
    text = table(tmp_path / "data.csv", ("tenure", "age", "income")).read_text().replace("age", "age in years", 1)
    for place, name in enumerate(CLASSES):
        text = text.replace(name, str(place))
    (tmp_path / "data.csv").write_text(text)
    model = tmp_path / "booster.txt"
    report = gate(model, model, tmp_path / "data.csv", parse_gate_policy(POLICY), labels="kind")
    assert figures(report)[0][0] > 0.95


def test_classes_are_those_of_the_bundle_where_the_rows_have_not_all_of_them(made: Path, tmp_path: Path) -> None:
    data = table(tmp_path / "data.csv", classes=("disc", "stripes"))
    assert figures(judged(made, data))[0][0] > 0.95
    with pytest.raises(
        DataError, match="text of 2 classes, 'disc', 'stripes', and the models have 3; name all of them"
    ):
        judged(made, data, "original.onnx")


def test_models_no_better_than_guessing_are_said_to_be(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, of = people()
    np.savez(tmp_path / "data.npz", X=rows[:, [2, 0, 1]], kind=of)
    (tmp_path / "gate.toml").write_text(POLICY)
    model = str(made / "original.onnx")
    arguments = ["gate", model, "--against", model, "--data", str(tmp_path / "data.npz"), "--labels", "kind"]
    assert cli.main([*arguments, "--policy", str(tmp_path / "gate.toml")]) == 0
    note = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("note: "))
    assert "not measurably more than the" in note
    assert "of somebody who always says" in note
    assert "order of columns" in note


def test_report_says_which_of_a_bundle_s_models_was_judged(made: Path, tmp_path: Path) -> None:
    held = read(made / "people.erai")
    [model] = held.manifest.models
    other = replace(model, path="models/people.tflite", format="tflite", golden=held.manifest.golden)
    files = {path: held.files[path] for path in held.manifest.files} | {other.path: held.files[model.path]}
    write_bundle(tmp_path / "both.erai", files, replace(held.manifest, models=(model, other)))
    [note] = judged(made, made / "data.csv", tmp_path / "both.erai").notes
    assert note.startswith(f"both.erai holds 2 models, and {model.path} is judged here; for another ")
    assert note.endswith("give its file models/people.tflite")


def test_columns_that_were_taken_as_they_stand_are_said_where_others_were_left(made: Path, tmp_path: Path) -> None:
    lines = table(tmp_path / "mixed.csv", ("income", "age", "tenure")).read_text().splitlines()
    lines[0] = lines[0].replace("shoe", "comment")
    (tmp_path / "mixed.csv").write_text("\n".join(lines))
    report = judged(made, tmp_path / "mixed.csv", made / "original.onnx")
    assert any("taken in the data's order: 'income', 'age', 'tenure'; not taken: 'comment'" in n for n in report.notes)
    assert not any("taken in" in note for note in judged(made, tmp_path / "mixed.csv").notes)  # the bundle has names


def test_card_names_the_columns_that_the_model_is_to_be_given(made: Path) -> None:
    assert "- columns: X: age, income, tenure\n" in read(made / "people.erai").files["card.md"].decode()


@pytest.mark.parametrize(("value", "written"), [(None, ""), (-1.0, "-1")])
def test_missing_values_are_for_both_models_what_the_guard_makes_of_them(
    made: Path, tmp_path: Path, value: float | None, written: str
) -> None:
    learned = parse_policy(read(made / "people.erai").files["policy.toml"].decode())
    first, *others = learned.inputs[0].features
    first = replace(first, missing=Missing(value=value, becomes=2.5, verdict="accept"))
    rules = replace(learned, inputs=(replace(learned.inputs[0], features=(first, *others)),))
    (tmp_path / "policy.toml").write_text(policy_to_toml(rules))
    convert(
        made / "original.onnx",
        made / "data.csv",
        tmp_path / "people.erai",
        labels="kind",
        policy=tmp_path / "policy.toml",
        quantize="none",
        prune="none",
        reproducible=True,
    )
    lines = (made / "data.csv").read_text().splitlines()
    stripes = [line for line in lines if line.endswith("stripes")]
    gaps = [f"{written},{line.partition(',')[2]}" for line in stripes]
    (tmp_path / "gaps.csv").write_text("\n".join([lines[0], *gaps]))
    report = gate(
        tmp_path / "people.erai",
        made / "original.onnx",
        tmp_path / "gaps.csv",
        parse_gate_policy(POLICY + "[robustness]\nrows = 64\nattack_rows = 0\n"),
        labels="kind",
    )
    measured = next(entry for entry in report.measured if entry.metric == "accuracy")
    assert (measured.original, measured.candidate) == (1.0, 1.0)
    clean = report.as_json()["robustness"]["curves"][0]["points"][0]
    assert (clean["original"]["value"], clean["candidate"]["value"]) == (1.0, 1.0)
    if value is None:
        with pytest.raises(DataError, match="feature 'age' is nan in line 2"):
            gate(
                made / "original.onnx",
                made / "original.onnx",
                tmp_path / "gaps.csv",
                parse_gate_policy(POLICY),
                labels="kind",
                columns=COLUMNS,
            )
