"""Robustness through the gate: two models behind one guard on rows that are not as they should be."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edge_rai import cli
from edge_rai.bundle import read
from edge_rai.errors import PolicyError
from edge_rai_converters import convert
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate import GateReport, gate, parse_gate_policy
from edge_rai_converters.gate.robustness.rules import CORRUPTIONS
from support.json_schema import faults
from support.tried_models import leaning_on_its_batch, linear, rows_for

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/formats/gate.schema.json").read_text())
WEIGHTS = np.array([1.0, -0.5, 0.8, 0.3, -1.2, 0.6])
NO_ATTACK = "rows = 64\nattack_rows = 0\n"
ATTACK = "rows = 64\nattack_rows = 5\nattack_queries = 200\n"
RELATIONS = "batch_invariant = true\nmonotone = {r = 'rising'}\ninvariant = ['s']\n"
Judged = Callable[..., GateReport]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.onnx, b.onnx (weaker in one feature), bent.onnx (not monotone in it), test.npz, guarded.erai (of a.onnx)."""
    path = tmp_path_factory.mktemp("tried")
    linear(path / "a.onnx", WEIGHTS)
    linear(path / "b.onnx", WEIGHTS * [1, 1, 0.9, 1, 1, 1])
    linear(path / "bent.onnx", WEIGHTS, bent=(2,))
    linear(path / "blind.onnx", WEIGHTS * [1, 1, 1, 0, 1, 1])
    linear(path / "amount.onnx", WEIGHTS / 10, quantity=True)
    leaning_on_its_batch(path / "leaning.onnx", WEIGHTS)
    for name, seed, count in (("train", 1, 400), ("test", 2, 200)):
        rows, labels = rows_for(WEIGHTS, count, seed, noise=0.5)
        np.savez(path / f"{name}.npz", x=rows, y=labels, feature_names=np.array(list("pqrstu")))
    (path / "inside.toml").write_text(
        "format_version = 1\n[margins]\nflips = 0.5\n"
        "[robustness]\nattack_rows = 4\nattack_queries = 200\nmargins = {noise = 0.3}\n"
    )
    convert(
        path / "a.onnx",
        path / "train.npz",
        path / "guarded.erai",
        labels="y",
        prune="none",
        quantize="none",
        average_run_length=5000,
        ordered=True,
        reproducible=True,
        gate=path / "inside.toml",
    )
    return path


@pytest.fixture(scope="module")
def judged(folder: Path) -> Judged:
    """The report on a candidate; of equal arguments it is made once."""

    @cache
    def run(
        candidate: str,
        text: str = "",
        tried: str = NO_ATTACK,
        original: str = "a.onnx",
        data: str = "test.npz",
        margins: str = "flips = 0.9",
        labels: str = "y",
    ) -> GateReport:
        policy = parse_gate_policy(f"format_version = 1\n[margins]\n{margins}\n[robustness]\n{tried}{text}")
        return gate(folder / candidate, folder / original, folder / data, policy, labels=labels)

    return run


def test_report_has_curves_edges_attacks_and_shifts_as_its_schema_says(judged: Judged) -> None:
    report = judged("guarded.erai", RELATIONS, ATTACK)
    document = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert list(faults(document, SCHEMA)) == []
    found = document["robustness"]
    assert (found["kind"], found["rows"], found["guard"], found["measure"]) == ("table", 64, "candidate", "accuracy")
    assert tuple(curve["corruption"] for curve in found["curves"]) == CORRUPTIONS["table"]
    for curve in found["curves"]:
        assert [point["severity"] for point in curve["points"]] == [0, 1, 2, 3, 4, 5]
        # The candidate is the original behind the same guard.
        assert all(point["original"] == point["candidate"] for point in curve["points"])
        for point in curve["points"]:
            side = point["candidate"]
            assert side["silent"] <= 1 - side["value"] + 1e-12
    noise = found["curves"][0]["points"]
    assert noise[5]["candidate"]["value"] < noise[0]["candidate"]["value"] - 0.2
    assert noise[5]["candidate"]["caught"] > 0.5 > noise[0]["candidate"]["caught"]
    assert found["attacks"]["boundary"]["ratio"] == 1
    assert document["audit_queue"] == {"changed": 0, "rows": [], "sheet": None, "sentences": []}
    assert {entry["corruption"] for entry in document["shift"]["delays"]} == set(CORRUPTIONS["table"])


def test_conversion_tries_what_it_chooses_behind_the_guard_that_the_bundle_has(folder: Path) -> None:
    document = json.loads(read(folder / "guarded.erai").files["evidence/gate.json"])
    assert list(faults(document, SCHEMA)) == []
    assert document["robustness"]["guard"] == "candidate"
    assert document["robustness"]["rows"] == document["facts"]["data"]["rows"] == 100
    assert {cell["metric"] for cell in document["cells"]} == {"flips", "accuracy under noise"}
    (folder / "zebra.toml").write_text("format_version = 1\n[margins]\nflips = 0.5\n[robustness]\nmutable = ['zebra']")
    with pytest.raises(PolicyError, match="cannot be held to these data: .robustness. names the feature 'zebra'"):
        convert(folder / "a.onnx", folder / "train.npz", folder / "not.erai", labels="y", gate=folder / "zebra.toml")


def test_guard_catches_what_is_no_number_or_outside_its_limits(judged: Judged) -> None:
    edges = {edge["edge"]: edge for edge in judged("guarded.erai", RELATIONS, ATTACK).as_json()["robustness"]["edges"]}
    for name in ("nan", "inf", "-inf", "largest", "lowest", "below_limit", "above_limit"):
        for side in ("original", "candidate"):
            assert edges[name][side]["caught"] == 1, name
            assert edges[name][side]["silent"] == 0, name
    assert edges["nan"]["candidate"]["reasons"]["not_finite"] == edges["nan"]["rows"]
    assert edges["below_limit"]["candidate"]["reasons"]["below_range"] == edges["below_limit"]["rows"]
    for name in ("0", "-0", "denormal", "-denormal"):
        assert edges[name]["candidate"]["caught"] < 0.2, name
        assert edges[name]["candidate"]["not_finite"] == 0, name
    # What is at the limit is within it.
    assert "below_range" not in edges["at_low_limit"]["candidate"]["reasons"]
    assert "above_range" not in edges["at_high_limit"]["candidate"]["reasons"]


def test_bare_models_have_the_guard_of_a_bare_model(judged: Judged) -> None:
    found = judged("b.onnx", "").as_json()
    assert found["robustness"]["guard"] == "none"
    assert found["shift"] is None
    edges = {edge["edge"]: edge["candidate"] for edge in found["robustness"]["edges"]}
    assert edges["nan"]["caught"] == edges["inf"]["caught"] == 1
    assert found["robustness"]["curves"][2]["points"][5]["candidate"]["caught"] == 0
    assert judged("b.onnx", "", original="guarded.erai").as_json()["robustness"]["guard"] == "original"


def test_progress_is_told_of_each_part_from_its_beginning_to_its_end(folder: Path) -> None:
    told: dict[str, list[float]] = {}
    policy = parse_gate_policy(f"format_version = 1\n[margins]\nflips = 0.9\n[robustness]\n{ATTACK}")
    arguments = (folder / "guarded.erai", folder / "a.onnx", folder / "test.npz", policy)
    gate(*arguments, labels="y", progress=lambda stage, share=0.0: told.setdefault(stage, []).append(share))
    for stage in ("trying both models on corrupted rows", "attacking both models", "rehearsing shifts"):
        assert told[stage] == sorted(told[stage])
        assert told[stage][0] == 0
        assert told[stage][-1] >= 0.75


def test_equal_arguments_give_an_equal_report_and_another_seed_does_not(judged: Judged) -> None:
    first, again = (judged("guarded.erai", RELATIONS + " " * turn, ATTACK).as_json() for turn in (0, 1))
    for key in ("robustness", "shift", "audit_queue"):
        assert first[key] == again[key]
    curves = [judged("b.onnx", seed).as_json()["robustness"]["curves"] for seed in ("", "seed = 2")]
    assert curves[0] != curves[1]


def test_distance_to_the_boundary_is_what_the_formula_says(judged: Judged, folder: Path) -> None:
    rows, labels = rows_for(WEIGHTS, 50, 3)
    np.savez(folder / "few.npz", x=rows, y=labels)
    found = judged("b.onnx", tried="rows = 50\nattack_rows = 50\nattack_queries = 1000", data="few.npz").as_json()
    attacks, rows = found["robustness"]["attacks"], rows.astype(np.float64)
    other = WEIGHTS * [1, 1, 0.9, 1, 1, 1]
    usable = ((rows @ WEIGHTS > 0) == labels) & ((rows @ other > 0) == labels)
    truth = {}
    for name, weights in (("original", WEIGHTS), ("candidate", other)):
        truth[name] = np.median(np.abs(rows @ weights)[usable] / np.linalg.norm(weights * rows.std(axis=0)))
        assert attacks["boundary"]["distance"][name] == pytest.approx(truth[name], rel=0.03)
        assert attacks["boundary"]["found"][name] == attacks["rows"] == usable.sum()
    assert attacks["boundary"]["ratio"] == pytest.approx(truth["candidate"] / truth["original"], rel=0.03)


def test_nothing_is_called_robust_where_no_counterexample_was_found(judged: Judged) -> None:
    attacks = judged("b.onnx", "reach = 0.0001\nmutable = ['s']\n", ATTACK).as_json()["robustness"]["attacks"]
    assert attacks["score"]["found"] == {"original": 0, "candidate": 0}
    assert "Square on the candidate: no counterexample in 5 rows with 200 queries a row" in attacks["said"]
    assert "robust" not in json.dumps(attacks)


def test_monotone_model_passes_and_one_that_is_not_fails(judged: Judged) -> None:
    text = "monotone = {r = 'rising', q = 'falling'}\nmargins = {'monotone[r]' = 0.05, 'monotone[q]' = 0.05}\n"
    same = judged("b.onnx", text)
    assert [cell.verdict for cell in same.cells if cell.measured.metric.startswith("monotone")] == ["pass", "pass"]
    for entry in same.as_json()["robustness"]["relations"]:
        assert entry["broken"] == {"original": 0, "candidate": 0}
        assert "no counterexample in 448 queries" in entry["said"]
    bent = judged("bent.onnx", text)
    verdicts = {cell.measured.metric: cell.verdict for cell in bent.cells}
    assert (verdicts["monotone[r]"], verdicts["monotone[q]"]) == ("fail", "pass")
    assert bent.verdict == "fail"
    (broken,) = (entry for entry in bent.as_json()["robustness"]["relations"] if entry["relation"] == "monotone[r]")
    assert broken["broken"]["original"] == 0
    assert broken["broken"]["candidate"] > 45  # the others are as sure as float32 can say on both sides
    assert broken["example"]["from"] < broken["example"]["to"]


def test_decisions_that_depend_on_what_they_must_not_are_counted(judged: Judged) -> None:
    report = judged("blind.onnx", "invariant = ['s']")
    (entry,) = report.as_json()["robustness"]["relations"]
    assert entry["broken"]["candidate"] == 0 < entry["broken"]["original"]


def test_margin_of_a_corruption_is_a_cell_that_stops_a_release(judged: Judged) -> None:
    margins = "severity = 1\nmargins = {noise = 0.03, stuck = 0.2}\n"
    report = judged("bent.onnx", margins, "rows = 200\nattack_rows = 0\n")
    cells = {cell.measured.metric: cell for cell in report.cells}
    assert cells["accuracy under noise"].verdict == "fail"
    assert "points" in cells["accuracy under noise"].reason
    assert report.verdict == "fail"
    curve = report.as_json()["robustness"]["curves"][0]["points"][1]
    assert cells["accuracy under noise"].measured.original == pytest.approx(curve["original"]["value"])
    assert cells["accuracy under noise"].measured.candidate == pytest.approx(curve["candidate"]["value"])
    waiver = (
        "[[waivers]]\ncell = 'accuracy under noise of all rows'\nperson = 'P'\nreason = 'R'\nexpires = 2999-01-01\n"
    )
    waived = judged("bent.onnx", margins + waiver, "rows = 200\nattack_rows = 0\n")
    assert next(cell for cell in waived.cells if cell.measured.metric == "accuracy under noise").waiver is not None


def test_margins_of_slices_make_a_cell_of_each_and_a_slice_nobody_tries_is_refused(folder: Path) -> None:
    stored = np.load(folder / "test.npz")
    side = np.where(np.arange(200) == 5, "rare", np.where(stored["x"][:, 2] < 0, "left", "right"))
    np.savez(folder / "sides.npz", **stored, side=side)
    text = "format_version = 1\n[margins]\nflips = 0.9\n[robustness]\n" + NO_ATTACK.replace("64", "{rows}")
    text += "margins = {{stuck = 0.5}}\nslice_margins = {{stuck = 0.3}}\n[[slices]]\nby = ['side']\n{merge}"
    whole = parse_gate_policy(text.format(rows=200, merge="merge_into = []\nmargins = {flips = 0.9}\n"))
    report = gate(folder / "bent.onnx", folder / "a.onnx", folder / "sides.npz", whole, labels="y")
    cells = {cell.name: cell for cell in report.cells if cell.measured.metric == "accuracy under stuck"}
    assert {name.split("of ")[1]: cell.margin for name, cell in cells.items()} == {
        "all rows": 0.5, "side=left": 0.3, "side=right": 0.3, "side=rare": 0.3,
    }  # fmt: skip
    assert cells["accuracy under stuck of side=rare"].merged_into == "all rows"
    assert cells["accuracy under stuck of side=left"].measured.rows == (side == "left").sum()
    alone = parse_gate_policy(text.format(rows=32, merge="margins = {flips = 0.9}\n"))
    with pytest.raises(DataError, match="tries 32 rows, and none with a label is of side=rare; raise rows, or merge"):
        gate(folder / "bent.onnx", folder / "a.onnx", folder / "sides.npz", alone, labels="y")


def test_robustness_turns_no_fail_into_a_pass(judged: Judged, folder: Path) -> None:
    with_it = judged("bent.onnx", "margins = {stuck = 0.9}", margins="accuracy = 0.05")
    policy = parse_gate_policy("format_version = 1\n[margins]\naccuracy = 0.05")
    without = gate(folder / "bent.onnx", folder / "a.onnx", folder / "test.npz", policy, labels="y")
    assert without.verdict == with_it.verdict == "fail"
    (alone,) = without.cells
    beside = {cell.name: cell for cell in with_it.cells}
    assert beside["accuracy under stuck of all rows"].verdict == "pass"
    assert (beside[alone.name].verdict, beside[alone.name].p_not_worse) == (alone.verdict, alone.p_not_worse)


def test_audit_queue_has_the_surest_rows_first(judged: Judged) -> None:
    queue = judged("bent.onnx").as_json()["audit_queue"]
    margins = [row["margin"] for row in queue["rows"]]
    assert len(margins) == min(50, queue["changed"]) > 3
    assert margins == sorted(margins, reverse=True)
    assert all(row["original"] != row["candidate"] for row in queue["rows"])


def test_alarm_comes_sooner_after_a_greater_shift_and_its_delay_does_not_depend_on_runs_before(judged: Judged) -> None:
    shift = judged("guarded.erai", RELATIONS, ATTACK).as_json()["shift"]
    assert (shift["average_run_length"], shift["rows_before"], shift["most_rows"]) == (5000, 500, 5000)
    by_name = {(entry["corruption"], entry["severity"]): entry for entry in shift["delays"]}
    noise, unit = by_name["noise", 5], by_name["unit_x1000", 5]
    assert unit["missed"] == noise["missed"] == 0
    assert 0 < unit["median"] <= noise["median"] < 500
    assert noise["median"] <= by_name["noise", 3]["median"]
    assert all(0 < delay <= 5000 for entry in shift["delays"] for delay in entry["delays"])
    # What is watched of answers is looked at call by call, and a device asks row by row, or a few.
    assert by_name["stuck", 5]["median"] < 100


def test_streams_of_rows_that_depend_on_those_before_are_pieces_as_they_follow_each_other(tmp_path: Path) -> None:
    linear(tmp_path / "a.onnx", WEIGHTS)
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(3000, len(WEIGHTS)))
    for place in range(1, len(rows)):
        rows[place] = 0.8 * rows[place - 1] + 0.6 * rows[place]
    rows = rows.astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows, y=(rows @ WEIGHTS > 0).astype(np.int64))
    (tmp_path / "gate.toml").write_text(
        f"format_version = 1\n[margins]\naccuracy = 0.5\n[robustness]\n{NO_ATTACK.replace('64', '1500')}"
    )
    common = {"labels": "y", "prune": "none", "quantize": "none", "reproducible": True}
    convert(
        tmp_path / "a.onnx",
        tmp_path / "rows.npz",
        tmp_path / "out.erai",
        average_run_length=20000,
        ordered=True,
        gate=tmp_path / "gate.toml",
        **common,
    )
    shift = json.loads(read(tmp_path / "out.erai").files["evidence/gate.json"])["shift"]
    assert shift["stride"] > 3
    assert any(f"once in up to {shift['stride']:,} rows" in said for said in shift["sentences"])
    assert sum(entry["early"] for entry in shift["delays"]) == 0
    unit = next(e for e in shift["delays"] if (e["corruption"], e["severity"]) == ("unit_x10", 5))
    assert (unit["missed"], unit["median"] < 500) == (0, True)


def test_without_labels_decisions_have_to_stay_as_they_were(judged: Judged) -> None:
    report = judged("b.onnx", "margins = {noise = 0.1}", labels="none")
    found = report.as_json()["robustness"]
    assert found["measure"] == "stability"
    assert found["curves"][0]["points"][0]["candidate"] | {"caught": 0} == {
        "value": 1.0, "caught": 0, "reasons": {}, "silent": 0.0, "not_finite": 0.0
    }  # fmt: skip
    assert any(cell.measured.metric == "stability under noise" for cell in report.cells)


def test_quantities_degrade_in_their_error_and_are_not_attacked(judged: Judged, folder: Path) -> None:
    with np.load(folder / "test.npz") as data:
        np.savez(folder / "amounts.npz", x=data["x"], y=(data["x"] @ WEIGHTS / 10).astype(np.float64))
    text = "margins = {noise = 0.2}\n[answer]\nlargest_error = 2.0\n"
    report = judged("amount.onnx", text, ATTACK, "amount.onnx", "amounts.npz", "mae = 0.1")
    found = report.as_json()["robustness"]
    assert (found["measure"], found["attacks"]) == ("error", None)
    assert found["notes"] == ["no attack was tried: the models answer a quantity, which has no boundary"]
    values = [point["candidate"]["value"] for point in found["curves"][0]["points"]]
    assert values == sorted(values)
    assert any(cell.measured.metric == "error under noise" and cell.verdict == "pass" for cell in report.cells)


def test_candidate_that_depends_on_its_batch_is_found(judged: Judged) -> None:
    text = "batch_invariant = true\nmargins = {batch = 0.1}\n"
    report = judged("leaning.onnx", text, "rows = 32\nattack_rows = 0\n")
    (entry,) = report.as_json()["robustness"]["relations"]
    assert entry["broken"]["original"] == 0
    assert entry["broken"]["candidate"] == 30  # of 32 those that nothing was done to
    assert report.verdict == "fail"
    (entry,) = judged("b.onnx", text).as_json()["robustness"]["relations"]
    assert entry["said"] == "batch: no counterexample in 128 queries; the original in 0"


def test_example_of_the_how_to_is_a_policy() -> None:
    text = (ROOT / "docs/how-to/gate-a-release.md").read_text().split("## Rows that are not as they should be")[1]
    example = textwrap.dedent(text[: text.index("has the gate try")])
    rule = parse_gate_policy(f"format_version = 1\n[margins]\nflips = 0.1\n{example}").robustness
    assert rule is not None
    assert rule.relations == ("monotone[income]", "invariant[day]", "batch")
    assert set(rule.margins) <= set(CORRUPTIONS["table"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("monotone = {zebra = 'rising'}", r"names the feature 'zebra'; there are 'p', 'q', 'r', 's', 't', 'u'$"),
        ("mutable = ['zebra']", "names the feature 'zebra'"),
        ("categories = [['p', 'zebra']]", "names the feature 'zebra'"),
        ("kind = 'images'", r"kind is 'images', and a row of 'x' has the shape \[1, 6\]; leave kind out, or say which"),
        ("margins = {blur = 0.1}", "margins has 'blur', and rows of the kind table are not corrupted that way"),
    ],
)
def test_rules_that_do_not_fit_the_rows_are_refused_in_one_sentence(judged: Judged, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        judged("b.onnx", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("margins = {fog = 0.1}", "margins has 'fog', which is nothing that is tried; there are bias, blur,"),
        ("margins = {noise = 0}", "the margin of noise is 0; it must be above 0"),
        ("margins = {noise = nan}", "the margin of noise is nan; it must be above 0"),
        ("slice_margins = {fog = 0.1}", "slice_margins has 'fog', which is nothing that is tried"),
        ("slice_margins = {noise = 0.1}", "has slice_margins, and the policy has no [[slices]]"),
        ("severity = 6", "severity must be 1 to 5"),
        ("rows = 3", "rows must be 32 to 100000"),
        ("reach = 0", "reach must be above 0"),
        ("categories = [['a'], ['a']]", "categories must name at least one feature each, and none twice"),
        ("kind = 'video'", "kind"),
        ("colour = 1", "colour"),
        ("monotone = {a = 'up'}", "monotone"),
    ],
)
def test_bad_policies_exit_2_with_one_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "gate.toml").write_text(f"format_version = 1\n[margins]\naccuracy = 0.05\n[robustness]\n{text}\n")
    arguments = ["gate", str(folder / "b.onnx"), "--against", str(folder / "a.onnx"), "--labels", "y"]
    assert cli.main([*arguments, "--data", str(folder / "test.npz"), "--policy", str(tmp_path / "gate.toml")]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said
