"""Numbers at the edges of what a type can hold, and of what the guard allows, put into one feature at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_rai.policy import Policy
from edge_rai_converters.gate.robustness.curves import guarded
from edge_rai_converters.gate.robustness.sample import MOST_VALUES, Floats, Index, Mask, Sample
from edge_rai_converters.gate.robustness.trial import Trial

# Rows with one edge in one of their features each.
_MOST_ROWS = 256


def edges(trial: Trial, policy: Policy) -> Iterator[dict[str, Any]]:
    """What both models, and the guard, make of each.

    Args:
        trial: What is tried.
        policy: Of the guard, which has limits.
    """
    width = trial.sample.values.shape[1]
    count = max(1, min(_MOST_ROWS, max(len(trial.sample), width), MOST_VALUES // width))
    rows = np.arange(count, dtype=np.int64) % len(trial.sample)
    # Of many features some: every one is as likely.
    columns = np.resize(np.random.default_rng(trial.rule.seed).permutation(width), count)
    for name, numbers, fits in _numbers(trial.sample, policy):
        chosen = fits[columns]
        if chosen.any():
            yield _edge(trial, name, numbers, rows[chosen], columns[chosen])


def _edge(trial: Trial, name: str, numbers: Floats, rows: Index, columns: Index) -> dict[str, Any]:
    values = trial.sample.values[rows]
    values[np.arange(len(rows)), columns] = numbers[columns]
    given = trial.sample.written(values, rows)
    found: dict[str, Any] = {"edge": name, "rows": len(rows)}
    every = np.ones(len(rows), np.bool_)
    for contender, clean in zip(trial.contenders, trial.clean, strict=True):
        said = contender.ask(given)
        wrong = None if trial.measure == "error" else said.differs(clean.decided[rows])
        found[contender.name] = guarded(said, contender.caught(given), wrong, every)
    return found


def _numbers(sample: Sample, policy: Policy) -> Iterator[tuple[str, Floats, Mask]]:
    """Names, (features,) numbers, and (features,) which features can have them."""
    dtypes = [sample.rows[name].dtype for name, part in sample.parts() for _ in range(part.stop - part.start)]
    floats = np.array([dtype.kind == "f" for dtype in dtypes])
    numbers = np.array([dtype.kind in "fiu" for dtype in dtypes])
    largest = np.array([_limits(dtype)[1] for dtype in dtypes])
    lowest = np.array([_limits(dtype)[0] for dtype in dtypes])
    least = np.array([float(np.finfo(dtype).smallest_subnormal) if dtype.kind == "f" else 0.0 for dtype in dtypes])
    low, high = _allowed(sample, policy)
    for name, value in (("nan", np.nan), ("inf", np.inf), ("-inf", -np.inf), ("-0", -0.0)):
        yield name, np.full(len(dtypes), value), floats
    yield "0", np.zeros(len(dtypes)), numbers
    yield "denormal", least, floats
    yield "-denormal", -least, floats
    yield "largest", largest, numbers
    yield "lowest", lowest, numbers
    yield "at_low_limit", low, numbers
    yield "at_high_limit", high, numbers
    yield "below_limit", _next(low, -np.inf, dtypes), numbers & (low > lowest)
    yield "above_limit", _next(high, np.inf, dtypes), numbers & (high < largest)


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    if dtype.kind == "b":
        return 0.0, 1.0
    return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)


def _next(values: Floats, towards: float, dtypes: list[np.dtype[Any]]) -> Floats:
    """The next number that a type has."""
    way = 1.0 if towards > 0 else -1.0
    return np.array(
        [
            float(np.nextafter(dtype.type(value), dtype.type(towards))) if dtype.kind == "f" else value + way
            for value, dtype in zip(values, dtypes, strict=True)
        ]
    )


def _allowed(sample: Sample, policy: Policy) -> tuple[Floats, Floats]:
    """(features,) limits of the guard, and where it has none of what was seen."""
    rules = {rule.name: rule for rule in policy.inputs}
    found: list[list[Floats]] = [[], []]
    for name, part in sample.parts():
        rule, shape = rules[name], sample.rows[name].shape[1:]
        along = [1] * len(shape)
        if rule.feature_axis is not None:
            along[rule.feature_axis] = -1
        for side, seen in enumerate((sample.low, sample.high)):
            limits = [(feature.low, feature.high)[side] for feature in rule.features]
            numbers = np.array([np.nan if limit is None else limit for limit in limits]).reshape(along)
            flat = np.broadcast_to(numbers, shape).reshape(-1)
            found[side].append(np.where(np.isfinite(flat), flat, seen[part]))
    return np.concatenate(found[0]), np.concatenate(found[1])
