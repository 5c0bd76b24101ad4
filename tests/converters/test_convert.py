from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import edge_rai
from edge_rai import ReasonCode, Source, Verdict, bundle
from edge_rai.errors import PolicyError
from edge_rai.policy import check_guard, load_policy, policy_to_toml
from edge_rai_converters import AccuracyDropError, ConversionReport, convert
from edge_rai_converters.cli import convert as convert_command
from edge_rai_converters.cli import profile as profile_command
from edge_rai_converters.data import drawn

FLOAT = TensorProto.FLOAT


@pytest.fixture(scope="module")
def converted(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> ConversionReport:
    output = tmp_path_factory.mktemp("bundle") / "tumour.erai"
    return convert(tumours / "mlp.onnx", tumours / "data.npz", output, labels="y", prune="none")


def command(module: object, *arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    module.add(parser.add_subparsers())  # type: ignore[attr-defined]
    parsed = parser.parse_args([str(argument) for argument in arguments])
    return int(parsed.run(parsed))


def test_bundle_answers_clean_rows_as_the_bare_model_does(converted: ConversionReport, tumours: Path) -> None:
    rows = np.load(tumours / "data.npz")["X"]
    rows = rows[drawn(len(rows), 4)]
    model = bundle.read(converted.output).files["models/tumour.int8.onnx"]
    expected = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(
        ["probabilities"], {"X": rows}
    )
    with edge_rai.load(converted.output) as session:
        answer = session.predict(rows)
    accepted = answer.row_verdicts == Verdict.ACCEPT
    assert accepted.mean() > 0.99
    assert answer.outputs["probabilities"][accepted].tobytes() == expected[0][accepted].tobytes()


def test_row_of_nan_that_int8_would_answer_is_rejected_by_name(converted: ConversionReport, tumours: Path) -> None:
    rows = np.load(tumours / "data.npz")["X"][:2].copy()
    rows[1, 3] = np.nan
    model = bundle.read(converted.output).files["models/tumour.int8.onnx"]
    (bare,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(
        ["probabilities"], {"X": rows}
    )
    assert np.isfinite(bare).all(), "int8 erases NaN: the reason why the guard belongs to the bundle"
    with edge_rai.load(converted.output) as session:
        answer = session.predict(rows)
    assert answer.row_verdicts.tolist() == [Verdict.ACCEPT, Verdict.REJECT]
    assert answer.row_sources.tolist() == [Source.PRIMARY, Source.DEFAULT]
    assert np.isnan(answer.outputs["probabilities"][1]).all()
    (reason,) = answer.reasons
    assert (reason.code, reason.subject, reason.row) == (ReasonCode.NOT_FINITE, "mean area", 1)


def test_report_and_evidence_say_what_was_measured(converted: ConversionReport) -> None:
    original, int8 = converted.candidates
    assert converted.choice.recipe == "int8"
    assert converted.chosen is int8
    assert converted.batched
    assert converted.rows_independent
    assert converted.features == 30
    assert int8.size < 0.9 * original.size
    assert original.comparison.accuracy is not None
    assert original.comparison.accuracy > 0.9
    assert int8.cost is not None
    assert int8.cost.p10_ns <= int8.cost.p50_ns <= int8.cost.p90_ns
    assert int8.cost.speed_up_low <= int8.cost.speed_up <= int8.cost.speed_up_high
    assert int8.cost.peak_memory
    evidence = json.loads(bundle.read(converted.output).files["evidence/candidates.json"])
    assert [entry["size"] for entry in evidence["candidates"]] == [original.size, int8.size]
    assert evidence["guard_on_held_back"]["rows"] == 142
    assert evidence["chosen"]["onnx"]["recipe"] == "int8"
    assert evidence["candidates"][1]["cost"]["p50_ns"] == int8.cost.p50_ns


def test_card_names_the_source_the_choice_and_the_limits(converted: ConversionReport) -> None:
    card = bundle.read(converted.output).files["card.md"].decode()
    assert "\n# tumour\n" in card
    assert converted.choice.reason in card
    assert "| mean radius | 0 to " in card


def test_guard_is_what_the_written_policy_compiles_to(converted: ConversionReport) -> None:
    files = bundle.read(converted.output).files
    check_guard(files["policy.toml"], files["reference/reference.json"], files["guard.bin"])


def test_same_inputs_give_the_same_bytes_in_other_processes(tumours: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from edge_rai_converters import convert; convert(*sys.argv[1:4], labels='y', reproducible=True)"
    )
    made = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        arguments = [str(tumours / "mlp.onnx"), str(tumours / "data.npz"), str(folder / "tumour.erai")]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script, *arguments], check=True, env=environment, cwd=folder)
        made.append((folder / "tumour.erai").read_bytes())
    assert made[0] == made[1]


def test_source_is_never_touched_and_float_is_kept_as_it_is(tumours: Path, tmp_path: Path) -> None:
    before = (tumours / "mlp.onnx").read_bytes()
    convert(tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", labels="y", prune="none", quantize="none")
    assert (tumours / "mlp.onnx").read_bytes() == before
    found = bundle.read(tmp_path / "m.erai")
    assert found.files["models/m.onnx"] == before
    assert found.manifest.provenance.source_sha256 == hashlib.sha256(before).hexdigest()
    assert found.manifest.primary.quantization == "none"


def test_convolutions_become_int8_on_images(digits: Path, tmp_path: Path) -> None:
    report = convert(digits / "cnn.onnx", digits / "data.npz", tmp_path / "digits.erai", labels="y", prune="none")
    original, int8 = report.candidates
    assert report.choice.recipe == "int8"
    assert original.comparison.accuracy is not None
    assert original.comparison.accuracy > 0.9
    assert int8.comparison.agreement is not None
    assert int8.comparison.agreement > 0.98
    with edge_rai.load(tmp_path / "digits.erai") as session:
        assert [feature.name for feature in session.features] == ["image[0]"]


def test_tree_ensemble_is_kept_in_float_with_a_sentence(tumours: Path, tmp_path: Path) -> None:
    report = convert(tumours / "forest.onnx", tumours / "data.npz", tmp_path / "forest.erai", labels="y")
    assert report.choice.recipe == "float"
    assert "the model is an ensemble of trees (TreeEnsembleClassifier)" in report.choice.reason
    with edge_rai.load(tmp_path / "forest.erai") as session:
        assert session.predict(np.load(tumours / "data.npz")["X"][:1]).verdict is Verdict.ACCEPT


def test_int8_that_loses_too_much_is_refused_and_nothing_is_written(tumours: Path, tmp_path: Path) -> None:
    arguments = (tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai")
    with pytest.raises(AccuracyDropError, match="points of accuracy"):
        convert(*arguments, labels="y", prune="none", quantize="int8", max_drop=-100)
    assert not list(tmp_path.iterdir())


def test_edited_policy_is_used_with_a_reference_from_the_data(tumours: Path, tmp_path: Path) -> None:
    assert (
        command(
            profile_command,
            "profile",
            tumours / "mlp.onnx",
            "--data",
            tumours / "data.npz",
            "--labels",
            "y",
            "-o",
            tmp_path,
        )
        == 0
    )
    text = (tmp_path / "policy.toml").read_text(encoding="utf-8")
    edited = text.replace('out_of_range = "reject"', 'out_of_range = "flag"')
    line = next(line for line in edited.splitlines() if '"mean radius"' in line)
    edited = edited.replace(line, '  { name = "mean radius", low = 12.5 },')
    (tmp_path / "policy.toml").write_text(edited, encoding="utf-8")
    report = convert(
        tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m", labels="y", policy=tmp_path / "policy.toml"
    )
    assert report.false_rejections.rejected == 0
    assert report.false_rejections.flagged > 10
    written = policy_to_toml(load_policy(tmp_path / "policy.toml"))
    assert (tmp_path / "m/policy.toml").read_text(encoding="utf-8") == written
    anew = (tmp_path / "m/reference/reference.json").read_bytes()
    below = re.findall(rb', "outside": (\d+)', anew)  # of mean radius, which the edited policy does not allow
    assert len(below) == 1
    assert int(below[0]) > 100
    assert re.sub(rb', "outside": \d+', b"", anew) == (tmp_path / "reference.json").read_bytes()


def test_policy_that_allows_no_row_is_refused(tumours: Path, tmp_path: Path) -> None:
    command(
        profile_command,
        "profile",
        tumours / "mlp.onnx",
        "--data",
        tumours / "data.npz",
        "--labels",
        "y",
        "-o",
        tmp_path,
    )
    text = (tmp_path / "policy.toml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if '"mean radius"' in line)
    path = tmp_path / "policy.toml"
    path.write_text(text.replace(line, '  { name = "mean radius", high = 0.0 },'), encoding="utf-8")
    with pytest.raises(PolicyError, match="none of the 142 held-back rows"):
        convert(tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", labels="y", policy=path)


@pytest.mark.parametrize("as_calls", [False, True], ids=["rows", "calls"])
def test_rows_for_a_model_of_one_row_are_judged_and_answered_one_by_one(
    make_model, tmp_path: Path, as_calls: bool
) -> None:
    weights = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    path = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", FLOAT, [1, 6])], [("y", FLOAT, [1, 3])], {"w": weights}
    )
    rows = np.random.default_rng(1).normal(size=(64, 6)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows[:, np.newaxis] if as_calls else rows)
    report = convert(path, tmp_path / "rows.npy", tmp_path / "m.erai", prune="none", quantize="none")
    assert (report.batched, report.rows_independent, report.false_rejections.rows) == (True, True, 16)
    asked = rows[:5].copy()
    asked[3, 2] = np.nan
    with edge_rai.load(tmp_path / "m.erai") as session:
        answer = session.predict(asked)
    assert answer.row_verdicts.tolist() == [0, 0, 0, 2, 0]
    np.testing.assert_allclose(answer.outputs["y"][[0, 1, 2, 4]], (asked @ weights)[[0, 1, 2, 4]], rtol=1e-5)


def test_states_and_policies_keep_a_model_of_one_row_to_one_row_a_call(make_model, tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "before"], ["after"]), helper.make_node("Tanh", ["after"], ["y"])]
    shape = [1, 6]
    path = make_model(
        nodes, [("x", FLOAT, shape), ("before", FLOAT, shape)], [("y", FLOAT, shape), ("after", FLOAT, shape)], {}
    )
    rows = np.random.default_rng(1).normal(size=(64, 6)).astype(np.float32)
    wish = {"prune": "none", "quantize": "none", "reproducible": True}
    report = convert(path, {"x": rows}, tmp_path / "m", states=["before=after"], **wish)  # type: ignore[arg-type]
    assert not report.batched
    path = make_model([helper.make_node("Tanh", ["x"], ["y"])], [("x", FLOAT, shape)], [("y", FLOAT, shape)], {})
    assert convert(path, rows, tmp_path / "m", **wish).batched  # type: ignore[arg-type]
    written = (tmp_path / "m/policy.toml").read_text()
    assert "batched = true" in written
    written = written.replace("batched = true", "batched = false").replace("[-1, 6]", "[1, 6]")
    (tmp_path / "policy.toml").write_text(written.replace("max_shape = [65536, 6]", "max_shape = [1, 6]"))
    report = convert(path, rows, tmp_path / "m", policy=tmp_path / "policy.toml", **wish)  # type: ignore[arg-type]
    assert not report.batched


def test_model_whose_rows_mix_is_not_batched(make_model, tmp_path: Path) -> None:
    path = make_model(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [("x", FLOAT, ["N", 4])],
        [("y", FLOAT, ["N", 4])],
    )
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(40, 4)))
    assert not convert(path, tmp_path / "rows.npy", tmp_path / "m.erai").batched


def test_model_that_adds_up_along_the_batch_rejects_the_whole_call(make_model, tmp_path: Path) -> None:
    path = make_model(
        [helper.make_node("CumSum", ["x", "axis"], ["y"])],
        [("x", FLOAT, ["time", 1])],
        [("y", FLOAT, ["time", 1])],
        {"axis": np.array(0)},
    )
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(64, 1)))
    assert not convert(path, tmp_path / "rows.npy", tmp_path / "m.erai").batched
    with edge_rai.load(tmp_path / "m.erai") as session:
        answer = session.predict(np.array([[1], [np.nan], [1]], np.float32))
    assert (answer.verdict, answer.row_verdicts.tolist()) == (Verdict.REJECT, [Verdict.REJECT])


def test_infinite_answers_leave_a_finite_tolerance(make_model, tmp_path: Path) -> None:
    path = make_model(
        [helper.make_node("Reciprocal", ["x"], ["y"])], [("x", FLOAT, ["N", 2])], [("y", FLOAT, ["N", 2])]
    )
    rows = np.random.default_rng(0).uniform(1, 2, size=(64, 2))
    rows[1::2, 0] = 0
    np.save(tmp_path / "rows.npy", rows)
    convert(path, tmp_path / "rows.npy", tmp_path / "m.erai")
    assert 0 < bundle.read(tmp_path / "m.erai").manifest.golden.atol < 0.01


@pytest.mark.parametrize(("weight", "severity"), [(np.nan, "error"), (np.inf, "warning")])
def test_answers_that_are_no_numbers_are_told(make_model, tmp_path: Path, weight: float, severity: str) -> None:
    path = make_model(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        [("x", FLOAT, ["N", 2])],
        [("y", FLOAT, ["N", 2])],
        {"w": np.array([weight, 1 if severity == "warning" else weight], np.float32)},
    )
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(64, 2)))
    report = convert(path, tmp_path / "rows.npy", tmp_path / "m", reproducible=True)
    (finding,) = (entry for entry in report.audit.findings if entry.kind == "answers_not_finite")
    assert finding.severity == severity
    assert (
        f"output 'y' of the model as it came is {'never' if np.isnan(weight) else 'not always'} finite"
        in finding.sentence
    )


def test_two_inputs_are_taken_by_name(make_model, tmp_path: Path) -> None:
    path = make_model(
        [helper.make_node("Add", ["left", "right"], ["sum"])],
        [("left", FLOAT, ["N", 2]), ("right", FLOAT, ["N", 2])],
        [("sum", FLOAT, ["N", 2])],
    )
    rows = np.random.default_rng(0).normal(size=(2, 40, 2)).astype(np.float32)
    np.savez(tmp_path / "data.npz", left=rows[0], right=rows[1])
    report = convert(path, tmp_path / "data.npz", tmp_path / "m.erai")
    assert report.features == 4
    with edge_rai.load(tmp_path / "m.erai") as session:
        answer = session.predict({"left": rows[0], "right": rows[1]})
    assert np.array_equal(answer.outputs["sum"], rows[0] + rows[1])


def test_output_that_is_something_else_is_not_overwritten(tumours: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.erai").write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"notes\.erai exists and is not a bundle"):
        convert(
            tumours / "mlp.onnx",
            tumours / "data.npz",
            tmp_path / "notes.erai",
            labels="y",
            prune="none",
            quantize="none",
        )
    assert (tmp_path / "notes.erai").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("name", ["", ".x", "a/b", "Tumor ß"])
def test_name_that_no_bundle_may_have_is_refused(tumours: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="must be letters, digits"):
        convert(tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", name=name)


def test_convert_command_prints_a_table_and_keeps_progress_off_stdout(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "convert",
        tumours / "mlp.onnx",
        "--data",
        tumours / "data.npz",
        "--labels",
        "y",
        "-o",
        tmp_path / "m.erai",
    ]
    assert command(convert_command, *arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("audit:  ")
    table = [line for line in printed.out.splitlines() if not line.startswith("audit:  ")]
    assert table[0].split()[:3] == ["candidate", "bytes", "accuracy"]
    assert table[1].split()[0] == "float"
    assert sum(line.startswith("*") for line in table) == sum(line.startswith("chosen: ") for line in table) == 1
    assert "guard:  rejects" in printed.out
    assert all(line.startswith("convert: ") for line in printed.err.splitlines())


def test_convert_command_prints_one_json_document(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "convert",
        tumours / "forest.onnx",
        "--data",
        tumours / "data.npz",
        "-o",
        tmp_path / "m.erai",
        "--labels",
        "y",
    ]
    assert command(convert_command, *arguments, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["output"] == str(tmp_path / "m.erai")
    assert document["choices"]["onnx"]["recipe"] == "float"
    assert document["candidates"][0]["cost"]["p50_ns"] > 0


def test_profile_command_lists_every_feature(tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "profile",
        tumours / "mlp.onnx",
        "--data",
        tumours / "data.npz",
        "--labels",
        "y",
        "-o",
        tmp_path / "rules",
    ]
    assert command(profile_command, *arguments, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["features"]) == 30
    assert document["features"][0]["bins"] == 32
    assert sorted(os.listdir(tmp_path / "rules")) == ["policy.toml", "reference.json"]


def test_both_distributions_have_one_version() -> None:
    assert version("edge-rai-converters") == version("edge-rai")
    assert f"edge-rai=={version('edge-rai')}" in (requires("edge-rai-converters") or [])
