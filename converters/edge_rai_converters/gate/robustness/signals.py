"""Corruptions of signals: of sound, and of what sensors give over time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_rai_converters.gate.robustness.changes import Change
from edge_rai_converters.gate.robustness.sample import Floats, Mask, Sample

_SPIKE = 4.0


def _white(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """So many decibels below each signal's own power."""
    power = np.square(sample.values).mean(axis=1, keepdims=True)
    deviation = np.sqrt(power * 10 ** (-setting / 10))
    return np.asarray(sample.values + deviation * generator.normal(size=sample.values.shape))


def _clipping(sample: Sample, setting: float, _: np.random.Generator) -> Floats:
    peak = np.abs(sample.values).max(axis=1, keepdims=True)
    return np.clip(sample.values, -setting * peak, setting * peak)


def _silence(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """A part without sound."""
    found = np.array(sample.values)
    found[_part(sample, setting, generator, found.shape[1])] = 0.0
    return found


def _series(sample: Sample) -> Floats:
    """(n, time, channels), a copy."""
    shape = sample.row_shape
    return np.array(sample.values.reshape(len(sample), shape[0], -1))


def _spread(sample: Sample) -> Floats:
    """(channels,) standard deviations; 1 of constants."""
    found = _series(sample).std(axis=(0, 1))
    return np.where(found > 0, found, 1.0)


def _flat(series: Floats) -> Floats:
    return series.reshape(len(series), -1)


def _noise(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    series = _series(sample)
    return _flat(series + setting * _spread(sample) * generator.normal(size=series.shape))


def _one(sample: Sample, generator: np.random.Generator) -> Mask:
    """(n, 1, channels) one channel of each row."""
    channels = _series(sample).shape[2]
    return np.asarray(generator.integers(channels, size=len(sample))[:, np.newaxis, np.newaxis] == np.arange(channels))


def _bias(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    return _flat(_series(sample) + setting * _spread(sample) * _one(sample, generator))


def _drift(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """A bias that grows from nothing."""
    series = _series(sample)
    ramp = np.linspace(0, setting, series.shape[1])[:, np.newaxis]
    return _flat(series + ramp * _spread(sample) * _one(sample, generator))


def _gain(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    series = _series(sample)
    return _flat(np.where(_one(sample, generator), series * setting, series))


def _spikes(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """In so many of the values."""
    series = _series(sample)
    hit = generator.random(series.shape) < setting
    signs = np.where(generator.random(series.shape) < 0.5, -_SPIKE, _SPIKE)
    return _flat(series + hit * signs * _spread(sample))


def _stuck(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """One channel stays what it was for the last part of the row."""
    series = _series(sample)
    first = min(series.shape[1] - 1, int((1 - setting) * series.shape[1]))
    held = np.where(np.arange(series.shape[1])[:, np.newaxis] > first, series[:, first : first + 1], series)
    return _flat(np.where(_one(sample, generator), held, series))


def _dropout(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """All channels are 0 for a part of the row."""
    series = _series(sample)
    series[_part(sample, setting, generator, series.shape[1])] = 0.0
    return _flat(series)


def _part(sample: Sample, setting: float, generator: np.random.Generator, length: int) -> Mask:
    """(n, length) a part of each row, anywhere in it."""
    width = max(1, round(setting * length))
    middle = generator.random((len(sample), 1)) * length
    return np.asarray(np.abs((np.arange(length) - middle + length / 2) % length - length / 2) <= width / 2)


AUDIO: Mapping[str, Change] = {
    "noise": Change(_white, "decibels of signal over noise", (30, 20, 10, 5, 0)),
    "clipping": Change(_clipping, "level, of the peak", (0.5, 0.3, 0.2, 0.1, 0.05)),
    "dropout": Change(_silence, "share of the signal", (0.05, 0.1, 0.2, 0.3, 0.5)),
}
SENSORS: Mapping[str, Change] = {
    "noise": Change(_noise, "standard deviations", (0.1, 0.25, 0.5, 1.0, 2.0)),
    "bias": Change(_bias, "standard deviations", (0.25, 0.5, 1.0, 2.0, 4.0)),
    "drift": Change(_drift, "standard deviations at the end", (0.5, 1.0, 2.0, 4.0, 8.0)),
    "gain": Change(_gain, "factor", (1.1, 1.25, 1.5, 2.0, 4.0)),
    "spikes": Change(_spikes, "share of the values", (0.005, 0.01, 0.02, 0.05, 0.1)),
    "stuck": Change(_stuck, "share of the row", (0.1, 0.25, 0.5, 0.75, 1.0)),
    "dropout": Change(_dropout, "share of the row", (0.05, 0.1, 0.2, 0.3, 0.5)),
}
