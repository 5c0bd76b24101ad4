"""What drift is measured against, and its form in a bundle: reference/reference.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, TypeAdapter, ValidationError

from edge_rai.errors import BundleError
from edge_rai.findings import explain


@dataclass(frozen=True, eq=False, slots=True)
class FeatureReference:
    """What the reference data said of one feature.

    Attributes:
        input: Name of the input it belongs to.
        name: As in the policy.
        rows: Rows it was learned from.
        mean: Of its values.
        stddev: Of its values; 0 when constant.
        edges: (bins - 1,) strictly increasing; bin i holds ``edges[i-1] < value <= edges[i]``.
        counts: (bins,) values in each bin.
        outside: Of these, how many are out of the range that the policy allows.
        right: (bins,) of a confidence, rows of each bin whose class was the label; empty where no labels were known.
        slot_means: Of a seasonal observation, what is usual in each slot of the day or week; else empty.
        slot_scales: Likewise, one over the standard deviation; 0: the reference had too few rows in the slot.
    """

    input: str
    name: str
    rows: int
    mean: float
    stddev: float
    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.uint64]
    outside: int = 0
    right: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    slot_means: tuple[float, ...] = ()
    slot_scales: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class DistanceReference:
    """How the reference lies in space; see erai_distance_rule in edge_rai.h for the formula.

    Attributes:
        input: Name of the input.
        mean: (features,)
        scale: (features,) one over the standard deviation.
        projection: (directions, features)
        weights: (directions,)
        rest: Weight of the squared length.
    """

    input: str
    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    projection: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    rest: float


@dataclass(frozen=True, slots=True)
class _FeatureRecord:
    input: str
    name: str
    rows: int
    mean: float
    stddev: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    outside: int = 0
    right: tuple[int, ...] = ()
    slot_means: tuple[float, ...] = ()
    slot_scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.slot_means) != len(self.slot_scales):
            raise ValueError(
                f"{self.name!r} has {len(self.slot_means)} slot_means, {len(self.slot_scales)} slot_scales"
            )
        if self.counts and len(self.edges) + 1 != len(self.counts):
            raise ValueError(f"{self.name!r} has {len(self.edges)} edges for {len(self.counts)} bins")
        pairs = list(zip(self.right, self.counts, strict=False))
        if self.right and (len(self.right) != len(self.counts) or any(right > rows for right, rows in pairs)):
            raise ValueError(f"{self.name!r} has more right rows than rows, or not as many bins of them")
        if any(not 0 <= count < 2**64 for count in (*self.counts, *self.right, self.outside)):
            raise ValueError(f"{self.name!r} has a count outside 0 to 2**64 - 1")


@dataclass(frozen=True, slots=True)
class _DistanceRecord:
    input: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    projection: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    rest: float

    def __post_init__(self) -> None:
        features = len(self.mean)
        if len(self.scale) != features or any(len(row) != features for row in self.projection):
            raise ValueError(f"the distance of {self.input!r} has rows of other lengths than {features}")
        if len(self.weights) != len(self.projection):
            raise ValueError(f"the distance of {self.input!r} has {len(self.weights)} weights")


@dataclass(frozen=True, slots=True)
class _ReferenceRecord:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    format_version: Literal[1]
    features: tuple[_FeatureRecord, ...]
    distances: tuple[_DistanceRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """What drift and distance are measured against: one entry a feature, and one an input that has a distance."""

    features: tuple[FeatureReference, ...]
    distances: tuple[DistanceReference, ...] = ()

    def to_json(self) -> bytes:
        """One line a feature; floats in the shortest form that reads back exactly."""
        lists = [f'"features": [\n{_lines(map(_record, self.features))}\n]']
        if self.distances:
            lists.append(f'"distances": [\n{_lines(map(_distance_record, self.distances))}\n]')
        return f'{{"format_version": 1, {", ".join(lists)}}}\n'.encode("ascii")

    @classmethod
    def from_json(cls, text: bytes, where: str = "reference.json") -> Reference:
        """Reads what ``to_json`` wrote.

        Raises:
            BundleError: The text is not a reference; names ``where`` and the field.
        """
        try:
            record = TypeAdapter(_ReferenceRecord).validate_json(text)
        except ValidationError as error:
            raise BundleError(f"{where}: {explain(error)}") from error
        return cls(
            tuple(
                FeatureReference(
                    entry.input,
                    entry.name,
                    entry.rows,
                    entry.mean,
                    entry.stddev,
                    np.array(entry.edges, dtype=np.float64),
                    np.array(entry.counts, dtype=np.uint64),
                    entry.outside,
                    np.array(entry.right, dtype=np.uint64),
                    slot_means=entry.slot_means,
                    slot_scales=entry.slot_scales,
                )
                for entry in record.features
            ),
            tuple(
                DistanceReference(
                    entry.input,
                    np.array(entry.mean, np.float64),
                    np.array(entry.scale, np.float64),
                    np.array(entry.projection, np.float32).reshape(len(entry.projection), len(entry.mean)),
                    np.array(entry.weights, np.float32),
                    entry.rest,
                )
                for entry in record.distances
            ),
        )


def _record(feature: FeatureReference) -> dict[str, Any]:
    return {
        "input": feature.input,
        "name": feature.name,
        "rows": feature.rows,
        "mean": feature.mean,
        "stddev": feature.stddev,
        "edges": feature.edges.tolist(),
        "counts": [int(count) for count in feature.counts],
        **({"outside": feature.outside} if feature.outside else {}),
        **({"right": feature.right.tolist()} if len(feature.right) else {}),
        **({"slot_means": feature.slot_means, "slot_scales": feature.slot_scales} if feature.slot_means else {}),
    }


def _distance_record(distance: DistanceReference) -> dict[str, Any]:
    return {
        "input": distance.input,
        "mean": distance.mean.tolist(),
        "scale": distance.scale.tolist(),
        "projection": [[shortest_float32(float(value)) for value in row] for row in distance.projection],
        "weights": [shortest_float32(float(value)) for value in distance.weights],
        "rest": distance.rest,
    }


def _lines(records: Iterable[dict[str, Any]]) -> str:
    return ",\n".join(json.dumps(record, ensure_ascii=True) for record in records)


def shortest_float32(value: float) -> float:
    """The float with the fewest digits that is the same float32, when `value` is one; else `value`."""
    with np.errstate(over="ignore"):
        short = float(str(np.float32(value)))
        return short if float(np.float32(value)) == value and np.float32(short) == np.float32(value) else value
