from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_rai.errors import PolicyError
from edge_rai.policy import (
    FeatureReference,
    FeatureRule,
    InputRule,
    Missing,
    OutputRule,
    Policy,
    StateRule,
    compile_policy,
    parse_policy,
    policy_to_toml,
)
from edge_rai.types import TensorSpec
from edge_rai_converters.distance import learn_distances
from edge_rai_converters.profile import Traits, check_policy, learn_policy, rows_within
from edge_rai_converters.reference import BINS, learn_features

OUTPUT = (TensorSpec("y", "float32", (None, 2)),)
BATCHED = Traits(batched=True)


def learn(rows: np.ndarray, shape: tuple[int | None, ...]) -> Policy:
    dtype = "string" if rows.dtype.kind == "U" else rows.dtype.name
    return learn_policy((TensorSpec("x", dtype, shape),), OUTPUT, {"x": rows}, BATCHED)


def reference(policy: Policy, rows: np.ndarray) -> tuple[FeatureReference, ...]:
    return learn_features(policy, {"x": rows}, np.arange(len(rows)))


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ((10, 14), 8.0, 16.0),
        ((1, 5), 0.0, 7.0),
        ((-5, -1), -7.0, 0.0),
        ((-2, 2), -4.0, 4.0),
        ((0, 4), 0.0, 6.0),
        ((3, 3), None, None),
    ],
)
def test_limits_leave_half_the_span_but_do_not_cross_zero(
    values: tuple[float, ...], low: float | None, high: float | None
) -> None:
    (feature,) = learn(column(*values), (None, 1)).inputs[0].features
    assert (feature.low, feature.high) == (low, high)


@given(
    hnp.arrays(
        np.float32,
        st.integers(1, 300),
        elements=st.floats(-100, 100, width=32) | st.sampled_from([0.0, -0.0, 1.0, 2.0]),
    )
)
def test_bins_hold_what_their_definition_says(values: np.ndarray) -> None:
    rows = values.reshape(-1, 1, 1)
    (entry,) = reference(learn(rows, (None, 1)), rows)
    bounds = [-np.inf, *entry.edges.tolist(), np.inf]
    expected = [int(np.sum((values > low) & (values <= high))) for low, high in pairwise(bounds)]
    assert entry.counts.tolist() == expected
    assert len(entry.counts) <= BINS
    assert np.all(np.diff(entry.edges) > 0)
    assert entry.counts[-1] > 0
    assert entry.mean == pytest.approx(values.astype(np.float64).mean(), abs=1e-9)
    assert entry.stddev == pytest.approx(values.astype(np.float64).std(), abs=1e-9)


def test_distinct_values_fill_thirty_two_equal_bins() -> None:
    rows = np.random.default_rng(0).permutation(3200).astype(np.float32).reshape(-1, 1, 1)
    (entry,) = reference(learn(rows, (None, 1)), rows)
    assert entry.counts.tolist() == [100] * BINS


@pytest.mark.parametrize(
    ("shape", "call", "axis", "features", "stride"),
    [
        ((None, 30), (1, 30), 1, 30, 1),
        ((None, 2000), (1, 2000), None, 1, 1),
        ((None, 3, None, None), (1, 3, 64, 64), 1, 3, 4),
        ((None, 64, 64, 3), (1, 64, 64, 3), 3, 3, 4),
        ((None, 64, 8, 8), (1, 64, 8, 8), None, 1, 4),
        ((None, 100, 7), (1, 100, 7), None, 1, 1),
    ],
)
def test_features_and_stride_follow_from_the_shape(
    shape: tuple[int | None, ...], call: tuple[int, ...], axis: int | None, features: int, stride: int
) -> None:
    rows = np.random.default_rng(0).normal(size=(5, *call)).astype(np.float32)
    rule = learn(rows, shape).inputs[0]
    assert (rule.feature_axis, len(rule.features), rule.sketch_stride) == (axis, features, stride)
    assert rule.features[0].name == ("x" if axis is None else "x[0]")


def test_free_axes_are_bounded_by_twice_what_was_seen() -> None:
    rows = np.zeros((4, 1, 3, 10, 20), dtype=np.float32)
    assert learn(rows, (None, 3, None, None)).inputs[0].max_shape == (65536, 3, 20, 40)


def test_reference_samples_every_stride_th_value_of_each_row() -> None:
    rows = np.random.default_rng(1).normal(size=(6, 1, 2, 50, 50)).astype(np.float32)
    policy = learn(rows, (None, 2, 50, 50))
    stride = policy.inputs[0].sketch_stride
    assert stride == 2
    for index, entry in enumerate(reference(policy, rows)):
        sampled = np.concatenate([row[0, index].reshape(-1)[::stride] for row in rows])
        assert int(entry.counts.sum()) == len(sampled)
        assert entry.mean == pytest.approx(float(sampled.astype(np.float64).mean()))


def test_names_outputs_and_defaults_are_written() -> None:
    outputs = (TensorSpec("label", "int64", (None,)), TensorSpec("p", "float32", (None, 2)))
    policy = learn_policy(
        (TensorSpec("x", "float32", (None, 2)),),
        outputs,
        {"x": np.zeros((4, 1, 2), np.float32)},
        Traits(True, ("a", "b"), frozenset({"p"})),
    )
    assert [feature.name for feature in policy.inputs[0].features] == ["a", "b"]
    assert policy.outputs[0] == OutputRule("label", "int64", (-1,), finite=False, default=(-1.0,))
    assert policy.outputs[1].finite is False
    assert np.isnan(policy.outputs[1].default).tolist() == [True]


def test_rows_within_are_those_inside_every_limit() -> None:
    rows = np.array([[1, 10], [2, 20], [3, 30]], dtype=np.float32).reshape(3, 1, 2)
    policy = learn(rows, (None, 2))
    shown = np.array([[2, 20], [2, 41], [-1, 20], [4, 40]], dtype=np.float32).reshape(4, 1, 2)
    assert rows_within(policy, {"x": shown}, np.arange(4)).tolist() == [True, False, False, True]


def test_policy_for_another_model_is_refused() -> None:
    inputs = (TensorSpec("x", "float32", (None, 3)),)
    outputs = (OutputRule("y", "float32", (-1, 2)),)

    def policy(name: str, shape: tuple[int, ...], *, batched: bool = True) -> Policy:
        rule = InputRule(name, "float32", shape, (*[64], *shape[1:]) if shape[0] < 0 else ())
        return Policy(format_version=1, batched=batched, inputs=(rule,), outputs=outputs)

    check_policy(policy("x", (-1, 3)), inputs, OUTPUT)
    check_policy(policy("x", (8, 3), batched=False), inputs, OUTPUT)
    with pytest.raises(PolicyError, match=r"inputs of the policy are \['z'\], of the model \['x'\]"):
        check_policy(policy("z", (-1, 3)), inputs, OUTPUT)
    with pytest.raises(PolicyError, match=r"inputs\.x is float32 \[-1, 4\] in the policy and float32 \[-1, 3\]"):
        check_policy(policy("x", (-1, 4)), inputs, OUTPUT)


def test_single_column_is_called_what_its_input_is_called() -> None:
    assert learn(column(1, 2), (None, 1)).inputs[0].features[0].name == "x"


def test_generated_feature_names_are_unique_over_all_inputs() -> None:
    inputs = (TensorSpec("a", "float32", (None, 2)), TensorSpec("a[1]", "float32", (None, 3, 3)))
    rows = {"a": np.ones((4, 1, 2), np.float32), "a[1]": np.ones((4, 1, 3, 3), np.float32)}
    policy = learn_policy(inputs, OUTPUT, rows, BATCHED)
    assert [feature.name for rule in policy.inputs for feature in rule.features] == ["a[0]", "a[1]", "a[1]'"]


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.array([10, 13], np.int64), 8.0, 15.0),
        (np.array([0, 255], np.uint8), None, None),
        (np.array([0, 100], np.uint8), None, 150.0),
        (np.array([-100, 100], np.int8), None, None),
        (np.array([2, 40], np.uint16), None, 59.0),
        (np.array([0, 2**31 - 1], np.int32), 0.0, None),
        (np.array([False, True]), None, None),
        (np.array([0.1, 0.4]), 0.0, 0.55),
        (np.array([1, 2], np.float16), 0.5, 2.5),
        (np.array([0, 3e38], np.float32), 0.0, None),
    ],
)
def test_limits_fit_the_type_of_the_input(values: np.ndarray, low: float | None, high: float | None) -> None:
    policy = learn(values.reshape(-1, 1, 1), (None, 1))
    (feature,) = policy.inputs[0].features
    assert (feature.low, feature.high) == (low, pytest.approx(high))
    assert parse_policy(policy_to_toml(policy)).inputs == policy.inputs
    assert compile_policy(policy, None)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"])
def test_reference_of_whole_numbers_counts_each_value(dtype: str) -> None:
    rows = np.array([0, 1, 1, 0, 1] * 20).astype(dtype).reshape(-1, 1, 1)
    (entry,) = reference(learn(rows, (None, 1)), rows)
    assert (entry.edges.tolist(), entry.counts.tolist(), entry.mean) == ([0.0], [40, 60], 0.6)


def test_strings_of_few_kinds_become_categories() -> None:
    rows = np.array([["red", "a"], ["blue", "b"], ["red", "c"], ["\u00e9", "d"]] * 10).reshape(-1, 1, 2)
    colour, _ = learn(rows, (None, 2)).inputs[0].features
    assert colour == FeatureRule("x[0]", categories=("blue", "red", "\u00e9"))
    assert reference(learn(rows, (None, 2)), rows) == ()
    assert compile_policy(learn(rows, (None, 2)), None)


@pytest.mark.parametrize(("kinds", "repeats"), [(65, 20), (10, 9)])
def test_strings_of_many_kinds_are_held_to_a_length(kinds: int, repeats: int) -> None:
    rows = np.array([("w" * (2 + place % 5)) + str(place % 10) * (place // 10 + 1) for place in range(kinds)] * repeats)
    (feature,) = learn(rows.reshape(-1, 1, 1), (None, 1)).inputs[0].features
    lengths = [len(text) for text in rows]
    assert feature.categories == ()
    assert feature.length == (min(lengths) // 2, -(-3 * max(lengths) // 2))


def test_sixty_four_kinds_in_ten_times_as_many_rows_are_still_categories() -> None:
    rows = np.array([f"w{place}" for place in range(64)] * 10).reshape(-1, 1, 1)
    assert len(learn(rows, (None, 1)).inputs[0].features[0].categories) == 64


def test_state_is_held_to_its_shape_alone_and_has_no_reference() -> None:
    inputs = (TensorSpec("x", "float32", (None, 2)), TensorSpec("h", "float32", (None, 4)))
    outputs = (*OUTPUT, TensorSpec("next h", "float32", (None, 4)))
    state = StateRule("h", "next h", 0)
    rows = {"x": np.random.default_rng(0).normal(size=(40, 1, 2)).astype(np.float32), "h": np.zeros((40, 1, 4))}
    policy = learn_policy(inputs, outputs, rows, Traits(batched=True, states=(state,)))
    assert policy.states == (state,)
    assert policy.inputs[1].features == (FeatureRule("h"),)
    assert [entry.input for entry in learn_features(policy, rows, np.arange(40))] == ["x", "x"]


def test_output_that_is_no_tensor_of_numbers_is_only_named() -> None:
    outputs = (TensorSpec("map", "object", ()), TensorSpec("label", "string", (None,)))
    policy = learn_policy((TensorSpec("x", "float32", (None, 1)),), outputs, {"x": np.zeros((4, 1, 1), "f")}, BATCHED)
    assert policy.outputs[0] == OutputRule("map", "object", (), finite=False)
    assert policy.outputs[1] == OutputRule("label", "string", (-1,), finite=False)
    assert compile_policy(policy, None)


def test_missing_values_have_no_part_in_the_reference() -> None:
    rows = np.array([[1, -999], [np.nan, 2], [3, 4], [np.nan, -999]], np.float32).reshape(4, 1, 2)
    features = (FeatureRule("a", missing=Missing()), FeatureRule("b", missing=Missing(value=-999.0)))
    rule = InputRule("x", "float32", (-1, 2), (9, 2), feature_axis=1, features=features)
    policy = Policy(1, True, (rule,), (OutputRule("y", "float32", (-1, 2)),))
    first, second = reference(policy, rows)
    assert (first.mean, int(first.counts.sum())) == (2.0, 2)
    assert (second.mean, int(second.counts.sum())) == (3.0, 2)


def test_memory_of_learning_does_not_grow_with_the_data() -> None:
    def peak(count: int) -> int:
        rows = np.random.default_rng(0).normal(size=(count, 1, 16)).astype(np.float32)
        index = np.flatnonzero(np.arange(count) % 4 != 3)
        tracemalloc.start()
        policy = learn_policy((TensorSpec("x", "float32", (None, 16)),), OUTPUT, {"x": rows}, BATCHED, index)
        learn_features(policy, {"x": rows}, index)
        found = learn_distances(policy, {"x": rows}, index, "auto", 0.01)
        assert not isinstance(found["x"], str)
        (_, most), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
        return most

    assert peak(1_600_000) < 1.3 * peak(400_000)


@pytest.mark.parametrize(
    ("dtype", "values", "low", "high"),
    [
        ("int64", range(2**60 + 1, 2**60 + 401), 2**60 - 199, 2**60 + 600),
        ("int64", range(-(2**60) - 400, -(2**60)), -(2**60) - 600, -(2**60) + 199),
        ("uint64", range(2**64 - 6000, 2**64 - 4000), 2**64 - 7000, 2**64 - 3000),
        ("uint64", range(2**64 - 100, 2**64), 2**64 - 150, None),
        ("int64", range(3, 14), 0, 18),
        ("int8", (-128, 127), None, None),
    ],
)
def test_limits_of_great_whole_numbers_hold_the_margin(
    dtype: str, values: Sequence[int], low: int | None, high: int | None
) -> None:
    rows = np.array(values, dtype).reshape(-1, 1, 1)
    (feature,) = learn_policy((TensorSpec("x", dtype, (None, 1)),), OUTPUT, {"x": rows}, BATCHED).inputs[0].features
    for learned, exact, step in ((feature.low, low, -1), (feature.high, high, 1)):
        if exact is None or learned is None:
            assert learned is exact
        else:
            assert 0 <= step * (int(learned) - exact) < 2048, "outward, and by less than the next double"


def test_sentinel_that_its_type_rounds_has_no_part_in_the_reference() -> None:
    rows = np.array([1, -99.9, 3], np.float32).reshape(3, 1, 1)
    rule = InputRule(
        "x", "float32", (-1, 1), (9, 1), feature_axis=1, features=(FeatureRule("a", missing=Missing(value=-99.9)),)
    )
    (learned,) = reference(Policy(1, True, (rule,), (OutputRule("y", "float32", (-1, 1)),)), rows)
    assert (learned.mean, int(learned.counts.sum())) == (2.0, 2)
