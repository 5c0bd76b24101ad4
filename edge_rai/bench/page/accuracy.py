"""Accuracy against latency and size: which models no other one beats in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edge_rai.bench.reading import best_batch, number, percentile_at, text
from edge_rai.bench.result import Result, ScenarioResult
from edge_rai.page.drawing import Plane, axis, grid, strip
from edge_rai.page.figure import figure, row, section
from edge_rai.page.markup import Markup, element, table
from edge_rai.page.scale import between, digits, duration, fitting, short_duration

_SHARE = "accuracy"  # any other metric is an error
_HEIGHT = 160
_RADIUS = 9
_KB = 1000


@dataclass(frozen=True, slots=True)
class Point:
    """A model as it stands in the table and on the drawings.

    Attributes:
        name: Of the subject.
        right: Of its accuracy; rising, also where the metric is an error.
        low: Its interval at 95 %.
        high: Its other end.
        metric: What it is.
        ns: Latency of a row; None: not measured.
        size: Of the model's file in bytes; None: not known.
    """

    name: str
    right: float
    low: float
    high: float
    metric: str
    ns: float | None
    size: float | None

    @property
    def said(self) -> str:
        """The value with its interval, as it was measured."""
        if self.metric != _SHARE:
            return f"{digits(-self.right)} ({between(-self.high, -self.low, digits)})"
        return f"{100 * self.right:.2f}\u00a0% ({between(100 * self.low, 100 * self.high, lambda v: f'{v:.2f}')})"

    def written(self, right: float) -> str:
        """Of a tick, as it would be measured; nothing where it cannot be."""
        if self.metric != _SHARE:
            return f"{-right:g}" if right <= 0 else ""
        return f"{100 * right:g}\u00a0%" if right <= 1 else ""


Costs = list[tuple[float, Point]]


def points(result: Result) -> list[Point]:
    """The models whose accuracy was measured, all by the first one's metric."""
    found: list[Point] = []
    for subject in result.subjects:
        metric = text(subject.facts, "accuracy", "metric")
        ends = [number(subject.facts, "accuracy", key) for key in ("value", "low_95", "high_95")]
        if metric is None or None in ends or (found and found[0].metric != metric):
            continue
        value, low, high = (end for end in ends if end is not None)
        if metric != _SHARE:  # an error: less is better
            value, low, high = -value, -high, -low
        size = number(subject.facts, "file", "model_bytes")
        found.append(Point(subject.name, value, low, high, metric, _ns(result.scenarios, subject.name), size))
    return found


def accuracy(result: Result) -> Iterator[Markup]:
    """The section; nothing without accuracy."""
    found = points(result)
    if not found:
        return
    name = found[0].metric
    drawn: list[Markup] = []
    if len(found) > 1:
        of_latency = [(one.ns, one) for one in found if one.ns is not None and one.ns > 0]
        of_size = [(one.size / _KB, one) for one in found if one.size is not None and one.size > 0]
        drawn += _plane(of_latency, found, short_duration, "Against latency", "latency of a row")
        drawn += _plane(of_size, found, lambda kb: f"{kb:,g}\u00a0kB", "Against size", "size of the model")
        drawn.append(_legend(found))
    better = "Higher up is better" if name == _SHARE else f"Higher up is better, which is a lower {name}"
    explained = f"{better}, further left is cheaper; whiskers are intervals at 95 %. "
    explained += "The line joins the models that no other one beats in both."
    header = ("", name, "latency", "bytes of the model")
    rows = [
        (
            f"{place}. {one.name}",
            one.said,
            "-" if one.ns is None else duration(one.ns),
            "-" if one.size is None else f"{one.size:,.0f}",
        )
        for place, one in enumerate(found, 1)
    ]
    numbers = table(header, rows, f"{name.capitalize()} beside latency and size")
    yield section("Accuracy", figure(explained, drawn, numbers) if drawn else numbers)


def _ns(scenarios: Sequence[ScenarioResult], name: str) -> float | None:
    """Time of a row: of the median query, or in the best batch."""
    for scenario in scenarios:
        best = best_batch(scenario, name)
        if best is not None and best.rows_per_s > 0:
            return 1e9 / best.rows_per_s
        for series in scenario.series:
            median = percentile_at(series, 50)
            if series.subject == name and median:
                return median.ns / max(1, series.rows)
    return None


def _plane(
    costs: Costs, found: Sequence[Point], written: Callable[[float], str], title: str, name: str
) -> Iterator[Markup]:
    """Accuracy over one cost, with the models' numbers; nothing of fewer than two."""
    if len(costs) < 2:
        return
    scale = fitting([cost for cost, _ in costs], pad=0.12)
    height = fitting([end for _, one in costs for end in (one.low, one.high)], logarithmic=False)
    plane, ticks = Plane(scale, height, _HEIGHT), scale.ticks()
    shapes = [grid(scale, ticks, _HEIGHT), plane.levels([(tick, found[0].written(tick)) for tick in height.ticks()])]
    shapes += [plane.line([(cost, one.right) for cost, one in _unbeaten(costs)], "front")]
    shapes += [plane.whisker(cost, one.low, one.high) for cost, one in costs]
    for cost, one in costs:
        shapes.append(plane.point(cost, one.right, "dot", _RADIUS))
        shapes.append(
            element(
                "text", str(found.index(one) + 1), x=f"{plane.x(cost):.2f}%", y=plane.y(one.right) + 4, class_="inside"
            )
        )
    said = "; ".join(f"{one.name}: {one.said} at {written(cost)}" for cost, one in costs)
    yield row(title, "", strip(_HEIGHT, title, said, *shapes))
    yield axis(scale, [(tick, written(tick)) for tick in ticks], name)


def _unbeaten(costs: Costs) -> Costs:
    """Those than which no other one is both cheaper and more right, the cheapest first."""
    kept: Costs = []
    for cost, one in sorted(costs, key=lambda entry: (entry[0], -entry[1].right)):
        if not kept or one.right > kept[-1][1].right:
            kept.append((cost, one))
    return kept


def _legend(found: Sequence[Point]) -> Markup:
    return element("ol", *(element("li", f"{one.name}: {one.said}") for one in found), class_="legend")
