"""Columns that tell nothing, or whose values cannot be: missing, constant, infinite, far from all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai_converters.audit.material import Floats, Material, drawn_evenly
from edge_rai_converters.audit.report import Finding, graded, listed
from edge_rai_converters.data import Index
from edge_rai_converters.words import number_of

# Far out: more than three times the range of the middle 90 %, beyond that range. Of a normal distribution this is
# eleven standard deviations, and a lognormal one (sigma 1) has one such value in five thousand.
_LOW, _HIGH, _TIMES = 0.05, 0.95, 3.0
_SAMPLE_VALUES = 1 << 22
_FEW_VALUES = 8
# Values that are more frequent are a mode of the column, not a fault in it.
_MOST_OUT = 0.25
_A_CODE = 5
_MANY_MISSING = 0.2
_TOLD = 1000


@dataclass(frozen=True, eq=False, slots=True)
class Columns:
    """What was measured of the columns of numbers, (width,) each.

    Attributes:
        missing: How many values are NaN.
        infinite: How many are infinite.
        low: The least finite one; NaN without one.
        high: The greatest.
        fence_low: Less is out of range; minus infinity where that cannot be told.
        fence_high: More is.
        centre: The median.
        scale: The standard deviation within the fences; 0 for constant columns.
        out: How many are out of range.
        at_low: How many are exactly the least.
        at_high: How many are exactly the greatest.
    """

    missing: Index
    infinite: Index
    low: Floats
    high: Floats
    fence_low: Floats
    fence_high: Floats
    centre: Floats
    scale: Floats
    out: Index
    at_low: Index
    at_high: Index


def measure(material: Material) -> Columns:
    """Reads all rows twice, of pictures once: what is far out is not asked of pixels."""
    width = material.width
    missing, infinite = np.zeros(width, np.int64), np.zeros(width, np.int64)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for _, part in material.parts():
        nan, inf = np.isnan(part), np.isinf(part)
        missing += nan.sum(axis=0)
        infinite += inf.sum(axis=0)
        unusable = nan | inf
        low = np.minimum(low, np.where(unusable, np.inf, part).min(axis=0))
        high = np.maximum(high, np.where(unusable, -np.inf, part).max(axis=0))
    none = low > high
    low[none] = high[none] = np.nan
    fences = np.stack([np.full(width, -np.inf), np.full(width, np.inf), np.zeros(width), np.zeros(width)])
    out, at_low, at_high = (np.zeros(width, np.int64) for _ in range(3))
    if material.image is None:
        sample = material.read(drawn_evenly(len(material), max(_FEW_VALUES, _SAMPLE_VALUES // max(1, width))))
        for column in range(width):
            fences[:, column] = _spread(sample[:, column])
        for _, part in material.parts():
            finite = np.isfinite(part)
            out += (finite & ((part < fences[0]) | (part > fences[1]))).sum(axis=0)
            at_low += (part == low).sum(axis=0)
            at_high += (part == high).sum(axis=0)
    return Columns(
        missing=missing,
        infinite=infinite,
        low=low,
        high=high,
        fence_low=fences[0],
        fence_high=fences[1],
        centre=fences[2],
        scale=fences[3],
        out=out,
        at_low=at_low,
        at_high=at_high,
    )


def _spread(values: Floats) -> tuple[float, float, float, float]:
    """Both fences, the median, and the standard deviation within the fences."""
    values = np.sort(values[np.isfinite(values)])
    if not values.size:
        return -np.inf, np.inf, 0.0, 0.0
    # Without its ends, which may be a code for a missing value that many rows have.
    inner = values[(values > values[0]) & (values < values[-1])]
    fence_low, fence_high = -np.inf, np.inf
    if inner.size >= _FEW_VALUES:
        low, high = np.quantile(inner, [_LOW, _HIGH])
        if high > low:
            with np.errstate(over="ignore"):  # then nothing is out of range
                fence_low, fence_high = low - _TIMES * (high - low), high + _TIMES * (high - low)
    within = np.clip(values, fence_low, fence_high)
    largest = max(float(np.abs(within).max()), np.finfo(np.float64).tiny)
    return fence_low, fence_high, float(values[values.size // 2]), float((within / largest).std() * largest)


def find_columns(material: Material, measured: Columns) -> Iterator[Finding]:
    """What is wrong with columns; one finding a kind, that lists them."""
    yield from _missing(material, measured)
    yield from _infinite(material, measured)
    yield from _constant(material, measured)
    if material.image is None:
        yield from _out_of_range(material, measured)


def _missing(material: Material, measured: Columns) -> Iterator[Finding]:
    count = len(material)
    shares = {material.column(place): int(measured.missing[place]) for place in _places(measured.missing)}
    shares |= {name: lost for name, coded in material.texts.items() if (lost := int((coded.codes < 0).sum()))}
    empty = [name for name, lost in shares.items() if lost == count]
    if empty:
        yield Finding(
            "all_missing",
            "error",
            f"{_columns(len(empty))} without a single value: {listed(empty)}",
            "Leave them out, or mend the export that lost them",
            {"columns": empty[:_TOLD]},
        )
    some = {name: lost / count for name, lost in shares.items() if lost < count}
    if some:
        worst = sorted(some, key=lambda name: -some[name])
        yield Finding(
            "missing",
            graded(some[worst[0]], _MANY_MISSING),
            f"{_columns(len(some))} with missing values: {listed(worst, lambda name: _share(name, some[name]))}",
            "Impute them, or allow missing ones in the policy, so that the device does as the training did",
            {"shares": {name: some[name] for name in worst[:_TOLD]}},
        )


def _infinite(material: Material, measured: Columns) -> Iterator[Finding]:
    places = _places(measured.infinite)
    if places:
        counts = {material.column(place): int(measured.infinite[place]) for place in places[:_TOLD]}
        yield Finding(
            "non_finite",
            "error",
            f"{_columns(len(places))} with infinite values: {listed(list(counts.items()), _times)}",
            "Look for a division by zero or an overflow where they are made; a model has no answer to them",
            {"counts": counts},
        )


def _constant(material: Material, measured: Columns) -> Iterator[Finding]:
    if len(material) < 2:
        return
    same = [material.column(place) for place in _places(measured.low == measured.high)]
    same += [name for name, coded in material.texts.items() if len(coded.names) == 1]
    if same:
        yield Finding(
            "constant",
            "info" if material.image else "warning",
            f"{_columns(len(same))} of {material.width + len(material.texts):,} with one value only: {listed(same)}",
            "Leave them out, or add rows in which they differ: how the model takes other values cannot be seen here",
            {"columns": same[:_TOLD], "count": len(same)},
        )


def _out_of_range(material: Material, measured: Columns) -> Iterator[Finding]:
    places = _places((measured.out > 0) & (measured.out <= _MOST_OUT * len(material)))
    codes = {place: code for place in places if (code := _code(measured, place)) is not None}
    if codes:
        told = [f"{material.column(place)} ({rows:,} times {value:.6g})" for place, (value, rows) in codes.items()]
        yield Finding(
            "code_for_missing",
            "warning",
            f"{_columns(len(codes))} with one value far from all others, again and again: {listed(told)}",
            "If it stands for a missing value, impute it, or name it in the policy's 'missing'",
            {material.column(place): {"value": value, "rows": rows} for place, (value, rows) in codes.items()},
        )
    rest = [place for place in places if place not in codes]
    if rest:
        told = [_far(material, measured, place) for place in rest]
        yield Finding(
            "out_of_range",
            "warning",
            f"{_columns(len(rest))} with values further from the middle 90 % than {_TIMES:g} times its range: "
            f"{listed(told)}",
            "Look these rows up: another unit, a faulty sensor or a shifted cell; limits are learned from them",
            {"counts": {material.column(place): int(measured.out[place]) for place in rest[:_TOLD]}},
        )


def _code(measured: Columns, place: int) -> tuple[float, int] | None:
    """A value that stands alone and recurs, and in how many rows, when all that is out of range is that value."""
    for end, rows, beyond in (
        (measured.low, measured.at_low, measured.low < measured.fence_low),
        (measured.high, measured.at_high, measured.high > measured.fence_high),
    ):
        if beyond[place] and rows[place] >= _A_CODE and rows[place] == measured.out[place]:
            return float(end[place]), int(rows[place])
    return None


def _far(material: Material, measured: Columns, place: int) -> str:
    low, high = measured.low[place], measured.high[place]
    ends = [f"{low:.6g}"] * bool(low < measured.fence_low[place])
    ends += [f"{high:.6g}"] * bool(high > measured.fence_high[place])
    return f"{material.column(place)} ({number_of(int(measured.out[place]), 'row')}, up to {' and '.join(ends)})"


def _places(which: npt.NDArray[Any]) -> list[int]:
    return [int(place) for place in np.flatnonzero(which)]


def _times(entry: tuple[str, int]) -> str:
    return f"{entry[0]} ({number_of(entry[1], 'row')})"


def _share(name: str, share: float) -> str:
    return f"{name} {100 * share:.2g} %"


def _columns(count: int) -> str:
    return number_of(count, "column")
