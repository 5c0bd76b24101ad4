"""Rows of a CSV file, for `edge-rai run`, `bench` and `drift`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_rai.cli import main
from edge_rai.cli.rows import read_column, read_rows, read_times
from edge_rai.errors import DataError
from edge_rai.policy import FeatureRule, InputRule, Missing, OutputRule, Policy
from edge_rai.session import load
from support.bundles import write_bundle
from support.models import save

FLOAT = TensorProto.FLOAT
TABLE = "id,area,radius,kind,texture\n7,3,1,b,2\n8,1,-1,m,0\n"
Run = Callable[..., tuple[int, str, str]]


def identities(path: Path, tensors: dict[str, tuple[int, list[object]]]) -> Path:
    """A model that returns each of its inputs."""
    return save(
        path,
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in tensors],
        [(name, *form) for name, form in tensors.items()],
        [(f"{name}_out", *form) for name, form in tensors.items()],
    )


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `edge-rai run MODEL --data rows.csv`; returns exit code, stdout and stderr."""

    def call(model: Path, text: str) -> tuple[int, str, str]:
        (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
        code = main(["run", str(model), "--data", str(tmp_path / "rows.csv"), "--json"])
        return code, *capsys.readouterr()

    return call


def test_columns_are_taken_by_the_bundles_names_and_others_left(run: Run, linear_bundle: Path) -> None:
    code, out, errors = run(linear_bundle, TABLE)
    assert (code, errors) == (0, "")
    assert json.loads(out)["outputs"]["y"] == [[12.0, 15.0], [3.0, 3.0]]


def test_empty_cell_is_a_missing_value_that_the_guard_judges(run: Run, linear_bundle: Path) -> None:
    code, out, _ = run(linear_bundle, TABLE.replace("3,1,b", ",1,b"))
    answer = json.loads(out)
    assert (code, answer["row_verdicts"]) == (1, [2, 0])
    assert [reason["subject"] for reason in answer["reasons"]] == ["area"]


def test_empty_cell_becomes_what_means_missing_to_the_guard(tmp_path: Path, run: Run) -> None:
    model = identities(tmp_path / "m.onnx", {"x": (FLOAT, ["N", 2])})
    features = (FeatureRule("a"), FeatureRule("b", missing=Missing(value=-999.0)))
    policy = Policy(
        1,
        True,
        (InputRule("x", "float32", (-1, 2), (9, 2), feature_axis=1, features=features),),
        (OutputRule("x_out", "float32", (-1, 2)),),
    )
    bundle = write_bundle(tmp_path / "b.erai", model, policy, {"x": np.ones((1, 2), np.float32)})
    code, out, errors = run(bundle, "b,a\n,1\n")
    assert (code, errors, json.loads(out)["outputs"]["x_out"]) == (0, "", [[1.0, -999.0]])


def test_model_without_names_takes_all_columns_of_numbers_by_their_places(run: Run, linear_model: Path) -> None:
    code, out, _ = run(linear_model, "kind,p,q,r\nb,1,2,3\n")
    assert (code, json.loads(out)["outputs"]["y"]) == (0, [[12.0, 15.0]])
    code, _, errors = run(linear_model, TABLE)
    assert code == 1
    assert "takes 3 columns and knows no names of them, and 4 hold numbers: id, area, radius, texture; leave" in errors


def test_inputs_of_one_column_each_take_theirs_in_their_types(tmp_path: Path) -> None:
    kinds = {"a": (TensorProto.INT64, ["N", 1]), "b": (TensorProto.STRING, ["N", 1]), "c": (TensorProto.BOOL, ["N"])}
    model = identities(tmp_path / "m.onnx", kinds)
    (tmp_path / "rows.csv").write_text("c,b,a\ntrue,12,3\nfalse,x,4\n", encoding="utf-8")
    with load(model) as session:
        rows = read_rows(tmp_path / "rows.csv", session)
        session.predict(rows)
    assert {name: values.tolist() for name, values in rows.items()} == {
        "a": [[3], [4]],
        "b": [["12"], ["x"]],
        "c": [True, False],
    }
    for text, said in {
        "a,b,c\n1.5,x,1\n": "column 'a' is no int64 in line 2",
        "a,b,c\n1,x,1\n,x,1\n": "column 'a' is no int64 in line 3",
        "a,b,c\n1,,1\n": "column 'b' is empty in line 2",
        "a,b,c\n1,x,2\n": "column 'c' is neither true nor false in line 2",
        "a,b\n1,x\n": "no column 'c', which the model takes; the file has: a, b",
        "a,b,c\nx,x,1\n": "column 'a' holds text such as 'x' in line 2",
        "a,b,c\n": "has no rows below its line of names",
    }.items():
        (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
        with load(model) as session, pytest.raises(DataError, match=said):
            read_rows(tmp_path / "rows.csv", session)


def test_labels_are_a_column_and_no_input(tmp_path: Path, linear_model: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("p,y,q,r,kind,half,gap\n1,0,2,3,b,.5,\n1,1,2,4,m,1,1\n", encoding="utf-8")
    with load(linear_model) as session, pytest.raises(DataError, match="3 columns and knows no names of them, and 5"):
        read_rows(path, session, "y")
    labels = read_column(path, "y", "labels")
    assert (labels.dtype, labels.tolist()) == (np.int64, [0, 1])
    assert read_column(path, "kind", "labels").tolist() == ["b", "m"]
    assert read_column(path, "half", "labels").tolist() == [0.5, 1.0]
    with pytest.raises(DataError, match="column 'gap' is empty in line 2"):
        read_column(path, "gap", "labels")
    with pytest.raises(DataError, match="no column 'z', which is to be the labels; the file has: p, y, q, r, kind"):
        read_column(path, "z", "labels")


def test_times_are_a_column_or_a_file_of_their_own(tmp_path: Path) -> None:
    path, alone = tmp_path / "rows.csv", tmp_path / "when.npy"
    path.write_text("p,when,n\n1,2027-01-15T08:00Z,1800000000\n2,2027-01-15T10:00:00+01:00,noon\n", encoding="utf-8")
    assert read_times(path, "when", 2).tolist() == [1_800_000_000.0, 1_800_003_600.0]
    np.save(alone, [5.0, 6.0])
    assert read_times(path, str(alone), 2).tolist() == [5.0, 6.0]
    for times, said in (
        ("n", "'n': '1800000000' in row 0 is no time"),
        ("z", "no column 'z', which is to be the times"),
        (str(tmp_path / "no.npy"), "no.npy: there is no such file"),
    ):
        with pytest.raises((DataError, FileNotFoundError), match=said):
            read_times(path, times, 2)
    with pytest.raises(DataError, match=r"times of shape \[2\] for 3 rows"):
        read_times(path, str(alone), 3)


def test_images_and_unsound_tables_are_refused_in_a_sentence(run: Run, tmp_path: Path, linear_bundle: Path) -> None:
    image = identities(tmp_path / "m.onnx", {"x": (FLOAT, ["N", 1, 2, 2])})
    for model, text, said in (
        (image, "a\n1\n", "input 'x' takes 4 axes, and a row of a table is one axis of values; give .npz or .npy"),
        (linear_bundle, "", "has no line of names"),
        (linear_bundle, "radius,texture,area\n1,2\n", "line 2 has 2 cells and the line of names 3"),
        (linear_bundle, "radius;texture\n1;2\n", "separate the columns by commas"),
    ):
        code, out, errors = run(model, text)
        assert (code, out, errors.count("\n")) == (1, "", 1)
        assert said in errors


def test_bench_and_drift_read_tables_too(
    tmp_path: Path, linear_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text(TABLE, encoding="utf-8")
    given = [str(linear_bundle), "--data", str(tmp_path / "rows.csv")]
    assert main(["bench", *given, "--labels", "id", "--duration", "0.1", "--processes", "1", "--cold-start", "0"]) == 0
    assert main(["drift", "report", *given]) in (0, 1, 2)
    assert "Traceback" not in capsys.readouterr().err
