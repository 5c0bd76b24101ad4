"""``edge-rai gate`` on real models: exit statuses, what it prints, what it refuses; and looks at sealed data."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from sklearn.datasets import load_breast_cancer

from edge_rai import cli
from edge_rai_converters import convert
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate import gate, parse_gate_policy
from edge_rai_converters.gate.attempts import Look, log_of, take
from edge_rai_converters.gate.rules import HoldoutRule

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
POLICY = """
format_version = 1
[margins]
accuracy = 0.02
[slice_margins]
accuracy = 0.03
tpr = 0.05
[columns.age]
bins = [50]
[[slices]]
by = ["site"]
[[slices]]
by = ["site", "age"]
merge_into = ["site"]
"""
Gate = Callable[..., int]


def sites(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return np.array(["Bonn", "Ulm"])[generator.integers(0, 2, count)], generator.integers(20, 80, count).astype(float)


@pytest.fixture
def folder(tumours: Path, tmp_path: Path) -> Path:
    """original.onnx, an equal copy, one with its answers turned in every fifth row or so, data.csv and gate.toml."""
    for name in ("original", "copy"):
        shutil.copy(tumours / "mlp.onnx", tmp_path / f"{name}.onnx")
    worse = onnx.load(tumours / "forest.onnx")
    onnx.save(worse, tmp_path / "worse.onnx")
    loaded = load_breast_cancer()
    site, age = sites(len(loaded.target))
    names = [name.replace(" ", "_") for name in loaded.feature_names]
    lines = [",".join([*names, "site", "age", "state"])]
    for row, place, years, label in zip(loaded.data, site, age, loaded.target, strict=True):
        lines.append(",".join([*map(str, row), place, str(years), str(label)]))
    (tmp_path / "data.csv").write_text("\n".join(lines))
    (tmp_path / "gate.toml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Gate:
    def command(candidate: str = "copy.onnx", *more: str, data: str = "data.csv", labels: str = "state") -> int:
        arguments = ["gate", str(folder / candidate), "--against", str(folder / "original.onnx"), "--labels", labels]
        return cli.main([*arguments, "--data", str(folder / data), "--policy", str(folder / "gate.toml"), *more])

    return command


def test_equal_copy_passes_with_status_0(run: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    head, *table, more, last = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "passes, closest to its margin first"
    assert len(table) == 12
    limits = [line.split()[-4:] for line in table]
    shares = [float(limit) / float(margin) for limit, _, margin, _ in limits]
    assert shares == pytest.approx(sorted(shares, reverse=True), rel=0.01)
    assert more == "and 1 more that pass; --json has every figure"
    assert last == "pass: 13 of 13 cells pass, each with 0.95 confidence; 0 stop the release"


def test_worse_model_ends_with_status_1_and_its_cells_worst_first(
    run: Gate, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("worse.onnx", "--json", "--junit", str(folder / "cells.xml"))
    assert run(*arguments) == 1
    report = json.loads(capsys.readouterr().out)
    stopping = [cell for cell in report["cells"] if cell["verdict"] != "pass"]
    assert report["cells"][: len(stopping)] == stopping
    assert report["facts"]["data"]["rows"] == 569
    assert report["facts"]["candidate"]["sha256"] == hashlib.sha256((folder / "worse.onnx").read_bytes()).hexdigest()
    suite = ElementTree.parse(folder / "cells.xml").getroot().find("testsuite")
    assert suite is not None
    assert int(suite.attrib["tests"]) == len(report["cells"])
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) == len(stopping)
    assert run("worse.onnx") == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[0] == stopping[0]["verdict"]
    assert len(shown) == len(stopping) + 1


@pytest.mark.parametrize("name", ["no folder/cells.xml", ""])
def test_mistyped_place_of_junit_costs_no_look(run: Gate, folder: Path, name: str) -> None:
    sealed(folder, 2)
    assert run("copy.onnx", "--junit", str(folder / name)) == 4
    assert not (folder / "data.csv.attempts.jsonl").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_verdict_is_printed_though_junit_cannot_be_written(run: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("copy.onnx", "--junit", "/dev/full") == 4
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("pass: 13 of 13 cells pass")
    assert "No space left on device" in printed.err


def test_columns_may_be_in_a_file_of_their_own(run: Gate, folder: Path) -> None:
    loaded = load_breast_cancer()
    site, age = sites(len(loaded.target))
    np.savez(folder / "data.npz", X=loaded.data.astype(np.float32), y=loaded.target)
    np.savez(folder / "groups.npz", site=site, age=age)
    assert run("copy.onnx", "--groups", str(folder / "groups.npz"), data="data.npz", labels="y") == 0
    np.savez(folder / "both.npz", X=loaded.data.astype(np.float32), y=loaded.target, site=site, age=age)
    assert run("copy.onnx", data="both.npz", labels="y") == 0


def replaced(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            'by = ["site"]\n',
            'by = ["site"]\n[[slices]]\nby = ["region"]\n',
            "no column 'region', which the gate's policy names; it has",
        ),
        ("[columns.age]", '[columns.site]\ngroups = ["Bonn", "Kiel"]\n[columns.age]', "no row of the group 'Kiel'"),
        ("accuracy = 0.02\n", "", ""),
        ("tpr = 0.05", "tpr = 5", "the margin of tpr is 5; it must be above 0 and below 1"),
        ("accuracy = 0.02", "ece = 0.02", "ece cannot be judged: it is above 0 even where nothing is wrong"),
        ("accuracy = 0.02", "mae = 0.02", "mae needs [answer] largest_error: what an error counts at most"),
        ("format_version = 1", "format_version = 2", "format_version is 2: expected 1"),
        ("format_version = 1", "", "gate.toml: says no format_version; begin it with the line format_version = 1"),
        (
            "[columns.age]",
            '[[waivers]]\ncell = "tpr of site=Ulm"\n[columns.age]',
            "gate.toml: waivers[0].person: this must be there, and is not; waivers[0].reason: ",
        ),
        ("bins = [50]", "bins = [10, 17, 50]", "column 'age' has no row of the group 'below 10', which the bins"),
        ("bins = [50]", "bins = []", "[columns.age] declares neither bins nor groups; give some, or leave it out"),
        ("accuracy = 0.02", "accuracy = '0.02'", "margins.accuracy is '0.02': expected a valid number"),
        ("[margins]", "[margin]", "margin: there is no such field"),
        ("accuracy = 0.02", "accuracy = ", "not TOML"),
        ("[[slices]]", "[[slice]]", "slice: "),
    ],
)
def test_policies_that_cannot_be_judged_end_with_status_2(
    run: Gate, folder: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, said: str
) -> None:
    replaced(folder / "gate.toml", before, after)
    if said:
        assert run() == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert said in printed.err.splitlines()[-1]
    else:
        assert run() == 0  # margins of slices alone are enough


def test_policy_without_a_margin_ends_with_status_2(
    run: Gate, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "gate.toml").write_text("format_version = 1\n")
    assert run() == 2
    assert "no margin is declared, so nothing can be judged; give [margins]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "candidate", "data", "labels", "said"),
    [
        (4, "none.onnx", "data.csv", "state", "none.onnx: there is no such file or folder; expected a model or a"),
        (2, "noise.onnx", "data.csv", "state", "noise.onnx: not an ONNX model"),
        (4, "copy.onnx", "none.csv", "state", "there is no such file or folder; expected reference rows"),
        (2, "copy.onnx", "data.csv", "grade", "labels 'grade' are neither a file nor in"),
    ],
)
def test_bad_data_and_models_end_with_status_2_and_missing_files_with_4(
    run: Gate,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    status: int,
    candidate: str,
    data: str,
    labels: str,
    said: str,
) -> None:
    (folder / "noise.onnx").write_bytes(b"no model")
    assert run(candidate, data=data, labels=labels) == status
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_single_class_slice_ends_with_status_2(run: Gate, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (folder / "data.csv").read_text().splitlines()
    lines[1:] = [line[: line.rindex(",")] + ",0" if ",Ulm," in line else line for line in lines[1:]]
    (folder / "data.csv").write_text("\n".join(lines))
    assert run() == 2
    assert "tpr of site=Ulm is not defined: none of its rows are of the class" in capsys.readouterr().err


def test_scores_that_are_no_numbers_end_with_status_2(
    run: Gate, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(folder / "copy.onnx")
    weights = next(entry for entry in model.graph.initializer if entry.data_type == onnx.TensorProto.FLOAT)
    values = np.full(tuple(weights.dims), np.nan, np.float32)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, folder / "nan.onnx")
    assert run("nan.onnx") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "is not finite" in said.err.splitlines()[-1]


def test_columns_of_another_number_of_rows_end_with_status_2(
    run: Gate, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, age = sites(500)
    np.savez(folder / "groups.npz", site=site, age=age)
    assert run("copy.onnx", "--groups", str(folder / "groups.npz")) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "500" in said
    assert "569" in said


def test_missing_labels_end_with_status_2_unless_the_policy_takes_them(
    run: Gate, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (folder / "data.csv").read_text().splitlines()
    lines[5] = lines[5][: lines[5].rindex(",")] + ","
    (folder / "data.csv").write_text("\n".join(lines))
    assert run() == 2
    assert "1 row of 569 without a label, first line 6; label them" in capsys.readouterr().err
    replaced(folder / "gate.toml", "[margins]", 'unlabelled = "flips"\n[margins]')
    assert run() == 0


def test_models_of_other_inputs_are_not_judged(
    run: Gate, folder: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(digits / "cnn.onnx", folder / "cnn.onnx")
    assert run("cnn.onnx") == 2
    said = (
        "cnn.onnx takes 'image' (float32, any x 1 x 8 x 8), and original.onnx 'X' (float32, any x 30); give two models"
    )
    assert said in capsys.readouterr().err


def test_candidate_of_other_outputs_has_its_own_named(
    run: Gate, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(folder / "copy.onnx")
    names = [output.name for output in model.graph.output]
    renamed = onnx.compose.add_prefix(model, "other_", rename_inputs=False, rename_nodes=False)
    onnx.save(renamed, folder / "other.onnx")
    assert run("other.onnx") == 2
    said = capsys.readouterr().err
    assert f"the candidate has no output {names[0]!r}, which the original has; its own are 'other_{names[0]}'" in said
    assert "without ZipMap" in said


def sealed(folder: Path, attempts: int) -> None:
    digest = hashlib.sha256((folder / "data.csv").read_bytes()).hexdigest()
    with (folder / "gate.toml").open("a") as file:
        file.write(f'\n[holdout]\nsha256 = "{digest}"\nattempts = {attempts}\n')


def test_looks_at_sealed_data_are_counted_and_end(run: Gate, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed(folder, 2)
    run()
    assert "each with 0.975 confidence (look 1 of 2 at sealed data); " in capsys.readouterr().out
    run("worse.onnx")
    log = folder / "data.csv.attempts.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["attempt"] for entry in entries] == [1, 2]
    assert entries[1]["previous"] == hashlib.sha256(log.read_bytes().splitlines()[0]).hexdigest()
    run()  # the same look once more says what it said, and is not counted
    assert len(log.read_text().splitlines()) == 2
    capsys.readouterr()
    replaced(folder / "gate.toml", "accuracy = 0.02", "accuracy = 0.03")
    assert run() == 2
    assert "all 2 looks at these data were taken" in capsys.readouterr().err


def test_policy_that_does_not_fit_costs_no_look(run: Gate, folder: Path) -> None:
    sealed(folder, 2)
    replaced(folder / "gate.toml", "bins = [50]", "bins = [10, 50]")
    assert run() == 2
    assert not (folder / "data.csv.attempts.jsonl").exists()


def test_other_data_than_the_sealed_are_refused(run: Gate, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed(folder, 2)
    with (folder / "data.csv").open("a") as file:
        file.write("\n")
    assert run() == 2
    assert "not the sealed data" in capsys.readouterr().err
    assert not (folder / "data.csv.attempts.jsonl").exists()


def looks(data: Path, count: int) -> Path:
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    for place in range(count):
        take(data, HoldoutRule(digest, 5), Look(f"candidate {place}", "original", "policy", digest), NOW)
    return log_of(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0].replace(b'"attempt": 1', b'"attempt": 0'), *lines[1:]],
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[0]],
        lambda lines: [lines[0], b"{}"],
        lambda lines: [lines[0], b"no JSON"],
        lambda lines: [lines[0], lines[1][:-20]],
        lambda lines: [lines[0].replace(b'"candidate": "', b'"candidate": "0'), lines[1]],
    ],
)
def test_changed_log_of_looks_is_refused(tmp_path: Path, damage: Callable[[list[bytes]], list[bytes]]) -> None:
    (tmp_path / "data.csv").write_bytes(b"sealed")
    log = looks(tmp_path / "data.csv", 2)
    log.write_bytes(b"\n".join(damage(log.read_bytes().splitlines())) + b"\n")
    with pytest.raises(DataError, match="the log of looks was changed or cut short; restore it"):
        looks(tmp_path / "data.csv", 3)


def test_look_is_written_down_with_what_was_looked_at(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"sealed")
    entry = json.loads(looks(tmp_path / "data.csv", 1).read_text())
    assert entry["made"] == "2026-06-01T00:00:00+00:00"
    assert (entry["candidate"], entry["policy"]) == ("candidate 0", "policy")
    assert entry["previous"] == entry["data"] == hashlib.sha256(b"sealed").hexdigest()


def test_gate_is_a_function_of_models_and_arrays_in_memory(tumours: Path) -> None:
    loaded = load_breast_cancer()
    model = onnx.load(tumours / "mlp.onnx")
    policy = parse_gate_policy(
        "format_version = 1\n[margins]\naccuracy = 0.02\nmissed = 0.02\n[loss_spans]\nmissed = 1.0"
    )

    def missed(answers: dict[str, np.ndarray], labels: np.ndarray | None) -> np.ndarray:
        assert labels is not None
        return (answers["label"].reshape(-1) == 0) & (labels == 1)

    rows = loaded.data.astype(np.float32)
    report = gate(model, model, rows, policy, labels=loaded.target, losses={"missed": missed}, now=NOW)
    assert report.passed
    assert {cell.measured.metric for cell in report.cells} == {"accuracy", "missed"}
    with pytest.raises(DataError, match=r"loss 'missed' gave \(\) for 1 rows; it must give one number a row"):
        gate(model, model, rows, policy, labels=loaded.target, losses={"missed": lambda *_: np.zeros(())}, now=NOW)


def finds(path: Path, least: float) -> Path:
    """A model that answers the places of what is above a limit: as many as there are, so that no shape is fixed."""
    nodes = [
        onnx.helper.make_node("Greater", ["x", "least"], ["above"]),
        onnx.helper.make_node("NonZero", ["above"], ["places"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "finds",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 12])],
        [onnx.helper.make_tensor_value_info("places", onnx.TensorProto.INT64, [2, None])],
        [onnx.numpy_helper.from_array(np.float32(least), "least")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def not_found(answers: dict[str, np.ndarray], labels: np.ndarray | None) -> np.ndarray:
    """One less the overlap of what was found and what is there."""
    assert labels is not None
    found = np.zeros(labels.shape, bool)
    found[0, answers["places"][0, 1]] = True
    there = labels > 0
    return 1 - (found & there).sum(axis=1) / np.maximum((found | there).sum(axis=1), 1)


def test_detection_of_any_number_of_objects_is_judged_by_a_loss_of_ones_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    there = generator.random((900, 12)) < 0.3
    rows = np.where(there, 0.8, 0.2).astype(np.float32) + generator.normal(0, 0.1, there.shape).astype(np.float32)
    original, good, bad = (finds(tmp_path / f"{least}.onnx", least) for least in (0.5, 0.51, 0.75))
    text = "format_version = 1\n[margins]\niou = 0.05\n[loss_spans]\niou = 1.0\n"
    policy = parse_gate_policy(text + '[answer]\nkind = "other"\n')
    asked = {"labels": there.astype(np.int64), "losses": {"iou": not_found}, "now": NOW}
    # The model takes one row a call.
    verdicts = {
        name: gate(model, original, rows[:, None], policy, **asked) for name, model in (("a", good), ("b", bad))
    }
    assert (verdicts["a"].verdict, verdicts["b"].verdict) == ("pass", "fail")
    assert verdicts["b"].cells[0].measured.candidate == pytest.approx(0.3, abs=0.1)
    with pytest.raises(DataError, match="changes its shape from row to row; what it answers can be judged by losses"):
        gate(good, original, rows[:, None], parse_gate_policy(text), **asked)


def test_many_classes_of_images_are_judged(digits: Path) -> None:
    policy = parse_gate_policy("format_version = 1\n[margins]\naccuracy = 0.02\n'tpr[7]' = 0.05\nbrier = 0.02")
    report = gate(digits / "cnn.onnx", digits / "cnn.onnx", digits / "data.npz", policy, labels="y", now=NOW)
    assert report.passed
    assert {cell.measured.metric for cell in report.cells} == {"accuracy", "tpr[7]", "brier"}


def test_sealed_data_in_memory_are_refused(tumours: Path) -> None:
    sealing = f'format_version = 1\n[margins]\naccuracy = 0.1\n[holdout]\nsha256 = "{"0" * 64}"\nattempts = 1\n'
    rows = load_breast_cancer().data.astype(np.float32)
    with pytest.raises(DataError, match="sealed data are a file or folder, beside which their looks are counted"):
        gate(tumours / "mlp.onnx", tumours / "mlp.onnx", rows, parse_gate_policy(sealing), now=NOW)


def test_folders_of_images_are_judged_by_the_names_of_their_folders(digits: Path, tmp_path: Path) -> None:
    from PIL import Image

    held = np.load(digits / "data.npz")
    for place in range(300):
        folder = tmp_path / "images" / str(held["y"][place])
        folder.mkdir(parents=True, exist_ok=True)
        picture = (held["image"][place, 0] * 255).round().astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{place:04}.png")
    policy = parse_gate_policy("format_version = 1\n[margins]\naccuracy = 0.02\nflips = 0.02")
    report = gate(digits / "cnn.onnx", digits / "cnn.onnx", tmp_path / "images", policy, now=NOW)
    accuracy = next(cell.measured for cell in report.cells if cell.measured.metric == "accuracy")
    assert accuracy.rows == 300
    assert accuracy.original > 0.9
    assert report.passed


def test_bundles_and_tflite_files_are_candidates(tumours: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "tumour",
        labels="y",
        target="onnx,tflite",
        quantize="none",
        prune="none",
        reproducible=True,
    )
    policy = parse_gate_policy("format_version = 1\n[margins]\naccuracy = 0.02\nflips = 0.02")
    tflite = next((tmp_path / "tumour" / "models").glob("*.tflite"))
    for candidate in (tmp_path / "tumour", tflite):
        report = gate(candidate, tumours / "mlp.onnx", tumours / "data.npz", policy, labels="y", now=NOW)
        assert report.passed
    assert report.facts["candidate"]["name"] == tflite.name
    with pytest.raises(DataError, match="a TFLite model does not say what rows it takes; give what it was made from"):
        gate(tumours / "mlp.onnx", tflite, tumours / "data.npz", policy, labels="y", now=NOW)
