"""The program erai-bench against the Python side: one format, and from the same samples the same numbers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx import save as save_model

import edge_rai
from edge_rai.backends.onnx import runtime_path
from edge_rai.bench import histogram
from edge_rai.bench.accuracy import accuracy_of
from edge_rai.bench.percentiles import independent_queries, percentile
from edge_rai.bench.result import Result, ScenarioResult
from edge_rai.bench.saving import from_json, load
from edge_rai.bench.summary import summarize
from edge_rai.cli import main
from support.bench_models import perceptron
from support.bench_program import LIMIT_S, ROOT, built, ran, run_of

ROWS = np.linspace(-2, 2, 24, dtype=np.float32).reshape(8, 3)
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 1])  # what the linear model gives all rows but the fourth
SAFEGUARDS = ["finite inputs", "ranges", "drift counts", "finite outputs", "all of them"]


@pytest.fixture(scope="module")
def program() -> Path:
    return built()


def measured(program: Path, save: Path, *arguments: object) -> Result:
    usual = [word for word in ("--processes", "--cold-start") if word not in arguments]
    values = {"--processes": 1, "--cold-start": 0}
    done = ran(program, *arguments, *(word for name in usual for word in (name, values[name])), "--save", save)
    assert (done.returncode, done.stderr) == (0, "")
    return load(save)


@pytest.fixture(scope="module")
def single(program: Path, linear_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One saved run with all there is to ask for."""
    folder = tmp_path_factory.mktemp("erai bench")  # with a blank
    np.savez(folder / "labelled.npz", x=ROWS, y=LABELS)
    asked = ["--duration", 0.6, "--against", "bare-c", "--safeguards", "each", "--cold-start", 1]
    measured(program, folder / "a.json", linear_bundle, *asked, "--data", folder / "labelled.npz", "--labels", "y")
    return folder / "a.json"


def agrees_with_python(save: Path, scenario: ScenarioResult) -> None:
    """Everything that Python makes of the samples is what the program wrote."""
    run = run_of(save, scenario)
    again = summarize(
        scenario.scenario,
        run,
        duration_s=scenario.duration_s,
        seed=scenario.seed,
        against=[(ratio.subject, ratio.against) for ratio in scenario.ratios],
        server=scenario.server,
    )
    for theirs, ours, of_subject in zip(scenario.series, again.series, run.series, strict=True):
        for field in ("queries", "min_ns", "max_ns"):
            assert getattr(theirs, field) == getattr(ours, field), (theirs.subject, field)
        latency = of_subject.latency_ns
        ordered = np.sort(latency)
        for entry in theirs.percentiles:
            # A quotient cut to a whole number: sums taken in another order may leave it one less, or more.
            exact = independent_queries(latency, entry.percent)
            near = [min(len(ordered), max(1, exact + more)) for more in (0, -1, 1)]
            assert entry in [percentile(ordered, entry.percent, independent) for independent in near], theirs.subject
        assert theirs.independent_queries == pytest.approx(ours.independent_queries, abs=1)
        assert theirs.blocks.round == ours.blocks.round
        assert theirs.blocks.median_ns == ours.blocks.median_ns
        assert theirs.blocks.began_s == pytest.approx(ours.blocks.began_s)
        assert theirs.mean_ns == pytest.approx(ours.mean_ns)
        for part, expected in zip(histogram.decode(theirs.histogram), histogram.decode(ours.histogram), strict=True):
            np.testing.assert_array_equal(part, expected)
        assert (theirs.throttling is None) == (ours.throttling is None)
    for name in ("ratios", "throughput"):
        for theirs_one, ours_one in zip(getattr(scenario, name), getattr(again, name), strict=True):
            for field in theirs_one.__dataclass_fields__:
                value = getattr(theirs_one, field)
                expected = getattr(ours_one, field)
                assert value == (pytest.approx(expected) if isinstance(value, float) else expected), field


def test_single_stream_is_what_python_makes_of_the_same_samples(single: Path) -> None:
    result = load(single)
    (scenario,) = result.scenarios
    without = [f"linear.erai without {name}" for name in SAFEGUARDS]
    names = ["linear.erai", "linear.erai bare-c", *without, "empty", "yardstick"]
    assert [one.subject for one in scenario.series] == names
    assert [(one.subject, one.against) for one in scenario.ratios] == [("linear.erai", name) for name in names[1:-2]]
    assert result.program.startswith("erai-bench 0.")
    assert result.complete
    assert scenario.processes == [0]
    agrees_with_python(single, scenario)


def test_what_is_known_beside_latency_is_what_python_reports(single: Path, linear_bundle: Path) -> None:
    result = load(single)
    facts = {subject.name: subject.facts for subject in result.subjects}
    model = facts["linear.erai"]
    assert model["file"]["threads"] == 1
    start = model["cold_start"]
    steps = [start[f"{step}_ns"] for step in ("interpreter", "import", "load", "first_answer")]
    assert min(steps) > 0
    assert sum(steps) == pytest.approx(start["total_ns"])
    assert start["rounds"] == 1
    assert start["total_low_ns"] == start["total_ns"] == start["total_high_ns"]
    assert start["peak_bytes"] >= start["resident_bytes"] > 2**20
    assert model["per_call"]["cpu_ns"] > 0
    assert model["per_call"]["energy"] == "not measured" or model["per_call"]["energy"]["joules"] >= 0
    assert set(facts["linear.erai without ranges"]) == {"per_call"}
    with np.load(single.with_name("labelled.npz")) as rows, edge_rai.load(linear_bundle) as session:
        assert model["accuracy"] == accuracy_of(session, {"x": rows["x"]}, rows["y"], 256)
    builds = result.machine.fixed["builds"]
    assert " -ffp-contract=off" in builds["edge-rai"]
    assert "build type=" in builds["onnxruntime"]


def test_the_page_shows_its_results(single: Path) -> None:
    page = single.with_name("page.html")
    assert main(["bench", "page", str(single), "--html", str(page)]) == 0
    text = page.read_text()
    for part in ("What each safeguard costs", "drift counts", "A fresh process", "87.50", "not measured", "builds"):
        assert part in text, part


def test_it_says_for_people_what_the_file_says(program: Path, linear_bundle: Path) -> None:
    asked = ["--duration", 0.3, "--processes", 1, "--cold-start", 1, "--safeguards", "each"]
    said = ran(program, linear_bundle, *asked).stdout
    table, *rest = said.split("* fewer than LoadGen's rule asks for\n")
    assert "without" not in table
    price = r"^the price of ranges: [+-]\d+\.\d{3} us \(.* to .*\), [+-]\d+\.\d %(: cannot tell)?$"
    assert re.search(price, rest[0], re.MULTILINE)
    assert re.search(r"^linear.erai: a fresh process answers after \d+\.\d ms: ", rest[0], re.MULTILINE)
    assert "energy not measured" in rest[0] or " mJ (" in rest[0]


def test_several_processes_are_what_python_makes_of_their_samples_and_can_be_compared(
    program: Path, linear_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save = tmp_path / "a.json"
    (scenario,) = measured(program, save, linear_bundle, "--duration", 0.5, "--processes", 9).scenarios
    assert len(scenario.processes) == 9
    assert scenario.processes == sorted(set(scenario.processes))
    assert scenario.warm_up.rounds >= 9 * 12
    agrees_with_python(save, scenario)
    assert main(["bench", "compare", str(save), str(save)]) == 0
    said = capsys.readouterr().out
    assert "linear.erai, single_stream" in said
    assert "empty" not in said


def test_many_processes_take_no_longer_than_few(program: Path, linear_bundle: Path, tmp_path: Path) -> None:
    asked = ["--duration", 0.1, "--processes", 9, "--safeguards", "each"]
    (scenario,) = measured(program, tmp_path / "a.json", linear_bundle, *asked).scenarios
    assert 8 <= len(scenario.series[0].blocks.round) < 9 * 8


def test_rows_that_the_guard_rejects_give_no_verdict(program: Path, linear_bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "far.npy", np.full((4, 3), 1000, np.float32))
    asked = ["--data", tmp_path / "far.npy", "--against", "bare-c", "--safeguards", "each"]
    said = ran(program, linear_bundle, *asked, "--duration", 0.3, "--processes", 1, "--cold-start", 0).stdout
    compared = [line for line in said.splitlines() if " / " in line or line.startswith("the price of")]
    assert len(compared) == 1 + len(SAFEGUARDS)
    assert all(line.endswith(": no fair comparison") for line in compared)


def test_few_rejected_rows_are_said_and_leave_the_verdict(program: Path, linear_bundle: Path, tmp_path: Path) -> None:
    rows = np.tile(ROWS, (5, 1))
    rows[7] = np.nan
    np.save(tmp_path / "mostly.npy", rows)
    asked = ["--data", tmp_path / "mostly.npy", "--duration", 0.3, "--processes", 1, "--cold-start", 0]
    said = ran(program, linear_bundle, *asked, "--against", "bare-c").stdout
    assert "too few for the medians, by which subjects are compared, to show" in said
    assert "no fair comparison" not in said


def test_rows_of_half_precision_are_read(program: Path, tmp_path: Path) -> None:
    edges = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["N", 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "twice", edges[:1], edges[1:])
    path = tmp_path / "twice.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    np.save(tmp_path / "rows.npy", ROWS.astype(np.float16))
    result = measured(program, tmp_path / "a.json", path, "--data", tmp_path / "rows.npy", "--duration", 0.1)
    assert result.scenarios[0].series[0].queries > 0


def test_a_disk_that_fills_up_costs_the_saved_result_and_not_the_report(
    program: Path, linear_bundle: Path, tmp_path: Path
) -> None:
    """A limit on a file's size stands for it; the program is told of it instead of being killed."""
    save = tmp_path / "a.json"
    limit = "import os, resource, signal, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
    limit += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    asked = [linear_bundle, "--duration", 1, "--processes", 1, "--cold-start", 0, "--save", save]
    done = ran(Path(sys.executable), "-c", limit, program, *asked)
    assert (done.returncode, done.stderr) == (4, f"erai-bench: --save {save}: File too large\n")
    assert "single_stream, 1 s for all subjects" in done.stdout
    assert not load(save).complete
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".writing")] == []


def test_a_report_that_cannot_be_written_is_one_sentence(program: Path, linear_bundle: Path) -> None:
    environment = {**os.environ, "ERAI_ONNXRUNTIME": runtime_path() or os.environ.get("ERAI_ONNXRUNTIME", "")}
    asked = [program, linear_bundle, "--duration", "0.1", "--processes", "1", "--cold-start", "0"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(asked, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    assert done.returncode == 4
    assert done.stderr == "erai-bench: standard output cannot be written: No space left on device\n"


def test_offline_is_what_python_makes_of_the_same_samples(program: Path, linear_bundle: Path, tmp_path: Path) -> None:
    result = measured(
        program, tmp_path / "a.json", linear_bundle, "--duration", 0.4, "--scenario", "offline", "--batch", 12
    )
    (scenario,) = result.scenarios
    assert [(one.subject, one.batch) for one in scenario.throughput] == [
        ("linear.erai", batch) for batch in (1, 2, 4, 8, 12)
    ]
    assert sum(one.best for one in scenario.throughput) == 1
    agrees_with_python(tmp_path / "a.json", scenario)


def test_a_bound_that_no_rate_keeps_is_said_in_words(program: Path, tmp_path: Path) -> None:
    model = perceptron(tmp_path / "wide.onnx", 512, 512, 512)  # tens of microseconds anywhere
    done = ran(program, model, "--scenario", "server", "--bound-ms", 0.001, "--duration", 0.5, "--cold-start", 0)
    assert (done.returncode, done.stderr) == (0, "")
    assert "wide.onnx: p99 within 1.00 us at no rate that was tried\n" in done.stdout


def test_server_finds_a_rate_whose_samples_keep_the_bound(program: Path, linear_bundle: Path, tmp_path: Path) -> None:
    found = measured(
        program, tmp_path / "a.json", linear_bundle, "--duration", 1, "--scenario", "server", "--bound-ms", 50
    )
    (scenario,) = found.scenarios
    (rate,) = scenario.server
    assert (rate.percent, rate.bound_ns, rate.servers) == (99, 50_000_000, 1)
    assert rate.rate_per_s > 0
    assert len(rate.trials) >= 8
    agrees_with_python(tmp_path / "a.json", scenario)
    (series,) = run_of(tmp_path / "a.json", scenario).series
    assert np.percentile(series.latency_ns, 99) <= rate.bound_ns
    assert len(series.block) == rate.trials[-1].queries
    gaps = np.diff(series.scheduled_ns, prepend=0)
    assert np.mean(gaps) == pytest.approx(1e9 / rate.rate_per_s, rel=5 / np.sqrt(len(gaps)))
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=15 / np.sqrt(len(gaps)))


def test_multi_stream_asks_for_eight_rows(program: Path, linear_bundle: Path, tmp_path: Path) -> None:
    result = measured(
        program, tmp_path / "a.json", linear_bundle, "--duration", 0.3, "--scenario", "multi_stream", "--seed", 7
    )
    (scenario,) = result.scenarios
    assert [one.rows for one in scenario.series] == [8, 1, 1]
    assert scenario.seed == 7


def test_models_without_rows_are_measured_with_random_ones(program: Path, linear_model: Path, tmp_path: Path) -> None:
    result = measured(program, tmp_path / "a.json", linear_model, "--duration", 0.3)
    assert not [warning for warning in result.warnings if "rejected" in warning]
    facts = result.subjects[0].facts
    assert facts["file"]["bytes"] == linear_model.stat().st_size
    assert facts["per_call"]["calls"] > 100


def test_rows_come_from_files_of_either_form(program: Path, linear_bundle: Path, tmp_path: Path) -> None:
    """Rows out of range show whose rows they were: the guard rejects them."""
    bad = np.full((4, 3), 1000, np.float32)
    np.save(tmp_path / "bad.npy", bad)
    (tmp_path / "bad.f32").write_bytes(bad.tobytes())
    np.savez(tmp_path / "bad.npz", anything=bad.astype(np.int16))
    np.save(tmp_path / "good.npy", ROWS.astype(np.float64))
    for name, rejects in (("bad.npy", True), ("bad.f32", True), ("bad.npz", True), ("good.npy", False)):
        result = measured(program, tmp_path / "a.json", linear_bundle, "--duration", 0.1, "--data", tmp_path / name)
        assert any("the guard rejected" in warning for warning in result.warnings) == rejects, name


@pytest.mark.parametrize(
    "how", [["--duration", "600", "--processes", "1"], ["--duration", "300", "--processes", "900"]]
)
def test_a_killed_run_leaves_its_last_whole_part(
    program: Path, linear_bundle: Path, tmp_path: Path, how: list[str]
) -> None:
    save = tmp_path / "a.json"
    environment = {**os.environ, "ERAI_ONNXRUNTIME": runtime_path() or os.environ.get("ERAI_ONNXRUNTIME", "")}
    with subprocess.Popen([program, linear_bundle, *how, "--save", save], env=environment) as child:
        try:
            end = time.monotonic() + LIMIT_S
            while time.monotonic() < end and not (save.exists() and load(save).scenarios):
                assert child.poll() is None
                time.sleep(0.05)
        finally:
            child.send_signal(signal.SIGKILL)
    result = load(save)
    assert not result.complete
    (scenario,) = result.scenarios
    assert scenario.series[0].queries > 0
    assert len(run_of(save, scenario).series) == 3


def test_what_is_not_right_is_one_sentence(
    program: Path, linear_bundle: Path, linear_model: Path, tmp_path: Path
) -> None:
    damaged, empty, wide = tmp_path / "damaged.erai", tmp_path / "empty.npy", tmp_path / "wide.npy"
    damaged.write_bytes(linear_bundle.read_bytes()[:-1])
    np.save(empty, np.empty((0, 3), np.float32))
    np.save(wide, np.ones((2, 4), np.float32))
    (tmp_path / "odd.f32").write_bytes(bytes(16))
    np.savez(tmp_path / "two.npz", a=ROWS, b=ROWS, y=LABELS[:3])
    np.savez_compressed(tmp_path / "small.npz", x=ROWS, y=LABELS)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:-30])
    (tmp_path / "twin.tflite").write_bytes(b"")
    constant = helper.make_node("Constant", [], ["y"], value_float=1.0)
    alone = helper.make_graph([constant], "alone", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])])
    save_model(
        helper.make_model(alone, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "empty.onnx"
    )
    two, small = tmp_path / "two.npz", tmp_path / "small.npz"
    server = [linear_bundle, "--scenario", "server"]
    for code, part, arguments in (
        (2, "no model is given", []),
        (2, "there is no option --fast", [linear_bundle, "--fast"]),
        (2, "--duration has no value", [linear_bundle, "--duration"]),
        (2, "--duration is 1e9; expected 0.1 to 86400", [linear_bundle, "--duration", "1e9"]),
        (2, "--threads is 1.5; expected a whole number", [linear_bundle, "--threads", "1.5"]),
        (2, "--scenario is closed; expected", [linear_bundle, "--scenario", "closed"]),
        (2, "--against is java; expected", [linear_bundle, "--against", "java"]),
        (2, "server runs in one", [*server, "--processes", "2"]),
        (2, "p99 asks for 270336", [linear_bundle, "--duration", "0.1", "--percentile", "99"]),
        (2, "in each trial of a rate", [*server, "--duration", "0.1", "--percentile", "99.9999"]),
        (2, "has at most 1024 rows a call", [linear_bundle, "--batch", "1025"]),
        (2, "that ends in .json", [linear_bundle, "--save", tmp_path / "a.txt"]),
        (4, "No such file", [tmp_path / "absent.onnx"]),
        (4, "No such file", [linear_bundle, "--data", tmp_path / "absent.npy"]),
        (4, "No such file", [linear_bundle, "--save", tmp_path / "absent" / "a.json"]),
        (1, "damaged.erai", [damaged]),
        (1, "empty.onnx: ", [tmp_path / "empty.onnx"]),
        (1, "no row", [linear_bundle, "--data", empty]),
        (1, "another shape", [linear_bundle, "--data", wide]),
        (1, "expected rows of 3 float32 values", [linear_bundle, "--data", tmp_path / "odd.f32"]),
        (1, "has no array 'x'; expected one for each input", [linear_bundle, "--data", two]),
        (1, "x is compressed; save it with numpy.savez", [linear_bundle, "--data", small, "--labels", "x"]),
        (1, "it is no .npz file", [linear_bundle, "--data", tmp_path / "cut.npz"]),
        (2, "--labels names an array of --data; expected an .npz", [linear_bundle, "--labels", "y"]),
        (2, "--safeguards is all; expected each", [linear_bundle, "--safeguards", "all"]),
        (2, "has no policy that a safeguard could be left out of", [linear_model, "--safeguards", "each"]),
        (3, "LiteRT has no C interface", [tmp_path / "twin.tflite"]),
    ):  # fmt: skip
        done = ran(program, *arguments)
        assert (done.returncode, done.stdout) == (code, ""), arguments
        assert done.stderr.startswith("erai-bench: ")
        assert done.stderr.count("\n") == 1
        assert part in done.stderr
    np.savez(tmp_path / "few.npz", x=ROWS, y=LABELS[:3])
    done = ran(program, linear_bundle, "--data", tmp_path / "few.npz", "--labels", "y")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there are 3 labels and 8 rows" in done.stderr
    np.savez(tmp_path / "lacking.npz", x=ROWS, y=np.where(LABELS, LABELS, np.nan))
    done = ran(program, linear_bundle, "--data", tmp_path / "lacking.npz", "--labels", "y")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the label of row 0 is nan; expected a label of each row" in done.stderr
    missing = {**os.environ, "ERAI_ONNXRUNTIME": str(tmp_path / "absent.so")}
    done = subprocess.run([program, linear_model], capture_output=True, text=True, check=False, env=missing)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


def test_json_on_standard_output_is_the_result(program: Path, linear_bundle: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b'\xff"\\ \xc3\xa9.erai')
    odd.write_bytes(linear_bundle.read_bytes())
    done = ran(program, odd, "--duration", 0.1, "--processes", 1, "--cold-start", 1, "--safeguards", "each", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert from_json(done.stdout).scenarios[0].series[0].subject == odd.name
    assert json.loads(done.stdout)["command"][1] == str(odd)


def test_on_64_bit_arm_it_runs_models_and_writes_the_same(linear_bundle: Path, tmp_path: Path) -> None:
    """Under qemu-user, with ONNX Runtime for that processor; opening the bundle replays its golden vectors there."""
    built = Path(os.environ.get("EDGE_RAI_AARCH64", ROOT / "build/aarch64"))
    program, runtime = built / "build/erai-bench", built / "libonnxruntime.so"
    if not program.exists() or not runtime.exists():
        pytest.skip(f"no erai-bench or ONNX Runtime for aarch64 in {built}: make aarch64 says what is missing")
    save = tmp_path / "a.json"
    emulated = ["qemu-aarch64-static", "-cpu", "cortex-a53", "-L", str(built / "root"), str(program)]
    asked = [str(linear_bundle), "--against", "bare-c", "--duration", "0.6", "--processes", "1", "--save", str(save)]
    asked += ["--safeguards", "each", "--cold-start", "0"]  # a fresh process of it would be one of this processor
    done = subprocess.run(
        [*emulated, *asked],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        env={**os.environ, "ERAI_ONNXRUNTIME": str(runtime)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = load(save)
    (scenario,) = result.scenarios
    assert result.machine.fixed["architecture"] == "aarch64"
    assert result.machine.fixed["versions"]["onnxruntime"]
    assert [one.subject for one in scenario.series[:2]] == ["linear.erai", "linear.erai bare-c"]
    assert len(scenario.series) == 2 + len(SAFEGUARDS) + 2
    assert not [warning for warning in result.warnings if "rejected" in warning]
    agrees_with_python(save, scenario)
