"""Structured pruning without training: whole channels go, and what reads them is refitted to what is left.

Zeros strewn over weights, and 2:4 patterns of them, are not offered: no runtime on a CPU is any faster for them.
"""

from __future__ import annotations

from typing import Literal

import onnx

from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass
from edge_rai_converters.passes.properties import FLOAT, SAME_SIGNATURE, VALID
from edge_rai_converters.passes.prune.attempt import Attempts
from edge_rai_converters.passes.prune.importance import MEASURES, Measure
from edge_rai_converters.passes.prune.sensitivity import find_shares

Importance = Literal["magnitude", "activation", "redundancy", "best"]

# The one that is best most often, where trying all would take too long.
_USUAL: Measure = "redundancy"


def prune(
    keep: float | Literal["auto"],
    importance: Importance = "best",
    max_drop: float = 1.0,
    part: float = 1.0,
    seed: int = 0,
) -> Pass:
    """The pass that leaves fewer channels.

    Args:
        keep: Share of the channels of each group that stays, in multiples of 8 and never fewer; "auto" finds one for
            each group by how much the answers mind.
        importance: Which of them stay: those with the greatest weights, those that their readers see most of, or those
            that the others cannot stand in for; "best" tries all three and keeps the one whose answers are nearest to
            the original's on calibration rows that nothing was fitted to.
        max_drop: Of "auto", the points of 100 by which the pruned model may disagree with the original on such rows.
        part: Of "auto", the share that is taken of the steps which keep to ``max_drop``, the ones that harm least.
        seed: Of the places of large images that are fitted to.

    Raises:
        ValueError: ``keep`` or ``part`` is no share, ``importance`` is not known, or ``max_drop`` is negative.
    """
    _check(keep, importance, max_drop, part)

    def run(model: onnx.ModelProto, material: Material) -> onnx.ModelProto:
        attempts = Attempts(model, material, seed)
        measures = MEASURES if importance == "best" else (importance,)
        if keep == "auto":
            first = _USUAL if importance == "best" else importance
            shares = find_shares(attempts, first, max_drop, part, lambda share: material.progress(0.7 * share))
        else:
            shares = dict.fromkeys(attempts.prunable, keep)
        result = attempts.finished(shares, measures)
        if len(result.SerializeToString()) >= len(model.SerializeToString()):
            raise NotApplicableError("what would go is no more than the refitted layers need")
        material.progress(1.0)
        return result

    return Pass("prune", run, requires=(FLOAT,), ensures=(VALID, SAME_SIGNATURE))


def _check(keep: float | Literal["auto"], importance: str, max_drop: float, part: float) -> None:
    if keep != "auto" and not 0 < keep < 1:
        raise ValueError(f'keep = {keep}: expected a share between 0 and 1, or "auto"')
    if importance not in (*MEASURES, "best"):
        raise ValueError(f"importance = {importance!r}: expected one of {', '.join(MEASURES)}, best")
    if max_drop < 0:
        raise ValueError(f"max_drop = {max_drop}: expected points from 0 to 100")
    if not 0 < part <= 1:
        raise ValueError(f"part = {part}: expected a share above 0, up to 1")
