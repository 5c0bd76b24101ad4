"""The bench on the machine that this runs on, whatever else runs there: a network beside itself, and 5 % slower."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import permutations
from pathlib import Path

import pytest

from edge_rai.bench.closed_loop import Run
from edge_rai.bench.compare import compare
from edge_rai.bench.processes import in_processes
from edge_rai.bench.ratios import ratio_of
from edge_rai.bench.result import Machine, Result
from edge_rai.bench.summary import summarize
from edge_rai.bench.throttling import find_throttling
from support.bench_models import measured, perceptron, slowing

pytestmark = pytest.mark.proof

RUNS, DURATION_S = 5, 20.0


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return perceptron(tmp_path_factory.mktemp("real") / "network.onnx", 30, 64, 32, 2)


@pytest.fixture(scope="module")
def runs(path: Path) -> list[Run]:
    return [in_processes(partial(measured, path=path, seed=seed, duration_s=DURATION_S)) for seed in range(RUNS)]


def saved(run: Run, subject: str) -> Result:
    """A result of one subject, under the name of the model, and of the yardstick."""
    kept = {series.subject: series for series in run.series}
    series = [replace(kept[subject], subject="model"), kept["yardstick"]]
    scenario = summarize("single_stream", replace(run, series=series), duration_s=DURATION_S, seed=0)
    return Result(["edge-rai", "bench"], 0, "edge-rai bench 0", Machine({}, {}, [], {}), [], [scenario])


def said(what: str, verdicts: list[str]) -> Counter[str]:
    counts = Counter(verdicts)
    sys.stdout.write(f"{what}: {dict(counts)}\n")
    return counts


def test_in_one_run_the_same_cannot_be_told_and_five_percent_are_found(runs: list[Run]) -> None:
    ratios = {"same": [], "slower": []}
    for run in runs:
        model, *others, _ = run.series
        for series in others:
            ratio = ratio_of(series, model, run.processes)
            ratios[series.subject].append(ratio)
            sys.stdout.write(f"{series.subject} {ratio.ratio:.3f} ({ratio.low_99:.3f} to {ratio.high_99:.3f})\n")
    same = said("one run, same", [ratio.verdict for ratio in ratios["same"]])
    slower = said("one run, 5 % slower", [ratio.verdict for ratio in ratios["slower"]])
    assert same["cannot tell"] >= RUNS - 1
    assert slower["slower"] == RUNS


def test_between_two_runs_the_same_cannot_be_told_and_five_percent_are_found(runs: list[Run]) -> None:
    results = {name: [saved(run, name) for run in runs] for name in ("model", "slower")}
    found = {"model": [], "slower": []}
    for first, second in permutations(range(RUNS), 2):
        for name, verdicts in found.items():
            (row,) = compare(results["model"][first], results[name][second]).rows
            verdicts.append(row.verdict)
            sys.stdout.write(f"{name} {row.ratio:.3f} ({row.low:.3f} to {row.high:.3f})\n")
    same, slower = said("two runs, same", found["model"]), said("two runs, 5 % slower", found["slower"])
    assert same["cannot tell"] >= 0.95 * same.total()
    assert slower["slower"] >= 0.8 * slower.total()


def test_twenty_percent_slower_from_halfway_is_reported_and_a_steady_model_is_not(path: Path) -> None:
    found = {times: [find_throttling(*slowing(path, times, 5.0).series) for _ in range(RUNS)] for times in (20, 24)}
    ratios = [step and round(step.ratio, 2) for step in found[24]]
    sys.stdout.write(f"one process, steady {found[20]}; 20 % slower from halfway on {ratios}\n")
    assert found[20] == [None] * RUNS
    assert all(ratio is not None and 1.1 < ratio < 1.3 for ratio in ratios)
