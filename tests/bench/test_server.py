"""Scenario server: latency from the scheduled arrival, and the highest rate within a bound."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from edge_rai.bench.closed_loop import closed_loop
from edge_rai.bench.percentiles import percentile_of
from edge_rai.bench.series import Subject
from edge_rai.bench.server import server
from edge_rai.errors import InferenceError
from support.simulated_machine import SimulatedMachine, jittered, worker


def constant(machine: SimulatedMachine, ns: float = 1e6) -> Subject:
    return Subject("constant", worker(machine, jittered(ns, 0.0), 1))


def p99_of_a_queue(rate: float, service_ns: float, queries: int = 400_000) -> float:
    """Of waiting and service in an M/D/1 queue, by Lindley's recursion on arrivals of its own."""
    gaps = np.random.default_rng(99).exponential(1e9 / rate, queries)
    # W[n+1] = max(0, W[n] + service - gap): the running sum above its own minimum.
    walk = np.concatenate(([0.0], np.cumsum(service_ns - gaps)[:-1]))
    waiting = walk - np.minimum.accumulate(np.minimum(walk, 0.0))
    return float(np.percentile(waiting + service_ns, 99))


def test_the_rate_found_is_where_the_queue_of_theory_reaches_the_bound() -> None:
    machine = SimulatedMachine()
    _, (found,) = server([constant(machine)], machine, duration_s=400, bound_ns=8_000_000)
    assert found.rate_per_s > 0
    assert p99_of_a_queue(found.rate_per_s, 1e6) < 8e6 * 1.03
    assert p99_of_a_queue(found.rate_per_s * 1.12, 1e6) > 8e6
    assert found.exceeded_per_s is None or found.exceeded_per_s > found.rate_per_s


def test_the_series_is_that_of_the_rate_confirmed_and_keeps_the_bound() -> None:
    machine = SimulatedMachine()
    run, (found,) = server([constant(machine)], machine, duration_s=60)
    (series,) = run.series
    last = [trial for trial in found.trials if trial.kept and trial.rate_per_s == found.rate_per_s][-1]
    assert found.bound_ns == 10_000_000
    assert percentile_of(np.sort(series.latency_ns), 99) == last.ns <= found.bound_ns
    assert len(series.block) == last.queries
    seconds = (series.scheduled_ns[-1] - series.scheduled_ns[0]) / 1e9
    assert len(series.block) / seconds == pytest.approx(found.rate_per_s, rel=0.03)
    assert (series.began_ns >= series.scheduled_ns).all()


def test_a_bound_that_no_rate_keeps_is_found_in_about_the_time_asked() -> None:
    machine = SimulatedMachine()
    began_ns = machine.now_ns()
    _, (found,) = server([constant(machine, 1e9)], machine, duration_s=40, percent=50.0, bound_ns=1_000_000)
    assert found.rate_per_s == 0
    assert (machine.now_ns() - began_ns) / 1e9 < 60


def test_arrivals_are_those_of_a_poisson_process() -> None:
    machine = SimulatedMachine()
    run, _ = server([constant(machine)], machine, duration_s=60)
    gaps = np.diff(run.series[0].scheduled_ns)
    assert np.std(gaps) / np.mean(gaps) == pytest.approx(1, abs=0.03)
    assert np.corrcoef(gaps[1:], gaps[:-1])[0, 1] == pytest.approx(0, abs=0.03)


def stalling(machine: SimulatedMachine) -> Subject:
    """0.2 ms a call, but for the first in each second, which takes 80 ms."""
    began: set[int] = set()

    def call(_: int) -> None:
        second = machine.now_ns() // 1_000_000_000
        machine.work(2e5 if second in began else 8e7)
        began.add(second)

    return Subject("stalling", call)


def test_a_stall_is_hidden_from_calls_that_wait_for_answers_and_shows_in_server() -> None:
    machine = SimulatedMachine()
    alone = closed_loop([stalling(machine)], machine, duration_s=30).series[0].latency_ns
    assert np.percentile(alone, 99.9) == 2e5
    machine = SimulatedMachine()
    _, (found,) = server([stalling(machine)], machine, duration_s=60, bound_ns=10_000_000)
    assert found.rate_per_s == 0, "more than 7 % of all arrivals fall into a stall, whatever the rate"
    machine = SimulatedMachine()
    run, (found,) = server([stalling(machine)], machine, duration_s=60, bound_ns=100_000_000)
    latency = run.series[0].latency_ns
    assert found.rate_per_s > 0
    assert np.mean(latency > 10_000_000) > 0.06
    assert np.percentile(latency, 99) > 60_000_000


def test_latencies_in_server_are_those_of_a_queue_by_lindleys_recursion() -> None:
    machine = SimulatedMachine(1, mood_s=0.2, stalls_per_s=3, stall_s=0.02)
    run, _ = server([constant(machine)], machine, duration_s=60, bound_ns=200_000_000)
    (series,) = run.series
    service = series.ended_ns - series.began_ns
    done = 0
    for due, took, ended in zip(series.scheduled_ns.tolist(), service.tolist(), series.ended_ns.tolist(), strict=True):
        done = max(done, due) + took
        assert done == ended


def test_a_subject_that_keeps_the_bound_at_no_rate_has_none() -> None:
    machine = SimulatedMachine()
    run, (found,) = server([constant(machine)], machine, duration_s=30, bound_ns=500_000)
    assert (run.series, found.rate_per_s) == ([], 0)
    assert not any(trial.kept for trial in found.trials)


def test_a_hopeless_trial_ends_early() -> None:
    machine = SimulatedMachine()
    _, (found,) = server([constant(machine)], machine, duration_s=30, bound_ns=500_000)
    assert all(trial.queries < 40 for trial in found.trials)


def test_subjects_share_the_default_bound_which_is_that_of_the_slowest() -> None:
    machine = SimulatedMachine()
    slow, fast = constant(machine, 5e6), Subject("fast", worker(machine, jittered(1e5), 2))
    run, found = server([slow, fast], machine, duration_s=50)
    assert [one.subject for one in found] == [series.subject for series in run.series] == ["constant", "fast"]
    assert {one.bound_ns for one in found} == {50_000_000}
    assert found[1].rate_per_s > 30 * found[0].rate_per_s


def test_the_default_bound_is_a_millisecond_at_least() -> None:
    machine = SimulatedMachine()
    _, (found,) = server([constant(machine, 1e4)], machine, duration_s=5)
    assert found.bound_ns == 1_000_000


def test_a_duration_of_too_few_queries_a_trial_is_refused_with_one_that_will_do() -> None:
    machine = SimulatedMachine()
    with pytest.raises(
        ValueError, match=r"10 s give 11 queries of constant in each trial.*p99 asks for 100; .* (\d+) s"
    ) as raised:
        server([constant(machine, 5e7)], machine, duration_s=10)
    enough = int(str(raised.value).split()[-2])
    server([constant(machine, 5e7)], machine, duration_s=enough)


def test_two_servers_take_arrivals_in_order_and_work_at_the_same_time() -> None:
    run, (found,) = server([Subject("sleep", lambda _: time.sleep(0.001))], duration_s=1.5, servers=2, percent=50.0)
    assert found.servers == 2
    (series,) = run.series
    assert (np.diff(series.scheduled_ns) >= 0).all()
    assert (series.began_ns >= series.scheduled_ns).all()
    # When query i begins, query i - 2 and all before it have ended, and at times query i - 1 has not.
    done = np.maximum.accumulate(np.minimum(series.ended_ns[1:], series.ended_ns[:-1]))
    assert np.mean(series.began_ns[2:] >= done[:-1]) > 0.99  # of two that begin at once, either may be noted first
    assert (series.began_ns[1:] < series.ended_ns[:-1]).any()


@pytest.mark.parametrize("servers", [1, 2])
def test_an_error_of_the_subject_ends_the_run_whoever_calls_it(servers) -> None:
    calls = itertools.count()

    def call(_: int) -> None:
        time.sleep(0.0005)
        if threading.current_thread() is not threading.main_thread() or next(calls) == 20:
            raise RuntimeError("the model failed")

    with pytest.raises(InferenceError, match="^failing failed: the model failed$"):
        server([Subject("failing", call)], duration_s=2, servers=servers)


def test_trials_of_the_same_seed_are_the_same() -> None:
    found = []
    for seed in (1, 1, 2):
        machine = SimulatedMachine(3)
        found.append(server([constant(machine)], machine, duration_s=20, seed=seed)[1][0].trials)
    assert found[0] == found[1] != found[2]
