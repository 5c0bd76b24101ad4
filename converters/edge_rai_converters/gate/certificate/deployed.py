"""The candidate on a device: which rows its guard lets through, and the rule that keeps what was certified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.bundle import Manifest
from edge_rai.policy import Decision, FallbackRule, Policy
from edge_rai.policy.order import OF_ORDER, without
from edge_rai.types import Verdict
from edge_rai_converters.data import Rows
from edge_rai_converters.gate.certificate.rules import Score
from edge_rai_converters.gate.rows import Mask
from edge_rai_converters.rehearsal import verdicts

# Rows that wait for a person; more are nobody's answer.
_REVIEW_ROWS = 1024


def admitted(
    files: Mapping[str, bytes],
    manifest: Manifest,
    policy: Policy,
    rows: Rows,
    index: npt.NDArray[np.int64],
    batch_rows: int,
) -> Mask:
    """(chosen rows,) whose answers the device's own session does not reject.

    Rules that need an order of rows or a clock are left out.

    Args:
        files: Of the bundle.
        manifest: Of the bundle.
        policy: Of the bundle, or in the place of its own.
        rows: Per input (N, *call).
        index: Of the chosen rows.
        batch_rows: A call, where the policy allows several.

    Raises:
        EdgeRaiError: The bundle would not load on a device.
    """
    timeless, _ = without(policy, OF_ORDER)
    return np.asarray(verdicts(files, manifest, timeless, rows, index, batch_rows) != Verdict.REJECT)


def own_limit(policy: Policy, output: str, score: Score) -> float | None:
    """The limit that a guard has already."""
    found: float | None = next((getattr(rule, score) for rule in policy.outputs if rule.name == output), None)
    return found


def with_limit(policy: Policy, output: str, score: Score, threshold: float, *, logits: bool) -> Policy:
    """The policy under which a device abstains below a threshold: the row waits for a person, or has no answer.

    Args:
        policy: Of the bundle.
        output: That has a share a class.
        score: Which is compared.
        threshold: The least that is answered.
        logits: The output's numbers are no shares yet.
    """
    limit: Mapping[str, Any] = {score: threshold}
    outputs = tuple(
        replace(rule, logits=rule.logits or logits, **limit) if rule.name == output else rule for rule in policy.outputs
    )
    if any(score in rule.reasons or (not rule.reasons and "abstain" in rule.chain) for rule in policy.fallback):
        return replace(policy, outputs=outputs)
    decision = policy.decision or Decision()
    waiting = decision.review_rows or _REVIEW_ROWS
    return replace(
        policy,
        outputs=outputs,
        decision=replace(decision, review_rows=waiting),
        fallback=(FallbackRule(("abstain", "reject"), (score,)), *policy.fallback),
    )
