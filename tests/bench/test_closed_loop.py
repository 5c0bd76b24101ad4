"""Subjects in turn: order, warm-up, duration, and what is recorded."""

from __future__ import annotations

import math
import time
from collections import Counter

import numpy as np
import pytest

from edge_rai.bench.clock import Seldom
from edge_rai.bench.closed_loop import closed_loop
from edge_rai.bench.series import YARDSTICK, Subject, blocks_of
from support.simulated_machine import SimulatedMachine, jittered, worker


def subjects(machine, *nanoseconds: float) -> list[Subject]:
    return [Subject(f"{ns:g}", worker(machine, jittered(ns), number)) for number, ns in enumerate(nanoseconds)]


def test_a_call_is_recorded_from_its_beginning_to_its_end() -> None:
    machine = SimulatedMachine()
    (series,) = closed_loop([Subject("exact", lambda _: machine.work(2e6))], machine, duration_s=1).series
    assert set(series.latency_ns.tolist()) == {2_000_000}
    assert (series.scheduled_ns == series.began_ns).all()
    assert series.began_ns[0] >= 0
    assert (np.diff(series.began_ns) >= 2_000_000).all()


def test_a_run_lasts_as_long_as_was_asked_and_not_a_round_longer() -> None:
    machine = SimulatedMachine()
    run = closed_loop(subjects(machine, 1e5, 1e6), machine, duration_s=3)
    last = max(int(series.ended_ns[-1]) for series in run.series)
    assert 3.0 <= last / 1e9 < 3.0 + 0.03


def test_a_run_shorter_than_its_rounds_still_has_enough_for_a_ratio() -> None:
    machine = SimulatedMachine()
    run = closed_loop(subjects(machine, 1e9), machine, duration_s=0.5)
    assert len(run.series[0].block) == 8


def test_of_several_processes_each_runs_no_more_rounds_than_together_are_needed() -> None:
    machine = SimulatedMachine()
    run = closed_loop(subjects(machine, 1e9), machine, duration_s=0.5, fewest_rounds=1)
    assert (len(run.series[0].block), run.warm_up.rounds) == (1, 1)


def test_what_takes_long_is_done_seldom() -> None:
    machine = SimulatedMachine()
    saving, times = Seldom(machine), 0
    assert saving.due
    while machine.now_ns() < 10e9:
        machine.work(1e6)
        if saving.due:
            times += 1
            with saving.taking():
                machine.work(1e7)
    assert 90 <= times <= 101


def test_blocks_of_fast_and_slow_subjects_take_about_the_same_time() -> None:
    machine = SimulatedMachine()
    for series in closed_loop(subjects(machine, 3e4, 1e6, 7e6), machine, duration_s=2).series:
        calls = Counter(series.block.tolist()).most_common(1)[0][1]
        assert 1e6 <= calls * float(series.subject) <= max(2e6, float(series.subject))


def test_every_round_has_a_block_of_each_in_an_order_drawn_anew() -> None:
    machine = SimulatedMachine()
    run = closed_loop(subjects(machine, 1e6, 1.1e6, 1.2e6), machine, duration_s=20, seed=3)
    began = np.array([blocks_of(series).began_ns for series in run.series])
    orders = Counter(tuple(order) for order in np.argsort(began, axis=0).T.tolist())
    assert len(orders) == math.factorial(3)
    rounds = began.shape[1]
    assert all(abs(count - rounds / 6) < 5 * math.sqrt(rounds / 6) for count in orders.values())


def test_the_same_seed_gives_the_same_run() -> None:
    runs = []
    for seed in (1, 1, 2):
        machine = SimulatedMachine(5, mood_s=0.3)
        runs.append(
            closed_loop(subjects(machine, 1e6, 2e6), machine, duration_s=1, seed=seed).series[1].ended_ns.tolist()
        )
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(("ns", "uncounted", "counted"), [(3e6, 0, 1), (1e6, 1, 2), (2e4, 10, 100)])
def test_queries_are_numbered_in_order_and_the_first_tenth_of_a_block_is_not_counted(ns, uncounted, counted) -> None:
    machine = SimulatedMachine()
    asked: list[int] = []

    def call(query: int) -> None:
        asked.append(query)
        machine.work(ns)

    (series,) = closed_loop([Subject("numbered", call)], machine, duration_s=1).series
    assert asked == list(range(len(asked)))
    blocks = len(set(series.block.tolist()))
    assert len(series.block) == counted * blocks
    first = [blocks_of(series).began_ns[number] for number in range(blocks)]
    assert first == [(uncounted + number * (uncounted + counted)) * int(ns) for number in range(blocks)]


@pytest.mark.parametrize("settles_s", [0.05, 0.3])
def test_warm_up_goes_on_until_the_series_has_settled(settles_s) -> None:
    machine = SimulatedMachine()
    noise = np.random.default_rng(1)

    def settling(_: int) -> None:
        cold = 2 * math.exp(-machine.now_ns() / 1e9 / settles_s)
        machine.work(1e6 * (1 + cold + 0.03 * noise.random()))

    run = closed_loop([Subject("settling", settling)], machine, duration_s=20)
    assert run.warm_up.steady
    assert run.warm_up.seconds > settles_s
    medians = blocks_of(run.series[0]).median_ns
    assert medians[0] < 1.05 * medians[-1]


def test_a_steady_subject_warms_up_for_a_moment_only() -> None:
    machine = SimulatedMachine()
    run = closed_loop(subjects(machine, 1e6), machine, duration_s=20)
    assert run.warm_up.steady
    assert run.warm_up.seconds < 1.1


def test_a_subject_that_never_settles_is_measured_after_the_time_allowed_and_said_to_be_unsteady() -> None:
    machine = SimulatedMachine()
    run = closed_loop(
        [Subject("ever faster", lambda _: machine.work(1e7 * math.exp(-machine.now_ns() / 4e9) + 1e4))],
        machine,
        duration_s=10,
    )
    assert not run.warm_up.steady
    assert 2.0 <= run.warm_up.seconds < 2.1


def test_a_duration_too_short_for_the_percentile_is_refused_with_one_that_will_do() -> None:
    def run(duration_s: float):
        machine = SimulatedMachine()
        return closed_loop(subjects(machine, 1e6), machine, duration_s=duration_s, percentile=90)

    said = r"20 s give about 19,\d{3} queries of 1e\+06, and p90 asks for 24,576; expected a duration of about"
    with pytest.raises(ValueError, match=said) as raised:
        run(20)
    enough = float(str(raised.value).split("about ")[2].split(" s")[0])
    assert enough < 40
    assert len(run(enough).series[0].block) >= 24_576


def test_the_yardstick_needs_no_number_of_queries() -> None:
    machine = SimulatedMachine()
    both = [*subjects(machine, 1e5), Subject(YARDSTICK, worker(machine, jittered(1e7), 1))]
    assert closed_loop(both, machine, duration_s=10, percentile=50).series[1].subject == YARDSTICK


def test_whoever_watches_gets_what_there_is_so_far_and_at_most_a_tenth_of_the_time() -> None:
    machine = SimulatedMachine()
    seen: list[int] = []

    def watch(run) -> None:
        machine.sleep_until(machine.now_ns() + 500_000_000)
        seen.append(len(run.series[0].block))

    closed_loop(subjects(machine, 1e6), machine, duration_s=30, watch=watch)
    assert seen == sorted(seen)
    assert len(seen) == 6
    assert seen[0] > 50


def test_whoever_watches_is_told_soon_and_then_every_two_seconds() -> None:
    machine = SimulatedMachine()
    came: list[float] = []
    closed_loop(
        subjects(machine, 1e6), machine, duration_s=10, watch=lambda run: came.append(run.series[0].ended_ns[-1] / 1e9)
    )
    assert came == pytest.approx([0.25, 0.5, 1, 2, 4, 6, 8], abs=0.1)


def test_a_series_by_the_systems_clock_is_as_long_as_the_wall_says() -> None:
    began_ns = time.perf_counter_ns()
    run = closed_loop([Subject("nothing", lambda _: None)], duration_s=0.2)
    (series,), took_s = run.series, (time.perf_counter_ns() - began_ns) / 1e9
    assert 0 < int(np.median(series.latency_ns)) < 100_000
    assert (series.ended_ns >= series.began_ns).all()
    assert int(series.ended_ns[-1]) / 1e9 + run.warm_up.seconds <= took_s
    assert took_s >= 0.2 + run.warm_up.seconds
