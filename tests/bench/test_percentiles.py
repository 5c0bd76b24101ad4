"""Percentiles, their intervals, and the number of queries that they ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_rai.bench.percentiles import (
    PERCENTS,
    independent_queries,
    interval_ranks,
    percentile,
    percentile_of,
    queries_needed,
)
from support.bench_runs import covered
from support.laws import bimodal, constant, exactly_constant, stalling


def binomial_share(n: int, share: float, low: int | None, high: int | None) -> float:
    """The exact probability that more than `low` and at most `high` of n values lie below the quantile."""
    first, last = 0 if low is None else low + 1, n if high is None else high
    log_share, log_rest = math.log(share), math.log1p(-share)
    return math.fsum(
        math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_share + (n - k) * log_rest)
        for k in range(first, last + 1)
    )


# Table IV of Reddi et al., MLPerf Inference Benchmark (arXiv:1911.02549): 3, 7 and 33 times 2^13.
@pytest.mark.parametrize(("percent", "queries"), [(90, 24_576), (95, 57_344), (99, 270_336)])
def test_queries_needed_are_those_of_loadgens_paper(percent, queries) -> None:
    assert queries_needed(percent) == queries


@pytest.mark.parametrize("n", [8, 60, 500, 3000])
@pytest.mark.parametrize("percent", PERCENTS)
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_ranks_hold_the_quantile_as_often_as_they_say(n, percent, confidence) -> None:
    ranks = interval_ranks(n, percent / 100, confidence)
    assert binomial_share(n, percent / 100, ranks.low, ranks.high) >= confidence
    if ranks.low is not None:  # one rank less at either end would be too few
        assert binomial_share(n, percent / 100, ranks.low + 1, ranks.high) < confidence
    if ranks.high is not None:
        assert binomial_share(n, percent / 100, ranks.low, ranks.high - 1) < confidence


def test_ranks_of_a_million_values_hold_the_quantile_as_often_as_they_say() -> None:
    ranks = interval_ranks(1_000_000, 0.99, 0.95)
    assert 0.95 <= binomial_share(1_000_000, 0.99, ranks.low, ranks.high) < 0.951


def test_an_end_that_too_few_queries_leave_open_is_none() -> None:
    found = percentile(np.arange(100), 99.9, 100)
    assert found.high_95_ns is None
    assert found.high_99_ns is None
    assert not found.claimed


@pytest.mark.parametrize(("percent", "value"), [(50, 499), (99, 989), (99.9, 998), (100, 999), (0.01, 0)])
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(percent, value) -> None:
    assert percentile_of(np.arange(1000), percent) == value


def test_independent_values_count_in_full_and_values_that_come_in_runs_for_fewer() -> None:
    drawn = np.random.default_rng(1).normal(size=1000)
    assert independent_queries(np.tile(drawn, 20), 50) == 20_000
    assert independent_queries(np.repeat(drawn, 20), 50) == pytest.approx(1000, rel=0.6)


def test_values_that_are_all_equal_count_in_full() -> None:
    assert independent_queries(np.full(10_000, 7), 99) == 10_000


@pytest.mark.parametrize("law", [constant, bimodal, stalling], ids=lambda law: law.__name__)
def test_intervals_at_95_percent_hold_the_true_percentile(law) -> None:
    shares = covered(law, runs=150, duration_s=1.5)
    assert all(share >= 0.9 for share in shares.values()), shares  # of 150 runs: 3 standard errors below 0.95
    assert min(shares.values()) < 1, "intervals that always hold the truth say too little"


def test_the_interval_of_an_exact_constant_is_the_constant() -> None:
    found = percentile(np.sort(exactly_constant(np.random.default_rng(1).random(10_000))), 99, 10_000)
    assert found.low_95_ns == found.ns == found.high_95_ns == 3e5


def test_intervals_are_wider_where_calls_resemble_their_neighbours() -> None:
    rng = np.random.default_rng(4)
    moods = np.repeat(rng.random(100) < 0.3, 100)
    latency = 1e6 * (1 + 0.01 * rng.random(10_000)) * np.where(moods, 1.7, 1.0)
    shuffled = rng.permutation(latency)
    widths = []
    for values in (latency, shuffled):
        found = percentile(np.sort(values), 70, independent_queries(values, 70))
        widths.append(found.high_95_ns - found.low_95_ns)
    assert widths[0] > 3 * widths[1]
