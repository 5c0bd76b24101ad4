"""What a conversion says: on the card, in the evidence, on the terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edge_rai import bundle
from edge_rai_converters import ConversionReport, card, convert, recipes
from edge_rai_converters.audit import AuditReport, Finding
from edge_rai_converters.candidates import make_candidates
from edge_rai_converters.choose import Choice
from edge_rai_converters.cli.report import print_report
from edge_rai_converters.learning import learn
from edge_rai_converters.measure import Cost
from edge_rai_converters.progress import silent
from edge_rai_converters.rehearsal import FalseRejections
from support.models import FLOAT, save

SOUND = AuditReport("data", 100, 100, 0, 0, ())


@pytest.fixture(scope="module")
def report(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> ConversionReport:
    output = tmp_path_factory.mktemp("report") / "m.erai"
    return convert(tumours / "mlp.onnx", tumours / "data.npz", output, labels="y", reproducible=True)


@pytest.fixture(scope="module")
def write_card(report: ConversionReport, tumours: Path):
    """The card of a model in int8 with this cost, and of data with these findings."""
    learned = learn(tumours / "mlp.onnx", tumours / "data.npz")
    (int8,) = (recipe for recipe in recipes.built_in() if recipe.name == "int8")
    forms = make_candidates(learned, [int8], {"max_drop": 1.0, "seed": 0, "keep": "auto"}, "x86", silent)
    made_before = bundle.read(report.output)
    data = json.loads(made_before.files["card.json"])

    def write(cost: Cost | None, audited: AuditReport) -> str:
        made = replace(forms, candidates=tuple(replace(entry, cost=cost) for entry in forms.candidates))
        choice, verdicts = Choice("int8", "it was asked for", {}), FalseRejections(100, 1, 0)
        known = card.Written(made_before.manifest, learned, made, {"onnx": choice}, None, None, verdicts, audited)
        return known.card(data).decode()

    return write


def test_card_says_that_the_chosen_model_is_slower_where_it_is(write_card) -> None:
    slower = Cost(1000, 1250, 1500, 0.8, 0.7, 0.9, None)
    said = "`int8` is slower than the float model: a call takes 1.25 times as\nlong, where the bundle was made."
    assert said in write_card(slower, SOUND)
    assert "slower" not in write_card(replace(slower, speed_up=1.0, speed_up_low=0.9, speed_up_high=1.1), SOUND)
    assert "slower" not in write_card(None, SOUND)


def test_card_has_what_the_audit_calls_an_error_and_no_more(write_card) -> None:
    findings = (
        Finding("leakage", "error", "half of the held-back rows are copies", "Remove them"),
        Finding("constant", "warning", "1 column is idle", "Leave it out"),
    )
    written = write_card(None, replace(SOUND, findings=findings))
    assert "## What is wrong with the data" in written
    assert "- half of the held-back rows are copies. Remove them." in written
    assert "idle" not in written
    assert "## What is wrong with the data" not in write_card(None, replace(SOUND, findings=findings[1:]))


def test_every_candidate_that_was_not_taken_has_a_reason_everywhere(
    report: ConversionReport, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence = json.loads(bundle.read(report.output).files["evidence/candidates.json"])
    others = {entry.recipe for entry in report.candidates} - {report.choice.recipe}
    assert set(evidence["chosen"]["onnx"]["objections"]) == others
    assert evidence["chosen"]["onnx"]["objections"]["float"].startswith(
        f"keeps the budgets, but {report.choice.recipe} is "
    )
    print_report(report)
    printed = capsys.readouterr().out
    for name, why in report.choice.objections.items():
        assert f"  {name} {why}" in printed


def test_one_feature_is_no_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [helper.make_node("Tanh", ["x"], ["y"])]
    save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 1])], [("y", FLOAT, ["N", 1])])
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(200, 1)).astype(np.float32))
    print_report(convert(tmp_path / "m.onnx", tmp_path / "rows.npy", tmp_path / "m.erai", reproducible=True))
    assert "m.erai (1 feature, 150 calibration rows; rows are judged one by one)" in capsys.readouterr().out


def test_audit_of_a_conversion_calls_classes_by_their_names_and_rows_by_their_lines(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(120, 2)).round(4)
    names = np.where(rows[:, 0] > 0, "ripe", "green").astype("U6")
    names[:3] = "rotten"
    rows[50] = rows[10]
    lines = ["a,b,kind", *(f"{a},{b},{name}" for (a, b), name in zip(rows, names, strict=True))]
    (tmp_path / "fruit.csv").write_text("\n".join(lines))
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"])]
    weights = {"w": np.array([[1, -1, -9], [0, 0, 0]], np.float32)}
    save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 2])], [("y", FLOAT, ["N", 3])], weights)
    arguments = (tmp_path / "m.onnx", tmp_path / "fruit.csv", tmp_path / "m.erai")
    report = convert(*arguments, labels="kind", reproducible=True)
    found = {finding.kind: finding for finding in report.audit.findings}
    assert found["small_classes"].numbers["counts"] == {"rotten": 3}
    assert found["exact_duplicates"].numbers["pairs"] == ["line 52 = line 12"]
