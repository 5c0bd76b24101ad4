"""Gaps between groups, of the original and of the candidate: the gate judges neither, and shows both and the change.

A rate that a group does not have is no number, never 0: a group without positives has no true-positive rate, and makes
no gap. Where fewer than two groups have a rate, there is no gap either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rai_converters.gate.counted import Counted
from edge_rai_converters.gate.paired import Floats
from edge_rai_converters.gate.rules import split
from edge_rai_converters.gate.slices import Family, Slices

# The four-fifths rule of the US Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D.
FOUR_FIFTHS = 0.8


def difference(rates: Floats) -> float:
    """Greatest less least of the groups' rates; NaN of fewer than two."""
    known = rates[~np.isnan(rates)]
    return float(known.max() - known.min()) if len(known) > 1 else float("nan")


def ratio(rates: Floats) -> float:
    """Least over greatest; NaN of fewer than two, and where all are 0."""
    known = rates[~np.isnan(rates)]
    return float(known.min() / known.max()) if len(known) > 1 and known.max() > 0 else float("nan")


def _greatest(one: float, other: float) -> float:
    return float(np.maximum(one, other))  # NaN where either is


def _least(one: float, other: float) -> float:
    return float(np.minimum(one, other))


@dataclass(frozen=True, slots=True)
class _Gap:
    name: str
    rates: tuple[str, ...]
    of: Callable[[Floats], float]
    both: Callable[[float, float], float] = _greatest


_GAPS = (
    _Gap("demographic_parity_difference", ("selection_rate",), difference),
    _Gap("demographic_parity_ratio", ("selection_rate",), ratio),
    _Gap("equal_opportunity_difference", ("tpr",), difference),
    _Gap("equal_opportunity_ratio", ("tpr",), ratio),
    _Gap("false_positive_rate_difference", ("fpr",), difference),
    _Gap("false_positive_rate_ratio", ("fpr",), ratio),
    _Gap("false_negative_rate_difference", ("fnr",), difference),
    _Gap("false_negative_rate_ratio", ("fnr",), ratio),
    _Gap("equalized_odds_difference", ("tpr", "fpr"), difference),
    _Gap("equalized_odds_ratio", ("tpr", "fpr"), ratio, _least),
)


def fairness(measured: Mapping[str, Counted], slices: Slices) -> Iterator[Mapping[str, Any]]:
    """One object a family of slices, a gap and, of many classes, a class.

    Args:
        measured: By metric, of all slices.
        slices: What was measured.
    """
    for family in slices.families:
        if family.rule is not None and family.count > 1:
            for gap in _GAPS:
                for suffix in (name[len(gap.rates[0]) :] for name in measured if split(name)[0] == gap.rates[0]):
                    names = [rate + suffix for rate in gap.rates]
                    if all(name in measured for name in names):
                        yield _entry(gap, [measured[name] for name in names], family, slices, suffix)


def _entry(gap: _Gap, rates: list[Counted], family: Family, slices: Slices, suffix: str) -> Mapping[str, Any]:
    part = slice(family.first, family.first + family.count)
    titles = [entry.name for entry in slices.slices[part]]
    levels = []
    for model in ("original", "candidate"):
        gaps = [gap.of(getattr(rate, model)[part]) for rate in rates]
        levels.append(gaps[0] if len(gaps) == 1 else gap.both(*gaps))
    undefined = np.any([np.isnan(rate.original[part]) for rate in rates], axis=0)
    return {
        "metric": gap.name,
        "by": list(family.rule.by) if family.rule else [],
        "class": suffix.strip("[]") or None,
        "original": levels[0],
        "candidate": levels[1],
        "change": levels[1] - levels[0],
        "undefined_in": [title for title, lost in zip(titles, undefined.tolist(), strict=True) if lost],
        "four_fifths": [_holds(level) for level in levels] if gap.name == "demographic_parity_ratio" else None,
    }


def _holds(level: float) -> bool | None:
    return None if np.isnan(level) else level >= FOUR_FIFTHS
