from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_rai.errors import PolicyError
from edge_rai.policy import InputRule, OutputRule, Policy
from edge_rai.types import TensorSpec
from edge_rai_converters.profile import BINS, check_policy, learn_policy, learn_reference, rows_within

OUTPUT = (TensorSpec("y", "float32", (None, 2)),)


def learn(rows: np.ndarray, shape: tuple[int | None, ...], **options: object) -> Policy:
    return learn_policy((TensorSpec("x", "float32", shape),), OUTPUT, {"x": rows}, batched=True, **options)


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
    (entry,) = learn_reference(learn(rows, (None, 1)), {"x": rows}).features
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
    (entry,) = learn_reference(learn(rows, (None, 1)), {"x": rows}).features
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
    for index, entry in enumerate(learn_reference(policy, {"x": rows}).features):
        sampled = np.concatenate([row[0, index].reshape(-1)[::stride] for row in rows])
        assert int(entry.counts.sum()) == len(sampled)
        assert entry.mean == pytest.approx(float(sampled.astype(np.float64).mean()))


def test_names_outputs_and_defaults_are_written() -> None:
    outputs = (TensorSpec("label", "int64", (None,)), TensorSpec("p", "float32", (None, 2)))
    policy = learn_policy(
        (TensorSpec("x", "float32", (None, 2)),),
        outputs,
        {"x": np.zeros((4, 1, 2), np.float32)},
        batched=True,
        feature_names=("a", "b"),
        unbounded_outputs=frozenset({"p"}),
    )
    assert [feature.name for feature in policy.inputs[0].features] == ["a", "b"]
    assert policy.outputs[0] == OutputRule("label", "int64", (-1,), finite=False, default=(-1.0,))
    assert policy.outputs[1].finite is False
    assert np.isnan(policy.outputs[1].default).tolist() == [True]


def test_rows_within_are_those_inside_every_limit() -> None:
    rows = np.array([[1, 10], [2, 20], [3, 30]], dtype=np.float32).reshape(3, 1, 2)
    policy = learn(rows, (None, 2))
    shown = np.array([[2, 20], [2, 41], [-1, 20], [4, 40]], dtype=np.float32).reshape(4, 1, 2)
    assert rows_within(policy, {"x": shown}).tolist() == [True, False, False, True]


def test_policy_for_another_model_is_refused() -> None:
    inputs = (TensorSpec("x", "float32", (None, 3)),)
    outputs = (OutputRule("y", "float32", (-1, 2)),)

    def policy(name: str, shape: tuple[int, ...], *, batched: bool = True) -> Policy:
        rule = InputRule(name, "float32", shape, (*[64], *shape[1:]) if shape[0] < 0 else ())
        return Policy(format_version=1, batched=batched, inputs=(rule,), outputs=outputs)

    check_policy(policy("x", (-1, 3)), inputs, OUTPUT, batched=True)
    check_policy(policy("x", (8, 3), batched=False), inputs, OUTPUT, batched=True)
    with pytest.raises(PolicyError, match=r"inputs of the policy are \['z'\], of the model \['x'\]"):
        check_policy(policy("z", (-1, 3)), inputs, OUTPUT, batched=True)
    with pytest.raises(PolicyError, match=r"inputs\.x is float32 \[-1, 4\] in the policy and float32 \[-1, 3\]"):
        check_policy(policy("x", (-1, 4)), inputs, OUTPUT, batched=True)
    with pytest.raises(PolicyError, match="does not answer one row for each"):
        check_policy(policy("x", (-1, 3)), inputs, OUTPUT, batched=False)


def test_generated_feature_names_are_unique_over_all_inputs() -> None:
    inputs = (TensorSpec("a", "float32", (None, 2)), TensorSpec("a[1]", "float32", (None, 3, 3)))
    rows = {"a": np.ones((4, 1, 2), np.float32), "a[1]": np.ones((4, 1, 3, 3), np.float32)}
    policy = learn_policy(inputs, OUTPUT, rows, batched=True)
    assert [feature.name for rule in policy.inputs for feature in rule.features] == ["a[0]", "a[1]", "a[1]'"]
