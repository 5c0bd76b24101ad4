"""Streams with and without drift, and what watches them: our detector, river's, and windows as evidently has them.

A watcher takes a reference and a stream, (rows, features) each, and says after how many rows it alarmed, or None.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import edge_rai
from edge_rai.policy import Drift, FeatureReference, FeatureRule, InputRule, Observation, OutputRule, Policy, Reference
from edge_rai_converters.data import drawn
from edge_rai_converters.seasons import Season, Shown, written_seasons
from support.bundles import write_bundle
from support.models import save_linear

BLOCK = 1000
WINDOW = 500


# ---- Laws -----------------------------------------------------------------------------------------------------------


def _mixed(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    values = random.normal(size=shape)
    values[:, 1::4] = np.exp(values[:, 1::4])
    values[:, 2::4] = random.integers(0, 7, size=values[:, 2::4].shape)
    values[:, 3::4] = random.random(size=values[:, 3::4].shape) < 0.05
    return values


LAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda random, shape: random.normal(size=shape),
    "t, 3 degrees": lambda random, shape: random.standard_t(3, size=shape),
    "log-normal": lambda random, shape: np.exp(random.normal(size=shape)),
    "seven values": lambda random, shape: random.integers(0, 7, size=shape).astype(float),
    "constant, jitter": lambda random, shape: 5 + 1e-3 * random.normal(size=shape),
    "mixed": _mixed,
}


def autoregressive(random: np.random.Generator, rho: float, rows: int) -> np.ndarray:
    """(rows, 1) of variance 1."""
    steps = random.normal(size=rows) * np.sqrt(1 - rho**2)
    values = np.empty(rows)
    last = random.normal()
    for row, step in enumerate(steps):
        values[row] = last = rho * last + step
    return values[:, None]


# ---- Ours -----------------------------------------------------------------------------------------------------------


def reference_of(rows: np.ndarray) -> Reference:
    """As `edge-rai profile` learns it: at most 32 bins of as many values each as ties allow."""
    entries = []
    for index, column in enumerate(rows.astype(np.float32).astype(np.float64).T):
        edges = np.unique(np.quantile(column, np.arange(1, 32) / 32, method="inverted_cdf"))
        edges = edges[edges < column.max()]
        counts = np.bincount(np.searchsorted(edges, column, side="left"), minlength=len(edges) + 1).astype(np.uint64)
        entries.append(FeatureReference("x", f"f{index}", len(rows), column.mean(), column.std(), edges, counts))
    return Reference(tuple(entries))


def open_watch(reference: np.ndarray, drift: Drift, observe: tuple[Observation, ...] = ()) -> edge_rai.Session:
    """A session of a model that hardly computes anything."""
    width = reference.shape[1]
    features = tuple(FeatureRule(f"f{index}") for index in range(width))
    inputs = (InputRule("x", "float32", (-1, width), max_shape=(BLOCK, width), feature_axis=1, features=features),)
    policy = Policy(1, True, inputs, (OutputRule("y", "float32", (-1, 1)),), drift=drift, observe=observe)
    return opened(policy, reference_of(reference))


def opened(policy: Policy, reference: Reference, clock: edge_rai.ManualClock | None = None) -> edge_rai.Session:
    """A session of a model of the policy's input "x" that hardly computes anything."""
    width = policy.inputs[0].shape[1]
    with tempfile.TemporaryDirectory() as folder:
        model = save_linear(Path(folder) / "m.onnx", width, 1)
        golden = {"x": np.zeros((1, width), np.float32)}
        bundle = write_bundle(Path(folder) / "m.erai", model, policy, golden, reference, atol=1e-3)
        return edge_rai.load(bundle, threads=1, clock=clock)


def alarm_row(reference: np.ndarray, stream: np.ndarray, drift: Drift) -> int | None:
    """Rows until our alarm."""
    with open_watch(reference, drift) as session:
        for start in range(0, len(stream), BLOCK):
            session.predict(stream[start : start + BLOCK].astype(np.float32))
            watch = session.watch()
            if watch is not None and watch.alarm is not None:
                return watch.alarm.row
    return None


def cycle(random: np.random.Generator, amplitude: float, rows: int) -> np.ndarray:
    """(rows,) a sine of a day, a row a minute, with noise of standard deviation 1."""
    minutes = np.arange(rows)
    return (amplitude * np.sin(2 * np.pi * minutes / 1440) + random.normal(size=rows)).astype(np.float32)


def season_of(values: np.ndarray) -> tuple[Policy, Season]:
    """What is left of a row a minute when the usual at the hour is taken away, and a policy that observes it."""
    held_back = drawn(len(values), 4)
    rows, times = {"x": values[:, None, None]}, 60.0 * np.arange(len(values))
    given = InputRule("x", "float32", (-1, 1), max_shape=(BLOCK, 1), feature_axis=1, features=(FeatureRule("f0"),))
    observe = (Observation("seasonal", "f0", slots=24),)
    policy = Policy(1, True, (given,), (OutputRule("y", "float32", (-1, 1)),), observe=observe)
    (season,) = written_seasons(policy, Shown(rows, times, np.flatnonzero(~held_back), np.flatnonzero(held_back)))
    return policy, season


def seasonal_alarm(values: np.ndarray, known: int) -> int | None:
    """Rows until the alarm, after those known; watched with a stride of 1, where profile would refuse too."""
    policy, season = season_of(values[:known])
    clock = edge_rai.ManualClock()
    with opened(replace(policy, drift=Drift(1e5)), Reference((season.reference,)), clock) as session:
        for start in range(known, len(values), 5):
            clock.unix_ns = (start + 2) * 60 * 10**9  # of the third of the five rows of a call
            session.predict(values[start : start + 5, None])
            watch = session.watch()
            if watch is not None and watch.alarm is not None:
                return watch.alarm.row
    return None


# ---- Others, of one feature ------------------------------------------------------------------------------------------


def windows(stream: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(stream) - WINDOW + 1, WINDOW):
        yield start + WINDOW, stream[start : start + WINDOW, 0]


def kolmogorov_smirnov(reference: np.ndarray, stream: np.ndarray) -> int | None:
    """p < 0.05 in a window of 500."""
    ordered = np.sort(reference[:, 0])
    critical = 1.358 * np.sqrt((len(ordered) + WINDOW) / (len(ordered) * WINDOW))
    for row, window in windows(stream):
        values = np.sort(window)
        both = np.concatenate([ordered, values])
        shares = [np.searchsorted(sample, both, side="right") / len(sample) for sample in (ordered, values)]
        if np.abs(shares[0] - shares[1]).max() > critical:
            return row
    return None


def stability_index(reference: np.ndarray, stream: np.ndarray) -> int | None:
    """PSI > 0.1 in a window of 500, ten quantile bins."""
    edges = np.quantile(reference[:, 0], np.arange(1, 10) / 10)
    expected = np.bincount(np.searchsorted(edges, reference[:, 0]), minlength=10) / len(reference) + 1e-4
    for row, window in windows(stream):
        found = np.bincount(np.searchsorted(edges, window), minlength=10) / WINDOW + 1e-4
        if ((found - expected) * np.log(found / expected)).sum() > 0.1:
            return row
    return None


def wasserstein(reference: np.ndarray, stream: np.ndarray) -> int | None:
    """Distance over the reference's standard deviation > 0.1 in a window of 500."""
    shares = (np.arange(WINDOW) + 0.5) / WINDOW
    expected, spread = np.quantile(reference[:, 0], shares), reference[:, 0].std()
    for row, window in windows(stream):
        if np.abs(np.sort(window) - expected).mean() / spread > 0.1:
            return row
    return None


def of_river(make: Callable[[], list]) -> Callable[[np.ndarray, np.ndarray], int | None]:
    """A watcher of river's detectors, one for each power of the standardized value."""

    def watch(reference: np.ndarray, stream: np.ndarray) -> int | None:
        detectors = make()
        mean, spread = reference[:, 0].mean(), reference[:, 0].std()
        for row, value in enumerate((stream[:, 0] - mean) / spread, 1):
            for power, detector in enumerate(detectors, 1):
                detector.update(value**power)
                if detector.drift_detected:
                    return row
        return None

    return watch


def always(_reference: np.ndarray, _stream: np.ndarray) -> int | None:
    return 1


def never(_reference: np.ndarray, _stream: np.ndarray) -> int | None:
    return None
