"""Latencies: how each contender's are distributed, and the percentiles of every series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai.bench.contenders import EMPTY
from edge_rai.bench.histogram import decode
from edge_rai.bench.reading import FEW, contenders, percentile_at, unclaimed
from edge_rai.bench.result import Percentile, ScenarioResult, SeriesSummary
from edge_rai.page.drawing import along, area, axis, block, grid, labels, strip, upright
from edge_rai.page.figure import figure, row, section
from edge_rai.page.markup import Markup, table
from edge_rai.page.scale import Scale, between, digits, duration, durations, fitting, short_duration

_BINS = 120
_SHAPE, _MARKS, _LABELS, _HEIGHT = 40, 54, 76, 80
_LOWEST = 0.001  # share of the latencies that may lie left of the drawing
_HALF_MARK = {50.0: 9.0, 90.0: 7.0, 99.0: 6.0, 99.9: 5.0}


@dataclass(frozen=True, slots=True)
class _Law:
    """A series and what its histogram holds: (b,) latencies in ns, rising, and (b,) the share of calls up to each."""

    series: SeriesSummary
    ns: npt.NDArray[np.float64]
    upto: npt.NDArray[np.float64]

    @property
    def low(self) -> float:
        return max(1.0, float(self.ns[np.searchsorted(self.upto, _LOWEST)]))

    @property
    def high(self) -> float:
        ends = [entry.high_95_ns or entry.ns for entry in self.series.percentiles if entry.percent <= 99]
        return max([self.low, *ends, *(entry.ns for entry in self.series.percentiles)])


def latency(scenario: ScenarioResult) -> Iterator[Markup]:
    """The section; nothing where no contender has a series."""
    laws = [_law(series) for series in contenders(scenario) if series.percentiles]
    if laws:
        numbers = _table(scenario.series, "Latency in µs of every series, with intervals at 95 %")
        yield section("Latency", figure(_explained(scenario), _drawn(laws), numbers))


def _law(series: SeriesSummary) -> _Law:
    try:
        lowest, counts = decode(series.histogram)
    except ValueError as error:
        raise ValueError(f"the histogram of {series.subject}: {error}") from error
    if not counts.sum():
        raise ValueError(f"the histogram of {series.subject} is empty")
    return _Law(series, lowest.astype(np.float64), np.cumsum(counts) / counts.sum())


def _explained(scenario: ScenarioResult) -> str:
    since = "when it was due" if scenario.scenario == "server" else "its beginning"
    said = f"How long a query takes from {since} to its end; the higher the shape, the more queries take that long. "
    said += "Marks below it: p50, p90, p99 and p99.9 with their intervals at 95 %, "
    said += "which reach the edge where an end is not known. "
    empty = next((series for series in scenario.series if series.subject == EMPTY and series.percentiles), None)
    if empty:
        said += f"Timing itself takes {duration(empty.percentiles[0].ns)} of each. "
    few = unclaimed(scenario)
    if few:
        needed = ", ".join(f"{entry.queries_needed:,} for p{entry.percent:g}" for entry in few)
        said += f"A star: {FEW} ({needed}), so that it is an estimate."
    return said


def _drawn(laws: Sequence[_Law]) -> list[Markup]:
    scale = fitting([end for law in laws for end in (law.low, law.high)])
    ticks = scale.ticks()
    drawn = [_row(law, scale, ticks) for law in laws]
    name = "latency, logarithmic" if scale.logarithmic else "latency"
    return [*drawn, axis(scale, [(tick, short_duration(tick)) for tick in ticks], name)]


def _row(law: _Law, scale: Scale, ticks: Sequence[float]) -> Markup:
    series = law.series
    shapes = [grid(scale, ticks, _LABELS - 11), area(_shape(law, scale), _SHAPE, "shape")]
    shapes += [shape for entry in series.percentiles for shape in _mark(entry, scale)]
    marks = [(entry.ns, f"{entry.percent:g}") for entry in series.percentiles]
    shapes += [along(scale.at(law.low), scale.at(max(value for value, _ in marks)), _MARKS, "wide")]
    name = series.subject + (f", {series.rows} rows" if series.rows > 1 else "")
    said = ", ".join(f"p{entry.percent:g} {duration(entry.ns)}{_star(entry)}" for entry in series.percentiles[1:])
    first = series.percentiles[0]
    value = f"p{first.percent:g} {duration(first.ns)} ({durations(first.low_95_ns, first.high_95_ns)})"
    note = f"{said}; the slowest of {series.queries:,} {duration(series.max_ns)}"
    drawing = strip(_HEIGHT, f"Latency of {name}", f"{value}, {note}", *shapes, *labels(scale, marks, _LABELS))
    return row(name, value, drawing, note)


def _shape(law: _Law, scale: Scale) -> list[tuple[float, float]]:
    """How many queries lie in each of the bins of equal width on the scale, the highest as 100 %."""
    if scale.logarithmic:
        edges = np.geomspace(scale.low, scale.high, _BINS + 1)
    else:
        edges = np.linspace(scale.low, scale.high, _BINS + 1)
    upto = np.concatenate(([0.0], law.upto))[np.searchsorted(law.ns, edges)]
    share = np.convolve(np.diff(upto), (0.25, 0.5, 0.25), "same")
    heights = 96 * share / max(float(share.max()), 1e-12)
    centres = (np.arange(_BINS) + 0.5) * 100 / _BINS
    return [(0.0, 0.0), *zip(centres.tolist(), heights.tolist(), strict=True), (100.0, 0.0)]


def _mark(entry: Percentile, scale: Scale) -> Iterator[Markup]:
    half = _HALF_MARK.get(entry.percent, 5.0)
    if entry.low_95_ns is not None:
        high = scale.high if entry.high_95_ns is None else entry.high_95_ns
        yield block(scale.at(entry.low_95_ns), scale.at(high), _MARKS - half / 2, half, "interval")
    yield upright(scale.at(entry.ns), _MARKS - half, _MARKS + half, "mark")


def _table(series: Sequence[SeriesSummary], caption: str) -> Markup:
    percents = sorted({entry.percent for one in series for entry in one.percentiles})
    header = ["", "rows", "queries", "mean", *(f"p{percent:g}" for percent in percents), "least", "greatest"]
    return table(header, [_cells(one, percents) for one in series], caption)


def _cells(series: SeriesSummary, percents: Sequence[float]) -> list[str]:
    found = [(percent, percentile_at(series, percent)) for percent in percents]
    return [
        series.subject,
        str(series.rows),
        f"{series.queries:,}",
        _us(series.mean_ns),
        *("-" if entry is None else f"{_us(entry.ns)}{_star(entry)} ({_interval(entry)})" for _, entry in found),
        _us(series.min_ns),
        _us(series.max_ns),
    ]


def _interval(entry: Percentile) -> str:
    return between(entry.low_95_ns, entry.high_95_ns, _us)


def _us(ns: float) -> str:
    return digits(ns / 1000)


def _star(entry: Percentile) -> str:
    return "" if entry.claimed else "*"
