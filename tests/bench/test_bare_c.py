"""A model in C that Python puts into its own turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx import save as save_model

from edge_rai.bench.bare_c import BareC
from edge_rai.bench.saving import load
from edge_rai.cli import main
from support.bench_program import built, ran, run_of

ROWS = np.linspace(-2, 2, 24, dtype=np.float32).reshape(8, 3)


@pytest.fixture(scope="module")
def program() -> Path:
    return built()


def test_python_puts_bare_c_into_its_own_turns(
    program: Path, linear_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERAI_BENCH", str(program))
    np.save(tmp_path / "rows.npy", ROWS)
    for rows in ([], ["--data", tmp_path / "rows.npy"]):
        save = tmp_path / "a.json"
        how = ["--against", "bare-python,bare-c", "--duration", "0.2", "--processes", "1", "--cold-start", "0"]
        assert main(["bench", str(linear_bundle), *how, "--save", str(save), *map(str, rows)]) == 0
        (scenario,) = load(save).scenarios
        bare_c = scenario.series[2]
        assert bare_c.subject == "linear.erai bare-c"
        assert [ratio.against for ratio in scenario.ratios] == ["linear.erai bare-python", "linear.erai bare-c"]
        series = run_of(save, scenario).series
        assert bare_c.blocks.round == scenario.series[1].blocks.round
        for one in series:  # of one clock: no two blocks of a round overlap
            others = [other for other in series if other is not one]
            first = one.block == 0
            began, ended = one.began_ns[first][0], one.ended_ns[first][-1]
            for other in others:
                theirs = other.block == 0
                assert other.began_ns[theirs][0] > ended or other.ended_ns[theirs][-1] < began


def test_bare_c_takes_rows_of_several_inputs_of_any_numbers(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERAI_BENCH", str(program))
    edges = [helper.make_tensor_value_info(name, TensorProto.INT64, ["N"]) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "sums", edges[:2], edges[2:])
    path = tmp_path / "sums.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    np.savez(tmp_path / "rows.npz", a=np.arange(8), b=np.arange(8))
    how = ["--against", "bare-c", "--duration", "0.2", "--processes", "1", "--cold-start", "0"]
    asked = [str(path), "--data", str(tmp_path / "rows.npz"), *how, "--save", str(tmp_path / "a.json")]
    assert main(["bench", *asked]) == 0
    assert load(tmp_path / "a.json").scenarios[0].series[1].queries > 0


def test_bare_c_takes_a_model_of_one_number(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERAI_BENCH", str(program))
    edges = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "twice", edges[:1], edges[1:])
    path = tmp_path / "twice.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    np.save(tmp_path / "row.npy", np.float32(3))
    how = ["--against", "bare-c", "--duration", "0.2", "--processes", "1", "--cold-start", "0"]
    assert main(["bench", str(path), "--data", str(tmp_path / "row.npy"), *how]) == 0


def test_bare_c_of_texts_is_refused_by_the_input(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ERAI_BENCH", str(program))
    path = texts(tmp_path / "texts.onnx")
    np.savez(tmp_path / "rows.npz", x=np.array([["a"], ["b"]]))
    assert main(["bench", str(path), "--data", str(tmp_path / "rows.npz"), "--against", "bare-c"]) == 2
    said = capsys.readouterr().err
    assert said == "edge-rai: texts.onnx: bare-c takes inputs of numbers, and x is of string\n"
    assert ran(program, path).stderr == (
        "erai-bench: input x holds strings, and erai-bench gives numbers alone; measure it with edge-rai bench\n"
    )


def texts(path: Path) -> Path:
    """Gives texts back."""
    edges = [helper.make_tensor_value_info(name, TensorProto.STRING, ["N", 1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "texts", edges[:1], edges[1:])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_bare_c_that_cannot_be_is_one_sentence(
    program: Path,
    linear_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["bench", str(linear_bundle), "--against", "bare-c"]
    monkeypatch.setenv("ERAI_BENCH", str(tmp_path / "absent"))
    assert main(asked) == 3
    assert "there is no program erai-bench" in capsys.readouterr().err
    monkeypatch.setenv("ERAI_BENCH", str(program))
    assert main([*asked, "--scenario", "server"]) == 2
    assert "use erai-bench --scenario server" in capsys.readouterr().err
    with BareC([str(tmp_path / "absent.onnx")]) as child, pytest.raises(ValueError, match="No such file"):
        child.block(0, 10)
