"""The command, on small bundles and for a short while each: what is reported, and what is refused in one sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx import save as save_model

from edge_rai import bundle
from edge_rai.bench.cold_start import _allocations_per_call, _Start
from edge_rai.bench.contenders import opened
from edge_rai.bench.result import Result
from edge_rai.bench.saving import from_json, load, save
from edge_rai.cli import main
from edge_rai.policy import Policy, Reference, policy_to_toml
from support import litert_models
from support.bench_runs import result
from support.bundles import read_tree, write_bundle

ROWS = np.linspace(-2, 2, 24, dtype=np.float32).reshape(8, 3)
SHORT = ["--duration", "0.3", "--processes", "1", "--cold-start", "0"]


@pytest.fixture
def written(tmp_path: Path, linear_model: Path, linear_policy: Policy, linear_reference: Reference) -> Path:
    """A bundle with its policy and its reference in words."""
    path = write_bundle(tmp_path / "linear.erai", linear_model, linear_policy, {"x": ROWS}, linear_reference)
    files = {name: data for name, data in read_tree(path).items() if not name.startswith("manifest.")}
    files["policy.toml"] = policy_to_toml(linear_policy).encode()
    files["reference/reference.json"] = linear_reference.to_json()
    bundle.write_bundle(path, files, bundle.read(path).manifest)
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Rows with the classes that the linear model gives all of them but the fourth."""
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    np.savez(tmp_path / "labelled.npz", x=ROWS, y=labels)
    return tmp_path / "labelled.npz"


def measured(capsys: pytest.CaptureFixture[str], *arguments: Any) -> Result:
    assert main(["bench", *map(str, arguments), *SHORT, "--json"]) == 0
    return from_json(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert main(["bench", *map(str, arguments)]) in (1, 2, 3, 4)
    said = capsys.readouterr().err
    assert said.startswith("edge-rai: ")
    assert said.count("\n") == 1
    return said


def test_models_are_measured_beside_their_bare_runtimes_and_each_other(
    written: Path, linear_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    result = measured(capsys, written, linear_model, "--data", tmp_path / "rows.npy")
    scenario = result.scenarios[0]
    names = ["linear.erai", "linear.erai bare-python", "linear.onnx", "linear.onnx bare-python", "empty", "yardstick"]
    assert [series.subject for series in scenario.series] == names
    assert [(ratio.subject, ratio.against) for ratio in scenario.ratios] == [
        ("linear.erai", "linear.erai bare-python"),
        ("linear.onnx", "linear.onnx bare-python"),
        ("linear.onnx", "linear.erai"),
    ]
    empty, model = (
        next(s.percentiles[0].ns for s in scenario.series if s.subject == name) for name in ("empty", "linear.erai")
    )
    assert empty < model / 4
    assert result.complete
    facts = {subject.name: subject.facts for subject in result.subjects}
    assert facts["linear.erai"]["file"]["model_bytes"] == facts["linear.onnx"]["file"]["bytes"]
    assert facts["linear.erai"]["per_call"]["cpu_ns"] > 0
    assert facts["linear.erai"]["per_call"]["energy"] == "not measured" or facts["linear.erai"]["per_call"]["energy"]
    assert not [warning for warning in result.warnings if "rejected" in warning]


def test_one_bundle_given_twice_is_two_subjects(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = measured(capsys, written, written, "--against", "none")
    assert [series.subject for series in result.scenarios[0].series[:2]] == ["linear.erai", "linear.erai (2)"]


def test_each_safeguard_has_a_price(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(written), *SHORT, "--safeguards", "each", "--against", "none"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("a safeguard's price"))
    names = ["finite inputs", "ranges", "drift counts", "finite outputs", "all of them"]
    assert [line[: len(name)] for line, name in zip(lines[at + 1 :], names, strict=False)] == names


def test_several_processes_share_the_duration(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(written), *SHORT, "--processes", "2", "--json"]) == 0
    scenario = from_json(capsys.readouterr().out).scenarios[0]
    assert len(scenario.processes) == 2
    assert scenario.processes[1] in scenario.series[0].blocks.round


def test_many_processes_take_no_longer_than_few(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--duration", "0.1", "--processes", "4", "--cold-start", "0", "--safeguards", "each", "--json"]
    assert main(["bench", str(written), *asked]) == 0
    scenario = from_json(capsys.readouterr().out).scenarios[0]
    assert 8 <= len(scenario.series[0].blocks.round) < 4 * 8


def test_bundles_without_a_safeguard_are_gone_when_they_are_open(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with opened(written, "linear.erai", rows=None, threads=1, runtime=None, each=True) as model:
        assert len(model.without) == 5
        assert not [path for path in temporary.rglob("*") if path.is_file()]


def test_offline_finds_rows_a_second_by_batch(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = measured(capsys, written, "--scenario", "offline", "--batch", "6", "--against", "none")
    assert [entry.batch for entry in result.scenarios[0].throughput] == [1, 2, 4, 6]
    assert sum(entry.best for entry in result.scenarios[0].throughput) == 1


def test_multi_stream_asks_eight_rows_a_query(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = measured(capsys, written, "--scenario", "multi_stream")
    assert [series.rows for series in result.scenarios[0].series] == [8, 8, 1, 1]


def test_server_finds_a_rate_within_the_bound(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", str(written), "--scenario", "server", "--duration", "1", "--cold-start", "0"]
    assert main([*arguments, "--against", "none", "--bound-ms", "500", "--percentile", "50", "--json"]) == 0
    rate = from_json(capsys.readouterr().out).scenarios[0].server[0]
    assert (rate.percent, rate.bound_ns) == (50.0, 500_000_000)
    assert rate.rate_per_s > 0


def test_a_cold_start_has_its_steps(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(written), *SHORT[:-1], "1", "--json"]) == 0
    for subject in from_json(capsys.readouterr().out).subjects[:2]:
        start = subject.facts["cold_start"]
        steps = [start[f"{step}_ns"] for step in ("interpreter", "import", "load", "first_answer")]
        assert min(steps) > 0
        assert sum(steps) == pytest.approx(start["total_ns"])
        assert start["peak_bytes"] >= start["resident_bytes"] > 2**20
        assert start["allocations_per_call"] is None or 0 < start["allocations_per_call"] < 1000


def test_a_process_that_does_not_survive_the_trace_of_its_allocations_costs_their_number_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=ROWS[:1])
    start = _Start(str(tmp_path / "absent.onnx"), str(tmp_path / "rows.npz"), "onnxruntime", "no", 1)
    assert _allocations_per_call("absent.onnx", start) is None


def test_accuracy_stands_beside_latency(written: Path, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = measured(capsys, written, "--data", labelled, "--labels", "y")
    accuracy = result.subjects[0].facts["accuracy"]
    assert accuracy["metric"] == "accuracy"
    assert accuracy["value"] == 7 / 8
    assert accuracy["low_95"] < 7 / 8 < accuracy["high_95"]


def test_rejected_rows_make_no_fair_run_and_it_is_said(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "far.npy", ROWS * 100)
    result = measured(capsys, written, "--data", tmp_path / "far.npy")
    (said,) = (warning for warning in result.warnings if "the guard rejected" in warning)
    rejected, rows = map(int, re.findall(r"\d+", said.replace(",", ""))[:2])
    assert said.startswith("linear.erai: ")
    assert 0 < rejected <= rows
    assert "so this is no fair comparison" in said


def test_few_rejected_rows_are_said_and_leave_the_verdict(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.tile(ROWS, (5, 1))
    rows[7] = np.nan
    np.save(tmp_path / "mostly.npy", rows)
    assert main(["bench", str(written), *SHORT, "--data", str(tmp_path / "mostly.npy")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "too few for the medians, by which subjects are compared, to show" in said
    assert "no fair comparison" not in said


def test_the_tflite_twin_is_measured_in_an_interpreter(
    linear_model: Path, linear_policy: Policy, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ai_edge_litert")
    weights = (np.arange(6, dtype=np.float32) + 1).reshape(3, 2).T / 2
    twin = tmp_path / "twin.tflite"
    twin.write_bytes(litert_models.linear(weights=weights, bias=np.ones(2, np.float32)))
    policy = replace(linear_policy, inputs=(replace(linear_policy.inputs[0], max_shape=(64, 3)),))
    both = write_bundle(tmp_path / "both.erai", (linear_model, twin), policy, {"x": ROWS}, atol=1e-5)
    asked = ["--against", "bare-python,litert", "--batch", "4", "--threads", "0"]
    assert main(["bench", str(both), *asked, *SHORT, "--json"]) == 0
    said, complaints = capfd.readouterr()
    result = from_json(said)
    assert complaints == ""
    assert result.subjects[0].facts["file"]["threads"] == 0
    assert [series.subject for series in result.scenarios[0].series[:3]] == [
        "both.erai",
        "both.erai bare-python",
        "both.erai litert",
    ]


def test_a_model_may_have_its_suffix_in_capitals(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_litert")
    path = tmp_path / "LINEAR.TFLITE"
    path.write_bytes(litert_models.linear(weights=np.ones((2, 3), np.float32), bias=np.ones(2, np.float32)))
    np.save(tmp_path / "rows.npy", ROWS)
    assert main(["bench", str(path), "--data", str(tmp_path / "rows.npy"), *SHORT]) == 0
    report, complaints = capfd.readouterr()
    assert "litert, 1 thread\n" in report
    assert complaints == ""


def test_a_killed_run_leaves_what_there_was(written: Path, tmp_path: Path) -> None:
    saved = tmp_path / "killed.json"
    command = [sys.executable, "-c", "import sys; from edge_rai.cli import main; sys.exit(main(sys.argv[1:]))"]
    options = ["--duration", "60", "--processes", "1", "--cold-start", "0", "--against", "none", "--save", str(saved)]
    with subprocess.Popen([*command, "bench", str(written), *options], cwd=tmp_path) as child:
        until = time.monotonic() + 60
        while time.monotonic() < until and child.poll() is None and not (saved.exists() and load(saved).scenarios):
            time.sleep(0.1)
        child.kill()
    result = load(saved)
    assert not result.complete
    assert result.scenarios[0].series[0].queries > 100
    with np.load(saved.with_suffix(".npz")) as samples:
        assert len(samples["single_stream.0.began_ns"]) > 100


def test_saved_results_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    save(Path(a), result(0, duration_s=2))
    save(Path(b), result(1, 8.0, duration_s=2))
    assert main(["bench", "compare", a, b, "--allow", "50"]) == 1
    assert "slower: a regression beyond 50 %" in capsys.readouterr().out
    assert main(["bench", "compare", a, b, "--allow", "1000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regression"] is False
    assert main(["bench", "compare", b, a]) == 0
    assert "faster" in capsys.readouterr().out


def test_what_cannot_be_measured_is_refused_in_one_sentence(
    written: Path, linear_model: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "absent.onnx" in refused(capsys, tmp_path / "absent.onnx")
    assert "no golden inputs" in refused(capsys, linear_model)
    assert "has no policy.toml" in refused(capsys, linear_model, "--data", labelled, "--safeguards", "each")
    assert "expected none, or some of bare-python, bare-c, litert" in refused(capsys, written, "--against", "tensorrt")
    assert "no tflite model for litert" in refused(capsys, written, "--against", "litert")
    assert "calls have 1024 at most" in refused(capsys, written, "--batch", "1025")
    assert "no array 'z'" in refused(capsys, written, "--data", labelled, "--labels", "z")
    assert "give the file too" in refused(capsys, written, "--labels", "y")
    assert "expected 0.1 to 86,400" in refused(capsys, written, "--duration", "0")
    assert "p99.9 asks for 2,654,208; expected a duration of" in refused(
        capsys, written, *SHORT, "--percentile", "99.9"
    )
    assert "there is no such directory" in refused(capsys, written, "--save", tmp_path / "absent" / "a.json")
    assert "ends in .json" in refused(capsys, written, "--save", tmp_path / "a.txt")
    (tmp_path / "folder.json").mkdir()
    assert "which is a directory" in refused(capsys, written, "--save", tmp_path / "folder.json")
    assert "server runs in one" in refused(capsys, written, "--scenario", "server", "--processes", "3")
    assert "expected a time of server" in refused(capsys, written, "--bound-ms", "3")
    assert "compare has 1 file; expected two saved results" in refused(capsys, "compare", written)
    assert "compare takes no --duration, only --allow and --json" in refused(
        capsys, "compare", written, written, "--duration", "20"
    )
    assert "page takes no --json, only --html" in refused(capsys, "page", written, "--json")
    assert "--allow is of compare" in refused(capsys, written, "--allow", "0")
    assert "expected none, or some of" in refused(capsys, written, "--against", "bare-python,none")
    assert "0 to 1000 percent" in refused(capsys, "compare", written, written, "--allow", "-1")


def test_a_runtime_that_is_not_installed_is_a_missing_component(
    linear_model: Path,
    linear_policy: Policy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twin = tmp_path / "twin.tflite"
    weights = (np.arange(6, dtype=np.float32) + 1).reshape(3, 2).T / 2
    twin.write_bytes(litert_models.linear(weights=weights, bias=np.ones(2, np.float32)))
    both = write_bundle(tmp_path / "both.erai", (linear_model, twin), linear_policy, {"x": ROWS}, atol=1e-5)
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["bench", str(both), *SHORT, "--runtime", "onnxruntime", "--against", "litert"]) == 3
    assert "run: pip install ai-edge-litert" in capsys.readouterr().err


def test_rows_of_another_shape_are_refused(
    written: Path, linear_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "wide.npy", np.ones((8, 4), np.float32))
    for model in (written, linear_model):
        said = refused(capsys, model, *SHORT, "--data", tmp_path / "wide.npy")
        assert "x has shape [8, 4]; expected [?, 3]" in said


def test_rows_without_a_value_are_refused(
    linear_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "none.npy", ROWS[:0])
    assert "expected at least 1" in refused(capsys, linear_model, "--data", tmp_path / "none.npy", *SHORT)
    fixed = _of_one_row(tmp_path / "fixed.onnx")
    np.save(tmp_path / "none.npy", np.ones((1, 0), np.float32))
    said = refused(capsys, fixed, "--data", tmp_path / "none.npy", *SHORT)
    assert "x has shape [1, 0], which holds no value" in said


def test_labels_of_a_file_with_one_array_are_refused_with_where_they_could_be(
    linear_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    said = refused(capsys, linear_model, "--data", tmp_path / "rows.npy", "--labels", "y", *SHORT)
    assert "one array, and no labels beside it; give an .npz with 'y' in it, or a .csv" in said


def test_a_model_of_one_row_is_called_row_by_row_bare_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "rows.npy", np.ones((8, 3), np.float32))
    fixed = _of_one_row(tmp_path / "fixed.onnx")
    asked = ["--data", tmp_path / "rows.npy", "--scenario", "multi_stream"]
    subjects = [series.subject for series in measured(capsys, fixed, *asked).scenarios[0].series]
    assert subjects[:2] == ["fixed.onnx", "fixed.onnx bare-python"]


def test_a_page_is_written_beside_the_report(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.html"
    assert main(["bench", str(written), *SHORT, "--html", str(path)]) == 0
    report = capsys.readouterr().out
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert max(map(len, report.splitlines())) <= 80
    assert any(line.startswith("linear.erai ") for line in report.splitlines()[-6:])
    assert "1 row a query" in " ".join(report.split())
    assert "onnxruntime, 1 thread\n" in report
    assert "ends in .html" in refused(capsys, written, "--html", tmp_path / "page.pdf")


def test_names_that_the_terminal_cannot_show_are_no_reason_to_fail(
    linear_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / os.fsdecode(b"mod\xe8le \xc2\xb5.onnx")
    odd.write_bytes(linear_model.read_bytes())
    np.save(tmp_path / "rows.npy", ROWS)
    terminal = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    page = tmp_path / "page.html"
    assert main(["bench", str(odd), "--data", str(tmp_path / "rows.npy"), *SHORT, "--html", str(page)]) == 0
    said = terminal.buffer.getvalue().decode("ascii")
    assert "mod\\udce8le \\xb5.onnx" in said
    assert page.exists()


def test_a_model_that_fails_in_the_middle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its rows are indices, of which the last two lie beyond its table."""
    picks = helper.make_node("Gather", ["table", "x"], ["y"])
    types = {"x": TensorProto.INT64, "y": TensorProto.FLOAT}
    edges = [helper.make_tensor_value_info(name, kind, ["N"]) for name, kind in types.items()]
    table = numpy_helper.from_array(np.zeros(6, np.float32), "table")
    graph = helper.make_graph([picks], "picks", edges[:1], edges[1:], [table])
    path = tmp_path / "picks.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    np.save(tmp_path / "rows.npy", np.arange(8))
    kept = tmp_path / "a.json"
    said = refused(capsys, path, "--data", tmp_path / "rows.npy", *SHORT, "--save", kept)
    assert said.startswith("edge-rai: picks.onnx failed: ")
    assert not load(kept).complete


def test_labels_that_do_not_fit_are_refused(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "few.npz", x=ROWS, y=np.ones(3, np.int64))
    said = refused(capsys, written, "--data", tmp_path / "few.npz", "--labels", "y")
    assert "the labels have shape [3]; expected [8]" in said
    np.savez(tmp_path / "lacking.npz", x=ROWS, y=np.array([0, 1, 1, np.nan, 0, 1, 0, 1]))
    said = refused(capsys, written, "--data", tmp_path / "lacking.npz", "--labels", "y")
    assert "the label of row 3 is nan; expected a label of each row" in said


def _of_one_row(path: Path) -> Path:
    """Twice what comes, (1, 3)."""
    edges = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "twice", edges[:1], edges[1:])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
