"""What docs/formats/guard.md and batch.md say of an input, in numpy and float32: a second opinion on the library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai.policy import FeatureReference, FeatureRule, InputRule
from edge_rai.types import ReasonCode, Verdict

Floats = npt.NDArray[np.float32]
# Code, subject, row, bits of the value, limit, element: NaN equals nothing, its bits do.
Finding = tuple[int, str, int, int, str, int]


@dataclass
class Sketch:
    """What a window counted of one feature."""

    histogram: npt.NDArray[np.int64]
    not_finite: int = 0
    sum: int = 0
    sum_squares: int = 0


def finding(code: int, subject: str, row: int, value: float, limit: float, element: int) -> Finding:
    bits = 0 if np.isnan(value) else int(np.float64(value).view(np.uint64))  # any NaN is a NaN
    return (int(code), subject, row, bits, repr(float(limit)), element)


def judge_input(
    rule: InputRule, values: Floats, batched: bool, references: dict[str, FeatureReference]
) -> tuple[npt.NDArray[np.uint8], list[Finding], list[Sketch]]:
    """Verdicts of the rows, findings, and one sketch a feature."""
    rows = values.shape[0] if batched else 1
    in_row = values.shape[1:] if batched else values.shape
    axis = None if rule.feature_axis is None else rule.feature_axis - batched
    by_feature = _by_feature(values.reshape(rows, *in_row), axis)
    elements = _by_feature(np.arange(int(np.prod(in_row, dtype=int))).reshape(1, *in_row), axis)[0]
    verdicts = np.zeros(rows, np.uint8)
    findings: list[Finding] = []
    sketches = []
    for f, feature in enumerate(rule.features):
        for row in range(rows):
            for reject, found in _judge_row(rule, feature, by_feature[row, f], row, elements[f]):
                verdicts[row] = max(verdicts[row], Verdict.REJECT if reject else Verdict.FLAG)
                findings.append(found)
        sketches.append(_sketch(rule, by_feature[:, f], references.get(feature.name)))
    return verdicts, findings, sketches


def _by_feature(values: npt.NDArray[np.generic], axis: int | None) -> npt.NDArray[np.generic]:
    """(rows, ...) as (rows, features, values of that feature in C order)."""
    if axis is None:
        return values.reshape(values.shape[0], 1, -1)
    return np.moveaxis(values, axis + 1, 1).reshape(values.shape[0], values.shape[axis + 1], -1)


def _judge_row(
    rule: InputRule, feature: FeatureRule, values: Floats, row: int, elements: npt.NDArray[np.int64]
) -> list[tuple[bool, Finding]]:
    low = np.float32(-np.inf if feature.low is None else feature.low)
    high = np.float32(np.inf if feature.high is None else feature.high)
    strange = ~np.isfinite(values) if rule.finite else np.zeros(len(values), bool)
    kinds = (
        (ReasonCode.NOT_FINITE, strange, np.nan, True),
        (ReasonCode.BELOW_RANGE, ~strange & (values < low), low, rule.out_of_range == "reject"),
        (ReasonCode.ABOVE_RANGE, ~strange & (values > high), high, rule.out_of_range == "reject"),
    )
    found = []
    for code, hits, limit, reject in kinds:
        if hits.any():
            at = int(np.argmax(hits))
            found.append((reject, finding(code, feature.name, row, values[at], limit, int(elements[at]))))
    return found


def _sketch(rule: InputRule, rows: Floats, reference: FeatureReference | None) -> Sketch:
    not_finite = int((~np.isfinite(rows)).sum())
    if reference is None:
        return Sketch(np.zeros(0, np.int64), not_finite)
    chosen = rows[:, :: rule.sketch_stride].ravel()
    chosen = chosen[np.isfinite(chosen)]
    bins = np.searchsorted(reference.edges, chosen, side="left")
    integers = standardized(chosen, reference.mean, reference.stddev)
    histogram = np.bincount(bins, minlength=len(reference.counts))
    return Sketch(histogram, not_finite, int(integers.sum()), int((integers * integers).sum()))


def standardized(values: Floats, mean: float, stddev: float) -> npt.NDArray[np.int64]:
    """z in units of 1/256, as docs/formats/batch.md defines it."""
    with np.errstate(all="ignore"):
        scale = np.float32(256.0 / stddev) if stddev > 0 else np.float32(0)
        if scale == 0 or not np.isfinite(scale) or not np.isfinite(np.float32(mean)):
            return np.zeros(len(values), np.int64)
        z = (values - np.float32(mean)) * scale
    return np.rint(np.clip(z, np.float32(-2048), np.float32(2048))).astype(np.int64)
