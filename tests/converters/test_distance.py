from __future__ import annotations

import json
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rai.policy import FeatureRule, InputRule, Missing, OutputRule, Policy, StateRule
from edge_rai_converters.data import drawn
from edge_rai_converters.distance import (
    LearnedDistance,
    _shrunk_covariance,
    _thinned,
    learn_distance,
    learn_distances,
    relearn_distances,
    report,
    squared_distances,
    table,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(generator: np.random.Generator, rows: int) -> np.ndarray:
    mixing = np.random.default_rng(7).normal(size=(10, 10))
    return generator.normal(size=(rows, 10)) @ mixing + 100


def heavy_tails(generator: np.random.Generator, rows: int) -> np.ndarray:
    return generator.standard_t(3, size=(rows, 10)) * np.arange(1, 11)


def two_groups(generator: np.random.Generator, rows: int) -> np.ndarray:
    group = generator.integers(0, 2, size=(rows, 1))
    return generator.normal(size=(rows, 10)) * (1 + 3 * group) + 20 * group


def skewed(generator: np.random.Generator, rows: int) -> np.ndarray:
    return generator.lognormal(sigma=1.5, size=(rows, 10))


def learned(values: np.ndarray, **options: object) -> LearnedDistance:
    found = learn_distance("x", values, **options)  # type: ignore[arg-type]
    assert isinstance(found, LearnedDistance)
    return found


@pytest.mark.parametrize("rows", [40, 400])
def test_covariance_is_that_of_ledoit_and_wolf(rows: int) -> None:
    from sklearn.covariance import LedoitWolf

    values = normal(np.random.default_rng(rows), rows)
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(_shrunk_covariance(z), LedoitWolf().fit(z).covariance_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("features", [1, 2, 30, 64])
def test_full_distance_is_that_of_mahalanobis(features: int) -> None:
    from scipy.spatial.distance import mahalanobis

    generator = np.random.default_rng(features)
    values = generator.normal(size=(300, features)) @ generator.normal(size=(features, features)) + 5
    found = learned(values)
    reference = found.reference
    z = (values - reference.mean) * reference.scale
    inverse = np.linalg.inv(_shrunk_covariance(z[~drawn(300, 3)]))
    expected = [mahalanobis(row, np.zeros(features), inverse) ** 2 for row in z]
    assert (found.rule.kind, reference.rest, reference.projection.shape) == ("full", 0.0, (features, features))
    np.testing.assert_allclose(squared_distances(reference, values), expected, rtol=1e-4)


def test_diagonal_distance_is_the_sum_of_standardized_squares() -> None:
    values = normal(np.random.default_rng(0), 300)
    reference = learned(values, kind="diagonal").reference
    taught = values[~drawn(300, 3)]
    expected = (((values - taught.mean(axis=0)) / taught.std(axis=0)) ** 2).sum(axis=1)
    np.testing.assert_allclose(squared_distances(reference, values), expected, rtol=1e-9)


@pytest.mark.parametrize("features", [2, 17, 100])
def test_low_rank_distance_shares_one_variance_beyond_the_leading_directions(features: int) -> None:
    from scipy.spatial.distance import mahalanobis

    generator = np.random.default_rng(features)
    values = generator.normal(size=(600, features)) @ generator.normal(size=(features, features))
    found = learned(values, kind="low_rank")
    reference = found.reference
    z = (values - reference.mean) * reference.scale
    variances, directions = np.linalg.eigh(_shrunk_covariance(z[~drawn(600, 3)]))
    kept = min(16, features - 1)
    variances[: features - kept] = variances[: features - kept].mean()
    inverse = directions @ np.diag(1 / variances) @ directions.T
    expected = [mahalanobis(row, np.zeros(features), inverse) ** 2 for row in z]
    assert reference.projection.shape == (kept, features)
    np.testing.assert_allclose(squared_distances(reference, values), expected, rtol=1e-3)


def test_kind_follows_from_the_number_of_features() -> None:
    generator = np.random.default_rng(0)
    assert learned(generator.normal(size=(400, 64))).rule.kind == "full"
    assert learned(generator.normal(size=(400, 65))).rule.kind == "low_rank"


@pytest.mark.parametrize("draw", [normal, heavy_tails, two_groups, skewed])
@pytest.mark.parametrize(("rows", "rate"), [(300, 0.05), (900, 0.01), (90, 0.01)])
@pytest.mark.parametrize("kind", ["full", "low_rank", "diagonal"])
def test_stated_false_rejection_rate_holds_on_fresh_rows(draw: Draw, rows: int, rate: float, kind: str) -> None:
    shares = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        found = learned(draw(generator, rows), rate=rate, kind=kind)
        squared = squared_distances(found.reference, draw(generator, 500))
        shares.append(float((squared > found.rule.threshold).mean()))
    stated = found.rule.false_rejection_rate
    assert stated == max(rate, 1 / (rows // 3 + 1))
    spread = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) <= stated + 2 * spread
    assert np.mean(shares) > stated / 3, "a threshold that rejects nothing keeps any rate"


def test_far_row_that_is_within_every_limit_is_far() -> None:
    generator = np.random.default_rng(0)
    height = generator.normal(170, 10, size=600)
    values = np.stack([height, height + generator.normal(0, 1, size=600)], axis=1)
    found = learned(values)
    inside, against = np.array([[180.0, 180.5]]), np.array([[180.0, 160.0]])
    assert squared_distances(found.reference, inside)[0] < found.rule.threshold
    assert squared_distances(found.reference, against)[0] > 10 * found.rule.threshold


def test_missing_value_counts_as_the_mean() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(300, 3))
    values[::7, 1] = np.nan
    reference = learned(values).reference
    with_mean = values.copy()
    with_mean[::7, 1] = reference.mean[1]
    np.testing.assert_allclose(squared_distances(reference, values), squared_distances(reference, with_mean))


def test_feature_that_never_varies_or_is_always_missing_has_no_part() -> None:
    values = np.random.default_rng(0).normal(size=(300, 4))
    values[:, 1], values[:, 2] = 7.0, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reference = learned(values).reference
    far = values[:1].copy()
    far[0, 1], far[0, 2] = 1e9, 1e9
    np.testing.assert_allclose(squared_distances(reference, far), squared_distances(reference, values[:1]))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.random.default_rng(0).normal(size=(47, 3)), "47 rows leave 15 for its threshold, and at least 16"),
        (np.ones((300, 3)), "every feature is constant"),
        (np.full((300, 3), np.nan), "every feature is constant"),
    ],
)
def test_reason_says_why_there_is_no_distance(values: np.ndarray, why: str) -> None:
    found = learn_distance("x", values)
    assert isinstance(found, str)
    assert why in found


@given(st.integers(48, 400), st.integers(1, 6), st.floats(1e-3, 0.5), st.integers(0, 2**32 - 1))
def test_threshold_rejects_no_more_of_its_own_rows_than_the_rate(
    rows: int, features: int, rate: float, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, features))
    found = learned(values, rate=rate)
    squared = squared_distances(found.reference, values[drawn(rows, 3)])
    assert found.rows == len(squared)
    assert (squared > found.rule.threshold).mean() <= rate


def policy(**inputs: InputRule) -> Policy:
    return Policy(1, True, tuple(inputs.values()), (OutputRule("y", "float32", (-1,)),))


def columns(name: str, dtype: str = "float32", count: int = 3, *shape: int) -> InputRule:
    names = tuple(FeatureRule(f"{name}{place}") for place in range(count))
    return InputRule(
        name, dtype, (-1, count, *shape), (9, count, *shape), feature_axis=1, features=names  # type: ignore[arg-type]
    )  # fmt: skip


def test_only_columns_of_floats_get_a_distance_unasked() -> None:
    generator = np.random.default_rng(0)
    rules = policy(
        a=columns("a"),
        b=columns("b", "int64"),
        c=columns("c", "string"),
        d=columns("d", "float32", 3, 4),
        e=InputRule("e", "float32", (-1, 3), (9, 3)),
    )
    rows = {
        "a": generator.normal(size=(300, 1, 3)),
        "b": generator.integers(0, 9, size=(300, 1, 3)),
        "c": np.full((300, 1, 3), "word"),
        "d": generator.normal(size=(300, 1, 3, 4)),
        "e": generator.normal(size=(300, 1, 3)),
    }
    index = np.arange(300)
    found = learn_distances(rules, rows, index, "auto", 0.01)
    assert isinstance(found["a"], LearnedDistance)
    assert "int64" in str(found["b"])
    assert found["c"] == "it holds no numbers"
    assert found["d"] == "it has more than one value a feature and row"
    assert found["e"] == "it has no columns"
    assert isinstance(learn_distances(rules, rows, index, "diagonal", 0.01)["b"], LearnedDistance)
    assert learn_distances(rules, rows, index, "none", 0.01) == {}


def test_inputs_share_the_rate_and_single_columns_need_no_distance() -> None:
    generator = np.random.default_rng(0)
    rules = policy(a=columns("a"), b=columns("b", "float64"), c=columns("c", "float32", 1))
    rows = {
        name: generator.normal(size=(9000, 1, len(rule.features)))
        for name, rule in zip("abc", rules.inputs, strict=True)
    }
    found = learn_distances(rules, rows, np.arange(9000), "auto", 0.1)
    assert found["c"] == "it has one column, and its limits say as much"
    fresh = generator.normal(size=(2, 20000, 3))
    above = np.zeros(20000, bool)
    for name, values in zip("ab", fresh, strict=True):
        entry = found[name]
        assert isinstance(entry, LearnedDistance)
        assert entry.rule.false_rejection_rate == 0.05
        above |= squared_distances(entry.reference, values) > entry.rule.threshold
    assert 0.08 < above.mean() <= 0.105


def test_what_cannot_be_asked_for_is_refused() -> None:
    rules, rows = policy(a=columns("a", count=65)), {"a": np.random.default_rng(0).normal(size=(300, 1, 65))}
    for rate in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="it must be more than 0 and less than 1"):
            learn_distances(rules, rows, np.arange(300), "auto", rate)
    with pytest.raises(ValueError, match="input 'a' has 65 features; a full distance takes 64"):
        learn_distances(rules, rows, np.arange(300), "full", 0.01)


def test_state_has_no_distance() -> None:
    rules = Policy(
        1,
        True,
        (columns("a"), columns("h")),
        (OutputRule("y", "float32", (-1, 3)),),
        states=(StateRule("h", "y", 0),),
    )
    rows = {"a": np.random.default_rng(0).normal(size=(300, 1, 3)), "h": np.zeros((300, 1, 3))}
    assert set(learn_distances(rules, rows, np.arange(300), "auto", 0.01)) == {"a"}


def test_sentinels_of_missing_values_are_read_as_missing() -> None:
    rule = InputRule(
        "a", "float32", (-1, 1), (9, 1), feature_axis=1, features=(FeatureRule("a", missing=Missing(value=-999.0)),)
    )
    values = table(rule, np.array([[[1.0]], [[-999.0]]], np.float32), np.arange(2))
    assert values.tolist()[0] == [1.0]
    assert np.isnan(values[1, 0])


def test_written_distance_keeps_its_threshold_and_is_measured_with_it() -> None:
    from dataclasses import replace

    from edge_rai.policy import Distance

    generator = np.random.default_rng(0)
    rows = {"a": generator.normal(size=(400, 1, 3))}
    wished = Distance(threshold=2.0, kind="diagonal", false_rejection_rate=0.1, verdict="flag")
    rules = policy(a=replace(columns("a"), distance=wished))
    index, held_back = np.arange(300), np.arange(300, 400)
    (found,) = relearn_distances(rules, rows, index, 0.01).values()
    assert (found.rule.kind, found.rule.false_rejection_rate) == ("diagonal", 0.1)
    said = report(rules.inputs[0], wished, found, rows["a"], held_back)
    squared = squared_distances(found.reference, rows["a"][300:, 0])
    assert (said.threshold, said.held_back, said.above) == (2.0, 100, int((squared > 2).sum()))
    assert json.dumps(said.above)


@pytest.mark.parametrize("constant", [0.1, 0.3, 1.1, 13.7])
def test_column_of_one_value_has_no_part_however_its_mean_rounds(constant: float) -> None:
    values = np.random.default_rng(0).normal(size=(400, 3))
    values[:, 2] = constant
    assert learned(values).reference.scale[2] == 0


@pytest.mark.parametrize("kind", ["full", "low_rank"])
@pytest.mark.parametrize("shape", ["twice", "halves", "copies", "multiple"])
def test_columns_that_say_the_same_have_a_distance_of_measured_weights(kind: str, shape: str) -> None:
    generator = np.random.default_rng(0)
    first, other = generator.normal(size=(2, 4000))
    flag = (np.arange(4000) // 4) % 2
    columns_of = {
        "twice": [first, first, other],
        "halves": [flag, 1 - flag],
        "copies": [((np.arange(4000) // 3) % 2)] * 40,
        "multiple": [first, 2 * first, other],
    }
    found = learned(np.stack(columns_of[shape], axis=1).astype(np.float32), kind=kind)
    reference = found.reference
    inverse = reference.projection.T @ np.diag(reference.weights) @ reference.projection
    assert np.abs(inverse).max() + reference.rest < 1e5
    assert found.rule.threshold < 1e4


def test_sentinel_that_its_type_rounds_is_read_as_missing() -> None:
    rule = InputRule(
        "a", "float32", (-1, 1), (9, 1), feature_axis=1, features=(FeatureRule("a", missing=Missing(value=-99.9)),)
    )
    values = table(rule, np.array([[[1.0]], [[-99.9]]], np.float32), np.arange(2))
    assert np.isnan(values[:, 0]).tolist() == [False, True]


def test_image_whose_extents_are_free_has_no_distance() -> None:
    names = tuple(FeatureRule(f"c{place}") for place in range(3))
    image = InputRule("a", "float32", (-1, 3, -1, -1), (9, 3, 8, 8), feature_axis=1, features=names)
    found = learn_distances(policy(a=image), {"a": np.zeros((300, 1, 3, 4, 4))}, np.arange(300), "auto", 0.01)
    assert found == {"a": "it has more than one value a feature and row"}


def test_thinned_rows_are_not_in_step_with_devices_that_take_turns() -> None:
    thinned = _thinned(np.arange(4_000_000), 2)
    assert 400_000 < len(thinned) < 600_000
    counts = np.bincount(thinned % 4)
    assert counts.min() > 0.9 * counts.mean()
