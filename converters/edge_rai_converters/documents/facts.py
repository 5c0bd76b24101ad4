"""card.json: what a card says, each figure as the evidence has it; card.md is the same in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_rai.bundle import Manifest
from edge_rai.documents.risk import Risk
from edge_rai.policy import Measured, Policy, policy_tables

CARD_DATA_FILE = "card.json"
CANDIDATES_FILE, AUDIT_FILE = "evidence/candidates.json", "evidence/audit.json"
DRIFT_FILE = "evidence/drift.json"
_COST = ("p10_ns", "p50_ns", "p90_ns", "speed_up", "speed_up_low", "speed_up_high", "peak_memory")
_CELL = (
    "metric", "slice", "rows", "original", "candidate", "loss", "loss_low", "loss_high", "margin", "verdict",
    "merged_into", "waiver",
)  # fmt: skip
_GAP = ("metric", "by", "class", "original", "candidate", "change", "four_fifths")

Json = Mapping[str, Any]


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What a conversion found, as the files of evidence have it.

    Attributes:
        manifest: Of the bundle.
        policy: That its guard keeps.
        candidates: evidence/candidates.json.
        audit: evidence/audit.json.
        gates: By path, what the gate said; none where it was not asked.
        drift: evidence/drift.json; None: nothing was rehearsed.
        risk: The questionnaire; None: nobody answered one.
        task: As Hugging Face calls it; None: none of those that it has a name for.
    """

    manifest: Manifest
    policy: Policy
    candidates: Json
    audit: Json
    gates: Mapping[str, Json]
    drift: Json | None
    risk: Risk | None
    task: str | None


def card_data(found: Found) -> dict[str, Any]:
    """The card for programs, see docs/formats/documents.md.

    Args:
        found: What the evidence says.
    """
    measured = {entry["input"]: Measured(entry["above"], entry["held_back"]) for entry in found.candidates["distances"]}
    return {
        "format_version": 1,
        "from": ["manifest.json", CANDIDATES_FILE, AUDIT_FILE, *([DRIFT_FILE] if found.drift else []), *found.gates],
        "name": found.manifest.name,
        "task": found.task,
        "use": found.risk and asdict(found.risk.use),
        "risk": found.risk and _risk(found.risk),
        "models": [_model(found, asdict(model)) for model in found.manifest.models],
        "held_back_rows": found.candidates["held_back_rows"],
        "guard_on_held_back": found.candidates["guard_on_held_back"],
        "gates": {path: _gate(report) for path, report in found.gates.items()},
        "drift": found.drift,
        "guard": [
            {"title": table.title, "columns": list(table.columns), "rows": [list(row) for row in table.rows]}
            for table in policy_tables(found.policy, measured)
        ],
        "machine": found.candidates["machine"],
        "provenance": asdict(found.manifest.provenance),
        "findings": [entry["kind"] for entry in found.audit["findings"] if entry["severity"] != "info"],
    }


def _risk(risk: Risk) -> dict[str, Any]:
    plan = risk.change_plan
    return {
        "class": risk.risk_class,
        "because": list(risk.because),
        "mandatory": list(risk.mandatory),
        "change_plan": plan and asdict(plan),
    }


def _model(found: Found, model: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of a model, and what was measured of it."""
    measured: Json = next(
        (
            entry
            for entry in found.candidates["candidates"]
            if model["role"] == "primary" and entry["recipe"] == model["recipe"]
        ),
        {},
    )
    kept = ("role", "path", "format", "quantization", "recipe", "size", "sha256", "rows_independent")
    cost = measured.get("cost")
    return {
        **{key: model[key] for key in kept},
        "accuracy": measured.get("accuracy"),
        "agreement": measured.get("agreement"),
        "cost": cost and {key: cost[key] for key in _COST},
    }


def _gate(report: Json) -> dict[str, Any]:
    certificate = report.get("certificate")
    return {
        "verdict": report["verdict"],
        "confidence": report["confidence"],
        "alpha": report["alpha"],
        "cells": [{key: cell[key] for key in _CELL} for cell in report["cells"]],
        "gaps": [{key: gap[key] for key in _GAP} for gap in report["fairness"]],
        "notes": report["notes"],
        "certificate": certificate and {key: certificate.get(key) for key in ("granted", "sentences", "groups")},
        "robustness": (report.get("robustness") or {}).get("sentences", []),
    }
