"""Corruptions of rows of numbers, in five severities each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_rai_converters.gate.robustness.changes import Change
from edge_rai_converters.gate.robustness.sample import Floats, Index, Sample

# Of how many features, or pairs, at each severity.
_FEATURES = (1.0, 2.0, 3.0, 5.0, 8.0)
_SHARES = (0.1, 0.2, 0.3, 0.5, 0.8)


def _noise(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    noise = generator.normal(size=sample.values.shape) * sample.scale * sample.numeric
    return np.asarray(sample.values + setting * noise)


def _unit(factor: float, sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    found = np.array(sample.values)
    places = np.flatnonzero(sample.numeric)
    rows, columns = _chosen(len(sample), places, int(setting), generator)
    found[rows, columns] *= factor
    return found


def _unit_x10(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    return _unit(10.0, sample, setting, generator)


def _unit_x1000(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    return _unit(1000.0, sample, setting, generator)


def _swap(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    found = np.array(sample.values)
    places = np.arange(found.shape[1])
    rows, columns = _chosen(len(sample), places, min(2 * int(setting), len(places) // 2 * 2), generator)
    other = columns.reshape(len(sample), -1, 2)[:, :, ::-1].reshape(columns.shape)
    found[rows, columns] = sample.values[rows, other]
    return found


def _stuck(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """Features that stay what they were in one row, as of a sensor that has stopped."""
    found = np.array(sample.values)
    rows, columns = _chosen(len(sample), np.arange(found.shape[1]), int(setting), generator)
    found[rows, columns] = sample.values[generator.integers(len(sample)), columns]
    return found


def _missing_block(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """Neighbouring features that are 0, as where a part of a message did not come."""
    found = np.array(sample.values)
    count = found.shape[1]
    width = max(1, round(setting * count))
    starts = generator.integers(count, size=(len(sample), 1))
    found[np.arange(len(sample))[:, np.newaxis], (starts + np.arange(width)) % count] = 0.0
    return found


def _permuted_column(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """Columns whose values are those of other rows."""
    found = np.array(sample.values)
    count = found.shape[1]
    for column in generator.permutation(count)[: max(1, round(setting * count))]:
        found[:, column] = sample.values[generator.permutation(len(sample)), column]
    return found


def _chosen(rows: int, places: Index, count: int, generator: np.random.Generator) -> tuple[Index, Index]:
    """(rows, 1) and (rows, count): so many of these columns, others in each row."""
    order = generator.random((rows, len(places))).argsort(axis=1)[:, :count]
    return np.arange(rows, dtype=np.int64)[:, np.newaxis], places[order]


CHANGES: Mapping[str, Change] = {
    "noise": Change(_noise, "standard deviations", (0.1, 0.25, 0.5, 1.0, 2.0)),
    "unit_x10": Change(_unit_x10, "features in another unit", _FEATURES),
    "unit_x1000": Change(_unit_x1000, "features in another unit", _FEATURES),
    "swap": Change(_swap, "pairs of features", _FEATURES),
    "stuck": Change(_stuck, "features", _FEATURES),
    "missing_block": Change(_missing_block, "share of the features", _SHARES),
    "permuted_column": Change(_permuted_column, "share of the columns", _SHARES),
}
