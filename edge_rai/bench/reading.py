"""What those who report a result ask of it: who is compared, what is a price, what facts hold."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from edge_rai.bench.contenders import EMPTY
from edge_rai.bench.ratios import CANNOT_TELL, ONE_PROCESS
from edge_rai.bench.result import Machine, Percentile, Ratio, Result, ScenarioResult, SeriesSummary, Throughput
from edge_rai.bench.series import YARDSTICK

FEW = "fewer than LoadGen's rule asks for"
REJECTED = ": the guard rejected "
UNFAIR = "no fair comparison"
# Of the rows asked, up to this share may be rejected: the medians, by which subjects are compared, show nothing of it.
MAY_REJECT = 0.05
MAY_BE_OFF_BY = f"{100 * ONE_PROCESS:g} %"  # of too few processes

_WITHOUT = " without "


def contenders(scenario: ScenarioResult) -> list[SeriesSummary]:
    """The series of models: neither the harness's own nor those that lack a safeguard."""
    return [series for series in scenario.series if is_contender(series.subject, scenario)]


def is_contender(subject: str, scenario: ScenarioResult) -> bool:
    """Whether a subject is neither the harness's own nor one that lacks a safeguard."""
    return subject not in (EMPTY, YARDSTICK) and not lacks(subject, {series.subject for series in scenario.series})


def lacks(subject: str, names: Collection[str]) -> bool:
    """Whether a subject is one of the others without a safeguard."""
    return any(subject.startswith(name + _WITHOUT) for name in names)


def prices(scenario: ScenarioResult) -> list[Ratio]:
    """Of a subject over itself without a safeguard."""
    return [ratio for ratio in scenario.ratios if ratio.against.startswith(ratio.subject + _WITHOUT)]


def beside(scenario: ScenarioResult) -> list[Ratio]:
    """The other ratios."""
    return [ratio for ratio in scenario.ratios if not ratio.against.startswith(ratio.subject + _WITHOUT)]


def safeguard_of(price: Ratio) -> str:
    """Which one a price is of."""
    return price.against[len(price.subject + _WITHOUT) :]


def can_tell(ratio: Ratio) -> bool:
    """Whether its interval at 99 % holds no 1."""
    return not ratio.low_99 <= 1 <= ratio.high_99


def within_memory(ratio: Ratio) -> bool:
    """Whether only the share that few processes may be off by keeps it from a verdict."""
    return ratio.verdict == CANNOT_TELL and can_tell(ratio)


def rejecting(result: Result) -> set[str]:
    """The subjects whose guard rejected many rows: no model ran for those, so their latency compares with nobody's."""
    names = {series.subject for scenario in result.scenarios for series in scenario.series}
    unfair = [warning for warning in result.warnings if UNFAIR in warning]
    return {name for name in names for warning in unfair if warning.startswith(name + REJECTED)}


def verdict_of(ratio: Ratio, unfair: Collection[str]) -> str:
    """Its verdict with what it lacks.

    Args:
        ratio: Of two subjects.
        unfair: See rejecting.
    """
    if ratio.subject in unfair or ratio.against in unfair:
        return UNFAIR
    return f"{CANNOT_TELL} within {MAY_BE_OFF_BY}" if within_memory(ratio) else ratio.verdict


def percentile_at(series: SeriesSummary, percent: float) -> Percentile | None:
    """One of its percentiles."""
    return next((entry for entry in series.percentiles if entry.percent == percent), None)


def best_batch(scenario: ScenarioResult, subject: str) -> Throughput | None:
    """A subject's best batch."""
    return next((entry for entry in scenario.throughput if entry.subject == subject and entry.best), None)


def unclaimed(scenario: ScenarioResult) -> list[Percentile]:
    """The percentiles that a series had too few queries for, of the series with the fewest."""
    if not scenario.series:
        return []
    fewest = min(scenario.series, key=lambda series: series.queries)
    return [entry for entry in fewest.percentiles if not entry.claimed]


def warnings(result: Result) -> list[str]:
    """Those that no table says by itself."""
    return [warning for warning in result.warnings if FEW not in warning]


def looks(machine: Machine) -> list[dict[str, Any]]:
    """At the machine, in their order."""
    return [machine.before, *machine.during, machine.after]


def fact(facts: Mapping[str, Any], *names: str) -> Any:
    """What lies below the names; None where one of them is not there."""
    found: Any = facts
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def number(facts: Mapping[str, Any], *names: str) -> float | None:
    """A finite number below the names; None where there is none."""
    found = fact(facts, *names)
    return float(found) if isinstance(found, int | float) and _is_finite(found) else None


def text(facts: Mapping[str, Any], *names: str) -> str | None:
    """A text below the names; None where there is none."""
    found = fact(facts, *names)
    return found if isinstance(found, str) and found else None


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value) and not isinstance(value, bool)
    except OverflowError:  # an integer beyond every float
        return False
