"""The page's first sentences: who is fastest and whether that is sure, what safeguards cost, whether to rely on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from edge_rai.bench.page.accuracy import points
from edge_rai.bench.ratios import FEWEST_PROCESSES
from edge_rai.bench.reading import (
    MAY_BE_OFF_BY,
    UNFAIR,
    beside,
    best_batch,
    can_tell,
    contenders,
    percentile_at,
    prices,
    rejecting,
    safeguard_of,
    verdict_of,
    warnings,
    within_memory,
)
from edge_rai.bench.result import Ratio, Result, ScenarioResult, SeriesSummary
from edge_rai.bench.safeguards import ALL
from edge_rai.page.scale import between, count, digits, duration, durations, short_duration


def sentences(result: Result) -> Iterator[str]:
    """What to know of a result, the most important first."""
    unfair = rejecting(result)
    for scenario in result.scenarios:
        if scenario.throughput:
            yield from _most_rows(scenario)
        elif scenario.server:
            yield from _highest_rate(scenario)
        else:
            yield from _fastest(scenario, unfair)
            yield from (_compared(ratio, unfair) for ratio in beside(scenario))
            yield from _safeguards(scenario, unfair)
    yield from _most_right(result)
    yield _trust(result)


def _fastest(scenario: ScenarioResult, unfair: set[str]) -> Iterator[str]:
    named = {series.subject: series for series in contenders(scenario) if percentile_at(series, 50)}
    if not named:
        return
    first = named[_lowest(scenario, named)]
    tail = percentile_at(first, 99)
    least = f"half of its queries take at most {_median(first)}"
    least += f", 99 of 100 at most {duration(tail.ns)}" if tail else ""
    if len(named) == 1:
        yield f"{first.subject}: {least}."
        return
    if unfair & named.keys():
        yield f"Who is the fastest of {len(named)} cannot be said: {_without_model(unfair & named.keys())}."
        return
    sure = _surely_slower(scenario, first.subject) >= set(named)
    how = "is the fastest" if sure else "seems the fastest"
    yield f"{first.subject} {how} of {len(named)}{' beyond doubt' if sure else ''}: {least}."


def _lowest(scenario: ScenarioResult, named: Mapping[str, SeriesSummary]) -> str:
    """Who is fastest by the ratios, which share their rounds; by the medians of whom no ratio reaches."""
    times = {next(iter(named)): 1.0}
    for _ in named:
        for ratio in beside(scenario):
            if ratio.against in times and ratio.ratio > 0:
                times.setdefault(ratio.subject, times[ratio.against] * ratio.ratio)
            elif ratio.subject in times and ratio.ratio > 0:
                times.setdefault(ratio.against, times[ratio.subject] / ratio.ratio)
    if not times.keys() >= named.keys():
        times = {name: entry.ns for name, series in named.items() if (entry := percentile_at(series, 50))}
    return min(named, key=lambda name: times[name])


def _surely_slower(scenario: ScenarioResult, first: str) -> set[str]:
    """One subject, and all that are slower than it, or than one that is, beyond doubt."""
    found = {first}
    pairs = [(one.against, one.subject) for one in beside(scenario) if can_tell(one) and one.verdict == "slower"]
    pairs += [(one.subject, one.against) for one in beside(scenario) if can_tell(one) and one.verdict == "faster"]
    for _ in pairs:
        found |= {slower for faster, slower in pairs if faster in found}
    return found


def _median(series: SeriesSummary) -> str:
    entry = percentile_at(series, 50)
    return f"{duration(entry.ns)} ({durations(entry.low_95_ns, entry.high_95_ns)})" if entry else ""


def _without_model(names: Collection[str]) -> str:
    return f"the guard of {', '.join(sorted(names))} rejected rows, for which no answer of the model counts"


def _compared(ratio: Ratio, unfair: set[str]) -> str:
    interval = between(ratio.low_95, ratio.high_95, digits)
    if verdict_of(ratio, unfair) == UNFAIR:
        return f"{ratio.subject} beside {ratio.against} is {UNFAIR}, so that its {interval} times decide nothing."
    if not can_tell(ratio) or ratio.verdict not in ("faster", "slower"):
        few = f", and fewer than {FEWEST_PROCESSES} processes may be off by {MAY_BE_OFF_BY}"
        said = f"{interval} times{few if within_memory(ratio) else ''}"
        return f"Whether {ratio.subject} or {ratio.against} is faster, nobody can tell from this run: {said}."
    said = f"{digits(ratio.ratio)} times the latency ({interval}), {duration(ratio.difference_ns, sign=True)} a query"
    return f"{ratio.subject} is {ratio.verdict} than {ratio.against} beyond doubt: {said}."


def _safeguards(scenario: ScenarioResult, unfair: set[str]) -> Iterator[str]:
    found = prices(scenario)
    for subject in dict.fromkeys(price.subject for price in found):
        if subject in unfair:
            yield f"What safeguards cost in {subject} cannot be said: {_without_model([subject])}."
            continue
        own = {safeguard_of(price): price for price in found if price.subject == subject}
        whole = own.pop(ALL, None)
        told = [price for price in own.values() if can_tell(price) and price.difference_ns > 0]
        said = [] if whole is None else [f"all safeguards together cost {_price(whole)} a call"]
        if told:
            dearest = max(told, key=lambda price: price.difference_ns)
            said.append(f"the dearest one is {safeguard_of(dearest)}, {_price(dearest)}")
        if len(told) < len(own):
            many = f"{len(own) - len(told)} of {len(own)}" if told else f"all {len(own)}"
            said.append(f"{many} {'by themselves ' if whole else ''}cost less than can be told from nothing")
        yield f"In {subject} {'; '.join(said)}."


def _price(price: Ratio) -> str:
    low, high = price.difference_low_95_ns, price.difference_high_95_ns
    sure = "" if can_tell(price) else ", which may be nothing"
    return f"{duration(price.difference_ns)} ({durations(low, high)}{sure})"


def _most_rows(scenario: ScenarioResult) -> Iterator[str]:
    names = dict.fromkeys(entry.subject for entry in scenario.throughput)
    best = [entry for name in names if (entry := best_batch(scenario, name))]
    for entry in sorted(best, key=lambda one: -one.rows_per_s):
        interval = between(entry.low_95, entry.high_95, count)
        rate = f"{count(entry.rows_per_s)} rows a second ({interval})"
        yield f"{entry.subject} answers {rate} in batches of {entry.batch}."


def _highest_rate(scenario: ScenarioResult) -> Iterator[str]:
    for rate in sorted(scenario.server, key=lambda one: -one.rate_per_s):
        bound = f"p{rate.percent:g} of latency within {short_duration(rate.bound_ns)}"
        if rate.rate_per_s:
            yield f"{rate.subject} answers {count(rate.rate_per_s)} queries a second, arriving at random, with {bound}."
        else:
            yield f"{rate.subject} keeps {bound} at no rate that was tried."


def _most_right(result: Result) -> Iterator[str]:
    found = points(result)
    if not found:
        return
    best = max(found, key=lambda one: one.right)
    worse = [one for one in found if one.high < best.low]
    if len(found) == 1:
        yield f"Its {best.metric}: {best.said}."
    elif worse:
        names = ", ".join(one.name for one in worse)
        yield f"The best {best.metric} is that of {best.name}, {best.said}; that of {names} is worse beyond doubt."
    else:
        yield f"In {best.metric} nobody can tell them apart: {', '.join(f'{one.name} {one.said}' for one in found)}."


def _trust(result: Result) -> str:
    measured = [series for scenario in result.scenarios for series in scenario.series]
    if not result.complete:
        return f"This run was cut short{': these are the numbers until then' if measured else ', before it measured'}."
    slowed = [series.subject for series in measured if series.throttling]
    if slowed:
        return f"The machine was not steady: {', '.join(slowed)} slowed down during the run."
    if warnings(result):
        return "Nothing slowed down for good during the run, but read the warnings before you rely on it."
    return "The machine was steady: nothing slowed down for good, and nothing else had a part worth a warning."
