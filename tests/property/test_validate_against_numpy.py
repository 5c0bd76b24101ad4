from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_rai import Session, load
from edge_rai._native import psi
from edge_rai.policy import FeatureReference, FeatureRule, InputRule, OutputRule, Policy, Reference
from edge_rai.types import Answer, FeatureCounts, Verdict
from support.bundles import write_bundle
from support.guard_reference import Floats, finding, judge_input, standardized
from support.models import save_identities

GREATEST = float(np.finfo(np.float32).max)
FREE = 2**31 - 1


@cache
def folder() -> Path:
    """One model for each list of ranks, kept for the whole run."""
    return Path(tempfile.mkdtemp(prefix="edge_rai-property-"))


@cache
def identities(ranks: tuple[int, ...]) -> Path:
    return save_identities(folder() / f"{'-'.join(map(str, ranks))}.onnx", ranks)


@contextmanager
def guarded(rules: tuple[InputRule, ...], batched: bool, references: tuple[FeatureReference, ...]) -> Iterator[Session]:
    """A session whose model returns its inputs, so that only the guard is at work."""
    outputs = tuple(
        OutputRule(f"y{i}", "float32", (-1,) * len(rule.shape), finite=False, default=(7.0,))
        for i, rule in enumerate(rules)
    )
    policy = Policy(format_version=1, batched=batched, inputs=rules, outputs=outputs)
    model = identities(tuple(len(rule.shape) for rule in rules))
    golden = {rule.name: np.ones((1,) * len(rule.shape), np.float32) for rule in rules}
    bundle = write_bundle(folder() / "guarded.erai", model, policy, golden, Reference(references))
    with load(bundle, threads=1) as session:
        yield session


def special_values(feature: FeatureRule, reference: FeatureReference | None) -> st.SearchStrategy[Any]:
    """Floats of every kind, and often exactly where something changes."""
    near = [0.0, -0.0, np.inf, -np.inf, GREATEST, -GREATEST, 1e-45, -1e-45, 1.1754942e-38]
    near += [limit for limit in (feature.low, feature.high) if limit is not None]
    if reference is not None:
        near += [float(edge) for edge in reference.edges]
    with np.errstate(all="ignore"):
        steps = [np.nextafter(np.float32(value), np.float32(to)) for value in near for to in (-np.inf, np.inf)]
    bits = st.integers(0, 2**32 - 1).map(lambda pattern: float(np.uint32(pattern).view(np.float32)))
    return st.one_of(st.sampled_from(near + [float(step) for step in steps]), st.floats(-5, 5, width=32), bits)


finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
limits = st.none() | st.floats(-4, 4, width=32) | st.sampled_from([GREATEST, -GREATEST, 0.0])


@st.composite
def feature_rules(draw: st.DrawFn, name: str) -> FeatureRule:
    low, high = draw(limits), draw(limits)
    if low is not None and high is not None and low > high:
        low, high = high, low
    return FeatureRule(name, low, high)


@st.composite
def feature_references(draw: st.DrawFn, owner: str, name: str) -> FeatureReference | None:
    if draw(st.booleans()):
        return None
    edges = sorted(draw(st.sets(finite32.map(lambda value: value + 0.0), max_size=31)))
    mean = draw(st.floats(-3, 3) | finite32 | st.sampled_from([1e300, -1e300]))
    stddev = draw(st.floats(0.01, 10) | st.sampled_from([0.0, 1e-300, 1e300, 1e-40, 3e38]))
    counts = np.arange(len(edges) + 1, dtype=np.uint64)
    return FeatureReference(owner, name, 100, mean, stddev, np.array(edges, np.float32), counts)


@st.composite
def inputs(draw: st.DrawFn, name: str, batched: bool, rows: int) -> tuple[InputRule, list[FeatureReference], Floats]:
    rank = draw(st.integers(1, 4))
    shape = [draw(st.integers(1, 4)) for _ in range(rank)]
    if batched:
        shape[0] = rows
    axis = draw(st.sampled_from([None, *range(int(batched), rank)]))
    free = [draw(st.booleans()) and i != axis for i in range(rank)]
    free[0] |= batched
    labels = [f"{name}.{i}" for i in range(1 if axis is None else shape[axis])]
    features = tuple(draw(feature_rules(label)) for label in labels)
    known = [draw(feature_references(name, label)) for label in labels]
    rule = InputRule(
        name=name,
        dtype="float32",
        shape=tuple(-1 if is_free else extent for is_free, extent in zip(free, shape, strict=True)),
        max_shape=tuple(FREE if is_free else extent for is_free, extent in zip(free, shape, strict=True)),
        finite=draw(st.booleans()),
        out_of_range=draw(st.sampled_from(["reject", "flag"])),
        feature_axis=axis,
        sketch_stride=draw(st.integers(1, 5)),
        features=features,
    )
    values = np.empty(shape, np.float32)
    by_feature = values.reshape(1, *shape) if axis is None else np.moveaxis(values, axis, 0)
    for f, (feature, reference) in enumerate(zip(features, known, strict=True)):
        part = by_feature[f : f + 1]
        drawn = draw(st.lists(special_values(feature, reference), min_size=part.size, max_size=part.size))
        with np.errstate(over="ignore", invalid="ignore"):
            part[...] = np.array(drawn, np.float64).astype(np.float32).reshape(part.shape)
    return rule, [reference for reference in known if reference is not None], values


@st.composite
def calls(draw: st.DrawFn) -> tuple[bool, list[tuple[InputRule, list[FeatureReference], Floats]]]:
    batched, rows = draw(st.booleans()), draw(st.integers(1, 5))
    return batched, [draw(inputs(f"x{i}", batched, rows)) for i in range(draw(st.integers(1, 2)))]


def findings_of(answer: Answer) -> list[Any]:
    return sorted(finding(*reason[:2], reason.row, *reason[2:4], reason.element) for reason in answer.reasons)


def assert_counts(counted: FeatureCounts, expected: Any) -> None:
    got = (counted.histogram.tolist(), counted.not_finite, counted.sum, counted.sum_squares)
    assert got == (expected.histogram.tolist(), expected.not_finite, expected.sum, expected.sum_squares)


@settings(max_examples=250)
@given(calls())
def test_verdicts_reasons_and_sketches_are_those_of_numpy(
    call: tuple[bool, list[tuple[InputRule, list[FeatureReference], Floats]]],
) -> None:
    batched, parts = call
    rules = tuple(rule for rule, _, _ in parts)
    references = [reference for _, known, _ in parts for reference in known]
    with guarded(rules, batched, tuple(references)) as session:
        answer = session.predict({rule.name: values for rule, _, values in parts})
        snapshot = session.snapshot()
    judged = [
        judge_input(rule, values, batched, {reference.name: reference for reference in known})
        for rule, known, values in parts
    ]
    verdicts = np.maximum.reduce([rows for rows, _, _ in judged])
    assert answer.row_verdicts.tolist() == verdicts.tolist()
    assert answer.verdict == verdicts.max()
    assert findings_of(answer) == sorted(found for _, findings, _ in judged for found in findings)
    for counted, expected in zip(snapshot.features, (one for _, _, made in judged for one in made), strict=True):
        assert_counts(counted, expected)
    assert snapshot.rows_by_verdict.tolist() == np.bincount(verdicts, minlength=3).tolist()
    assert_outputs(answer, verdicts, batched, [values for _, _, values in parts])


def assert_outputs(answer: Answer, verdicts: npt.NDArray[np.uint8], batched: bool, inputs: list[Floats]) -> None:
    """The model is the identity: a row that was not rejected comes back bit for bit, a rejected one is the default."""
    for i, values in enumerate(inputs):
        given_rows = values if batched else values[np.newaxis]
        got = answer.outputs[f"y{i}"] if batched else answer.outputs[f"y{i}"][np.newaxis]
        for row, verdict in enumerate(verdicts):
            if verdict == Verdict.REJECT:
                assert (got[row] == 7).all()
            else:
                assert got[row].tobytes() == given_rows[row].tobytes()


def test_order_of_findings_is_rows_then_elements() -> None:
    features = tuple(FeatureRule(name, 0.0, 1.0) for name in "abc")
    rule = InputRule("x0", "float32", (-1, 3), (FREE, 3), feature_axis=1, features=features)
    values = np.array([[0, 2, -1], [0.5, 0.5, 0.5], [np.nan, 0, 3]], np.float32)
    with guarded((rule,), True, ()) as session:
        reasons = session.predict(values).reasons
    assert [(reason.row, reason.subject, reason.element) for reason in reasons] == [
        (0, "b", 1),
        (0, "c", 2),
        (2, "a", 0),
        (2, "c", 2),
    ]


@pytest.mark.parametrize("payload", [0x7FC00000, 0x7F800001, 0xFFC00123, 0x7FFFFFFF, 0xFF800000, 0x7F800000])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 2), (1, 2, 5), (2, 3, 4, 5)])
def test_every_nan_and_infinity_is_seen_wherever_it_stands(payload: int, shape: tuple[int, ...]) -> None:
    size = shape[1]
    features = tuple(FeatureRule(str(i)) for i in range(size))
    free = (-1, size, *[-1] * (len(shape) - 2))
    rule = InputRule(
        "x0", "float32", free, tuple(FREE if n < 0 else n for n in free), feature_axis=1, features=features
    )
    with guarded((rule,), True, ()) as session:
        for at in range(int(np.prod(shape))):
            values = np.ones(shape, np.float32)
            values.view(np.uint32).flat[at] = payload
            answer = session.predict(values)
            (reason,) = answer.reasons
            place = np.unravel_index(at, shape)
            row_size = int(np.prod(shape[1:]))
            assert (reason.row, reason.subject, reason.element) == (place[0], str(place[1]), at % row_size)
            assert answer.row_verdicts.tolist() == [2 * (row == place[0]) for row in range(shape[0])]


@settings(max_examples=300)
@given(
    st.lists(finite32, min_size=1, max_size=40),
    st.floats(-3, 3) | finite32,
    st.floats(1e-3, 1e3) | st.floats(1e-38, 1e38),
)
@example([-GREATEST, GREATEST], GREATEST, 0.0)  # infinity times zero
def test_integer_moments_are_those_of_float32_arithmetic(drawn: list[float], mean: float, stddev: float) -> None:
    values = np.array(drawn, np.float32).reshape(-1, 1)
    reference = FeatureReference("x0", "f", 9, mean, stddev, np.array([0], np.float32), np.array([4, 5], np.uint64))
    rule = InputRule("x0", "float32", (-1, 1), (FREE, 1), feature_axis=1, features=(FeatureRule("f"),))
    with guarded((rule,), True, (reference,)) as session:
        session.predict(values)
        (counted,) = session.snapshot().features
    integers = standardized(values[:, 0], mean, stddev)
    assert (counted.sum, counted.sum_squares) == (int(integers.sum()), int((integers**2).sum()))


def test_halves_round_to_even() -> None:
    reference = FeatureReference("x0", "f", 9, 0.0, 256.0, np.array([], np.float32), np.array([9], np.uint64))
    rule = InputRule("x0", "float32", (-1,), (FREE,), features=(FeatureRule("f"),))
    for value, expected in ((0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (2047.5, 2048), (0.50000006, 1)):
        with guarded((rule,), True, (reference,)) as session:
            session.predict(np.array([value], np.float32))
            assert session.snapshot().features[0].sum == expected


counts = st.lists(st.integers(0, 2**40), min_size=1, max_size=32)


@given(st.data(), counts)
def test_psi_is_that_of_its_formula(data: st.DataObject, reference: list[int]) -> None:
    window = data.draw(st.lists(st.integers(0, 2**40), min_size=len(reference), max_size=len(reference)))
    first, second = np.array(reference, np.uint64), np.array(window, np.uint64)
    if not sum(reference) or not sum(window):
        assert psi(first, second) == 0
        return
    q = (first + 0.5) / (first.sum() + len(first) / 2)
    p = (second + 0.5) / (second.sum() + len(second) / 2)
    expected = float(((p - q) * np.log(p / q)).sum())
    assert psi(first, second) == pytest.approx(expected, rel=1e-9, abs=1e-12)
