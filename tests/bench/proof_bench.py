"""The bench on systems under test whose law is known, in simulated time: counted over hundreds of runs."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from edge_rai.bench.compare import compare
from support.bench_runs import NOISY, covered, result, throttled, verdicts
from support.laws import bimodal, constant, stalling

pytestmark = pytest.mark.proof

RUNS = 200


@pytest.mark.parametrize("law", [constant, bimodal, stalling], ids=lambda law: law.__name__)
def test_intervals_at_95_percent_hold_the_true_percentile_in_93_to_97_percent_of_1000_runs(law) -> None:
    shares = covered(law, runs=1000, duration_s=12)
    held = ", ".join(f"p{percent:g} {share:.1%}" for percent, share in shares.items())
    sys.stdout.write(f"{law.__name__}: {held}\n")
    assert all(0.93 <= share <= 0.97 for share in shares.values())


@pytest.mark.parametrize("mood", [{}, {"stalls_per_s": 3.0, "stall_s": 0.01}, NOISY], ids=["quiet", "stalls", "noisy"])
def test_planted_throttling_is_reported_and_a_steady_subject_is_not_in_200_of_200_runs(mood) -> None:
    assert throttled(RUNS, 1.0, **mood) == [None] * RUNS
    found = throttled(RUNS, 1.2, **mood)
    assert None not in found
    assert all(step.ratio == pytest.approx(1.2, abs=0.05) for step in found)


@pytest.mark.parametrize("mood_s", [0.05, 0.7, 5.0])
@pytest.mark.parametrize("ns", [1e6, 3e7], ids=["1 ms", "30 ms"])
def test_a_subject_beside_itself_cannot_be_told_and_five_percent_are_found(mood_s, ns) -> None:
    machine = {**NOISY, "mood_s": mood_s}
    same = Counter(verdicts(RUNS, 1.0, ns=ns, **machine))
    slower = Counter(verdicts(RUNS, 1.05, ns=ns, **machine))
    said = f"{ns / 1e6:g} ms, clock turns every {mood_s:g} s: same {dict(same)}, 5 % slower {dict(slower)}"
    sys.stdout.write(f"one run, {said}\n")
    assert same["cannot tell"] >= 0.95 * RUNS
    assert slower["faster"] == 0
    if ns < 3e7:  # of 30 ms a call, 20 s hold too few to find it always
        assert slower["slower"] >= 0.95 * RUNS


@pytest.mark.parametrize("mood_s", [0.05, 0.7, 5.0])
def test_two_saved_runs_of_the_same_cannot_be_told_and_five_percent_are_found(mood_s) -> None:
    machine = {**NOISY, "mood_s": mood_s}
    found = {1.0: Counter(), 1.05: Counter()}
    for slower, counts in found.items():
        for seed in range(RUNS):
            (row,) = compare(result(2 * seed, **machine), result(2 * seed + 1, slower, **machine)).rows
            counts[row.verdict] += 1
    said = f"clock turns every {mood_s:g} s: same {dict(found[1.0])}, 5 % slower {dict(found[1.05])}"
    sys.stdout.write(f"two runs, {said}\n")
    assert found[1.0]["cannot tell"] >= 0.95 * RUNS
    assert found[1.05]["slower"] >= 0.95 * RUNS
