"""A report of the gate with everything in it that one can have: verdicts of all kinds, a certificate, corruptions."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from edge_rai_converters.gate import judge, parse_gate_policy
from support.gate_rows import people, rows_of

POLICY = """
format_version = 1
[margins]
accuracy = 0.01
brier = 0.02
[slice_margins]
accuracy = 0.02
tpr = 0.03
[[slices]]
by = ["sex"]
[[slices]]
by = ["sex", "group"]
[[waivers]]
cell = "tpr of sex=M, group=E"
person = "R. Maier"
reason = "few rows; more in March"
expires = 2099-01-01
"""
_CORRUPTIONS = ("noise", "unit_x1000", "missing_block")


def everything() -> dict[str, Any]:
    """gate.json of 4,000 people, of whom women of group B with label 1 are harmed."""
    generator = np.random.default_rng(0)
    labels, before, columns = people(generator, 4000)
    after = np.clip(before + generator.normal(0, 0.03, 4000), 0.001, 0.999)
    harmed = (columns["sex"] == "F") & (columns["group"] == "B") & (labels == 1) & (generator.random(4000) < 0.2)
    rows = rows_of(labels, before, np.where(harmed, 0.3, after), columns)
    facts = {
        "original": {"name": "mlp.onnx", "sha256": "a" * 64},
        "candidate": {"name": "int8", "sha256": "b" * 64},
        "data": {"name": "held-back rows", "sha256": "c" * 64, "rows": 4000},
        "policy_sha256": "d" * 64,
        "batch_rows": 1,
        "attempt": None,
    }
    report = judge(rows, parse_gate_policy(POLICY), today=date(2026, 1, 1), facts=facts).as_json()
    return {**report, "certificate": _certificate(), "robustness": _robustness(), **_others()}


def _certificate() -> dict[str, Any]:
    said = "abstains on at most 4 % and errs on at most 1 % of what it answers, with 95 % confidence"
    group = {"rows": 4000, "answered": 3900, "errors": 20, "abstained": 0.025, "erred": 20 / 3900}
    groups = [
        {"name": "all rows", **group, "abstains_at_most": 0.04, "errs_at_most": 0.01},
        {"name": "sex=F", **group, "abstains_at_most": None, "errs_at_most": None},
    ]
    return {"sentences": [said], "granted": True, "groups": groups, "abstention": None, "sets": None}


def _robustness() -> dict[str, Any]:
    def point(severity: int, slope: float) -> dict[str, Any]:
        return {
            "value": 0.95 - slope * severity,
            "caught": 0.03 * severity,
            "reasons": {"out_of_range": severity},
            "silent": 0.02 * severity,
            "not_finite": 0.0,
        }

    curves = [
        {
            "corruption": name,
            "parameter": "standard deviations",
            "points": [
                {
                    "severity": step,
                    "setting": step / 5,
                    "original": point(step, 0.05),
                    "candidate": point(step, 0.06),
                }
                for step in range(6)
            ],
        }
        for name in _CORRUPTIONS
    ]
    caught = {"caught": 1.0, "reasons": {"not_finite": 100}, "silent": 0.0, "not_finite": 0.0}
    relation = {"relation": "batch", "queries": 1000, "broken": {"original": 0, "candidate": 0}, "example": None}
    return {
        "kind": "table",
        "seed": 0,
        "rows": 1000,
        "severity": 3,
        "guard": "none",
        "measure": "accuracy",
        "curves": curves,
        "edges": [{"edge": "nan", "rows": 100, "original": caught, "candidate": caught}],
        "relations": [{**relation, "said": "batch: no counterexample in 1,000 queries"}],
        "attacks": None,
        "sentences": ["batch: no counterexample in 1,000 queries"],
        "notes": ["no attack was tried: the policy asks for none"],
    }


def _others() -> dict[str, Any]:
    delay = {"corruption": "noise", "severity": 3, "runs": 5, "early": 0, "missed": 0, "median": 44.0}
    row = {"row": "row 3", "index": 3, "label": "1", "original": "1", "candidate": "0", "margin": 0.7}
    picture = '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="60"><rect width="200" height="60"/></svg>'
    return {
        "leads": {"sentences": ["group=C may be weak"], "columns": ["group"], "searched": 5, "found": []},
        "shift": {
            "average_run_length": 10000.0,
            "stride": 1,
            "rows_before": 500,
            "most_rows": 2000,
            "sentences": ["noise of severity 3 is noticed after 44 rows"],
            "delays": [{**delay, "delays": [44], "features": ["age"]}],
        },
        "audit_queue": {"changed": 3, "sentences": ["3 rows changed"], "rows": [row], "sheet": picture},
    }
