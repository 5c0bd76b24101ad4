"""Series over time: the medians of blocks, with throttling marked, and the machine meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edge_rai.bench.reading import best_batch, contenders
from edge_rai.bench.result import ScenarioResult, SeriesSummary
from edge_rai.bench.series import YARDSTICK
from edge_rai.page.drawing import area, axis, block, grid, line, strip, upright
from edge_rai.page.figure import figure, row, section
from edge_rai.page.markup import Markup, table
from edge_rai.page.scale import Scale, digits, duration, durations, fitting

_HEIGHT = 60
_WINDOWS = 160
_FEWEST = 8
_SHOWN = (1.0, 99.0)  # percent of the blocks that lie within the height
_INSIDE = (10.0, 50.0, 90.0)


def over_time(scenario: ScenarioResult) -> Iterator[Markup]:
    """The section; nothing where there are too few blocks."""
    shown = [series for series in _shown(scenario) if len(series.blocks.median_ns) >= _FEWEST]
    if not shown:
        return
    last = max(max(series.blocks.began_s) for series in shown)
    time = Scale(0.0, max(last, 1e-3))
    drawn = [_row(series, scenario.processes, time) for series in shown]
    drawn.append(axis(time, [(tick, f"{tick:g} s") for tick in time.ticks()], "time in rounds"))
    explained = (
        "Median latency of each block of calls; the pale band holds 8 of 10 of them. The height of "
        "each drawing is where 98 of 100 are. The yardstick is fixed work: "
        "where it changes, the machine did. "
    )
    explained += "Dotted lines: another process begins. " if len(scenario.processes) > 1 else ""
    explained += "A coloured ground: throttling, found by Pettitt's test."
    yield section("Over time", figure(explained, drawn, _table(shown)))


def _shown(scenario: ScenarioResult) -> list[SeriesSummary]:
    """Contenders, of `offline` each in its best batch, and the yardstick; whatever was throttled in any case."""
    kept = contenders(scenario)
    if scenario.throughput:
        best = {name: best_batch(scenario, name) for name in {series.subject for series in kept}}
        kept = [one for one in kept if (found := best[one.subject]) is None or found.batch == one.rows]
    return [one for one in scenario.series if one in kept or one.throttling or one.subject == YARDSTICK]


def _row(series: SeriesSummary, processes: Sequence[int], time: Scale) -> Markup:
    began, medians = np.array(series.blocks.began_s), np.array(series.blocks.median_ns)
    low, high = np.percentile(medians, _SHOWN)
    height = fitting([float(low), float(high)], pad=0.12, logarithmic=False)
    shapes = [grid(time, time.ticks(), _HEIGHT)]
    note = ""
    if series.throttling:
        step = series.throttling
        shapes.append(block(time.at(step.at_s), 100, 0, _HEIGHT, "slow"))
        shapes.append(upright(time.at(step.at_s), 0, _HEIGHT, "slow-edge"))
        note = f"throttling: {digits(step.ratio)} times the latency from {digits(step.at_s)} s on"
    shapes += [upright(time.at(at), 0, _HEIGHT, "process") for at in _beginnings(series, processes)]
    windows = _windows(began, medians)
    places = [(time.at(at), [height.at(value) for value in values]) for at, values in windows]
    band = [(x, ys[0]) for x, ys in places] + [(x, ys[2]) for x, ys in reversed(places)]
    shapes += [area(band, _HEIGHT, "band"), line([(x, ys[1]) for x, ys in places], _HEIGHT, "curve")]
    value = f"{duration(float(np.median(medians)))}, most within {durations(float(low), float(high))}"
    name = series.subject + (f", {series.rows} rows" if series.rows > 1 else "")
    drawing = strip(_HEIGHT, f"{name} over time", "; ".join(filter(None, (value, note))), *shapes)
    return row(name, value, drawing, note, "row bad" if note else "row")


def _beginnings(series: SeriesSummary, processes: Sequence[int]) -> list[float]:
    """When all processes but the first began."""
    rounds, began = series.blocks.round, series.blocks.began_s
    places = np.searchsorted(rounds, list(processes)[1:])
    return [began[place] for place in places.tolist() if place < len(began)]


def _windows(
    began: npt.NDArray[np.float64], medians: npt.NDArray[np.float64]
) -> list[tuple[float, npt.NDArray[np.float64]]]:
    """Of at most so many runs of consecutive blocks: the middle time, and their (3,) 10th, 50th and 90th percentile."""
    edges = np.linspace(0, len(medians), min(_WINDOWS, len(medians)) + 1).astype(int)
    return [(float(began[a:b].mean()), np.percentile(medians[a:b], _INSIDE)) for a, b in pairwise(edges)]


def _table(shown: Sequence[SeriesSummary]) -> Markup:
    header = ("", "blocks", "first third", "middle third", "last third", "throttling")
    rows = [
        (
            one.subject + (f", {one.rows} rows" if one.rows > 1 else ""),
            f"{len(one.blocks.median_ns):,}",
            *(duration(float(np.median(part))) for part in np.array_split(one.blocks.median_ns, 3)),
            f"{digits(one.throttling.ratio)} times from {digits(one.throttling.at_s)} s on" if one.throttling else "no",
        )
        for one in shown
    ]
    return table(header, rows, "Medians of block medians, by thirds of the run")
