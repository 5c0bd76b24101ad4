"""What the gate promises, simulated: how often it passes harm, how often it passes none, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date

import numpy as np
import pytest

from edge_rai_converters.gate import judge, parse_gate_policy
from edge_rai_converters.gate.clustered import with_clusters
from edge_rai_converters.gate.counted import Counted
from edge_rai_converters.gate.means import count_means
from edge_rai_converters.gate.metrics import Events, Means, Measure, Paired, Precision
from edge_rai_converters.gate.paired import not_worse
from edge_rai_converters.gate.precision import count_precision
from edge_rai_converters.gate.shares import count_events, count_paired
from edge_rai_converters.gate.slices import Family, Slices
from support.gate_rows import flipped, of_persons, people, rows_of
from support.told import Told, telling

pytestmark = pytest.mark.proof
TODAY = date(2026, 1, 1)
ALPHA = 0.05
MOST = 0.055
RUNS = 3000
ROWS = (30, 50, 100, 200, 300, 500, 700, 1000, 2000, 3000, 5000, 10_000)
FLIPS = (0.002, 0.005, 0.01, 0.02, 0.04, 0.07, 0.1)
MARGINS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05)


SECTION = "Simulated slices: pytest -s -o python_files='proof_*.py' tests/converters/proof_gate.py"


@pytest.fixture(scope="module")
def tell() -> Iterator[Told]:
    with telling("gate.txt", SECTION) as told:
        yield told


def passing(generator: np.random.Generator, rows: int, flips: float, loss: float, margin: float) -> float:
    """Share of runs in which a cell passes that loses so much."""
    lost, gained = (flips + loss) / 2, (flips - loss) / 2
    b, c, _ = generator.multinomial(rows, [lost, gained, 1 - lost - gained], RUNS).T.astype(float)
    return float((not_worse(b, c, np.full(RUNS, float(rows)), np.full(RUNS, margin)) <= ALPHA).mean())


def test_slices_truly_worse_by_the_margin_pass_in_at_most_five_and_a_half_percent(tell: Told) -> None:
    generator = np.random.default_rng(0)
    worst: dict[tuple[int, float, float], float] = {}
    for rows in ROWS:
        for margin in MARGINS:
            for flips in (share for share in FLIPS if share >= margin):
                worst[rows, margin, flips] = passing(generator, rows, flips, margin, margin)
    ordered = sorted(worst, key=lambda cell: -worst[cell])
    shown = ", ".join(f"{worst[c]:.2%} (n {c[0]}, margin {c[1]:.1%}, flips {c[2]:.1%})" for c in ordered[:4])
    mean = np.mean(list(worst.values()))
    tell(f"passes of {RUNS} truly worse slices, {len(worst)} kinds: mean {mean:.2%}, greatest {shown}")
    tell("the greatest over the margins up to the share of flips; flips of " + ", ".join(f"{f:.1%}" for f in FLIPS))
    for rows in ROWS:
        greatest = (max(worst[rows, margin, flips] for margin in MARGINS if margin <= flips) for flips in FLIPS)
        tell(f"n {rows:6,} " + "".join(f"{share:8.2%}" for share in greatest))
    assert worst[ordered[0]] <= MOST


def test_power_is_what_the_how_to_says(tell: Told) -> None:
    generator = np.random.default_rng(1)
    tell("passes without any true change; flips of 0.3 %, 1 %, 2 %, 4 %")
    for margin in (0.01, 0.02, 0.05):
        for rows in (100, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 10_000):
            shares = [passing(generator, rows, flips, 0.0, margin) for flips in (0.003, 0.01, 0.02, 0.04)]
            tell(f"margin {margin:4.0%}  n {rows:6,}  " + "  ".join(f"{share:6.1%}" for share in shares))
    assert passing(generator, 1200, 0.01, 0.0, 0.01) >= 0.8
    assert passing(generator, 3500, 0.04, 0.0, 0.01) >= 0.8


def many_slices(rows: int, runs: int) -> Slices:
    """Each run is a slice."""
    return Slices((), np.full(runs, -1), (Family(None, np.repeat(np.arange(runs), rows), 0, runs),))


def brier(generator: np.random.Generator, total: int) -> Measure:
    """Worse by 0.01 on average, by 0.5 in one of fifty rows."""
    after = np.where(generator.random(total) < 0.02, 0.5, 0.0)
    return Means("brier", np.ones(total, bool), np.zeros(total), after, 1.0, -1)


def rmse(generator: np.random.Generator, total: int) -> Measure:
    """Roots of 0.04 and of 0.0441, which is worse by 0.01."""
    before, after = (np.where(generator.random(total) < share, 1.0, 0.0) for share in (0.04, 0.0441))
    return Means("rmse", np.ones(total, bool), before, after, 1.0, -1, root=True)


def precision(generator: np.random.Generator, total: int) -> Measure:
    """8 of 10 before; 80 of 102 after, which is worse by 1.6 points."""
    truth = generator.random(total) < 0.5
    before = np.where(truth, generator.random(total) < 0.8, generator.random(total) < 0.2)
    after = before | (~truth & (generator.random(total) < 0.025))
    return Precision("precision", np.ones(total, bool), truth, before, after)


def flips(generator: np.random.Generator, total: int) -> Measure:
    """Two of a hundred."""
    return Events("flips", np.ones(total, bool), generator.random(total) < 0.02)


def people_lost(generator: np.random.Generator, total: int) -> Measure:
    """Of people with ten rows each one of fifty loses all his right answers."""
    lost = np.repeat(generator.random(total // 10) < 0.02, 10)
    return Paired("accuracy", np.ones(total, bool), np.ones(total, bool), ~lost, 1)


COUNTS: dict[str, tuple[Callable[[np.random.Generator, int], Measure], Callable[..., Counted], float]] = {
    "brier": (brier, count_means, 0.01),
    "rmse": (rmse, count_means, 0.01),
    "precision": (precision, count_precision, 0.8 - 0.4 / (0.5 + 0.4 * 0.025)),
    "flips": (flips, count_events, 0.02),
    "people": (people_lost, count_paired, 0.02),
}


@pytest.mark.parametrize("name", COUNTS)
def test_other_metrics_at_their_margin_pass_in_at_most_five_and_a_half_percent(name: str, tell: Told) -> None:
    make, count, margin = COUNTS[name]
    generator = np.random.default_rng(2)
    shares = {}
    for rows in (30, 100, 300, 1000, 3000):
        passed = []
        for _ in range(RUNS // 300):
            slices, measure = many_slices(rows, 300), make(generator, rows * 300)
            counted = count(measure, slices, ALPHA)
            if name == "people":
                counted = with_clusters(counted, measure, np.arange(rows * 300) // 10, slices, ALPHA)
            passed.append(counted.proof.not_worse(np.full(300, margin)) <= ALPHA)
        shares[rows] = float(np.mean(passed))
    tell(f"{name} at its margin: passes " + ", ".join(f"{s:.2%} (n {n})" for n, s in shares.items()))
    assert max(shares.values()) <= MOST


POLICY = parse_gate_policy(
    """
format_version = 1
[margins]
accuracy = 0.01
[slice_margins]
accuracy = 0.02
tpr = 0.05
fpr = 0.05
[[slices]]
by = ["sex"]
[[slices]]
by = ["sex", "group"]
"""
)


def harmed(seed: int) -> Iterator[object]:
    """A candidate that is worse by 3 points in one intersection, of equal accuracy; and one that is a copy."""
    generator = np.random.default_rng(seed)
    labels, before, columns = people(generator, 20_000)
    there = (columns["sex"] == "F") & (columns["group"] == "A")
    right = (before > 0.5) == labels
    lost = generator.permutation(np.flatnonzero(there & right))[: round(0.03 * there.sum())]
    gained = generator.permutation(np.flatnonzero(~there & ~right))[: len(lost)]
    chosen = np.isin(np.arange(len(before)), np.r_[lost, gained])
    yield judge(rows_of(labels, before, flipped(before, chosen), columns), POLICY, today=TODAY)
    yield judge(rows_of(labels, before, before, columns), POLICY, today=TODAY)


def test_planted_harm_is_never_passed_and_a_copy_never_fails_in_300_runs(tell: Told) -> None:
    verdicts = [tuple(report.verdict for report in harmed(seed)) for seed in range(300)]
    planted, copies = zip(*verdicts, strict=True)
    for name, found in (("planted harm", planted), ("copies", copies)):
        tell(f"{name}: " + ", ".join(f"{found.count(v)} {v}" for v in ("pass", "fail", "inconclusive")))
    assert "pass" not in planted
    assert "fail" not in copies


def test_twenty_thousand_rows_fifty_slices_six_metrics_take_less_than_a_tenth_of_a_second(tell: Told) -> None:
    generator = np.random.default_rng(3)
    labels, before, columns = people(generator, 20_000)
    columns["region"] = np.array([f"region {place}" for place in range(32)], object)[generator.integers(0, 32, 20_000)]
    rows = rows_of(labels, before, np.clip(before + generator.normal(0, 0.01, 20_000), 0.001, 0.999), columns)
    metrics = "accuracy = 0.02\ntpr = 0.03\nfpr = 0.03\nselection_rate = 0.02\nbrier = 0.01\nflips = 0.05\n"
    slices = "".join(f"[[slices]]\nby = {by}\n" for by in ('["sex"]', '["group"]', '["sex", "group"]', '["region"]'))
    policy = parse_gate_policy(f"format_version = 1\n[margins]\n{metrics}[slice_margins]\n{metrics}{slices}")
    took = []
    for _ in range(20):
        began = time.process_time()
        report = judge(rows, policy, today=TODAY)
        took.append(time.process_time() - began)
    assert (len(report.slices), len(report.cells)) == (50, 300)
    tell(f"300 cells: {1000 * min(took):.0f} ms of one processor, median {1000 * np.median(took):.0f} ms")
    assert min(took) < 0.1


CERTIFIED = "format_version = 1\n[margins]\naccuracy = 0.5\n[certificate.abstention]\nerrors = 0.1\nabstains = 0.9\n"


def test_certificates_of_people_are_broken_in_at_most_one_of_twenty_draws(tell: Told) -> None:
    """120 people with 20 rows each, all of them wrong or none, as many as must not be: what is certified is broken."""
    policies = {"rows": parse_gate_policy(CERTIFIED), "people": parse_gate_policy(f'clusters = "person"\n{CERTIFIED}')}
    broken = dict.fromkeys(policies, 0)
    for seed in range(500):
        rows = of_persons(120, 20, 0.1, seed)
        for counted, policy in policies.items():
            broken[counted] += judge(rows, policy, today=TODAY).further["certificate"]["granted"]
    tell(f"certificates of people, broken in 500 draws: {broken['rows']} by rows, {broken['people']} by people")
    assert broken["people"] / 500 <= 0.05
    assert broken["rows"] / 500 > 0.05
