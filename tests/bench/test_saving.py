"""Results as JSON and as files: what was found comes back, and what is no result is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from edge_rai.bench.closed_loop import Run, closed_loop
from edge_rai.bench.result import Machine, Result, ServerRate, SubjectFacts, Trial, WarmUp
from edge_rai.bench.saving import from_json, load, save, to_json
from edge_rai.bench.series import YARDSTICK, Subject
from edge_rai.bench.summary import summarize, warnings_of
from support.bench_runs import result, slowing
from support.simulated_machine import SimulatedMachine, jittered, worker

RESULT = result(1, duration_s=2)


def test_lists_of_one_block_that_differ_in_length_are_refused() -> None:
    found = json.loads(to_json(RESULT))
    found["scenarios"][0]["series"][0]["blocks"]["median_ns"].pop()
    with pytest.raises(ValueError, match=r"series\[0\].blocks: its three lists differ in length"):
        from_json(json.dumps(found))


def full() -> Result:
    """With every kind of part."""
    machine = SimulatedMachine()
    run = closed_loop([Subject("m", worker(machine, jittered(1e6), b), b) for b in (1, 2)], machine, duration_s=1)
    rate = ServerRate("m", 1, 99.0, 10**7, 800.5, None, [Trial(800.5, 1000, 9e6, True)])
    scenarios = [
        *RESULT.scenarios,
        summarize("offline", run, duration_s=1, seed=0),
        summarize("server", Run(run.series[:1], WarmUp(1.0, 10, True)), duration_s=1, seed=0, server=[rate]),
    ]
    fixed = {"cpu": "x", "cores": 2, "virtual": None, "versions": {"numpy": "2"}}
    return dataclasses.replace(
        RESULT,
        machine=Machine(fixed, {"mhz": 1.5}, [{"at_s": 1.0}], {}),
        subjects=[SubjectFacts("m", {"bytes": 12, "accuracy": None})],
        scenarios=scenarios,
        warnings=["hot"],
        complete=False,
    )


def test_a_result_comes_back_from_json_as_it_was() -> None:
    assert from_json(to_json(full())) == full()


def test_a_saved_result_and_its_samples_can_be_loaded(tmp_path) -> None:
    machine = SimulatedMachine()
    run = closed_loop([Subject("m", worker(machine, jittered(1e6), 1))], machine, duration_s=1)
    found = dataclasses.replace(RESULT, scenarios=[summarize("single_stream", run, duration_s=1, seed=0)])
    path = tmp_path / "run.json"
    save(path, RESULT)
    save(path, found, {"single_stream": run})
    assert load(path) == found
    with np.load(tmp_path / "run.npz") as samples:
        latency = samples["single_stream.0.ended_ns"] - samples["single_stream.0.scheduled_ns"]
        assert (latency == run.series[0].latency_ns).all()
        assert (samples["single_stream.0.block"] == run.series[0].block).all()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run.json", "run.npz"]


def test_a_result_that_cannot_be_written_leaves_the_one_before(tmp_path) -> None:
    path = tmp_path / "run.json"
    save(path, RESULT)
    broken = dataclasses.replace(RESULT, machine=Machine({"mhz": float("nan")}, {}, [], {}))
    with pytest.raises(ValueError, match="JSON"):
        save(path, broken)
    assert load(path) == RESULT


def changed(change) -> str:
    parsed = json.loads(to_json(RESULT))
    change(parsed)
    return json.dumps(parsed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "this is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "no result of the bench"),
        ('{"version": NaN}', "holds NaN"),
        (changed(lambda r: r.update(version=2)), "of version 2; this program reads version 1"),
        (changed(lambda r: r.pop("seed", None) or r.pop("warnings")), "result.warnings is missing"),
        (changed(lambda r: r.update(extra=1)), "result.extra is no field"),
        (changed(lambda r: r.update(complete=1)), "result.complete is 1; expected bool"),
        (changed(lambda r: r.update(made_unix_ns=1.5)), "result.made_unix_ns is 1.5; expected int"),
        (changed(lambda r: r.update(warnings=None)), "result.warnings is None; expected list"),
        (
            changed(lambda r: r["scenarios"][0]["series"][0]["percentiles"][1].update(ns="1")),
            r"result.scenarios\[0\].series\[0\].percentiles\[1\].ns is '1'; expected float",
        ),
        (changed(lambda r: r["scenarios"][0].update(warm_up=[])), r"warm_up is \[\]; expected an object"),
    ],
)
def test_what_is_no_result_is_refused_in_one_sentence(text, said) -> None:
    with pytest.raises(ValueError, match=said):
        from_json(text)


def test_a_file_that_is_no_result_is_named(tmp_path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"other\.json: "):
        load(path)


def test_a_summary_of_a_run_that_was_cut_short_before_its_first_round_has_no_series() -> None:
    empty = Run([], WarmUp(0.0, 0, False))
    assert summarize("single_stream", empty, duration_s=1, seed=0).series == []


def test_throttling_unsettled_warm_up_and_few_queries_are_said() -> None:
    machine = SimulatedMachine()
    subjects = [
        Subject("hot", slowing(machine, jittered(1e6), 1.25, 5.0, 1)),
        Subject(YARDSTICK, worker(machine, jittered(1e5), 2)),
    ]
    run = closed_loop(subjects, machine, duration_s=10)
    said = warnings_of(summarize("single_stream", run, duration_s=10, seed=0))
    assert len(said) == 2
    assert "single_stream: hot slowed down: 1.2" in said[0]
    assert "hot answered" in said[1]
    assert "p90 (24,576), p99 (270,336), p99.9 (2,654,208)" in said[1]
    unsteady = summarize("offline", Run(run.series[1:], WarmUp(2.0, 50, False)), duration_s=10, seed=0)
    assert ["not yet settled" in sentence for sentence in warnings_of(unsteady)] == [True]
