"""Results of the bench as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rai.bench.compare import Comparison
    from edge_rai.bench.result import Machine, Percentile, Ratio, Result, ScenarioResult, SeriesSummary, SubjectFacts

Cells = Sequence[str]

_LATENCY = ("p50", "95 %", "p90", "p99", "p99.9", "queries")
_STEPS = ("python, numpy", "import", "load", "first answer")
_FEW = "fewer than LoadGen's rule asks for"
_WITHOUT = " without "
_MB = 1 << 20


def lines_of_result(result: Result) -> Iterator[str]:
    """Everything that is reported of a run."""
    yield from _machine(result.machine)
    for scenario in result.scenarios:
        yield ""
        yield from _scenario(scenario)
    yield from _facts(result.subjects)
    warnings = [warning for warning in result.warnings if _FEW not in warning]  # the tables' stars say that
    if warnings:
        yield ""
    yield from (f"warning: {warning}" for warning in warnings)


def lines_of_comparison(found: Comparison, allow: float) -> Iterator[str]:
    """One line a subject, and what was left out."""
    rows = [
        (
            f"{row.subject}, {row.scenario}" + (f", {row.rows} rows" if row.rows > 1 else ""),
            _us(row.before_ns),
            _us(row.after_ns),
            f"{row.ratio:.3f}",
            f"{row.low:.3f} to {row.high:.3f}",
            row.verdict + (f": a regression beyond {allow:g} %" if row.regression else ""),
        )
        for row in found.rows
    ]
    yield from _table(("", "p50, us", "now", "ratio", "99 %", "verdict"), rows)
    if rows:
        yield "The ratio is of multiples of the yardstick's latency, which ran beside each subject."
    yield from (f"note: {sentence}" for sentence in found.left_out)


def _scenario(scenario: ScenarioResult) -> Iterator[str]:
    warm_up = scenario.warm_up
    yield (
        f"{scenario.scenario}, {scenario.duration_s:g} s for all subjects after {warm_up.seconds:.1f} s of warm-up; "
        "times in us, with intervals at 95 %"
    )
    if scenario.throughput:
        yield from _throughput(scenario)
    elif scenario.series:
        yield from _table(("", *_LATENCY), [_latency(series) for series in scenario.series])
        if _unclaimed(scenario):
            needed = ", ".join(f"{entry.queries_needed:,} for p{entry.percent:g}" for entry in _unclaimed(scenario))
            yield f"* {_FEW}: {needed}"
    prices = [ratio for ratio in scenario.ratios if ratio.against.startswith(ratio.subject + _WITHOUT)]
    beside = [ratio for ratio in scenario.ratios if ratio not in prices]
    if beside and not scenario.throughput:
        yield ""
        yield from _table(("beside each other", "ratio", "95 %", "difference", "95 %", ""), [_ratio(r) for r in beside])
    if prices and not scenario.throughput:
        yield ""
        yield from _table(("a safeguard's price", "us", "95 %", "%", "95 %", ""), [_price(r) for r in prices])
    if scenario.server:
        yield ""
        yield from _rates(scenario)


def _unclaimed(scenario: ScenarioResult) -> list[Percentile]:
    """Those that a series had too few queries for, of the series with the fewest."""
    fewest = min(scenario.series, key=lambda series: series.queries)
    return [entry for entry in fewest.percentiles if not entry.claimed]


def _latency(series: SeriesSummary) -> Cells:
    p50, *cells = [_us(entry.ns) + ("" if entry.claimed else "*") for entry in series.percentiles]
    name = series.subject + (f", {series.rows} rows" if series.rows > 1 else "")
    return (name, p50, _interval(series.percentiles[0]), *cells, f"{series.queries:,}")


def _interval(entry: Percentile) -> str:
    low, high = entry.low_95_ns, entry.high_95_ns
    return f"{'?' if low is None else _us(low)} to {'?' if high is None else _us(high)}"


def _ratio(ratio: Ratio) -> Cells:
    return (
        f"{ratio.subject} / {ratio.against}",
        f"{ratio.ratio:.3f}",
        f"{ratio.low_95:.3f} to {ratio.high_95:.3f}",
        _signed(ratio.difference_ns),
        f"{_signed(ratio.difference_low_95_ns)} to {_signed(ratio.difference_high_95_ns)}",
        ratio.verdict,
    )


def _price(ratio: Ratio) -> Cells:
    """What the call costs more than without it, in us and in % of what it costs without."""
    return (
        ratio.against.partition(_WITHOUT)[2],
        _signed(ratio.difference_ns),
        f"{_signed(ratio.difference_low_95_ns)} to {_signed(ratio.difference_high_95_ns)}",
        f"{100 * (ratio.ratio - 1):+.1f}",
        f"{100 * (ratio.low_95 - 1):+.1f} to {100 * (ratio.high_95 - 1):+.1f}",
        "cannot tell" if ratio.low_99 <= 1 <= ratio.high_99 else "",
    )


def _throughput(scenario: ScenarioResult) -> Iterator[str]:
    rows = [
        (
            entry.subject,
            str(entry.batch),
            f"{entry.rows_per_s:,.0f}",
            f"{entry.low_95:,.0f} to {entry.high_95:,.0f}",
            "best" if entry.best else "",
        )
        for entry in scenario.throughput
    ]
    yield from _table(("", "batch", "rows a second", "95 %", ""), rows)


def _rates(scenario: ScenarioResult) -> Iterator[str]:
    rows = [
        (
            rate.subject,
            f"{rate.rate_per_s:,.0f}",
            "none" if rate.exceeded_per_s is None else f"{rate.exceeded_per_s:,.0f}",
            f"p{rate.percent:g} within {_us(rate.bound_ns)} us",
        )
        for rate in scenario.server
    ]
    yield from _table(("", "queries a second", "too many", "with"), rows)


def _facts(subjects: Sequence[SubjectFacts]) -> Iterator[str]:
    tables: tuple[tuple[str, Cells, Callable[[dict[str, Any]], Cells]], ...] = (
        ("per_call", ("a call", "processor, us", "waits", "preempted", "page faults", "energy, mJ"), _per_call),
        ("cold_start", ("a fresh process, ms", *_STEPS, "in all", "resident, peak MB"), _start),
        ("file", ("file", "bytes", "of the model", "run by", "right"), _file),
    )
    for key, header, cells in tables:
        known = [
            (subject.name, subject.facts)
            for subject in subjects
            if key in subject.facts and _WITHOUT not in subject.name
        ]
        if known:
            yield ""
            yield from _table(header, [(name, *cells(facts)) for name, facts in known])


def _per_call(facts: dict[str, Any]) -> Cells:
    call = facts["per_call"]
    energy = call["energy"]
    shares = [f"{call[key]:.4f}" for key in ("voluntary_switches", "involuntary_switches", "page_faults")]
    return (_us(call["cpu_ns"]), *shares, energy if isinstance(energy, str) else f"{energy['joules'] * 1000:.4g}")


def _start(facts: dict[str, Any]) -> Cells:
    start = facts["cold_start"]
    steps = [start[f"{step}_ns"] / 1e6 for step in ("interpreter", "import", "load", "first_answer")]
    memory = [start.get(key) for key in ("resident_bytes", "peak_bytes")]
    total, low, high = (start[f"total{which}_ns"] / 1e6 for which in ("", "_low", "_high"))
    return (
        *(f"{step:.1f}" for step in steps),
        f"{total:.0f} ({low:.0f} to {high:.0f})",
        ", ".join("?" if size is None else f"{size / _MB:.1f}" for size in memory),
    )


def _file(facts: dict[str, Any]) -> Cells:
    file, right = facts["file"], facts.get("accuracy")
    said = "not measured"
    if right:
        said = f"{right['metric']} {right['value']:.4g} ({right['low_95']:.4g} to {right['high_95']:.4g})"
        said += f" of {right['rows']:,} rows"
        said += f", {right['rejected']:,} of them rejected" if right["rejected"] else ""
    return (f"{file['bytes']:,}", f"{file['model_bytes']:,}", file["runtime"], said)


def _machine(machine: Machine) -> Iterator[str]:
    fixed, before, after = machine.fixed, machine.before, machine.after
    virtual = fixed["virtual_machine"]
    yield ", ".join(
        (
            str(fixed["cpu"] or fixed["architecture"]),
            f"{fixed['cores']} cores",
            "no sign of a virtual machine" if virtual is None else f"a virtual machine ({virtual})",
            fixed["system"],
        )
    )
    versions = [f"{name} {version}" for name, version in fixed["versions"].items() if version]
    yield ", ".join([fixed["python"], *versions])
    seen = [f"load {before['load_1m']:.1f} before, {after['load_1m']:.1f} after"]
    if after.get("others_share") is not None:
        seen.append(
            f"others had {after['others_share']:.0%} of the processors' time, the host {after['stolen_share']:.0%}"
        )
    yield "; ".join([*seen, _clock(machine), _temperature(machine)])


def _clock(machine: Machine) -> str:
    clocks = [max(seen["frequency_mhz"]) for seen in _looks(machine) if seen.get("frequency_mhz")]
    if not clocks:
        return "clock not shown"
    governor = machine.before.get("governor")
    return f"clock {min(clocks)} to {max(clocks)} MHz" + (f", governor {governor}" if governor else "")


def _temperature(machine: Machine) -> str:
    degrees = [seen["temperature_c"] for seen in _looks(machine) if seen.get("temperature_c") is not None]
    return f"{min(degrees):.0f} to {max(degrees):.0f} °C" if degrees else "temperature not shown"


def _looks(machine: Machine) -> list[dict[str, Any]]:
    return [machine.before, *machine.during, machine.after]


def _us(ns: float) -> str:
    return f"{ns / 1000:,.2f}" if ns < 1e6 else f"{ns / 1000:,.0f}"


def _signed(ns: float) -> str:
    return f"{ns / 1000:+,.2f}"


def _table(header: Cells, rows: Sequence[Cells]) -> Iterator[str]:
    """First column to the left, words of the last too, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        first, *middle, last = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(middle, widths[1:], strict=False))]
        yield "  ".join([*cells, last.ljust(widths[-1])]).rstrip()
