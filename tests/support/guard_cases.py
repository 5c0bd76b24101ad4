"""Rules, references and values of every kind, drawn by hypothesis; and sessions in which only the guard is at work."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge_rai import ManualClock, Session, load
from edge_rai.policy import (
    Age,
    Clipped,
    DistanceReference,
    FeatureReference,
    FeatureRule,
    InputRule,
    Missing,
    OutputRule,
    Policy,
    Reference,
)
from support.bundles import write_bundle
from support.guard_reference import FLOATS, Array, dtype_of
from support.models import save

GREATEST = float(np.finfo(np.float32).max)
FREE = 2**31 - 1
NOW_S = 1000
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
NUMBERS = ("bool", *INTEGERS, *FLOATS)


# ---- A session whose model returns its inputs, so that only the guard is at work ----


@cache
def folder() -> Path:
    """One model for each list of types and ranks, kept for the whole run."""
    return Path(tempfile.mkdtemp(prefix="edge_rai-property-"))


def element(name: str) -> int:
    named = {"string": TensorProto.STRING, "bfloat16": TensorProto.BFLOAT16}
    return named[name] if name in named else int(helper.np_dtype_to_tensor_dtype(np.dtype(name)))


@cache
def identities(forms: tuple[tuple[str, int], ...]) -> Path:
    """Inputs "x0", "x1", ... of these types and ranks, each returned as "y0", "y1", ..."""
    values = [(element(name), [f"a{i}_{axis}" for axis in range(rank)]) for i, (name, rank) in enumerate(forms)]
    return save(
        folder() / f"{'-'.join(f'{name}{rank}' for name, rank in forms)}.onnx",
        [helper.make_node("Identity", [f"x{i}"], [f"y{i}"]) for i in range(len(forms))],
        [(f"x{i}", *form) for i, form in enumerate(values)],
        [(f"y{i}", *form) for i, form in enumerate(values)],
    )


@contextmanager
def guarded(
    rules: Sequence[InputRule],
    batched: bool,
    references: Sequence[FeatureReference] = (),
    distances: Sequence[DistanceReference] = (),
) -> Iterator[Session]:
    outputs = tuple(
        OutputRule(
            f"y{i}",
            rule.dtype,
            (-1,) * len(rule.shape),
            finite=False,
            default=() if rule.dtype == "string" else (1.0,),
        )
        for i, rule in enumerate(rules)
    )
    policy = Policy(format_version=1, batched=batched, inputs=tuple(rules), outputs=outputs)
    model = identities(tuple((rule.dtype, len(rule.shape)) for rule in rules))
    golden = {rule.name: np.ones((1,) * len(rule.shape)).astype(dtype_of(rule.dtype)) for rule in rules}
    same = {f"y{i}": values for i, values in enumerate(golden.values())}
    reference = Reference(tuple(references), tuple(distances))
    bundle = write_bundle(folder() / "guarded.erai", model, policy, golden, reference, golden_outputs=same)
    with load(bundle, threads=1, clock=ManualClock(unix_ns=NOW_S * 10**9)) as session:
        yield session


# ---- Values ----


def special_values(dtype: str, near: Sequence[float]) -> st.SearchStrategy[Any]:
    """Values of every kind, and often exactly where something changes."""
    if dtype == "bool":
        return st.booleans()
    if dtype == "string":
        texts = st.text("ab\0é東\U0001f600", max_size=4)
        return st.one_of(texts, st.binary(max_size=4), st.sampled_from(["a", "b", "", "\ud800", b"\xe2\x82"]))
    if dtype in INTEGERS:
        limits = np.iinfo(dtype)
        whole = [int(value) + step for value in near if abs(value) < 2**70 for step in (-1, 0, 1)]
        edges = [*whole, limits.min, limits.max, 0, 2**53, 2**53 + 1, -(2**53) - 1]
        return st.one_of(
            st.sampled_from([value for value in edges if limits.min <= value <= limits.max]),
            st.integers(max(-5, limits.min), 5),
            st.integers(limits.min, limits.max),
        )
    kind = dtype_of(dtype)
    bits = st.integers(0, 2 ** (8 * kind.itemsize) - 1).map(
        lambda pattern: np.array(pattern, f"u{kind.itemsize}").view(kind)[()]
    )
    tiny = [1e-45, -1e-45, 1.1754942e-38, 5e-324, 6e-8]
    fixed = [0.0, -0.0, np.nan, np.inf, -np.inf, GREATEST, -GREATEST, *tiny, *near]
    with np.errstate(all="ignore"):
        exact = np.array(fixed).astype(kind)
        fixed_and_next = [*exact, *np.nextafter(exact, kind.type(np.inf)), *np.nextafter(exact, kind.type(-np.inf))]
    return st.one_of(st.sampled_from(fixed_and_next), st.floats(-5, 5, width=32), bits)


def moderate_values(dtype: str, finite: bool) -> st.SearchStrategy[Any]:
    """Values whose sums are exact enough to be told from a bound."""
    if dtype in FLOATS:
        some = st.floats(-5, 5, width=16) | st.sampled_from([1000.0, 990.0, 1010.0])
        return some | st.sampled_from([np.nan, np.inf]) if finite else some
    return st.booleans() if dtype == "bool" else st.integers(0, 100)


limits = st.none() | st.floats(-4, 4, width=32) | st.sampled_from([GREATEST, -GREATEST, 0.0, 1e300, 0.1])
far_limits = limits | st.sampled_from([2.0**63, -(2.0**63), 2.0**64, 2.0**53, 9007199254740993.0, 127.5, -128.0])


def bounds(least: float, most: float) -> st.SearchStrategy[tuple[float, float]]:
    some = st.floats(least, most, width=16)
    both = st.tuples(some, some).map(lambda pair: (min(pair), max(pair)))
    return both | some.map(lambda low: (low, np.inf)) | some.map(lambda high: (-np.inf, high))


@st.composite
def string_rules(draw: st.DrawFn, name: str) -> FeatureRule:
    return FeatureRule(
        name,
        categories=draw(st.just(()) | st.sets(st.sampled_from(["a", "b", "é東", ""]), min_size=1).map(tuple)),
        length=draw(st.none() | bounds(0, 4)),
        characters=draw(st.none() | st.sampled_from(["a-b", "é", "a-z東-", "b"])),
        stuck=draw(st.none() | st.integers(2, 3)),
        verdict=draw(st.sampled_from(["reject", "flag"])),
    )


def held_by(dtype: str, numbers: Sequence[float]) -> st.SearchStrategy[float]:
    """Those of the numbers that the type has: a policy that names another is refused."""
    if dtype in FLOATS:
        return st.sampled_from(numbers)
    least, most = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return st.sampled_from([number for number in numbers if number.is_integer() and least <= number <= most])


def holds_any(dtype: str, low: float | None, high: float | None) -> bool:
    """Whether the type has a value from low to high."""
    if dtype in FLOATS:
        widest = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38}
        most = widest.get(dtype, math.inf)
        return (low is None or low <= most) and (high is None or high >= -most)
    least, most = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    first = least if low is None or low < least else math.ceil(low) if low <= most else most + 1
    last = most if high is None or high > most else math.floor(high) if high >= least else least - 1
    return first <= last


@st.composite
def number_rules(draw: st.DrawFn, name: str, dtype: str) -> FeatureRule:
    low, high = draw(far_limits), draw(far_limits)
    if low is not None and high is not None and low > high:
        low, high = high, low
    if not holds_any(dtype, low, high):
        low = high = None  # a policy that no value could keep is refused
    optional: dict[str, st.SearchStrategy[Any]] = {
        "categories": st.sets(held_by(dtype, [0.0, 1.0, 2.0, -1.0, 0.1, 3.5]), min_size=1).map(tuple),
        "integral": st.just(True),
        "missing": st.builds(
            Missing,
            becomes=st.sampled_from([None, 0.0, 1.0]),
            value=(st.none() if dtype in FLOATS else st.nothing()) | held_by(dtype, [-1.0, 0.0, 3.0, 0.1]),
            verdict=st.sampled_from(["accept", "flag", "reject"]),
        ),
        "stuck": st.integers(2, 4),
        "step": st.sampled_from([0.0, 1.0, 2.5, 1e30]),
        "clipped": st.builds(
            lambda pair, share: Clipped(*pair, share), bounds(-4, 4), st.sampled_from([0.0, 0.25, 0.5, 1.0])
        ),
        "monotonic": st.just(True),
    }
    if dtype not in ("float16", "bfloat16"):
        optional["age"] = st.builds(Age, st.sampled_from([5.0, 500.0]), st.sampled_from([0.0, 5.0]))
    if draw(st.booleans()):
        optional |= {"mean": bounds(-4, 4), "stddev": bounds(0, 4)}
    chosen = draw(st.sets(st.sampled_from(sorted(optional)), max_size=3))
    checks = {kind: draw(optional[kind]) for kind in sorted(chosen)}
    return FeatureRule(name, low, high, verdict=draw(st.sampled_from(["reject", "flag"])), **checks)


finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def feature_references(draw: st.DrawFn, owner: str, name: str) -> FeatureReference | None:
    if draw(st.booleans()):
        return None
    edges = sorted(draw(st.sets(finite32.map(lambda value: value + 0.0), max_size=31)))
    mean = draw(st.floats(-3, 3) | finite32 | st.sampled_from([1e300, -1e300]))
    stddev = draw(st.floats(0.01, 10) | st.sampled_from([0.0, 1e-300, 1e300, 1e-40, 3e38]))
    counts = np.arange(len(edges) + 1, dtype=np.uint64)
    return FeatureReference(owner, name, 100, mean, stddev, np.array(edges), counts)


# ---- Calls ----


def numbers_near(feature: FeatureRule, reference: FeatureReference | None) -> list[float]:
    found = [limit for limit in (feature.low, feature.high) if limit is not None]
    found += [float(category) for category in feature.categories if not isinstance(category, str)]
    if feature.missing is not None and feature.missing.value is not None:
        found.append(feature.missing.value)
    if feature.clipped is not None:
        found += [feature.clipped.low, feature.clipped.high]
    return found + ([] if reference is None else [float(edge) for edge in reference.edges])


@st.composite
def inputs(
    draw: st.DrawFn, name: str, batched: bool, rows: Sequence[int]
) -> tuple[InputRule, list[FeatureReference], list[Array]]:
    """A rule with its references, and one array a call."""
    dtype = draw(st.sampled_from([*NUMBERS, "float32", "string"]))
    rank = draw(st.integers(1, 4))
    shape = [draw(st.integers(1, 4)) for _ in range(rank)]
    axis = draw(st.sampled_from([None, *range(int(batched), rank)]))
    free = [draw(st.booleans()) and i != axis for i in range(rank)]
    free[0] |= batched
    labels = [f"{name}.{i}" for i in range(1 if axis is None else shape[axis])]
    rule_of = (lambda label: string_rules(label)) if dtype == "string" else (lambda label: number_rules(label, dtype))
    features = tuple(draw(rule_of(label)) for label in labels)
    known = [None if dtype == "string" else draw(feature_references(name, label)) for label in labels]
    rule = InputRule(
        name=name,
        dtype=dtype,
        shape=tuple(-1 if is_free else extent for is_free, extent in zip(free, shape, strict=True)),
        max_shape=tuple(FREE if is_free else extent for is_free, extent in zip(free, shape, strict=True)),
        finite=draw(st.booleans()),
        out_of_range=draw(st.sampled_from(["reject", "flag"])),
        feature_axis=axis,
        sketch_stride=draw(st.integers(1, 5)),
        features=features,
    )
    arrays = []
    for count in rows:
        values = np.empty([count, *shape[1:]] if batched else shape, dtype_of(dtype))
        by_feature = values.reshape(1, *values.shape) if axis is None else np.moveaxis(values, axis, 0)
        for f, (feature, reference) in enumerate(zip(features, known, strict=True)):
            summed = feature.mean or feature.stddev or feature.age
            near = numbers_near(feature, reference)
            kind = moderate_values(dtype, rule.finite) if summed else special_values(dtype, near)
            part = by_feature[f : f + 1]
            drawn = draw(st.lists(kind, min_size=part.size, max_size=part.size))
            with np.errstate(all="ignore"):
                for at, value in zip(np.ndindex(part.shape), drawn, strict=True):
                    part[at] = value
        arrays.append(values)
    return rule, [reference for reference in known if reference is not None], arrays


@st.composite
def sessions(draw: st.DrawFn) -> tuple[bool, list[tuple[InputRule, list[FeatureReference], list[Array]]]]:
    batched, rows = draw(st.booleans()), draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    return batched, [draw(inputs(f"x{i}", batched, rows)) for i in range(draw(st.integers(1, 2)))]
