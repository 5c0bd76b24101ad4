"""Two saved results beside each other, of runs of their own on a noisy machine."""

from __future__ import annotations

import dataclasses

import pytest

from edge_rai.bench.compare import compare
from edge_rai.bench.result import Machine
from support.bench_runs import NOISY, result

QUIET = result(1, duration_s=5)


def compared(seed: int, slower: float, **mood: float):
    (row,) = compare(result(2 * seed, **mood), result(2 * seed + 1, slower, **mood)).rows
    return row


def test_two_runs_of_the_same_on_a_noisy_machine_cannot_be_told_apart() -> None:
    assert [compared(seed, 1.0, **NOISY).verdict for seed in range(6)].count("cannot tell") >= 5


def test_five_percent_between_two_runs_on_a_noisy_machine_are_found() -> None:
    assert [compared(seed, 1.05, **NOISY).verdict for seed in range(3)] == ["slower"] * 3
    assert [compared(seed, 0.95, **NOISY).verdict for seed in range(3)] == ["faster"] * 3


def test_a_machine_at_another_clock_speed_is_no_difference() -> None:
    fast, slow = (result(3, slow=factor, mood_s=1e9, duration_s=5, processes=1) for factor in (1.0, 1.7))
    (row,) = compare(fast, slow).rows
    assert row.after_ns / row.before_ns == pytest.approx(1.7, rel=0.01)
    assert row.verdict == "cannot tell"
    assert row.ratio == pytest.approx(1, abs=0.01)


def test_a_regression_is_what_lies_beyond_the_allowance_beyond_doubt() -> None:
    slower = result(2, 1.1, duration_s=5)
    assert compare(QUIET, slower).regression
    assert compare(QUIET, slower, allow=0.05).regression
    assert not compare(QUIET, slower, allow=0.09).regression
    assert not compare(slower, QUIET).regression
    assert compare(slower, QUIET).rows[0].verdict == "faster"


def test_a_single_process_cannot_tell_five_percent_from_where_its_memory_lies() -> None:
    alone, slower, slow = (result(1, factor, duration_s=5, processes=1) for factor in (1.0, 1.05, 1.1))
    assert compare(alone, slower).rows[0].verdict == "cannot tell"
    assert compare(alone, slow).rows[0].verdict == "slower"


def test_the_interval_holds_what_was_planted() -> None:
    (row,) = compare(QUIET, result(2, 1.1, duration_s=5)).rows
    assert row.low < 1.1 < row.high
    assert row.high / row.low < 1.08


def test_results_without_a_yardstick_in_common_share_nothing() -> None:
    (scenario,) = QUIET.scenarios
    bare = dataclasses.replace(QUIET, scenarios=[dataclasses.replace(scenario, series=scenario.series[:1])])
    with pytest.raises(ValueError, match="share nothing that can be compared; after in single_stream cannot be"):
        compare(QUIET, bare)


def test_what_is_in_one_result_alone_is_said() -> None:
    (scenario,) = QUIET.scenarios
    other = dataclasses.replace(scenario.series[0], subject="other")
    more = dataclasses.replace(QUIET, scenarios=[dataclasses.replace(scenario, series=[*scenario.series, other])])
    assert compare(QUIET, more).left_out == ["other in single_stream is in the second result alone"]
    assert compare(more, QUIET).left_out == ["other in single_stream is in the first result alone"]


def test_what_many_have_not_in_common_is_one_sentence() -> None:
    (scenario,) = QUIET.scenarios
    others = [dataclasses.replace(scenario.series[0], subject=f"m without {name}") for name in ("a", "b")]
    more = dataclasses.replace(QUIET, scenarios=[dataclasses.replace(scenario, series=[*scenario.series, *others])])
    (said,) = compare(more, QUIET).left_out
    assert said == "m without a in single_stream, m without b in single_stream are in the first result alone"


def test_of_many_the_first_few_are_named_and_the_others_counted() -> None:
    (scenario,) = QUIET.scenarios
    others = [dataclasses.replace(scenario.series[0], subject=f"m{number}") for number in range(9)]
    more = dataclasses.replace(QUIET, scenarios=[dataclasses.replace(scenario, series=[*scenario.series, *others])])
    (said,) = compare(QUIET, more).left_out
    assert said.endswith("m3 in single_stream and 5 more are in the second result alone")


def test_results_of_too_few_rounds_are_refused_with_what_to_do() -> None:
    (scenario,) = QUIET.scenarios
    subjects = [dataclasses.replace(scenario.series[0], subject=f"m{number}") for number in range(9)]
    series = [
        dataclasses.replace(one, blocks=type(one.blocks)(*(column[:9] for column in dataclasses.astuple(one.blocks))))
        for one in [*subjects, *scenario.series]
    ]
    short = dataclasses.replace(QUIET, scenarios=[dataclasses.replace(scenario, series=series)])
    with pytest.raises(ValueError, match=r" and \d more cannot be compared: that takes 20 rounds .*; measure longer$"):
        compare(short, short)


def test_a_guard_that_rejected_rows_is_said() -> None:
    name = QUIET.scenarios[0].series[0].subject
    (said,) = compare(
        QUIET,
        dataclasses.replace(QUIET, warnings=[f"{name}: the guard rejected 1 of 2, so this is no fair comparison"]),
    ).left_out
    assert said.startswith(f"{name} is no fair comparison")


def test_server_other_machines_and_runs_cut_short_are_said() -> None:
    scenario = dataclasses.replace(QUIET.scenarios[0], scenario="server")
    other = dataclasses.replace(
        QUIET,
        scenarios=[*QUIET.scenarios, scenario],
        machine=Machine({"cpu": "b"}, {}, [], {}),
        complete=False,
    )
    said = compare(QUIET, other).left_out
    assert len(said) == 3
    assert said[0] == "the machines differ: cpu was None and is 'b'"
    assert "rates of server are not compared" in said[1]
    assert "cut short" in said[2]


def test_results_of_two_programs_are_refused() -> None:
    compare(QUIET, dataclasses.replace(QUIET, program="edge-rai bench 7"))
    with pytest.raises(ValueError, match="edge-rai bench 0 and erai-bench 0"):
        compare(QUIET, dataclasses.replace(QUIET, program="erai-bench 0"))
