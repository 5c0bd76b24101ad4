"""Gaps between groups, against fairlearn; a rate that a group has not makes no gap."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edge_rai_converters.gate import GateReport
from support.gate_rows import figures, judged, noisy_people, people, rows_of

fair = pytest.importorskip("fairlearn.metrics", reason="fairlearn is not installed")


def gap(report: GateReport, metric: str, by: list[str]) -> dict[str, Any]:
    return dict(next(entry for entry in report.fairness if entry["metric"] == metric and entry["by"] == by))


FAIRLEARN = {
    "demographic_parity_difference": fair.demographic_parity_difference,
    "demographic_parity_ratio": fair.demographic_parity_ratio,
    "equal_opportunity_difference": fair.equal_opportunity_difference,
    "equal_opportunity_ratio": fair.equal_opportunity_ratio,
    "equalized_odds_difference": fair.equalized_odds_difference,
    "equalized_odds_ratio": fair.equalized_odds_ratio,
}


@pytest.mark.parametrize("metric", FAIRLEARN)
@pytest.mark.parametrize("by", [["sex"], ["sex", "group"]])
def test_gaps_agree_with_fairlearn(metric: str, by: list[str]) -> None:
    rows, report = noisy_people()
    groups = np.array(["/".join(values) for values in zip(*(rows.columns[name] for name in by), strict=True)])
    found = gap(report, metric, by)
    for name, model in (("original", rows.original), ("candidate", rows.candidate)):
        expected = FAIRLEARN[metric](rows.labels, model.decided, sensitive_features=groups)
        assert found[name] == pytest.approx(expected, abs=1e-12)
    assert found["change"] == found["candidate"] - found["original"]


@pytest.mark.parametrize("rate", ["false_positive_rate", "false_negative_rate"])
def test_error_rate_gaps_agree_with_fairlearn(rate: str) -> None:
    rows, report = noisy_people()
    frame = fair.MetricFrame(
        metrics=getattr(fair, rate),
        y_true=rows.labels,
        y_pred=rows.candidate.decided,
        sensitive_features=rows.columns["sex"].astype(str),
    )
    assert gap(report, f"{rate}_difference", ["sex"])["candidate"] == pytest.approx(frame.difference(), abs=1e-12)
    assert gap(report, f"{rate}_ratio", ["sex"])["candidate"] == pytest.approx(frame.ratio(), abs=1e-12)


def test_group_without_positives_has_no_rate_and_makes_no_gap() -> None:
    labels, before, columns = people(np.random.default_rng(1), 600)
    labels[columns["sex"] == "F"] = 0
    report = judged(rows_of(labels, before, before, columns))
    assert all(map(math.isnan, figures(report, "tpr")["sex=F"]))
    found = gap(report, "equal_opportunity_difference", ["sex"])
    assert math.isnan(found["original"])
    assert found["undefined_in"] == ["sex=F"]
    assert report.as_json()["fairness"][2] == {**found, "original": None, "candidate": None, "change": None}
    # fairlearn's phantom: 0 for the group, so a gap as great as the other group's rate.
    assert (
        fair.equal_opportunity_difference(labels, (before > 0.5), sensitive_features=columns["sex"].astype(str)) > 0.5
    )


def test_nobody_chosen_anywhere_has_no_ratio() -> None:
    labels, before, columns = people(np.random.default_rng(2), 300)
    report = judged(rows_of(labels, before * 0.4, before * 0.4, columns))
    assert math.isnan(gap(report, "demographic_parity_ratio", ["sex"])["original"])
    assert gap(report, "demographic_parity_ratio", ["sex"])["four_fifths"] == [None, None]
    assert all(map(math.isnan, figures(report, "precision")["all rows"]))


def test_four_fifths_rule_is_told_of_both_models() -> None:
    labels, before, columns = people(np.random.default_rng(3), 4000)
    favoured = np.where(columns["sex"] == "F", before * 0.75, before)
    found = gap(judged(rows_of(labels, before, favoured, columns)), "demographic_parity_ratio", ["sex"])
    assert found["four_fifths"] == [True, False]
