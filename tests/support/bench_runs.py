"""Runs of the bench on simulated machines, with what is true of them planted; counted by tests and by longer proofs."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_rai.bench.closed_loop import Run, closed_loop
from edge_rai.bench.percentiles import PERCENTS, independent_queries, percentile
from edge_rai.bench.processes import PROCESSES, pooled
from edge_rai.bench.ratios import ratio_of
from edge_rai.bench.result import Machine, Result, Step, WarmUp
from edge_rai.bench.series import YARDSTICK, Series, Subject
from edge_rai.bench.summary import summarize
from edge_rai.bench.throttling import find_throttling
from support.laws import Quantile, drawn_from
from support.simulated_machine import Law, SimulatedMachine, jittered, worker

# Standard deviation of a subject's latency between processes, so that ratios of two differ by 1.4 times that: seen with
# networks of 30 features, guarded, bare and beside the yardstick, on a virtual machine that others used.
LAYOUT = 0.015
NOISY = {"mood_s": 0.7, "stalls_per_s": 3.0, "stall_s": 0.005}


def covered(law: Quantile, runs: int, duration_s: float) -> dict[float, float]:
    """In which share of runs the interval at 95 % held the true percentile, by percentile."""
    hits = dict.fromkeys(PERCENTS, 0)
    for seed in range(runs):
        machine = SimulatedMachine(seed)
        subject = Subject("subject", worker(machine, drawn_from(law), seed))
        latency = closed_loop([subject], machine, duration_s=duration_s, seed=seed).series[0].latency_ns
        ordered = np.sort(latency)
        for percent in PERCENTS:
            found = percentile(ordered, percent, independent_queries(latency, percent))
            truth = float(law(np.array([percent / 100]))[0])
            low, high = found.low_95_ns, found.high_95_ns
            hits[percent] += (low is None or low <= truth) and (high is None or truth <= high)
    return {percent: hit / runs for percent, hit in hits.items()}


def two(
    seed: int, slower: float, *, ns: float = 1e6, duration_s: float = 20, processes: int = PROCESSES, **mood: float
) -> Run:
    """A subject, one that takes `slower` times as long, and the yardstick; processes differ as they do (`LAYOUT`)."""
    layout = np.exp(np.random.default_rng(seed).normal(0, LAYOUT if processes > 1 else 0, (processes, 3)))
    runs = []
    for process in range(processes):
        one = seed * processes + process
        machine = SimulatedMachine(one, **mood)
        before, after = ns * layout[process, 0], ns * slower * layout[process, 1]
        subjects = [
            Subject("before", worker(machine, jittered(before, 0.1), 3 * one)),
            Subject("after", worker(machine, jittered(after, 0.1), 3 * one + 1)),
            Subject(YARDSTICK, worker(machine, jittered(1e6 * layout[process, 2]), 3 * one + 2)),
        ]
        runs.append(closed_loop(subjects, machine, duration_s=duration_s / processes, seed=one))
    return pooled(runs)


def verdicts(runs: int, slower: float, **how: float) -> list[str]:
    """What is said of a subject that takes `slower` times as long, beside the other in the same run."""
    found = []
    for seed in range(runs):
        run = two(seed, slower, **how)
        ratio = ratio_of(run.series[1], run.series[0], run.processes)
        found.append("too few rounds" if ratio is None else ratio.verdict)
    return found


def result(seed: int, slower: float = 1.0, *, duration_s: float = 20, **how: float) -> Result:
    """A saved run of its own of a subject and the yardstick."""
    run = two(seed, slower, duration_s=duration_s, **how)
    run = Run(run.series[1:], run.warm_up, run.processes)
    scenario = summarize("single_stream", run, duration_s=duration_s, seed=seed)
    return Result(["edge-rai", "bench"], 0, "edge-rai bench 0", Machine({}, {}, [], {}), [], [scenario])


def throttled(runs: int, slower: float, *, ns: float = 1e6, duration_s: float = 20, **mood: float) -> list[Step | None]:
    """What is found in runs of a subject that takes `slower` times as long from halfway on, warm-up counted in."""
    found = []
    for seed in range(runs):
        machine = SimulatedMachine(seed, **mood)
        call = slowing(machine, jittered(ns, 0.1), slower, duration_s / 2, seed)
        subjects = [Subject("subject", call), Subject(YARDSTICK, worker(machine, jittered(1e6), seed + 2_000_000))]
        run = closed_loop(subjects, machine, duration_s=duration_s, seed=seed)
        step = find_throttling(*run.series)
        found.append(step and Step(step.at_s + run.warm_up.seconds, step.ratio))
    return found


def slowing(machine: SimulatedMachine, law: Law, slower: float, after_s: float, seed: int) -> Callable[[int], None]:
    """A call that takes `slower` times as long from a time on."""
    fast, slow = worker(machine, law, seed), worker(machine, lambda rng, n: slower * law(rng, n), seed + 1_000_000)
    return lambda query: (slow if machine.now_ns() > after_s * 1e9 else fast)(query)


def own_process(_: int, *, seconds: float) -> Run:
    """One call of a subject, which took as many nanoseconds as this process's number."""
    zero, pid = np.zeros(1, np.int64), np.array([os.getpid()])
    return Run([Series("pid", 1, np.zeros(1, np.int32), zero, zero, pid)], WarmUp(seconds, 2, True))


def failing(number: int) -> Run:
    raise RuntimeError(f"no model in process {number}")


def killed_with_a_file(_: int) -> Run:
    """Leaves a file and ends as a process does that is out of memory."""
    Path(tempfile.mkdtemp(), "bundle").touch()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
