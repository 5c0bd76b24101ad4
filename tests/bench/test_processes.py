"""A scenario measured by several processes, and what their spread adds to an interval."""

from __future__ import annotations

import os
import signal
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edge_rai.bench.closed_loop import Run, closed_loop
from edge_rai.bench.processes import _stops_held, in_processes, pooled
from edge_rai.bench.ratios import ratio_of
from edge_rai.bench.series import Subject
from edge_rai.errors import InferenceError
from support.bench_runs import failing, killed_with_a_file, own_process
from support.simulated_machine import SimulatedMachine, jittered, worker


def recorded(number: int, factor: float) -> Run:
    """In simulated time, 2 s of two subjects; the second takes `factor` times as long."""
    machine = SimulatedMachine(number)
    subjects = [
        Subject("a", worker(machine, jittered(1e6), 2 * number)),
        Subject("b", worker(machine, jittered(1e6 * factor), 2 * number + 1)),
    ]
    return closed_loop(subjects, machine, duration_s=2, seed=number)


def test_each_part_is_measured_in_a_new_process() -> None:
    seen: list[tuple[int, ...]] = []
    run = in_processes(partial(own_process, seconds=0.5), 3, lambda so_far: seen.append(so_far.processes))
    pids = np.diff(run.series[0].ended_ns, prepend=0).tolist()
    assert len(set(pids)) == 3
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert run.processes == (0, 1, 2)
    assert seen == [(0,), (0, 1), (0, 1, 2)]
    assert (run.warm_up.seconds, run.warm_up.rounds, run.warm_up.steady) == (1.5, 6, True)


def test_what_a_process_raised_is_raised_here() -> None:
    with pytest.raises(RuntimeError, match="no model in process 0"):
        in_processes(failing, 2)


def test_a_process_that_is_killed_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(InferenceError, match="was killed"):
        in_processes(killed_with_a_file, 2)
    assert not list(tmp_path.iterdir())


def test_a_request_to_stop_that_comes_while_a_process_is_made_is_heard() -> None:
    def heard(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, heard)
    try:
        with pytest.raises(KeyboardInterrupt, match=str(int(signal.SIGTERM))), _stops_held():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is heard
    finally:
        signal.signal(signal.SIGTERM, before)


def test_runs_joined_follow_one_another_in_time_and_in_rounds() -> None:
    parts = [recorded(number, 1.5) for number in range(3)]
    run = pooled(parts)
    assert len(run.series[1].block) == sum(len(part.series[1].block) for part in parts)
    for series in run.series:
        assert (np.diff(series.block) >= 0).all()
        assert (np.diff(series.began_ns) > 0).all()
    assert (np.concatenate([part.series[0].latency_ns for part in parts]) == run.series[0].latency_ns).all()
    ends = np.cumsum([len(part.series[0].block) for part in parts]).tolist()
    assert np.searchsorted(run.series[0].block, run.processes).tolist() == [0, *ends[:-1]]


def test_an_interval_is_as_wide_as_processes_differ() -> None:
    factors = [1.003**number for number in range(9)]
    run = pooled([recorded(number, factor) for number, factor in enumerate(factors)])
    blind, seeing = (ratio_of(run.series[1], run.series[0], processes) for processes in ((0,), run.processes))
    assert blind.high_99 - blind.low_99 < 0.5 * (seeing.high_99 - seeing.low_99)
    assert seeing.ratio == pytest.approx(factors[4], abs=0.004)
    assert (seeing.low_99, seeing.high_99) == pytest.approx((factors[0], factors[8]), abs=0.004)


def test_four_percent_are_told_by_processes_and_not_by_one_that_cannot_know_where_its_memory_lies() -> None:
    run = pooled([recorded(number, 0.96) for number in range(8)])
    assert ratio_of(run.series[1], run.series[0], run.processes).verdict == "faster"
    alone = recorded(0, 0.96)
    ratio = ratio_of(alone.series[1], alone.series[0], alone.processes)
    assert ratio.high_99 < 0.98
    assert ratio.verdict == "cannot tell"
