"""The page as a whole."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime, timezone

from edge_rai.bench.page.accuracy import accuracy
from edge_rai.bench.page.beside import costs, ratios
from edge_rai.bench.page.latency import latency
from edge_rai.bench.page.machine import costs_beside, machine
from edge_rai.bench.page.over_time import over_time
from edge_rai.bench.page.rates import throughput, trials
from edge_rai.bench.page.summary import sentences
from edge_rai.bench.reading import rejecting, text, warnings
from edge_rai.bench.result import Result, ScenarioResult
from edge_rai.page.frame import framed
from edge_rai.page.markup import Markup, element


def page(result: Result) -> bytes:
    """A page that needs nothing but itself: no network, no script.

    Args:
        result: Also one that was cut short.

    Returns:
        HTML in UTF-8; the same of the same result.

    Raises:
        ValueError: The result holds a histogram that is none, or numbers that no run gives.
    """
    try:
        return _document(result, _title(result))
    except ArithmeticError as error:
        raise ValueError(f"this result holds numbers that no run gives: {error}") from error


def _document(result: Result, title: str) -> bytes:
    return framed(f"{title}: bench", _parts(result, title))


def _parts(result: Result, title: str) -> Iterator[Markup]:
    yield element("h1", title)
    yield element("p", _about(result), class_="about")
    first, *others = sentences(result)
    points = element("ul", *(element("li", one) for one in others))
    yield element("div", element("p", first), *([points] if others else []), class_="lead")
    yield from _warnings(result)
    for scenario in result.scenarios:
        yield from _scenario(scenario, rejecting(result))
    yield from accuracy(result)
    yield from costs_beside(result)
    yield from machine(result)
    yield element("p", "Made by ", element("code", shlex.join(result.command)), class_="foot")


def _scenario(scenario: ScenarioResult, unfair: set[str]) -> Iterator[Markup]:
    yield from throughput(scenario)
    yield from trials(scenario)
    if not scenario.throughput:
        yield from latency(scenario)
    yield from ratios(scenario, unfair)
    yield from costs(scenario, unfair)
    yield from over_time(scenario)


def _title(result: Result) -> str:
    """The files that were measured."""
    names = [subject.name for subject in result.subjects if "file" in subject.facts]
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names) or "Nothing"


def _about(result: Result) -> str:
    fixed = result.machine.fixed
    made = datetime.fromtimestamp(result.made_unix_ns / 1e9, timezone.utc)
    run = [
        f"{one.scenario}, {one.duration_s:g} s"
        + (f" in {len(one.processes)} processes" if len(one.processes) > 1 else "")
        for one in result.scenarios
    ]
    where = text(fixed, "cpu") or text(fixed, "architecture") or "a machine that does not show what it is"
    return "; ".join([*run, f"on {where}", f"{made:%Y-%m-%d %H:%M} UTC", result.program])


def _warnings(result: Result) -> Iterator[Markup]:
    said = warnings(result)
    if said:
        listed = element("ul", *(element("li", sentence) for sentence in said))
        yield element("div", element("h2", "Before you rely on it"), listed, class_="warnings")
