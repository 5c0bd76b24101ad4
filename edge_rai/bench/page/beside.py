"""Ratios: who is faster than whom, and what each safeguard costs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from edge_rai.bench.ratios import FEWEST_PROCESSES
from edge_rai.bench.reading import MAY_BE_OFF_BY, beside, can_tell, prices, safeguard_of, verdict_of
from edge_rai.bench.result import Ratio, ScenarioResult
from edge_rai.page.drawing import along, axis, block, dot, grid, strip, upright
from edge_rai.page.figure import figure, row, section
from edge_rai.page.markup import Markup, element, table
from edge_rai.page.scale import Scale, between, digits, duration, durations, fitting, short_duration

_HEIGHT = 22
_MIDDLE = _HEIGHT / 2
_CLASSES = {"faster": "row", "slower": "row bad"}


def ratios(scenario: ScenarioResult, unfair: Collection[str]) -> Iterator[Markup]:
    """The section about subjects beside each other; nothing where there are none.

    Args:
        scenario: What ran.
        unfair: See reading.rejecting.
    """
    found = beside(scenario)
    if not found or scenario.throughput:
        return
    scale = fitting([end for one in found for end in (one.low_99, one.high_99, 1.0)], logarithmic=_positive(found))
    ticks = scale.ticks()
    drawn = [_ratio(one, verdict_of(one, unfair), scale, ticks) for one in found]
    explained = (
        "Each subject's latency as a multiple of the other's, round by round, so that what slows the machine down "
        "slows both. Thick: the interval at 95 %, thin: at 99 %. Where the thin one holds 1, nobody can tell; "
        f"nor, of fewer than {FEWEST_PROCESSES} processes, where it comes within {MAY_BE_OFF_BY} of 1."
    )
    drawn.append(
        axis(scale, [(tick, f"{tick:g}") for tick in ticks], "times as long: left of 1 faster, right of it slower")
    )
    yield section("Beside each other", figure(explained, drawn, _table(found, "Ratios of latency", _pair, unfair)))


def costs(scenario: ScenarioResult, unfair: Collection[str]) -> Iterator[Markup]:
    """The section about safeguards; nothing where none was switched off. See ratios."""
    found = [] if scenario.throughput else prices(scenario)
    if not found:
        return
    ends = [end for one in found for end in (one.difference_low_95_ns, one.difference_high_95_ns, 0.0)]
    scale = fitting(ends, logarithmic=False)
    ticks = scale.ticks()
    subjects = list(dict.fromkeys(one.subject for one in found))
    drawn: list[Markup] = []
    for subject in subjects:
        drawn += [element("h3", subject)] if len(subjects) > 1 else []
        own = sorted((one for one in found if one.subject == subject), key=lambda one: -one.difference_ns)
        drawn += [_price(one, scale, ticks) for one in own]
    drawn.append(axis(scale, [(tick, short_duration(tick)) for tick in ticks], "added to a call"))
    explained = (
        "What a call takes longer than without that safeguard, in the same rounds, with intervals at 95 %. Grey: less "
        "than can be told from nothing, at 99 %. Prices need not add up to that of all of them."
    )
    numbers = _table(found, "Prices of safeguards", lambda one: f"{one.subject}: {safeguard_of(one)}", unfair)
    yield section("What each safeguard costs", figure(explained, drawn, numbers))


def _positive(found: Sequence[Ratio]) -> bool:
    return all(one.low_99 > 0 for one in found)


def _ratio(one: Ratio, verdict: str, scale: Scale, ticks: Sequence[float]) -> Markup:
    value = f"{digits(one.ratio)} times ({between(one.low_95, one.high_95, digits)}): {verdict}"
    shapes = [
        grid(scale, ticks, _HEIGHT),
        upright(scale.at(1.0), 0, _HEIGHT, "base"),
        along(scale.at(one.low_99), scale.at(one.high_99), _MIDDLE, "wide"),
        along(scale.at(one.low_95), scale.at(one.high_95), _MIDDLE, "thick"),
        dot(scale.at(one.ratio), _MIDDLE, "dot", 5),
    ]
    drawing = strip(_HEIGHT, f"Latency of {_pair(one)}", value, *shapes)
    return row(_pair(one), value, drawing, class_=_CLASSES.get(verdict, "row unsure"))


def _price(one: Ratio, scale: Scale, ticks: Sequence[float]) -> Markup:
    low, high = one.difference_low_95_ns, one.difference_high_95_ns
    value = f"{duration(one.difference_ns, sign=True)} ({durations(low, high, sign=True)})"
    value += f", {digits(100 * (one.ratio - 1), sign=True)}\u00a0%"
    ends = sorted((scale.at(0.0), scale.at(one.difference_ns)))
    shapes = [
        grid(scale, ticks, _HEIGHT),
        block(ends[0], ends[1], 4, _HEIGHT - 8, "bar"),
        upright(scale.at(0.0), 0, _HEIGHT, "base"),
        along(scale.at(low), scale.at(high), _MIDDLE, "whisker"),
        *(upright(scale.at(end), _MIDDLE - 4, _MIDDLE + 4, "whisker") for end in (low, high)),
    ]
    drawing = strip(_HEIGHT, f"Price of {safeguard_of(one)} in {one.subject}", value, *shapes)
    return row(safeguard_of(one), value, drawing, class_="row" if can_tell(one) else "row unsure")


def _pair(one: Ratio) -> str:
    return f"{one.subject} over {one.against}"


def _table(found: Sequence[Ratio], caption: str, name: Callable[[Ratio], str], unfair: Collection[str]) -> Markup:
    header = ("", "ratio", "95 %", "99 %", "difference", "95 %", "rounds", "verdict")
    rows = [
        (
            name(one),
            digits(one.ratio),
            between(one.low_95, one.high_95, digits),
            between(one.low_99, one.high_99, digits),
            duration(one.difference_ns, sign=True),
            durations(one.difference_low_95_ns, one.difference_high_95_ns, sign=True),
            f"{one.rounds:,}",
            verdict_of(one, unfair),
        )
        for one in found
    ]
    return table(header, rows, caption)
