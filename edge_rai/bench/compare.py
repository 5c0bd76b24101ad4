"""Two saved results beside each other: faster, slower, or cannot tell.

The two ran at different times, and on many machines the clock's speed then differs by more than what is looked for. So
latencies are compared as multiples of the yardstick's, which ran in the same rounds. How far the medians scatter, of
the processes that measured or of one process's consecutive batches of rounds, says how well a result knows them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai.bench.contenders import EMPTY
from edge_rai.bench.ratios import FEWEST_PROCESSES, ONE_PROCESS, SLOWER, by_process, student_t, verdict
from edge_rai.bench.reading import UNFAIR, rejecting
from edge_rai.bench.result import Result, ScenarioResult, SeriesSummary
from edge_rai.bench.series import YARDSTICK
from edge_rai.bench.shift import shift_interval

_CONFIDENCE = 0.99
_BATCHES = 10
_FEWEST_ROUNDS = 2 * _BATCHES
# Subjects that a sentence names, of which there may be one a safeguard and batch.
_NAMED = 4

Key = tuple[str, str, int]


@dataclass(frozen=True, eq=False, slots=True)
class Multiples:
    """A subject's latency in multiples of the yardstick's.

    Attributes:
        medians: (p,) Logarithms: one a process, or one a batch of rounds of a single process.
        several: It is one a process.
    """

    medians: npt.NDArray[np.float64]
    several: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One subject of one scenario in both results.

    Attributes:
        scenario: Its name.
        subject: Its name.
        rows: Rows a query.
        before_ns: Median latency in the first.
        after_ns: In the second.
        ratio: Of latencies in multiples of the yardstick's, second over first.
        low: Its interval at 99 %, ONE_PROCESS included where it must be.
        high: Its other end.
        verdict: Of the second: "faster", "slower" or "cannot tell".
        regression: The whole interval lies beyond what is allowed.
    """

    scenario: str
    subject: str
    rows: int
    before_ns: float
    after_ns: float
    ratio: float
    low: float
    high: float
    verdict: str
    regression: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of two results.

    Attributes:
        rows: What was compared.
        left_out: What was not, or must be known, one sentence each.
    """

    rows: list[Row]
    left_out: list[str]

    @property
    def regression(self) -> bool:
        """Of any row."""
        return any(row.regression for row in self.rows)


def compare(before: Result, after: Result, *, allow: float = 0.0) -> Comparison:
    """Compares what two results share.

    Args:
        before: The first.
        after: The second.
        allow: By which share a subject may be slower: 0.05 for 5 %.

    Raises:
        ValueError: The results share nothing that can be compared, or different programs made them.
    """
    programs = before.program.rpartition(" ")[0], after.program.rpartition(" ")[0]
    if programs[0] != programs[1]:
        raise ValueError(
            f"the results are of {before.program} and {after.program}, whose yardsticks differ; "
            "expected two of one program"
        )
    ours, theirs = _series(before), _series(after)
    rows, short, left_out = list[Row](), list[str](), _differences(before, after)
    for key, (scenario, old) in ours.items():
        if key not in theirs:
            continue
        scenario_after, new = theirs[key]
        first, second = _multiples(scenario, old), _multiples(scenario_after, new)
        if first is None or second is None:
            short.append(_named(key))
            continue
        rows.append(_row(key, old, new, _difference(first, second), allow))
    if short:
        left_out.append(
            f"{_listed(short)} cannot be compared: that takes {_FEWEST_ROUNDS} rounds beside the yardstick in both "
            "results; measure longer"
        )
    left_out += [*_alone(ours, theirs, "first"), *_alone(theirs, ours, "second")]
    if not rows:
        raise ValueError("; ".join(["the two results share nothing that can be compared", *left_out]))
    return Comparison(rows, left_out)


def _row(key: Key, old: SeriesSummary, new: SeriesSummary, logs: tuple[float, float, float], allow: float) -> Row:
    ratio, low, high = (math.exp(value) for value in logs)
    found = verdict(low, high)
    regression = found == SLOWER and low > 1 + allow
    return Row(*key, _median_ns(old), _median_ns(new), ratio, low, high, found, regression)


def _series(result: Result) -> dict[Key, tuple[ScenarioResult, SeriesSummary]]:
    """All but the harness's own, and but `server`: its rates move with the machine, and no yardstick runs in it."""
    return {
        (scenario.scenario, series.subject, series.rows): (scenario, series)
        for scenario in result.scenarios
        if scenario.scenario != "server"
        for series in scenario.series
        if series.subject not in (EMPTY, YARDSTICK)
    }


def _named(key: Key) -> str:
    return f"{key[1]} in {key[0]}" + (f" of {key[2]} rows" if key[2] > 1 else "")


def _alone(ours: Iterable[Key], theirs: Collection[Key], which: str) -> list[str]:
    """One sentence for all of them: there may be one a safeguard."""
    names = [_named(key) for key in ours if key not in theirs]
    return [f"{_listed(names)} {'is' if len(names) == 1 else 'are'} in the {which} result alone"] if names else []


def _listed(names: list[str]) -> str:
    """The first few, and how many there are besides."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _differences(before: Result, after: Result) -> list[str]:
    said = []
    fixed = before.machine.fixed, after.machine.fixed
    for name in sorted(set(fixed[0]) | set(fixed[1])):
        values = [one.get(name) for one in fixed]
        if values[0] != values[1]:
            said.append(f"the machines differ: {name} was {values[0]!r} and is {values[1]!r}")
    if any(scenario.scenario == "server" for result in (before, after) for scenario in result.scenarios):
        said.append(
            "rates of server are not compared: they move with the machine's clock, and no yardstick runs beside them"
        )
    if not (before.complete and after.complete):
        said.append("a result is of a run that was cut short")
    return said + [
        f"{name} is {UNFAIR}: in a result its guard rejected rows, for which no answer of the model counts"
        for name in sorted(rejecting(before) | rejecting(after))
    ]


def _multiples(scenario: ScenarioResult, series: SeriesSummary) -> Multiples | None:
    """A series in multiples of the yardstick; None: they share too few rounds."""
    yardstick = next((one.blocks for one in scenario.series if one.subject == YARDSTICK), None)
    if yardstick is None:
        return None
    rounds, ours, theirs = np.intersect1d(series.blocks.round, yardstick.round, return_indices=True)
    above, below = np.array(series.blocks.median_ns)[ours], np.array(yardstick.median_ns)[theirs]
    logs = np.log(np.maximum(above, 1.0) / np.maximum(below, 1.0))
    parts = [logs[part] for part in by_process(rounds, scenario.processes)]
    several = len(parts) >= FEWEST_PROCESSES
    if not several:
        if len(logs) < _FEWEST_ROUNDS:
            return None
        parts = np.array_split(logs, _BATCHES)
    return Multiples(np.array([np.median(part) for part in parts]), several)


def _difference(first: Multiples, second: Multiples) -> tuple[float, float, float]:
    """Of the logarithms, and the ends of its interval."""
    if first.several and second.several:
        middle, _ = shift_interval(first.medians, second.medians, 0.0)
        return middle, *shift_interval(first.medians, second.medians, _CONFIDENCE)
    middle = float(second.medians.mean() - first.medians.mean())
    error = sum(float(np.var(one.medians, ddof=1)) / len(one.medians) for one in (first, second))
    freedom = min(len(first.medians), len(second.medians)) - 1  # at least: Welch's is greater
    half = student_t(_CONFIDENCE, freedom) * math.sqrt(error) + math.log1p(ONE_PROCESS)
    return middle, middle - half, middle + half


def _median_ns(series: SeriesSummary) -> float:
    return next(entry.ns for entry in series.percentiles if entry.percent == 50)
