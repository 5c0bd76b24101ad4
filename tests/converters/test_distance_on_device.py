"""What the device computes against what is exact, for references of every shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import edge_rai
from edge_rai import PolicyError, ReasonCode, bundle
from edge_rai.policy import Distance, DistanceReference, FeatureRule, InputRule, OutputRule, Policy, Reference
from edge_rai_converters import convert, distance
from edge_rai_converters.distance import (
    TOLERANCE,
    LearnedDistance,
    learn_distance,
    relearn_distances,
    squared_distances,
)
from edge_rai_converters.on_device import distances_on_device

SHAPES = ("flag", "rare flag", "constant", "one-hot", "number", "copies", "near copies", "heavy tails")


def block(generator: np.random.Generator, shape: str, rows: int, width: int) -> np.ndarray:
    """(rows, width) columns that have one thing to say between them, or nothing, or one each."""
    once = generator.normal(size=(rows, 1))
    values = {
        "flag": generator.integers(0, 2, size=(rows, 1)),
        "rare flag": generator.random((rows, 1)) < 0.03,
        "constant": np.full((rows, 1), 0.3),
        "one-hot": np.eye(width)[generator.integers(0, width, size=rows)],
        "number": generator.normal(size=(rows, width)),
        "copies": once,
        "near copies": once + 1e-3 * generator.normal(size=(rows, width)),
        "heavy tails": generator.standard_t(2, size=(rows, 1)),
    }
    return np.broadcast_to(values[shape], (rows, width)).astype(np.float64)


@st.composite
def tables(draw: st.DrawFn, least: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and fresh ones, in float32: some blocks, each on a scale of its own."""
    features, rows, fresh = draw(st.integers(least, most)), draw(st.integers(96, 400)), 400
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns: list[np.ndarray] = []
    while (left := features - sum(part.shape[1] for part in columns)) > 0:
        made = block(generator, draw(st.sampled_from(SHAPES)), rows + fresh, draw(st.integers(1, left)))
        columns.append((made + draw(st.sampled_from((0.0, 1.0, -50.0)))) * 10.0 ** draw(st.integers(-6, 6)))
    values = np.concatenate(columns, axis=1).astype(np.float32).astype(np.float64)
    return values[:rows], values[rows:]


def spoiled(values: np.ndarray) -> np.ndarray:
    """Rows as no reference has them: a column of another row's, one far away, one missing; all at once times ten."""
    turned, far, gone = values.copy(), values.copy(), values.copy()
    turned[:, 0], far[:, -1], gone[:, 0] = values[::-1, 0], 1e3 * values[:, -1] + 1, np.nan
    return np.concatenate([turned, far, gone, 10 * values])


def check(values: np.ndarray, fresh: np.ndarray, kind: distance.Kind) -> None:
    found = learn_distance("x", values, kind=kind)
    if isinstance(found, str):
        assert "every feature is constant" in found
        return
    reference, rows = found.reference, np.concatenate([values, fresh, spoiled(fresh)])
    came = distances_on_device(reference, rows)
    np.testing.assert_allclose(came, squared_distances(reference, rows), rtol=TOLERANCE, atol=0)
    # A fresh row is above the greatest of n exchangeable ones with a probability whose share beyond s is (1 - s)^n.
    above = (came[len(values) : len(values) + len(fresh)] > found.rule.threshold).mean()
    assert above <= 1 - 1e-9 ** (1 / found.rows) + 0.05


@settings(max_examples=40, deadline=None)
@given(tables(65, 300))
def test_wide_rows_of_any_structure_are_as_far_on_the_device_as_they_are(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    check(*drawn, "low_rank")


@settings(max_examples=30, deadline=None)
@given(tables(2, 64), st.sampled_from(("full", "low_rank", "diagonal")))
def test_narrow_rows_of_any_structure_are_as_far_on_the_device_as_they_are(
    drawn: tuple[np.ndarray, np.ndarray], kind: distance.Kind
) -> None:
    check(*drawn, kind)


@pytest.mark.parametrize("count", [65, 100, 300])
@pytest.mark.parametrize("copies", ["flag", "rare flag", "copies"])
def test_copies_of_a_column_leave_a_distance_that_finds_one_that_differs(count: int, copies: str) -> None:
    generator = np.random.default_rng(count)
    parts = [block(generator, shape, 1200, count // 3) for shape in (copies, "constant")]
    values = np.concatenate([*parts, block(generator, "number", 1200, 10)], axis=1)
    found = learn_distance("x", values, kind="low_rank")
    assert isinstance(found, LearnedDistance)
    differs = values[:100].copy()
    differs[:, 3] += 2 * values[:, 3].std()
    assert (distances_on_device(found.reference, differs) > found.rule.threshold).mean() > 0.95


def random_reference(features: int) -> DistanceReference:
    generator = np.random.default_rng(features)
    return DistanceReference(
        "copy",
        generator.normal(size=features),
        generator.uniform(0.5, 2, size=features),
        generator.normal(size=(2, features)).astype(np.float32),
        np.array([1, 0.5], np.float32),
        0.25,
    )


def test_more_rows_than_fit_in_a_call_keep_their_order() -> None:
    reference = random_reference(2)
    rows = np.random.default_rng(0).normal(size=(70_000, 2))
    np.testing.assert_allclose(distances_on_device(reference, rows), squared_distances(reference, rows), rtol=1e-4)


def test_mean_and_missing_values_have_no_distance_on_the_device() -> None:
    reference = random_reference(3)
    rows = np.stack([reference.mean, np.full(3, np.nan), reference.mean + 1])
    came = distances_on_device(reference, rows)
    assert came[:2].tolist() == [0, 0]
    assert came[2] > 0


def test_distance_that_the_device_gets_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(300, 4)) @ generator.normal(size=(4, 4))
    monkeypatch.setattr(distance, "TOLERANCE", 1e-12)  # of float32, more than it can give
    found = learn_distance("x", values)
    assert isinstance(found, str)
    assert "the device's full distance of a row held back is" in found
    assert "a diagonal one can be asked for" in found
    columns = tuple(FeatureRule(f"x{place}") for place in range(4))
    rule = InputRule("x", "float64", (-1, 4), (9, 4), feature_axis=1, features=columns, distance=Distance(3.0))
    written = Policy(1, True, (rule,), (OutputRule("y", "float32", (-1,)),))
    with pytest.raises(PolicyError, match="input 'x' has a distance in the policy, but the device's full distance"):
        relearn_distances(written, {"x": values[:, np.newaxis]}, np.arange(300), 0.01)


def hundred_columns(copied: str, rows: int, generator: np.random.Generator) -> np.ndarray:
    """Sixty copies of one column, three that are one-hot, and constants; a few numbers of their own for the numbers."""
    values = np.full((rows, 100), 7.3)
    once = {
        "flag": generator.integers(0, 2, size=rows),
        "rare flag": generator.random(rows) < 0.03,
        "number": 3 * generator.normal(size=rows) + 100,
        "heavy tails": generator.standard_t(3, size=rows),
    }[copied]
    values[:, :60] = once[:, np.newaxis]
    if copied != "flag":
        values[:, 60:63] = np.eye(3)[generator.integers(0, 3, size=rows)]
    if copied in ("number", "heavy tails"):
        values[:, 63:70] = generator.normal(size=(rows, 7)) * 10.0 ** np.arange(-3, 4)
    return values.astype(np.float32)


@pytest.mark.parametrize("copied", ["flag", "rare flag", "number", "heavy tails"])
def test_good_rows_of_many_equal_columns_are_rejected_at_the_stated_rate(
    make_model: Callable[..., Path], tmp_path: Path, copied: str
) -> None:
    model = make_model(
        [helper.make_node("Gemm", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["N", 100])],
        [("y", TensorProto.FLOAT, ["N", 2])],
        {"w": np.full((100, 2), 0.01, np.float32)},
    )
    generator = np.random.default_rng(1)
    np.savez(tmp_path / "data.npz", x=hundred_columns(copied, 4000, generator))
    report = convert(model, tmp_path / "data.npz", tmp_path / "m.erai", prune="none", quantize="none")
    (entry,) = report.distances
    assert (entry.kind, entry.false_rejection_rate, entry.rows) == ("low_rank", 0.01, 1000)
    fresh = hundred_columns(copied, 20_000, generator)
    with edge_rai.load(tmp_path / "m.erai") as session:
        reasons = session.predict(fresh).reasons
    far = {reason.row: reason.value for reason in reasons if reason.code == ReasonCode.OUT_OF_DISTRIBUTION}
    # 10 of 1001 places for a row are above the threshold: its rate is Beta(10, 991), and 4 sigma are 1.3 points.
    assert len(far) / len(fresh) <= 0.01 + 0.013
    if copied in ("number", "heavy tails"):
        assert len(far) / len(fresh) > 0.002
    (reference,) = Reference.from_json(bundle.read(tmp_path / "m.erai").files["reference/reference.json"]).distances
    measured = distances_on_device(reference, fresh.astype(np.float64))
    assert far == {row: measured[row] for row in np.flatnonzero(measured > entry.threshold)}
