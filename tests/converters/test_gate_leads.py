"""Weak slices that nobody declared: found, named as leads, and never a verdict."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rai_converters.errors import DataError
from edge_rai_converters.gate import Predicted, Rows, gate, judge, parse_gate_policy
from support.gate_rows import flipped, people, rows_of
from support.json_schema import faults

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/formats/gate.schema.json").read_text())
POLICY = 'format_version = 1\nleads = ["sex", "group", "age"]\n[margins]\naccuracy = 0.05\n'


def found_in(rows: Rows, policy: str = POLICY) -> dict[str, Any]:
    document = judge(rows, parse_gate_policy(policy), today=date(2026, 1, 1)).as_json()
    assert list(faults(document, SCHEMA)) == []
    return dict(document["leads"])


def test_weak_pair_of_groups_is_the_first_lead_and_no_verdict() -> None:
    generator = np.random.default_rng(0)
    labels, before, columns = people(generator, 6000)
    weak = (columns["sex"] == "F") & (columns["group"] == "B") & (generator.random(6000) < 0.2)
    right = (before > 0.5) == labels
    rows = rows_of(labels, before, flipped(before, weak & right), columns)
    report = judge(rows, parse_gate_policy(POLICY), today=date(2026, 1, 1))
    assert report.passed
    first = report.as_json()["leads"]["found"][0]
    assert (first["about"], first["name"]) == ("change", "sex=F, group=B")
    there = (columns["sex"] == "F") & (columns["group"] == "B")
    assert first["rows"] == there.sum()
    assert first["inside"] == pytest.approx((weak & right)[there].mean())
    assert (first["outside"], first["chance"]) == (0, pytest.approx(0, abs=1e-9))
    said = report.as_json()["leads"]["sentences"][0]
    assert said.startswith(f"a lead, no verdict: sex=F, group=B ({there.sum():,} rows): lost by the candidate 0.")
    assert [entry.name for entry in report.slices] == ["all rows"]


def test_weakness_of_numbers_is_found_in_their_quarters() -> None:
    labels, before, columns = people(np.random.default_rng(1), 4000)
    old = columns["age"] > np.quantile(columns["age"], 0.75)
    after = np.where(old, np.random.default_rng(2).uniform(0.01, 0.99, 4000), before)
    found = found_in(rows_of(labels, before, after, columns))["found"]
    assert {entry["about"] for entry in found if entry["name"].startswith("age=7")} == {"change", "candidate"}


def test_nothing_is_made_of_chance() -> None:
    chances = []
    for seed in range(20):
        labels, before, columns = people(np.random.default_rng(seed), 1000)
        chances += [entry["chance"] for entry in found_in(rows_of(labels, before, before, columns))["found"]]
    assert sum(chance < 0.05 for chance in chances) <= 3


def test_nothing_found_is_said_too() -> None:
    labels, before, columns = people(np.random.default_rng(3), 100)
    found = found_in(rows_of(labels, labels * 0.8 + 0.1, labels * 0.8 + 0.1, columns))
    assert found["found"] == []
    assert found["sentences"] == [f"nothing that looks weak in {found['searched']:,} groups of sex, group, age"]
    assert before.size == 100


def test_quantities_and_losses_have_leads_too() -> None:
    generator = np.random.default_rng(4)
    kind = np.array(["a", "b"], object)[generator.integers(0, 2, 500)]
    truth = generator.normal(size=500)
    after = truth + np.where(kind == "b", 0.5, 0.1)
    rows = Rows("quantity", (), truth, Predicted(truth + 0.1), Predicted(after), {"kind": kind})
    policy = 'format_version = 1\nleads = ["kind"]\n[answer]\nlargest_error = 9\n[margins]\nmae = 1\n'
    assert found_in(rows, policy)["found"][0]["name"] == "kind=b"
    nothing = Predicted(np.zeros(500))
    losses = {"iou": (np.zeros(500), np.where(kind == "a", 0.3, 0.0))}
    rows = Rows("other", (), None, nothing, nothing, {"kind": kind}, losses)
    policy = 'format_version = 1\nleads = ["kind"]\n[loss_spans]\niou = 1\n[margins]\niou = 0.9\n'
    assert found_in(rows, policy)["found"][0]["name"] == "kind=a"


def test_leads_that_cannot_be_looked_for_are_refused() -> None:
    labels, before, columns = people(np.random.default_rng(5), 100)
    with pytest.raises(DataError, match="there is no column 'region' to look for leads in"):
        found_in(rows_of(labels, before, before, columns), POLICY.replace("group", "region"))
    rows = rows_of(labels, before, before, columns)
    unlabelled = Rows("classes", ("0", "1"), None, rows.original, rows.candidate, columns)
    with pytest.raises(DataError, match="leads need labels, or a loss; give --labels"):
        found_in(unlabelled, POLICY.replace("accuracy", "flips"))


def test_features_of_the_model_can_be_looked_at_and_stay_its_inputs(tumours: Path) -> None:
    policy = parse_gate_policy('format_version = 1\nleads = ["mean radius"]\n[margins]\naccuracy = 0.2\n')
    report = gate(tumours / "mlp.onnx", tumours / "mlp.onnx", tumours / "data.npz", policy, labels="y")
    assert report.as_json()["leads"]["columns"] == ["mean radius"]
