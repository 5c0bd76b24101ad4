"""A result with every part that a page has a section for, measured on a simulated machine."""

from __future__ import annotations

from dataclasses import replace

from edge_rai.bench.closed_loop import closed_loop
from edge_rai.bench.contenders import EMPTY
from edge_rai.bench.result import Machine, Result, ScenarioResult, ServerRate, SubjectFacts, Trial
from edge_rai.bench.series import YARDSTICK, Subject
from edge_rai.bench.summary import summarize, warnings_of
from support.bench_runs import slowing
from support.simulated_machine import SimulatedMachine, jittered, worker

MODELS = ("float.erai", "int8.erai")
SAFEGUARDS = {"ranges": 0.9, "distance": 0.8, "all of them": 0.7}


def single_stream(
    *, slows_down: float = 1.0, models: tuple[str, str] = MODELS, duration_s: float = 12
) -> ScenarioResult:
    """The second model takes half as long as the first, and a third longer than bare.

    Args:
        slows_down: The first model takes so many times as long from halfway on.
        models: Their names.
        duration_s: Of simulated time.
    """
    first, second = models
    machine = SimulatedMachine(1)
    times = {second: 5e5, f"{second} bare-python": 3.75e5}
    times |= {f"{second} without {name}": 5e5 * share for name, share in SAFEGUARDS.items()}
    times |= {EMPTY: 100.0, YARDSTICK: 8e5}
    subjects = [Subject(first, slowing(machine, jittered(1e6, 0.1), slows_down, duration_s / 2, 1))]
    subjects += [
        Subject(name, worker(machine, jittered(ns, 0.1), seed)) for seed, (name, ns) in enumerate(times.items(), 2)
    ]
    run = closed_loop(subjects, machine, duration_s=duration_s, seed=1)
    pairs = [(second, first), (second, f"{second} bare-python")]
    pairs += [(second, f"{second} without {name}") for name in SAFEGUARDS]
    return summarize("single_stream", run, duration_s=duration_s, seed=1, against=pairs)


def offline() -> ScenarioResult:
    """Rows a second that rise with the batch."""
    machine = SimulatedMachine(2)
    subjects = [
        Subject(name, worker(machine, jittered(ns * (3 + rows), 0.1), rows + int(ns)), rows)
        for name, ns in zip(MODELS, (2e5, 1e5), strict=True)
        for rows in (1, 2, 4, 8)
    ]
    subjects.append(Subject(YARDSTICK, worker(machine, jittered(8e5), 99)))
    return summarize("offline", closed_loop(subjects, machine, duration_s=6, seed=2), duration_s=6, seed=2)


def server() -> ScenarioResult:
    """One model that keeps a rate, and one that keeps none."""
    machine = SimulatedMachine(3)
    run = closed_loop([Subject(MODELS[0], worker(machine, jittered(1e6), 5))], machine, duration_s=2, seed=3)
    tried = [Trial(500.0, 900, 4e6, True), Trial(900.0, 300, 3e7, False), Trial(800.0, 2000, 9e6, True)]
    rates = [
        ServerRate(MODELS[0], 1, 99.0, 10_000_000, 800.0, 900.0, tried),
        ServerRate(MODELS[1], 1, 99.0, 10_000_000, 0.0, 100.0, [Trial(100.0, 90, 2e7, False)]),
    ]
    return summarize("server", run, duration_s=2, seed=3, server=rates)


def result_of(*scenarios: ScenarioResult, models: tuple[str, str] = MODELS) -> Result:
    """A result with facts of every kind."""
    looks = [{"at_s": at, **_look(2000 - at, 50.0 + at)} for at in (2, 4, 6)]
    machine = Machine(
        {"cpu": "A <processor>", "cores": 4, "virtual_machine": None, "system": "Linux", "python": "CPython 3.11",
         "memory_bytes": 4_000_000_000, "container": False, "versions": {"numpy": "2.4"},
         "builds": {"edge-rai": "GNU 12.2.0 -O2"}, "environment": {}},
        _look(2000, 45.0),
        looks,
        _look(1900, 58.0),
    )  # fmt: skip
    subjects = [
        SubjectFacts(name, _facts(bytes_, right))
        for name, bytes_, right in zip(models, (40_000, 12_000), (0.97, 0.91), strict=True)
    ]
    said = [warning for scenario in scenarios for warning in warnings_of(scenario)]
    command = ["edge-rai", "bench", *models, "--save", "a file.json"]
    return Result(command, 1_790_000_000_000_000_000, "edge-rai bench 0", machine, subjects, list(scenarios), said)


def everything() -> Result:
    """All scenarios, one of them throttled, cut short."""
    found = result_of(single_stream(slows_down=1.3), offline(), server())
    return replace(
        found, warnings=[*found.warnings, "the clock fell from 2000 to 1500 MHz during the run"], complete=False
    )


def _look(mhz: int, degrees: float) -> dict[str, object]:
    shares = {"others_share": 0.03, "stolen_share": 0.0}
    return {
        "governor": "performance",
        "frequency_mhz": [mhz, mhz - 5],
        "temperature_c": degrees,
        "load_1m": 0.5,
        **shares,
    }


def _facts(bytes_: int, right: float) -> dict[str, object]:
    switches = {"voluntary_switches": 0.0, "involuntary_switches": 0.01, "page_faults": 0.0}
    start = {f"{step}_ns": 2e7 for step in ("interpreter", "import", "load", "first_answer", "total_low", "total_high")}
    ends = {"value": right, "low_95": right - 0.02, "high_95": right + 0.01}
    sizes = {"bytes": 2 * bytes_, "model_bytes": bytes_}
    memory = {"resident_bytes": 5e7, "peak_bytes": 6e7, "allocations_per_call": None}
    return {
        "file": {"path": "x", "runtime": "onnxruntime", "threads": 1, **sizes, "sha256": "ab" * 32},
        "accuracy": {"output": "y", "metric": "accuracy", **ends, "rows": 900, "rejected": 3},
        "per_call": {"rows": 1, "calls": 100, "cpu_ns": 5e5, **switches, "energy": {"meter": "RAPL", "joules": 0.002}},
        "cold_start": {"rounds": 5, **start, "total_ns": 8e7, **memory},
    }
