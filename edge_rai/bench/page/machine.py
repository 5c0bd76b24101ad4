"""The machine: what it is, and what it was doing before, during and after the run; and what is known beside latency."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from edge_rai.bench.reading import fact, lacks, number, text
from edge_rai.bench.result import Machine, Result
from edge_rai.page.figure import section
from edge_rai.page.markup import Markup, element, table
from edge_rai.page.scale import digits, duration, durations

Column = Callable[[Mapping[str, Any]], str]
Value = Callable[[Mapping[str, Any]], "float | None"]

_MB = 1_000_000
_FIXED = {
    "cpu": "processor",
    "architecture": "architecture",
    "cores": "cores",
    "cores_allowed": "cores allowed",
    "model": "model",
    "container": "container",
    "system": "system",
    "python": "Python",
    "compiler_of_python": "its compiler",
}
_SHARES = {"others_share": "processor time of others", "stolen_share": "processor time taken by the host"}
_STEPS = {"interpreter": "start", "import": "import", "load": "load", "first_answer": "first answer"}


def machine(result: Result) -> Iterator[Markup]:
    """The section about it."""
    seen = result.machine
    yield section(
        "The machine",
        table(("", "before", "during", "after"), _meanwhile(seen), "Before, during and after the run"),
        element("div", table(("", "what it is"), _fixed(seen.fixed), "What does not change"), class_="words"),
    )


def costs_beside(result: Result) -> Iterator[Markup]:
    """The section about what is known beside latency; nothing where nothing is."""
    tables = [
        *_known(result, "per_call", _CALL, "A call"),
        *_known(result, "cold_start", _START, "A fresh process, to its first answer"),
        *_known(result, "file", _FILE, "Files"),
    ]
    if tables:
        yield section("Beside latency", *tables)


def _known(result: Result, name: str, columns: Mapping[str, Column], caption: str) -> Iterator[Markup]:
    names = {subject.name for subject in result.subjects}
    rows = [
        (subject.name, *(cell(subject.facts[name]) for cell in columns.values()))
        for subject in result.subjects
        if isinstance(subject.facts.get(name), dict) and not lacks(subject.name, names)
    ]
    if rows:
        yield table(("", *columns), rows, caption)


def _written(key: str, form: Callable[[float], str]) -> Column:
    def cell(facts: Mapping[str, Any]) -> str:
        value = number(facts, key)
        return "-" if value is None else form(value)

    return cell


def _energy(facts: Mapping[str, Any]) -> str:
    joules = number(facts, "energy", "joules")
    return f"{joules * 1000:.4g} mJ ({text(facts, 'energy', 'meter')})" if joules is not None else "not measured"


def _megabytes(size: float) -> str:
    return f"{size / _MB:.1f}\u00a0MB"


_CALL: dict[str, Column] = {
    "processor time": _written("cpu_ns", duration),
    "waits": _written("voluntary_switches", "{:.4f}".format),
    "preempted": _written("involuntary_switches", "{:.4f}".format),
    "page faults": _written("page_faults", "{:.4f}".format),
    "energy": _energy,
}
_START: dict[str, Column] = {
    **{said: _written(f"{step}_ns", duration) for step, said in _STEPS.items()},
    "in all": _written("total_ns", duration),
    "least to greatest": lambda facts: durations(number(facts, "total_low_ns"), number(facts, "total_high_ns")),
    "resident": _written("resident_bytes", _megabytes),
    "peak": _written("peak_bytes", _megabytes),
    "allocations a call": _written("allocations_per_call", "{:,.2f}".format),
}
_FILE: dict[str, Column] = {
    "bytes": _written("bytes", "{:,.0f}".format),
    "of the model": _written("model_bytes", "{:,.0f}".format),
    "run by": lambda facts: text(facts, "runtime") or "-",
    "quantization": lambda facts: text(facts, "quantization") or "-",
    "sha256": lambda facts: (text(facts, "sha256") or "-")[:12],
}


def _meanwhile(seen: Machine) -> Iterator[tuple[str, str, str, str]]:
    """What was looked at before, during (from the least to the greatest) and after."""
    rows: tuple[tuple[str, Value, Callable[[float], str]], ...] = (
        ("clock of the fastest core", _clock, lambda mhz: f"{mhz:,.0f} MHz"),
        ("temperature of the hottest zone", _plain("temperature_c"), lambda degrees: f"{degrees:.0f} °C"),
        ("times throttled", _plain("times_throttled"), "{:,.0f}".format),
        ("load over a minute", _plain("load_1m"), "{:.2f}".format),
        *((said, _plain(key), "{:.1%}".format) for key, said in _SHARES.items()),
    )
    governor = [text(look, "governor") or "not shown" for look in (seen.before, seen.after)]
    yield "governor", governor[0], " to ".join(dict.fromkeys(_governors(seen.during))) or "not shown", governor[1]
    for name, value, written in rows:
        cells = [
            _range([found for look in looks if (found := value(look)) is not None], written) for looks in _times(seen)
        ]
        yield name, cells[0], cells[1], cells[2]


def _plain(key: str) -> Value:
    return lambda look: number(look, key)


def _clock(look: Mapping[str, Any]) -> float | None:
    found = fact(look, "frequency_mhz")
    clocks = [number({"mhz": one}, "mhz") for one in found] if isinstance(found, list) else []
    return max((clock for clock in clocks if clock is not None), default=None)


def _times(seen: Machine) -> tuple[Sequence[Mapping[str, Any]], ...]:
    return [seen.before], seen.during, [seen.after]


def _governors(during: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for look in during:
        name = text(look, "governor")
        if name:
            yield name


def _range(values: Sequence[float], written: Callable[[float], str]) -> str:
    if not values:
        return "not shown"
    ends = dict.fromkeys(written(end) for end in (min(values), max(values)))
    return " to ".join(ends)


def _fixed(fixed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, said in _FIXED.items():
        value = fact(fixed, key)
        if value is not None:
            yield said, ("no", "yes")[value] if isinstance(value, bool) else str(value)
    memory = number(fixed, "memory_bytes")
    if memory is not None:
        yield "memory", f"{digits(memory / 1e9)} GB"
    yield "virtual machine", text(fixed, "virtual_machine") or "no sign of one"
    for key in ("versions", "builds", "environment"):
        given = fact(fixed, key)
        if isinstance(given, dict) and any(given.values()):
            yield key, ", ".join(f"{name} {value}" for name, value in given.items() if value)
