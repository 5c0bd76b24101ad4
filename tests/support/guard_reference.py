"""What edge_rai.h and docs/formats say of an input, in numpy and exact Python numbers: a second opinion on the guard.

Where the library adds floats up, its order is its own. What comes of a sum is compared with a tolerance, and one that
is too near to a bound to tell raises ``UnsureError``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from edge_rai.policy import DistanceReference, FeatureReference, FeatureRule, InputRule
from edge_rai.policy.checks import VERDICTS, character_ranges
from edge_rai.types import ReasonCode, Verdict

Array = npt.NDArray[Any]
# Code, subject, row, value, limit, element
Finding = tuple[int, str, int, float, float, int]
NARROW = ("float32", "float16", "bfloat16", "int8", "uint8", "int16", "uint16", "bool")
FLOATS = ("float16", "bfloat16", "float32", "float64")
# What these find is a sum's.
SUMMED = (ReasonCode.MEAN, ReasonCode.STDDEV, ReasonCode.AGE, ReasonCode.OUT_OF_DISTRIBUTION)
NAN, INF = float("nan"), float("inf")


class UnsureError(Exception):
    """Whether a bound is kept depends on the order of a sum."""


@dataclass
class Sketch:
    """What a window counted of one feature."""

    histogram: npt.NDArray[np.int64]
    not_finite: int = 0
    sum: int = 0
    sum_squares: int = 0


@dataclass
class Memory:
    """What a session remembers of the rows before, by feature and check."""

    last: dict[str, float] = field(default_factory=dict)
    top: dict[str, float] = field(default_factory=dict)
    same: dict[str, tuple[Any, int]] = field(default_factory=dict)

    def take(self, name: str, left: Memory, rejected: set[int], flagged: bool) -> None:
        """What a row in order leaves of one feature, given why it was rejected, and whether the feature was flagged."""
        if not rejected and not flagged and name in left.top:
            self.top[name] = left.top[name]
        if rejected <= {ReasonCode.STEP, ReasonCode.STUCK}:
            self.last |= left.last
            self.same |= left.same


@dataclass
class Row:
    """One feature's values in one row."""

    rule: InputRule
    feature: FeatureRule
    values: list[Any]  # exact: int, float, or bytes
    bits: Any
    elements: list[int]
    row: int
    in_order: bool = True
    left: Memory = field(default_factory=Memory)
    flagged: bool = False

    def present(self) -> list[int]:
        """Numbers of the values that checks look at."""
        finite = self.rule.finite
        return [
            k
            for k, value in enumerate(self.values)
            if not is_missing(self.feature, self.rule.dtype, value) and not (finite and not np.isfinite(float(value)))
        ]

    def find(self, code: ReasonCode, k: int, value: float, limit: float) -> Finding:
        return (int(code), self.feature.name, self.row, float(value), float(limit), self.elements[k])


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(object if name == "string" else ml_dtypes.bfloat16 if name == "bfloat16" else name)


def held(dtype: str, number: float) -> float:
    """A rule's number as a float type holds it; integers are compared with the number itself."""
    with np.errstate(over="ignore"):
        return float(np.float64(number).astype(dtype_of(dtype))) if dtype in FLOATS else number


def limit_of(dtype: str, number: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(number)) if dtype in NARROW else number


def is_missing(feature: FeatureRule, dtype: str, value: Any) -> bool:
    if feature.missing is None or isinstance(value, bytes):
        return False
    if feature.missing.value is None:
        return bool(value != value)
    return bool(value == held(dtype, feature.missing.value))


def by_feature(values: Array, axis: int | None) -> Array:
    """(rows, ...) as (rows, features, values of that feature in C order)."""
    if axis is None:
        return values.reshape(values.shape[0], 1, -1)
    return np.moveaxis(values, axis + 1, 1).reshape(values.shape[0], values.shape[axis + 1], -1)


def exact(values: Array) -> list[Any]:
    """Numbers without rounding; strings as their bytes."""
    if values.dtype == object:
        return [text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass") for text in values.tolist()]
    if values.dtype.kind in "biu":
        return [int(value) for value in values]
    return [float(value) for value in values]


def judge_input(
    rule: InputRule,
    values: Array,
    batched: bool,
    references: dict[str, FeatureReference],
    memory: Memory | None = None,
    unix_ns: int = 0,
    distance: DistanceReference | None = None,
) -> tuple[npt.NDArray[np.uint8], list[Finding], list[Sketch]]:
    """Verdicts of the rows, findings, and one sketch a feature.

    Raises:
        UnsureError: See there.
    """
    memory = memory or Memory()
    rows = values.shape[0] if batched else 1
    in_row = values.shape[1:] if batched else values.shape
    axis = None if rule.feature_axis is None else rule.feature_axis - batched
    parts = by_feature(values.reshape(rows, *in_row), axis)
    elements = by_feature(np.arange(int(np.prod(in_row, dtype=int))).reshape(1, *in_row), axis)[0]
    verdicts = np.zeros(rows, np.uint8)
    findings: list[Finding] = []
    for i in range(rows):
        cells = [
            Row(rule, feature, exact(parts[i, f]), bits_of(parts[i, f]), elements[f].tolist(), i)
            for f, feature in enumerate(rule.features)
        ]
        found = [] if rule.dtype == "string" else [one for cell in cells for one in judge_limits(cell)]
        in_order = all(cell.in_order for cell in cells)
        for cell in cells:
            cell.in_order = in_order
            of_checks = [(VERDICTS[cell.feature.verdict], one) for one in judge_checks(cell, memory, unix_ns)]
            cell.flagged = bool(of_checks)
            found += of_checks
        if distance is not None and not any(one[0] == ReasonCode.NOT_FINITE for _, one in found):
            found += judge_distance(rule, distance, cells)
        rejected = {one[0] for verdict, one in found if verdict == Verdict.REJECT}
        for cell in cells if in_order else []:
            memory.take(cell.feature.name, cell.left, rejected, cell.flagged)
        verdicts[i] = max([verdicts[i], *(verdict for verdict, _ in found)])
        findings += [one for _, one in found]
    sketches = [
        sketch(rule, feature, parts[:, f], references.get(feature.name)) for f, feature in enumerate(rule.features)
    ]
    return verdicts, findings, sketches


def bits_of(values: Array) -> Any:
    """The bits, in which every NaN is the same; of strings their bytes."""
    if values.dtype == object:
        return tuple(exact(values))
    whole = values.copy()
    if whole.dtype.kind not in "biu":
        with np.errstate(invalid="ignore"):  # a signalling NaN
            whole[np.isnan(whole)] = np.nan
    return whole.tobytes()


# ---- Finite, range, missing ----


def judge_limits(cell: Row) -> Iterator[tuple[Verdict, Finding]]:
    rule, feature = cell.rule, cell.feature
    low = limit_of(rule.dtype, -INF if feature.low is None else feature.low)
    high = limit_of(rule.dtype, INF if feature.high is None else feature.high)
    seen: set[ReasonCode] = set()
    for k, value in enumerate(cell.values):
        verdict = Verdict.REJECT if rule.out_of_range == "reject" else Verdict.FLAG
        code, limit = None, NAN
        if is_missing(feature, rule.dtype, value):
            assert feature.missing is not None
            verdict = VERDICTS[feature.missing.verdict]
            if verdict:
                becomes = feature.missing.becomes
                code, limit = ReasonCode.MISSING, NAN if becomes is None else becomes
        elif not np.isfinite(float(value)) and rule.finite:
            code, verdict = ReasonCode.NOT_FINITE, Verdict.REJECT
        elif value < low:
            code, limit = ReasonCode.BELOW_RANGE, low
        elif value > high:
            code, limit = ReasonCode.ABOVE_RANGE, high
        cell.in_order &= (
            code is ReasonCode.MISSING
            or is_missing(feature, rule.dtype, value)
            or (code is None and bool(np.isfinite(float(value))))
        )
        if code is not None and code not in seen:
            seen.add(code)
            yield verdict, cell.find(code, k, value, limit)


# ---- Checks ----


def judge_checks(cell: Row, memory: Memory, unix_ns: int) -> Iterator[Finding]:
    if cell.rule.dtype == "string":
        yield from judge_strings(cell, memory)
        return
    present = cell.present()
    if not present:
        return
    numbers = [float(cell.values[k]) for k in present]
    yield from judge_values(cell, present, numbers)
    yield from judge_order(cell, memory, present, numbers)
    yield from judge_moments(cell, numbers)
    yield from judge_stuck(cell, memory)
    age = cell.feature.age
    if age is not None and len(cell.values) - 1 in present:
        # Exact, of what the sum in the library is near.
        seconds = Fraction(unix_ns, 10**9) - Fraction(cell.values[-1]) * Fraction(age.unit_s)
        yield from within(cell, ReasonCode.AGE, len(cell.values) - 1, float(seconds), -age.ahead_s, age.max_s)


def first(hits: list[int]) -> list[int]:
    return hits[:1]


def judge_values(cell: Row, present: list[int], numbers: list[float]) -> Iterator[Finding]:
    feature, dtype = cell.feature, cell.rule.dtype
    if feature.categories:
        known = {held(dtype, category) for category in feature.categories if not isinstance(category, str)}
        for k in first([k for k in present if cell.values[k] not in known]):
            yield cell.find(ReasonCode.CATEGORY, k, cell.values[k], NAN)
    if feature.integral:
        with np.errstate(invalid="ignore"):  # a NaN may be a signalling one
            broken = [k for k, number in zip(present, numbers, strict=True) if number != np.trunc(number)]
        for k in first(broken):
            yield cell.find(ReasonCode.NOT_INTEGRAL, k, cell.values[k], NAN)
    if feature.clipped is not None:
        low, high = held(dtype, feature.clipped.low), held(dtype, feature.clipped.high)
        share = sum(value <= low or value >= high for value in numbers) / len(numbers)
        if share > feature.clipped.share:
            yield cell.find(ReasonCode.CLIPPED, 0, share, feature.clipped.share)


def judge_order(cell: Row, memory: Memory, present: list[int], numbers: list[float]) -> Iterator[Finding]:
    name, feature = cell.feature.name, cell.feature
    if feature.step is not None:
        with np.errstate(all="ignore"):
            before = [np.float64(memory.last.get(name, numbers[0])), *map(np.float64, numbers)]
            steps = [float(abs(after - value)) for value, after in pairwise(before)]
        if name not in memory.last:
            steps[0] = 0.0  # nothing was before it
        for i in first([i for i, step in enumerate(steps) if not step <= feature.step]):
            yield cell.find(ReasonCode.STEP, present[i], steps[i], feature.step)
        if np.isfinite(numbers[-1]):
            cell.left.last[name] = numbers[-1]
    if feature.monotonic:
        top = memory.top.get(name)
        for k, value in zip(present, numbers, strict=True):
            if top is not None and not value >= top:
                yield cell.find(ReasonCode.NOT_MONOTONIC, k, value, top)
                return
            top = value
        if top is not None and np.isfinite(top):
            cell.left.top[name] = top


def judge_moments(cell: Row, numbers: list[float]) -> Iterator[Finding]:
    feature = cell.feature
    if feature.mean is None and feature.stddev is None:
        return
    whole = [Fraction(number) for number in numbers]
    mean = sum(whole) / len(whole)
    variance = sum((value - mean) ** 2 for value in whole) / len(whole)
    if feature.mean is not None:
        yield from within(cell, ReasonCode.MEAN, 0, float(mean), *feature.mean)
    if feature.stddev is not None:
        yield from within(cell, ReasonCode.STDDEV, 0, float(variance) ** 0.5, *feature.stddev)


def within(cell: Row, code: ReasonCode, k: int, value: float, low: float, high: float) -> Iterator[Finding]:
    if code in SUMMED:
        check_sure(value, low)
        check_sure(value, high)
    if not low <= value <= high:
        yield cell.find(code, k, value, high if value > high or np.isinf(low) else low)


def check_sure(value: float, bound: float) -> None:
    if np.isfinite(bound) and np.isclose(value, bound, rtol=1e-4, atol=1e-6):
        raise UnsureError


def judge_stuck(cell: Row, memory: Memory) -> Iterator[Finding]:
    feature = cell.feature
    if feature.stuck is None:
        return
    bits, count = memory.same.get(feature.name, (None, 0))
    same = count + 1 if bits == cell.bits and count else 1
    if same >= feature.stuck:
        yield cell.find(ReasonCode.STUCK, 0, same, feature.stuck)
    cell.left.same[feature.name] = (cell.bits, same)


# ---- Strings ----


def points(text: bytes) -> list[int]:
    """Code points, -1 for each byte that begins none."""
    found, at = [], 0
    while at < len(text):
        for size in range(1, 5):
            try:
                (point,) = text[at : at + size].decode("utf-8")
            except (UnicodeDecodeError, ValueError):
                continue
            found.append(ord(point))
            at += size
            break
        else:
            found.append(-1)
            at += 1
    return found


def judge_strings(cell: Row, memory: Memory) -> Iterator[Finding]:
    feature = cell.feature
    texts: list[bytes] = cell.values
    if feature.categories:
        known = {str(category).encode() for category in feature.categories}
        for k in first([k for k, text in enumerate(texts) if text not in known]):
            yield cell.find(ReasonCode.CATEGORY, k, NAN, NAN)
    if feature.length is not None:
        low, high = feature.length
        for k in first([k for k, text in enumerate(texts) if not low <= len(points(text)) <= high]):
            yield from within(cell, ReasonCode.LENGTH, k, len(points(texts[k])), low, high)
    if feature.characters is not None:
        ends = character_ranges(feature.characters)
        allowed = {point for a, b in zip(ends[::2], ends[1::2], strict=True) for point in range(a, b + 1)}
        strange = [(k, point) for k, text in enumerate(texts) for point in points(text) if point not in allowed]
        for k, point in strange[:1]:
            yield cell.find(ReasonCode.CHARACTER, k, point, NAN)
    yield from judge_stuck(cell, memory)


# ---- Distance ----


def judge_distance(rule: InputRule, reference: DistanceReference, cells: list[Row]) -> list[tuple[Verdict, Finding]]:
    assert rule.distance is not None
    with np.errstate(all="ignore"):
        x = np.array([float(cell.values[0]) for cell in cells])
        z = np.clip(np.nan_to_num((x - reference.mean) * reference.scale, posinf=1e6, neginf=-1e6), -1e6, 1e6)
    for i, cell in enumerate(cells):
        if is_missing(cell.feature, rule.dtype, cell.values[0]):
            z[i] = 0
    along = reference.projection.astype(np.float64) @ z
    squared = reference.rest * float(z @ z) + float(reference.weights.astype(np.float64) @ along**2)
    if np.isclose(squared, rule.distance.threshold, rtol=1e-3, atol=1e-3):
        raise UnsureError
    if squared <= rule.distance.threshold:
        return []
    found = (int(ReasonCode.OUT_OF_DISTRIBUTION), rule.name, cells[0].row, squared, rule.distance.threshold, 0)
    return [(VERDICTS[rule.distance.verdict], found)]


# ---- Sketches ----


def sketch(rule: InputRule, feature: FeatureRule, rows: Array, reference: FeatureReference | None) -> Sketch:
    if rule.dtype == "string":
        return Sketch(np.zeros(0, np.int64))
    wide = np.float32 if rule.dtype in NARROW else np.float64
    with np.errstate(over="ignore"):
        edges = np.zeros(0, wide) if reference is None else reference.edges.astype(wide)
    result = Sketch(np.zeros(0 if reference is None else len(reference.counts), np.int64))
    for row in rows:
        for position, value in enumerate(exact(row)):
            if is_missing(feature, rule.dtype, value) or not np.isfinite(float(value)):
                result.not_finite += 1
            elif reference is not None and position % rule.sketch_stride == 0:
                number = np.array([float(value)], wide)
                result.histogram[int((edges < number).sum())] += 1
                z = int(standardized(number, reference.mean, reference.stddev)[0])
                result.sum += z
                result.sum_squares += z * z
    return result


def standardized(values: Array, mean: float, stddev: float) -> npt.NDArray[np.int64]:
    """z in units of 1/256, as docs/formats/snapshot.md defines it, in the width of the values."""
    width = values.dtype.type
    with np.errstate(all="ignore"):
        scale = width(np.float64(256.0) / np.float64(stddev)) if stddev > 0 else width(0)
        if scale == 0 or not np.isfinite(scale) or not np.isfinite(width(mean)):
            return np.zeros(len(values), np.int64)
        z = (values - width(mean)) * scale
    return np.rint(np.clip(z, width(-2048), width(2048))).astype(np.int64)
