"""Results of the bench as text for people, whose terminals have 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rai.bench.compare import Comparison
    from edge_rai.bench.result import Machine, Ratio, Result, ScenarioResult, SeriesSummary, SubjectFacts

Cells = Sequence[str]

_COLUMNS = 80
_LATENCY = ("p50", "95 %", "p90", "p99", "p99.9", "queries")
_MB = 1 << 20
_PLAIN = {0x00A0: " ", 0x00B5: "u", 0x2212: "-"}  # what not every terminal shows


def lines_of_result(result: Result) -> Iterator[str]:
    """Everything that is reported of a run, and in the end what to know of it first."""
    from edge_rai.bench.page.summary import sentences
    from edge_rai.bench.reading import rejecting, warnings

    yield from _machine(result.machine)
    for scenario in result.scenarios:
        yield ""
        yield from _scenario(scenario, rejecting(result))
    yield from _facts(result.subjects)
    said = warnings(result)
    if said:
        yield ""
    for warning in said:
        yield from _wrapped(f"warning: {warning}", indent="  ")
    yield ""
    for sentence in sentences(result):
        yield from _wrapped(sentence.translate(_PLAIN), indent="  ")


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
        yield from _wrapped("The ratio is of multiples of the yardstick's latency, which ran beside each subject.")
    for sentence in found.left_out:
        yield from _wrapped(f"note: {sentence}", indent="  ")


def _scenario(scenario: ScenarioResult, unfair: Collection[str]) -> Iterator[str]:
    from edge_rai.bench.reading import FEW, beside, contenders, prices, unclaimed

    ran = f"{scenario.duration_s:g} s for all subjects after {scenario.warm_up.seconds:.1f} s of warm-up"
    rows = sorted({series.rows for series in contenders(scenario)})
    asked = ", ".join(_counted(count, "row") for count in rows)
    asked = f"{asked} a query; " if rows and not scenario.throughput else ""
    yield from _wrapped(f"{scenario.scenario}, {ran}; {asked}times in us", indent="  ")
    if scenario.throughput:
        yield from _throughput(scenario)
        return
    if scenario.series:
        yield from _latencies(scenario)
        few = ", ".join(f"{entry.queries_needed:,} for p{entry.percent:g}" for entry in unclaimed(scenario))
        if few:
            yield from _wrapped(f"* {FEW}: {few}", indent="  ")
    if beside(scenario):
        yield ""
        yield from _beside(beside(scenario), unfair)
    found = prices(scenario)
    if found:
        yield ""
        yield from _table(("a safeguard's price", "us", "95 %", "%", "95 %", ""), _prices(found))
    if scenario.server:
        yield ""
        yield from _rates(scenario)


def _latencies(scenario: ScenarioResult) -> Iterator[str]:
    """Of whole models; those without a safeguard are in the prices."""
    from edge_rai.bench.reading import lacks

    names = [series.subject for series in scenario.series]
    shown = [series for series in scenario.series if not lacks(series.subject, names)]
    rows = [(_indented(series.subject, names), *_latency(series)) for series in shown]
    yield from _table(("", *_LATENCY), rows)


def _latency(series: SeriesSummary) -> Cells:
    p50, *cells = [_us(entry.ns) + ("" if entry.claimed else "*") for entry in series.percentiles]
    low, high = series.percentiles[0].low_95_ns, series.percentiles[0].high_95_ns
    interval = f"{'?' if low is None else _us(low)} to {'?' if high is None else _us(high)}"
    return (p50, interval, *cells, f"{series.queries:,}")


def _indented(subject: str, names: Sequence[str]) -> str:
    """A bare run below its model, by what differs; else the name."""
    above = _above(subject, names)
    return subject if above is None else f"  {subject[len(above) + 1 :]}"


def _above(subject: str, names: Sequence[str]) -> str | None:
    return next((name for name in names if subject.startswith(f"{name} ")), None)


def _below(entries: Sequence[tuple[str, str, Cells]]) -> Iterator[Cells]:
    """Rows below the name that they share; that one where it changes."""
    before = None
    for above, name, cells in entries:
        if above != before:
            yield (above, *("" for _ in cells))
        before = above
        yield (f"  {name}", *cells)


def _rest(ratio: Ratio) -> str:
    """What stands against a subject, by what differs where it is its own bare run."""
    return ratio.against.removeprefix(f"{ratio.subject} ")


def _beside(found: Sequence[Ratio], unfair: Collection[str]) -> Iterator[str]:
    from edge_rai.bench.ratios import FEWEST_PROCESSES
    from edge_rai.bench.reading import UNFAIR, verdict_of, within_memory

    cells = ((ratio, _ratio(ratio, verdict_of(ratio, unfair))) for ratio in found)
    rows = _below([(ratio.subject, f"over {_rest(ratio)}", of_ratio) for ratio, of_ratio in cells])
    yield from _table(("beside each other", "times", "95 %", "us", ""), rows)
    near = [said for ratio in found if within_memory(ratio) and (said := verdict_of(ratio, unfair)) != UNFAIR]
    if near:
        yield from _wrapped(
            f"{near[0]}: fewer than {FEWEST_PROCESSES} processes do not show what it matters where their memory lies, "
            "so that much is added to the interval at 99 %",
            indent="  ",
        )


def _ratio(ratio: Ratio, verdict: str) -> Cells:
    interval = f"{ratio.low_95:.3f} to {ratio.high_95:.3f}"
    return (f"{ratio.ratio:.3f}", interval, _signed(ratio.difference_ns), verdict)


def _prices(found: Sequence[Ratio]) -> Sequence[Cells]:
    from edge_rai.bench.reading import safeguard_of

    if len({ratio.subject for ratio in found}) == 1:
        return [(safeguard_of(ratio), *_price(ratio)) for ratio in found]
    return list(_below([(ratio.subject, safeguard_of(ratio), _price(ratio)) for ratio in found]))


def _price(ratio: Ratio) -> Cells:
    """What the call costs more than without it, in us and in % of what it costs without."""
    from edge_rai.bench.reading import can_tell

    return (
        _signed(ratio.difference_ns),
        f"{_signed(ratio.difference_low_95_ns)} to {_signed(ratio.difference_high_95_ns)}",
        f"{100 * (ratio.ratio - 1):+.1f}",
        f"{100 * (ratio.low_95 - 1):+.1f} to {100 * (ratio.high_95 - 1):+.1f}",
        "" if can_tell(ratio) else "cannot tell",
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
    from edge_rai.bench.reading import lacks

    names = [subject.name for subject in subjects]
    tables: tuple[tuple[str, Cells, Callable[[dict[str, Any]], Cells]], ...] = (
        ("per_call", ("a call", "cpu, us", "waits", "preempted", "faults", "energy, mJ"), _per_call),
        ("cold_start", ("a fresh process, ms", "start", "import", "load", "answer", "in all", "peak MB"), _start),
        ("file", ("file", "bytes", "of the model", "run by"), _file),
        ("accuracy", ("right", "", "95 %", "rows", "rejected"), _right),
    )
    for key, header, cells in tables:
        known = {one.name: one.facts[key] for one in subjects if key in one.facts and not lacks(one.name, names)}
        if known:
            yield ""
            # Bare runs below their models.
            order = sorted(known, key=lambda name: names.index(_above(name, list(known)) or name))
            yield from _table(header, [(_indented(name, list(known)), *cells(known[name])) for name in order])


def _per_call(call: dict[str, Any]) -> Cells:
    energy = call["energy"]
    shares = [f"{call[key]:.4f}" for key in ("voluntary_switches", "involuntary_switches", "page_faults")]
    return (_us(call["cpu_ns"]), *shares, energy if isinstance(energy, str) else f"{energy['joules'] * 1000:.4g}")


def _start(start: dict[str, Any]) -> Cells:
    steps = [start[f"{step}_ns"] / 1e6 for step in ("interpreter", "import", "load", "first_answer", "total")]
    peak = start.get("peak_bytes")
    return (*(f"{step:.1f}" for step in steps), "?" if peak is None else f"{peak / _MB:.1f}")


def _file(file: dict[str, Any]) -> Cells:
    how = _counted(file["threads"], "thread") if file["threads"] else "threads as it likes"
    return (f"{file['bytes']:,}", f"{file['model_bytes']:,}", f"{file['runtime']}, {how}")


def _right(right: dict[str, Any]) -> Cells:
    interval = f"{right['low_95']:.4g} to {right['high_95']:.4g}"
    return (f"{right['metric']} {right['value']:.4g}", interval, f"{right['rows']:,}", f"{right['rejected']:,}")


def _machine(machine: Machine) -> Iterator[str]:
    fixed, before, after = machine.fixed, machine.before, machine.after
    virtual = fixed["virtual_machine"]
    yield from _wrapped(
        ", ".join(
            (
                str(fixed["cpu"] or fixed["architecture"]),
                f"{fixed['cores']} cores",
                "no sign of a virtual machine" if virtual is None else _guest(virtual),
                fixed["system"],
            )
        )
    )
    versions = [f"{name} {version}" for name, version in fixed["versions"].items() if version]
    yield from _wrapped(", ".join([fixed["python"] or "without Python", *versions]))
    yield from _wrapped(f"edge-rai was built by {fixed['builds']['edge-rai']}")
    seen = [f"load {before['load_1m']:.1f} before, {after['load_1m']:.1f} after"]
    if after.get("others_share") is not None:
        seen.append(
            f"others had {after['others_share']:.0%} of the processors' time, the host {after['stolen_share']:.0%}"
        )
    yield from _wrapped("; ".join([*seen, _clock(machine), _temperature(machine)]))


def _guest(virtual: str) -> str:
    return "a virtual machine" + ("" if virtual == "unknown" else f" ({virtual})")


def _clock(machine: Machine) -> str:
    from edge_rai.bench.reading import looks

    clocks = [max(seen["frequency_mhz"]) for seen in looks(machine) if seen.get("frequency_mhz")]
    if not clocks:
        return "clock not shown"
    governor = machine.before.get("governor")
    return f"clock {min(clocks)} to {max(clocks)} MHz" + (f", governor {governor}" if governor else "")


def _temperature(machine: Machine) -> str:
    from edge_rai.bench.reading import looks

    degrees = [seen["temperature_c"] for seen in looks(machine) if seen.get("temperature_c") is not None]
    return f"{min(degrees):.0f} to {max(degrees):.0f} C" if degrees else "temperature not shown"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _us(ns: float) -> str:
    return f"{ns / 1000:,.2f}" if ns < 1e6 else f"{ns / 1000:,.0f}"


def _signed(ns: float) -> str:
    return f"{ns / 1000:+,.2f}"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _table(header: Cells, rows: Iterable[Cells]) -> Iterator[str]:
    """First column to the left, words of the last too, numbers to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        first, *middle, last = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(middle, widths[1:], strict=False))]
        yield "  ".join([*cells, last.ljust(widths[-1])]).rstrip()
