"""Rows a second by batch, and the rates of arrivals that a server was tried at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_rai.bench.result import ScenarioResult, ServerRate, Throughput, Trial
from edge_rai.page.drawing import Plane, axis, grid, strip, upright
from edge_rai.page.figure import figure, row, section
from edge_rai.page.markup import Markup, element, table
from edge_rai.page.scale import Scale, between, count, duration, fitting, short_duration

_HEIGHT = 90


def throughput(scenario: ScenarioResult) -> Iterator[Markup]:
    """The section about rows a second; nothing but in `offline`."""
    found = scenario.throughput
    if not found:
        return
    batches = sorted({entry.batch for entry in found})
    scale = fitting([*batches, 2 * batches[0]], pad=0.14, logarithmic=True)
    most = max(max(entry.rows_per_s, entry.high_95) for entry in found)
    height = Scale(0.0, max(most, 1e-9) * 1.05)
    names = dict.fromkeys(entry.subject for entry in found)
    drawn = [_curve([entry for entry in found if entry.subject == name], scale, height) for name in names]
    drawn.append(axis(scale, [(batch, str(batch)) for batch in batches], "rows a call, logarithmic"))
    explained = (
        "Rows answered in a second with nothing between calls, by rows a call, with intervals at 95 %; all drawings "
        "begin at 0 and have one scale. Filled: the best batch, the smallest that none beats beyond doubt."
    )
    header = ("", "batch", "rows a second", "95 %", "best")
    rows = [
        (
            entry.subject,
            str(entry.batch),
            f"{entry.rows_per_s:,.0f}",
            between(entry.low_95, entry.high_95, lambda value: f"{value:,.0f}"),
            "best" if entry.best else "",
        )
        for entry in found
    ]
    yield section("Rows a second", figure(explained, drawn, table(header, rows, "Rows a second by batch")))


def trials(scenario: ScenarioResult) -> Iterator[Markup]:
    """The section about rates; nothing but in `server`."""
    found = scenario.server
    tried = [trial for rate in found for trial in rate.trials]
    if not tried:
        return
    rates = Scale(0.0, max(1e-9, *(trial.rate_per_s for trial in tried)) * 1.04)
    ends = [max(1.0, ns) for ns in (*(trial.ns for trial in tried), *(rate.bound_ns for rate in found))]
    height = fitting(ends, pad=0.1, logarithmic=True)
    drawn = [_tried(rate, rates, height) for rate in found]
    drawn.append(axis(rates, [(tick, count(tick)) for tick in rates.ticks()], "queries a second"))
    explained = (
        "Each rate of random arrivals that was tried, and the percentile of latency there, higher up being longer "
        "(logarithmic). Circles kept the bound, which is dashed; crosses did not, and ended as soon as they could not. "
        "The upright line: the highest rate that kept it in a longer trial."
    )
    header = ("", "queries a second", "queries", "percentile", "kept")
    rows = [
        (
            rate.subject,
            f"{trial.rate_per_s:,.1f}",
            f"{trial.queries:,}",
            f"p{rate.percent:g} {duration(trial.ns)}",
            "yes" if trial.kept else "no",
        )
        for rate in found
        for trial in rate.trials
    ]
    yield section(
        "Highest rate", figure(explained, drawn, table(header, rows, "Trials in the order in which they ran"))
    )


def _curve(found: Sequence[Throughput], scale: Scale, height: Scale) -> Markup:
    plane = Plane(scale, height, _HEIGHT)
    shapes = [grid(scale, [entry.batch for entry in found], _HEIGHT)]
    shapes.append(plane.levels([(tick, count(tick)) for tick in height.ticks() if tick > 0]))
    shapes.append(plane.line([(entry.batch, entry.rows_per_s) for entry in found], "curve"))
    for entry in found:
        shapes.append(plane.whisker(entry.batch, entry.low_95, entry.high_95))
        shapes.append(plane.point(entry.batch, entry.rows_per_s, "dot" if entry.best else "hollow"))
    best = next((entry for entry in found if entry.best), max(found, key=lambda entry: entry.rows_per_s))
    value = f"batch {best.batch}: {count(best.rows_per_s)} rows a second"
    return row(found[0].subject, value, strip(_HEIGHT, f"Rows a second of {found[0].subject}", value, *shapes))


def _tried(rate: ServerRate, rates: Scale, height: Scale) -> Markup:
    plane, bound = Plane(rates, height, _HEIGHT), max(1.0, rate.bound_ns)
    shapes = [grid(rates, rates.ticks(), _HEIGHT), plane.level(bound, "bound")]
    if rate.rate_per_s:
        shapes.append(upright(rates.at(rate.rate_per_s), 0, _HEIGHT, "mark"))
    shapes += [_trial(trial, plane) for trial in rate.trials]
    within = f"p{rate.percent:g} within {short_duration(rate.bound_ns)}"
    found = f"{count(rate.rate_per_s)} queries a second keep {within}" if rate.rate_per_s else f"no rate kept {within}"
    exceeded = "" if rate.exceeded_per_s is None else f"{count(rate.exceeded_per_s)} a second are too many"
    drawing = strip(_HEIGHT, f"Rates tried with {rate.subject}", "; ".join(filter(None, (found, exceeded))), *shapes)
    return row(rate.subject, found, drawing, exceeded)


def _trial(trial: Trial, plane: Plane) -> Markup:
    if trial.kept:
        return plane.point(trial.rate_per_s, max(1.0, trial.ns), "hollow")
    # A cross around a place in percent: a box of no size there, which draws beyond its edges.
    cross = element("path", d="M-4 -4L4 4M-4 4L4 -4", class_="cross")
    return element(
        "svg", cross, x=f"{plane.x(trial.rate_per_s):.2f}%", y=plane.y(max(1.0, trial.ns)), width=1, height=1
    )
