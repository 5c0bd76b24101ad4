"""The guard of an input against its reference in numpy: every type, every check, every kind of value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from edge_rai._native import psi
from edge_rai.counts import FeatureCounts
from edge_rai.policy import Distance, DistanceReference, FeatureReference, FeatureRule, InputRule, Missing
from edge_rai.types import Answer, Verdict
from support.guard_cases import (
    FREE,
    GREATEST,
    NOW_S,
    NUMBERS,
    finite32,
    guarded,
    holds_any,
    moderate_values,
    sessions,
)
from support.guard_reference import (
    FLOATS,
    SUMMED,
    Array,
    Finding,
    Memory,
    Sketch,
    UnsureError,
    dtype_of,
    held,
    is_missing,
    judge_input,
    standardized,
)

# ---- What both say ----


def bits(number: float) -> int:
    return 0 if np.isnan(number) else int(np.float64(number).view(np.uint64))  # any NaN is a NaN


def comparable(finding: Finding) -> tuple[Any, ...]:
    code, subject, row, value, limit, at = finding
    shown = 0 if code in SUMMED else bits(value)
    return (code, subject, row, shown, repr(limit), at)


def assert_same_findings(answer: Answer, expected: list[Finding]) -> None:
    got = [(int(it.code), it.subject, it.row, it.value, it.limit, it.element) for it in answer.reasons]
    got.sort(key=comparable)
    expected = sorted(expected, key=comparable)
    assert [*map(comparable, got)] == [*map(comparable, expected)]
    for one, other in zip(got, expected, strict=True):
        assert one[3] == pytest.approx(other[3], rel=1e-3, abs=1e-6, nan_ok=True)


def assert_counts(counted: FeatureCounts, sketches: Sequence[Sketch]) -> None:
    assert counted.histogram.tolist() == np.sum([one.histogram for one in sketches], axis=0).tolist()
    for name in ("not_finite", "sum", "sum_squares"):
        assert getattr(counted, name) == sum(getattr(one, name) for one in sketches)


def expected_output(rule: InputRule, values: Array, axis: int | None) -> Array:
    """The model is the identity: what it saw comes back, missing values as what they became."""
    seen = values.copy()
    by_feature = seen.reshape(1, *seen.shape) if axis is None else np.moveaxis(seen, axis, 0)
    for f, feature in enumerate(rule.features):
        part = by_feature[f : f + 1]
        for at in np.ndindex(part.shape):
            value = part[at]
            exact = float(value) if rule.dtype in FLOATS else int(value) if rule.dtype != "string" else b""
            missing = feature.missing
            if missing is not None and missing.becomes is not None and is_missing(feature, rule.dtype, exact):
                part[at] = missing.becomes
    return seen


def assert_outputs(got: Any, rule: InputRule, values: Array, verdicts: npt.NDArray[np.uint8], batched: bool) -> None:
    expected = expected_output(rule, values, rule.feature_axis)
    if not batched:
        got, expected = got[np.newaxis], expected[np.newaxis]
    for row, verdict in enumerate(verdicts):
        one, right = got[row : row + 1], expected[row : row + 1]
        if verdict == Verdict.REJECT:
            assert (one == ("" if rule.dtype == "string" else 1)).all()
        elif rule.dtype == "string":
            texts = [text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text for text in right.flat]
            assert one.ravel().tolist() == [text.decode("utf-8", "replace") for text in texts]
        else:
            assert one.tobytes() == right.tobytes()


# ---- Tests ----


@settings(max_examples=300)
@given(sessions())
def test_verdicts_reasons_sketches_and_outputs_are_those_of_numpy(
    case: tuple[bool, list[tuple[InputRule, list[FeatureReference], list[Array]]]],
) -> None:
    batched, parts = case
    references = [reference for _, known, _ in parts for reference in known]
    named = {reference.name: reference for reference in references}
    memories = [Memory() for _ in parts]
    sketches: list[list[Sketch]] = []
    counts = np.zeros(3, int)
    with guarded([rule for rule, _, _ in parts], batched, references) as session:
        for call in range(len(parts[0][2])):
            try:
                judged = [
                    judge_input(rule, arrays[call], batched, named, memory, NOW_S * 10**9)
                    for (rule, _, arrays), memory in zip(parts, memories, strict=True)
                ]
            except UnsureError:
                assume(False)
            answer = session.predict({rule.name: arrays[call] for rule, _, arrays in parts})
            verdicts = np.maximum.reduce([rows for rows, _, _ in judged])
            assert_same_findings(answer, [found for _, findings, _ in judged for found in findings])
            assert answer.row_verdicts.tolist() == verdicts.tolist()
            assert answer.verdict == verdicts.max()
            for i, (rule, _, arrays) in enumerate(parts):
                assert_outputs(answer.outputs[f"y{i}"], rule, arrays[call], verdicts, batched)
            sketches.append([one for _, _, made in judged for one in made])
            counts += np.bincount(verdicts, minlength=3)
        snapshot = session.snapshot()
    for counted, expected in zip(snapshot.features, zip(*sketches, strict=True), strict=True):
        assert_counts(counted, expected)
    assert snapshot.rows_by_verdict.tolist() == counts.tolist()


@st.composite
def tables(draw: st.DrawFn) -> tuple[InputRule, DistanceReference, Array]:
    dtype = draw(st.sampled_from(NUMBERS))
    width, rows, directions = draw(st.integers(1, 20)), draw(st.integers(1, 4)), draw(st.integers(0, 20))
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    full = generator.normal(size=(directions, width)).astype(np.float32)
    reference = DistanceReference(
        "x0",
        mean=generator.normal(size=width),
        scale=generator.uniform(0.1, 3, width),
        projection=np.tril(full) if draw(st.booleans()) else full,
        weights=generator.uniform(0, 2, directions).astype(np.float32),
        rest=draw(st.sampled_from([0.0, 1.0, 0.25])),
    )
    marks = [None, 1.0] if dtype in FLOATS else [1.0]
    missing = draw(st.none() | st.builds(Missing, value=st.sampled_from(marks)))
    rule = InputRule(
        "x0",
        dtype,
        (-1, width),
        (FREE, width),
        finite=draw(st.booleans()),
        feature_axis=1,
        features=tuple(FeatureRule(f"f{i}", missing=missing) for i in range(width)),
        distance=Distance(
            draw(st.sampled_from([0.5, 5.0, 50.0, 5000.0])), verdict=draw(st.sampled_from(["reject", "flag"]))
        ),
    )
    values = np.empty((rows, width), dtype_of(dtype))
    for at in np.ndindex(values.shape):
        values[at] = draw(moderate_values(dtype, True))
    return rule, reference, values


@settings(max_examples=150)
@given(tables())
def test_distance_is_that_of_its_formula(case: tuple[InputRule, DistanceReference, Array]) -> None:
    rule, reference, values = case
    try:
        verdicts, findings, _ = judge_input(rule, values, True, {}, distance=reference)
    except UnsureError:
        assume(False)
    with guarded([rule], True, (), (reference,)) as session:
        answer = session.predict(values)
    assert_same_findings(answer, findings)
    assert answer.row_verdicts.tolist() == verdicts.tolist()


@pytest.mark.parametrize("dtype", NUMBERS)
def test_limits_are_inclusive_to_the_bit(dtype: str) -> None:
    kind = dtype_of(dtype)
    if dtype in FLOATS:
        pairs = [(-2.0, 3.0), (0.1, 0.3), (float(np.float32(0.1)), 65504.0), (-0.0, 0.0), (1e-45, 1e-38)]
        values = np.array([edge for pair in pairs for edge in pair]).astype(kind)
        with np.errstate(all="ignore"):
            values = np.concatenate(
                [values, np.nextafter(values, kind.type(np.inf)), np.nextafter(values, kind.type(-np.inf))]
            )
    else:
        greatest = 1 if dtype == "bool" else float(np.iinfo(dtype).max)
        least = 0 if dtype == "bool" else float(np.iinfo(dtype).min)
        pairs = [(0.0, 1.0), (0.5, greatest), (least, 0.5), (1.0, 1.0), (least, greatest), (2.0**53, 2.0**62)]
        pairs.append((9007199254740994.0, 9223372036854774784.0))
        whole = [int(edge) + step for pair in pairs for edge in pair for step in (-1, 0, 1, 2)]
        fits = (
            (lambda value: value in (0, 1))
            if dtype == "bool"
            else (lambda value: np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)
        )
        values = np.array([value for value in whole if fits(value)], kind)
    for low, high in pairs:
        if not holds_any(dtype, low, high):
            continue
        rule = InputRule("x0", dtype, (-1,), (FREE,), features=(FeatureRule("f", low, high),))
        verdicts, findings, _ = judge_input(rule, values, True, {})
        with guarded([rule], True) as session:
            answer = session.predict(values)
        assert answer.row_verdicts.tolist() == verdicts.tolist(), (low, high)
        assert_same_findings(answer, findings)


def test_mean_and_deviation_of_a_constant_channel_are_exact() -> None:
    for value in (0.1, -3.7, 1e30, 1e-30):
        exact = float(np.float32(value))
        for bound, verdict in (((exact, exact), 0), ((np.nextafter(exact, np.inf), np.inf), 2)):
            feature = FeatureRule("f", mean=bound, stddev=(0.0, 0.0))
            rule = InputRule("x0", "float32", (-1, 700), (FREE, 700), features=(feature,))
            with guarded([rule], True) as session:
                assert session.predict(np.full((1, 700), value, np.float32)).row_verdicts.tolist() == [verdict]


def test_order_of_findings_is_rows_then_elements() -> None:
    features = tuple(FeatureRule(name, 0.0, 1.0) for name in "abc")
    rule = InputRule("x0", "float32", (-1, 3), (FREE, 3), feature_axis=1, features=features)
    values = np.array([[0, 2, -1], [0.5, 0.5, 0.5], [np.nan, 0, 3]], np.float32)
    with guarded((rule,), True) as session:
        reasons = session.predict(values).reasons
    assert [(reason.row, reason.subject, reason.element) for reason in reasons] == [
        (0, "b", 1),
        (0, "c", 2),
        (2, "a", 0),
        (2, "c", 2),
    ]


PAYLOADS = {
    "float16": (0x7E00, 0x7C01, 0xFE55, 0x7FFF, 0xFC00, 0x7C00),
    "bfloat16": (0x7FC0, 0x7F81, 0xFFD5, 0x7FFF, 0xFF80, 0x7F80),
    "float32": (0x7FC00000, 0x7F800001, 0xFFC00123, 0x7FFFFFFF, 0xFF800000, 0x7F800000),
    "float64": (0x7FF8 << 48, (0x7FF0 << 48) + 1, (0xFFF8 << 48) + 9, 2**63 - 1, 0xFFF0 << 48, 0x7FF0 << 48),
}


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 2), (1, 2, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_nan_and_infinity_is_seen_wherever_it_stands(dtype: str, shape: tuple[int, ...]) -> None:
    size = shape[1]
    features = tuple(FeatureRule(str(i)) for i in range(size))
    free = (-1, size, *[-1] * (len(shape) - 2))
    rule = InputRule("x0", dtype, free, tuple(FREE if n < 0 else n for n in free), feature_axis=1, features=features)
    kind = dtype_of(dtype)
    with guarded((rule,), True) as session:
        for payload in PAYLOADS[dtype]:
            for at in range(int(np.prod(shape))):
                values = np.ones(shape).astype(kind)
                values.view(f"u{kind.itemsize}").flat[at] = payload
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
    st.sampled_from(["float32", "float64"]),
)
@example([-GREATEST, GREATEST], GREATEST, 0.0, "float32")  # infinity times zero
@example([-GREATEST, GREATEST], GREATEST, 0.0, "float64")
def test_integer_moments_are_those_of_float_arithmetic(
    drawn: list[float], mean: float, stddev: float, dtype: Any
) -> None:
    values = np.array(drawn, dtype).reshape(-1, 1)
    reference = FeatureReference("x0", "f", 9, mean, stddev, np.array([0.0]), np.array([4, 5], np.uint64))
    rule = InputRule("x0", dtype, (-1, 1), (FREE, 1), feature_axis=1, features=(FeatureRule("f"),))
    with guarded((rule,), True, (reference,)) as session:
        session.predict(values)
        (counted,) = session.snapshot().features
    integers = standardized(values[:, 0], mean, stddev)
    assert (counted.sum, counted.sum_squares) == (int(integers.sum()), int((integers**2).sum()))


def test_halves_round_to_even() -> None:
    reference = FeatureReference("x0", "f", 9, 0.0, 256.0, np.array([]), np.array([9], np.uint64))
    for dtype in ("float32", "float64"):
        rule = InputRule("x0", dtype, (-1,), (FREE,), features=(FeatureRule("f"),))  # type: ignore[arg-type]
        for value, expected in ((0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (2047.5, 2048), (0.50000006, 1)):
            with guarded((rule,), True, (reference,)) as session:
                session.predict(np.array([value], dtype))
                assert session.snapshot().features[0].sum == expected


def test_category_of_a_float_type_is_the_number_as_that_type_holds_it() -> None:
    for dtype in FLOATS:
        rule = InputRule("x0", dtype, (-1,), (FREE,), features=(FeatureRule("f", categories=(0.1, 2.0)),))  # type: ignore[arg-type]
        values = np.array([0.1, 2, 0.125]).astype(dtype_of(dtype))
        with guarded((rule,), True) as session:
            assert session.predict(values).row_verdicts.tolist() == [0, 0, 2]
        assert held(dtype, 0.1) == float(values[0])


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
