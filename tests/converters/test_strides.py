"""Strides at which rows know nothing of each other, from data whose law is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edge_rai.policy import Drift, FeatureReference, FeatureRule, InputRule, OutputRule, Policy, StateRule
from edge_rai_converters.errors import DataError
from edge_rai_converters.strides import find_strides, stride_of, watched

Values = npt.NDArray[np.float64]


def autoregressive(random: np.random.Generator, rho: float, rows: int) -> Values:
    steps = random.normal(size=rows) * np.sqrt(1 - rho**2)
    values = np.empty(rows)
    last = random.normal()
    for row, step in enumerate(steps):
        values[row] = last = rho * last + step
    return values


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


def test_independent_rows_of_any_law_need_no_stride(random: np.random.Generator) -> None:
    laws = (
        random.normal(size=(20, 5000)),
        random.standard_t(3, size=(20, 5000)),
        np.exp(random.normal(size=(20, 5000))),
        random.integers(0, 3, size=(20, 5000)),
        random.random(size=(20, 5000)) < 0.02,
    )
    for law in laws:
        assert sum(stride_of(values) == 1 for values in law) >= 19
    assert stride_of(np.ones(5000)) == 1
    assert stride_of(np.full(5000, np.nan)) == 1


@pytest.mark.parametrize(("rho", "least", "most"), [(0.3, 4, 5), (0.5, 6, 9), (0.7, 11, 17), (0.9, 36, 60)])
def test_correlation_that_decays_is_left_behind(rho: float, least: int, most: int) -> None:
    """The stride at which 0.01 is left is ln(0.01) / ln(rho): 4, 7, 13 and 44 rows."""
    for seed in range(5):
        values = autoregressive(np.random.default_rng(seed), rho, 10000)
        assert least <= stride_of(values) <= most
        assert least <= stride_of(np.exp(2 * values)) <= most


def test_rare_events_that_nothing_binds_together_are_watched(random: np.random.Generator) -> None:
    """One row of a hundred: where a few of them lie equally far apart, as some always do, nothing correlates."""
    found = [stride_of((random.random(4000) < 0.01).astype(np.float64)) for _ in range(40)]
    assert set(found) <= {1, 2}
    bursts = np.repeat(random.random(1000) < 0.01, 4).astype(np.float64)
    assert stride_of(bursts) >= 4


def test_spread_that_comes_in_clusters_is_seen_although_levels_are_not_correlated(random: np.random.Generator) -> None:
    values = np.exp(autoregressive(random, 0.9, 10000)) * random.normal(size=10000)
    assert stride_of(values) > 15


def test_cycles_walks_and_trends_cannot_be_left_behind(random: np.random.Generator) -> None:
    rows = np.arange(5000)
    assert stride_of(np.sin(rows * 2 * np.pi / 24) + random.normal(size=5000)) == 0
    assert stride_of(np.cumsum(random.normal(size=5000))) == 0
    for period in (300, 1440, 2000):
        weak = 0.2 * np.sin(np.arange(10000) * 2 * np.pi / period)
        strides = [stride_of(weak + random.normal(size=10000)) for _ in range(6)]
        assert all(stride == 0 or stride > 100 for stride in strides)  # of so few rows nobody would see it
    assert stride_of(rows + random.normal(size=5000) * 2000) == 0


def test_a_stride_leaves_fifty_rows_or_the_feature_is_not_watched(random: np.random.Generator) -> None:
    assert stride_of(autoregressive(random, 0.9, 1000)) == 0


def test_features_of_tables_get_strides_and_no_others(random: np.random.Generator) -> None:
    features = (FeatureRule("level"), FeatureRule("noise"), FeatureRule("clock"))
    inputs = (
        InputRule("x", "float32", (-1, 3), max_shape=(9, 3), feature_axis=1, features=features),
        InputRule("image", "uint8", (-1, 4, 4), max_shape=(9, 4, 4)),
        InputRule("h", "float32", (-1, 1), max_shape=(9, 1), feature_axis=1, features=(FeatureRule("h0"),)),
    )
    outputs = (OutputRule("y", "float32", (-1, 1)), OutputRule("h next", "float32", (-1, 1)))
    policy = Policy(1, True, inputs, outputs, states=(StateRule("h", "h next", 0),))
    table = np.stack([autoregressive(random, 0.5, 5000), random.normal(size=5000), np.arange(5000.0)], axis=1)
    rows = {
        "x": table[:, None].astype(np.float32),
        "image": np.zeros((5000, 1, 4, 4), np.uint8),
        "h": np.zeros((5000, 1, 1), np.float32),
    }
    counts = np.full(2, 2500, np.uint64)
    known = [FeatureReference("x", f.name, 5000, 0.0, 1.0, np.zeros(1), counts) for f in features]
    strides = find_strides(policy, known, rows)
    assert list(strides) == ["level", "noise", "clock"]
    assert 5 <= strides["level"] <= 9
    assert (strides["noise"], strides["clock"]) == (1, 0)
    rule = watched(policy, strides, 1e6).drift
    assert rule is not None
    assert (rule.average_run_length, rule.strides) == (1e6, {"level": strides["level"], "clock": 0})
    clock = {**rows, "x": np.repeat(rows["x"][..., 2:], 3, axis=2)}
    with pytest.raises(DataError, match="rows depend on each other however far apart they are"):
        watched(policy, find_strides(policy, known, clock), 1e6)
    assert find_strides(policy, [], rows) == {}
    assert watched(policy, {}, 1e6).drift == Drift(1e6)  # what is observed besides is watched
