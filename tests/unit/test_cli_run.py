from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import ml_dtypes  # noqa: F401  numpy knows bfloat16 by name
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai import load
from edge_rai.cli import main
from edge_rai.telemetry.spool import Spool
from support.children import run_python
from support.models import FLOAT, save, save_identities

MAIN = "from edge_rai.cli import main; sys.exit(main())"
GOOD = np.array([[1, 2, 3], [-1, 0, 1]], np.float32)
BAD = np.array([[1, 2, 3], [np.nan, 0, 11]], np.float32)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `edge-rai run MODEL --data ...`; returns exit code, stdout and stderr."""

    def call(model: Path, data: np.ndarray | dict[str, np.ndarray] | Path, *options: str) -> tuple[int, str, str]:
        path = data if isinstance(data, Path) else tmp_path / ("rows.npz" if isinstance(data, dict) else "rows.npy")
        if isinstance(data, dict):
            np.savez(path, **data)
        elif not isinstance(data, Path):
            np.save(path, data)
        code = main(["run", str(model), "--data", str(path), *options])
        return code, *capsys.readouterr()

    return call


def test_clean_rows_exit_0_and_are_printed(run: Run, linear_bundle: Path) -> None:
    code, out, errors = run(linear_bundle, GOOD)
    assert (code, errors) == (0, "")
    assert out.splitlines()[:2] == ["2 rows: 2 accept, 0 flag, 0 reject", "answered by: primary 2"]
    assert out.splitlines()[2:] == ["y float32[2, 2]", "  [12. 15.]", "  [3. 3.]"]


def test_rejected_row_exits_1_and_says_why(run: Run, linear_bundle: Path) -> None:
    code, out, errors = run(linear_bundle, BAD)
    assert (code, errors) == (1, "")
    assert out == (
        "2 rows: 1 accept, 0 flag, 1 reject\n"
        "answered by: primary 1, default 1\n"
        "y float32[2, 2]\n"
        "  [12. 15.]\n"
        "  [0.25 0.75]\n"
        "  row 1: radius not finite: nan\n"
        "  row 1: area above range: 11 (limit 10)\n"
    )


def test_json_is_one_strict_object(run: Run, linear_bundle: Path) -> None:
    code, out, errors = run(linear_bundle, {"x": BAD}, "--json")
    assert (code, errors, out.count("\n")) == (1, "", 1)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(out, parse_constant=refuse) == {
        "verdict": "reject",
        "source": "default",
        "row_verdicts": [0, 2],
        "row_sources": [0, 3],
        "outputs": {"y": [[12.0, 15.0], [0.25, 0.75]]},
        "reasons": [
            {"code": "not_finite", "subject": "radius", "value": "nan", "limit": "nan", "row": 1, "element": 0},
            {"code": "above_range", "subject": "area", "value": 11.0, "limit": 10.0, "row": 1, "element": 2},
        ],
        "batch": None,
    }


def test_bare_model_answers_nan_for_a_rejected_row(run: Run, linear_model: Path) -> None:
    code, out, _ = run(linear_model, BAD, "--json")
    answer = json.loads(out)
    assert (code, answer["source"], answer["outputs"]["y"][1]) == (1, "none", ["nan", "nan"])


def test_other_numbers_are_converted_and_a_lone_array_needs_no_name(run: Run, linear_bundle: Path) -> None:
    for values in (GOOD.astype(np.int64), GOOD.astype(np.float64), GOOD.astype(">f4"), {"whatever": GOOD}):
        code, out, _ = run(linear_bundle, values, "--json")
        assert (code, json.loads(out)["outputs"]["y"]) == (0, [[12.0, 15.0], [3.0, 3.0]])


def test_column_of_one_value_a_row_needs_no_axis_for_it(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(identity(tmp_path / "m.onnx", "float32", ["N", 1]), np.array([1.5, 2.5]))
    assert (code, out.splitlines()[2:]) == (0, ["y float32[2, 1]", "  [1.5]", "  [2.5]"])


def test_columns_of_a_file_that_names_them_come_in_the_models_order(run: Run, linear_bundle: Path) -> None:
    with load(linear_bundle) as session:
        names = [feature.name for feature in session.features]
    for given in ({"x": GOOD[:, [2, 0, 1]]}, {"any": GOOD[:, [2, 0, 1]]}):
        shuffled = given | {"feature_names": np.array([names[2], *names[:2]])}
        code, out, _ = run(linear_bundle, shuffled, "--json")
        assert (code, json.loads(out)["outputs"]["y"]) == (0, [[12.0, 15.0], [3.0, 3.0]])
    code, _, errors = run(linear_bundle, {"x": GOOD, "feature_names": np.array([*names[:2], "height"])})
    assert (code, errors.count("\n")) == (2, 1)
    assert f"are {names[0]}, {names[1]}, height; give it the model's columns, in any order: {names[0]}, " in errors
    code, _, errors = run(linear_bundle, {"x": GOOD[0], "feature_names": np.array(names[::-1])})
    assert (code, errors.count("\n")) == (2, 1)
    assert "3 'feature_names' for an array of shape [3]; give one a column" in errors


def test_names_of_columns_say_nothing_to_a_model_without_any(run: Run, linear_model: Path) -> None:
    code, out, _ = run(linear_model, {"x": GOOD, "feature_names": np.array(["a", "b", "c"])}, "--json")
    assert (code, json.loads(out)["outputs"]["y"]) == (0, [[12.0, 15.0], [3.0, 3.0]])


def test_long_answers_are_cut(run: Run, linear_bundle: Path) -> None:
    _, out, _ = run(linear_bundle, np.full((30, 3), 99, np.float32))
    assert "  … and 22 more\n" in out
    assert out.endswith("  … and 70 more\n")


@pytest.mark.parametrize(
    ("values", "printed"),
    [
        (np.arange(300), f"  [{' '.join(map(str, range(36)))} … 264 more]"),
        (np.full(40, -1.25), f"  [{' '.join(['-1.25'] * 16)} … 24 more]"),
        (np.array(["two words"] * 30), "  ['two words'" + " 'two words'" * 7 + " … 22 more]"),
        (np.array(["x" * 150]), f"  ['{'x' * 98} … 54 more characters"),
    ],
)
def test_long_row_is_cut_behind_a_whole_value_and_says_how_many_more(
    run: Run, tmp_path: Path, values: np.ndarray, printed: str
) -> None:
    name = {"i": "int64", "f": "float32", "U": "string"}[values.dtype.kind]
    _, out, _ = run(identity(tmp_path / "m.onnx", name, ["N", len(values)]), values[np.newaxis])
    assert out.splitlines()[3] == printed


def test_long_map_is_cut_behind_a_whole_entry(run: Run, tmp_path: Path) -> None:
    node = helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", classlabels_int64s=list(range(100, 130)))
    scores = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))
    output = helper.make_value_info("z", helper.make_sequence_type_proto(scores))
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", FLOAT, ["N", 30])], [output])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    _, out, _ = run(tmp_path / "m.onnx", np.full((1, 30), 0.5, np.float32))
    assert out.splitlines()[3] == f"  {{{' '.join(f'{key}: 0.5,' for key in range(100, 110))} … 20 more}}"


def test_spool_gets_one_batch(run: Run, linear_bundle: Path, tmp_path: Path) -> None:
    code, out, _ = run(linear_bundle, BAD, "--spool", str(tmp_path / "spool"), "--json")
    spool = Spool(tmp_path / "spool")
    (batch,) = spool.batches()
    assert (code, json.loads(out)["batch"]) == (1, batch.path.name)
    assert spool.read(batch).rows == 2
    _, out, _ = run(linear_bundle, GOOD, "--spool", str(tmp_path / "spool"))
    assert out.endswith(".batch\n")
    assert len(spool.batches()) == 2


def test_output_of_rank_0_is_printed(run: Run, tmp_path: Path) -> None:
    model = save_identities(tmp_path / "m.onnx", [0])
    code, out, _ = run(model, np.array(2.5, np.float32))
    assert (code, out) == (0, "1 row: 1 accept, 0 flag, 0 reject\nanswered by: primary 1\ny0 float32[]\n  2.5\n")


def test_sequence_of_maps_is_printed_row_by_row_and_is_json(run: Run, tmp_path: Path) -> None:
    node = helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[7, 8])
    scores = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 2])],
        [helper.make_value_info("z", helper.make_sequence_type_proto(scores))],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    rows = np.array([[0.25, 0.75], [1, 0]], np.float32)
    code, out, _ = run(tmp_path / "m.onnx", rows)
    assert (code, out.splitlines()[2:]) == (0, ["z list of 2", "  {7: 0.25, 8: 0.75}", "  {7: 1.0, 8: 0.0}"])
    _, out, _ = run(tmp_path / "m.onnx", rows, "--json")
    assert json.loads(out)["outputs"] == {"z": [{"7": 0.25, "8": 0.75}, {"7": 1.0, "8": 0.0}]}
    rows[1, 0] = np.nan
    code, out, _ = run(tmp_path / "m.onnx", rows, "--json")
    assert (code, json.loads(out)["outputs"]["z"][1]) == (1, {"7": "nan", "8": "nan"})


@pytest.mark.parametrize(
    ("name", "values", "printed"),
    [
        ("string", np.array(["a", "é"]), ["y string[2]", "  a", "  é"]),
        ("int64", np.array([2**53 + 1, -1]), ["y int64[2]", f"  {2**53 + 1}", "  -1"]),
        ("int8", np.array([127.0, -3.0]), ["y int8[2]", "  127", "  -3"]),
        ("uint64", np.array([2**64 - 1, 0], np.uint64), ["y uint64[2]", f"  {2**64 - 1}", "  0"]),
        ("bool", np.array([True, False]), ["y bool[2]", "  True", "  False"]),
        ("float16", np.array([0.5, 2.0]), ["y float16[2]", "  0.5", "  2.0"]),
        ("bfloat16", np.array([0.5, 2.0]), ["y bfloat16[2]", "  0.5", "  2"]),
        ("bfloat16", np.array([0.5, 2.0]).astype("bfloat16"), ["y bfloat16[2]", "  0.5", "  2"]),
    ],
)
def test_rows_of_every_type_are_read_converted_and_printed(
    run: Run, tmp_path: Path, name: str, values: np.ndarray, printed: list[str]
) -> None:
    code, out, errors = run(identity(tmp_path / "m.onnx", name), values)
    assert (code, errors, out.splitlines()[2:]) == (0, "", printed)
    code, out, _ = run(tmp_path / "m.onnx", values, "--json")
    assert (code, len(json.loads(out)["outputs"]["y"])) == (0, 2)


def identity(path: Path, name: str, shape: list[str | int] | None = None) -> Path:
    """(N,) "x" of a type returned as "y"; or of another shape."""
    element = {"string": TensorProto.STRING, "bool": TensorProto.BOOL, "bfloat16": TensorProto.BFLOAT16}.get(name)
    element = element or helper.np_dtype_to_tensor_dtype(np.dtype(name))
    node = helper.make_node("Identity", ["x"], ["y"])
    return save(path, [node], [("x", element, shape or ["N"])], [("y", element, shape or ["N"])])


# ---- Errors ----


def assert_error(result: tuple[int, str, str], code: int, *parts: str) -> None:
    assert result[0] == code, result
    assert result[1] == ""
    assert result[2].startswith("edge-rai: ")
    assert result[2].count("\n") == 1
    for part in parts:
        assert part in result[2]


def test_unusable_models_are_named(run: Run, tmp_path: Path) -> None:
    assert_error(run(tmp_path / "absent.erai", GOOD), 4, "absent.erai")
    (tmp_path / "broken.onnx").write_bytes(b"garbage")
    assert_error(run(tmp_path / "broken.onnx", GOOD), 1, "broken.onnx")


def test_data_that_does_not_fit_exits_2(run: Run, linear_bundle: Path, tmp_path: Path) -> None:
    assert_error(run(linear_bundle, {"a": GOOD, "b": GOOD}), 2, "rows.npz: no array 'x'; the file has: a, b")
    assert_error(run(linear_bundle, np.array([["a", "b", "c"]])), 2, "expected float32, got <U1")
    assert_error(run(linear_bundle, GOOD, "--threads", "-1"), 2, "threads is -1")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    assert_error(run(linear_bundle, tmp_path / "objects.npy"), 1, "objects.npy")


@pytest.mark.parametrize("kind", ["empty", "text", "half npy", "half npz", "flipped npz", "text in npz"])
def test_data_file_that_is_not_sound_exits_1_and_is_named(
    run: Run, linear_bundle: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / ("data.npz" if "npz" in kind else "data.npy")
    if "npz" in kind:
        np.savez(path, x=GOOD)
    else:
        np.save(path, GOOD)
    data = path.read_bytes()
    if kind == "text in npz":
        import zipfile

        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x", "hello")
    else:
        changed = {"empty": b"", "text": b"hello\n", "flipped npz": data[:-200] + bytes(100) + data[-100:]}
        path.write_bytes(changed.get(kind, data[: len(data) // 2]))
    if kind == "flipped npz":
        at = data.index(GOOD.tobytes())
        path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    assert_error(run(linear_bundle, path), 1, path.name)


def test_numbers_that_the_type_cannot_hold_are_not_rounded(run: Run, tmp_path: Path) -> None:
    for name, wrong in (("int8", [1.5]), ("int8", [200]), ("uint8", [-1]), ("int64", [np.nan]), ("bool", [1])):
        result = run(identity(tmp_path / "m.onnx", name), np.array(wrong))
        assert_error(result, 2, f"input 'x': expected {name}, got ")


def test_absent_data_exits_4(run: Run, linear_bundle: Path, tmp_path: Path) -> None:
    assert_error(run(linear_bundle, tmp_path / "absent.npy"), 4, "absent.npy")


def test_spool_that_cannot_be_made_exits_4(run: Run, linear_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_error(run(linear_bundle, GOOD, "--spool", str(tmp_path / "file")), 4, "spool: making")


def test_missing_runtime_exits_3_with_the_fix(linear_bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", GOOD)
    environment = {"ERAI_ONNXRUNTIME": "/nonexistent/libonnxruntime.so"}
    child = run_python(MAIN, "run", linear_bundle, "--data", tmp_path / "rows.npy", environment=environment)
    assert_error((child.returncode, child.stdout, child.stderr), 3, "pip install onnxruntime")


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "m"], ["absent"], [], ["run", "m", "--data", "d", "--threads", "x"]]
)
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: edge-rai")


@pytest.mark.parametrize("command", ["convert", "profile"])
def test_command_of_the_other_distribution_exits_3_and_names_it(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge_rai.cli.entry_points", lambda **_: ())
    assert main([command, "model.onnx", "--data", "x.npz", "-o", "m.erai"]) == 3
    out, errors = capsys.readouterr()
    assert out == ""
    assert "part of edge-rai-converters" in errors


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("edge_rai.cli.entry_points", lambda **_: ())
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    expected = (Path(__file__).parents[1] / "cli/help.txt").read_text(encoding="utf-8")
    heading = "optional arguments:" if sys.version_info < (3, 10) else "options:"
    assert capsys.readouterr().out == expected.replace("options:", heading)
