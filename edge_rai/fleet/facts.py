"""A batch as the ledger takes it: its name, a digest by which two are the same, and JSON until it is rolled."""

from __future__ import annotations

import hashlib
import json
from typing import Final, NamedTuple

from edge_rai.events import Windows
from edge_rai.fleet.decode import Batch
from edge_rai.fleet.outline import Reference

_MOST_KNOWN_BYTES: Final = 8 << 20  # of references, as lines
_EACH_BYTES: Final = 1 << 10  # that such lines count as besides their own
_ENCODE: Final = json.JSONEncoder(check_circular=False).encode


class Facts(NamedTuple):
    """What the ledger takes.

    Attributes:
        instance: With epoch and sequence the identity of the batch.
        epoch: Likewise.
        sequence: Likewise.
        points: Data points that it came with.
        windows: That it accounts for.
        calls: Calls of predict.
        rows: Of all verdicts.
        content: SHA-256 of what was counted: the same for the same batch, whatever is said of its device, and in
            whatever order a relay put its parts.
        text: All of it, a JSON object.
        references: What its features are measured against, a JSON object a line, and SHA-256 of that.
    """

    instance: str
    epoch: int
    sequence: int
    points: int
    windows: tuple[Windows, ...]
    calls: int
    rows: int
    content: bytes
    text: str
    references: tuple[bytes, str]


def facts_of(batch: Batch, points: int) -> Facts:
    """A batch, and how many data points it came with."""
    rows = sum(count for (kind, _), count in batch.tallies.items() if kind == "verdict")
    counted = _counted(batch, rows)
    labels = _ENCODE({"site": batch.site, "firmware": batch.firmware, "model_version": batch.model_version})
    return Facts(
        batch.instance,
        batch.epoch,
        batch.sequence,
        points,
        batch.windows,
        batch.calls,
        rows,
        hashlib.sha256(counted.encode()).digest(),
        f"{labels[:-1]}, {counted[1:]}",
        _references(batch.guard_digest, tuple(one.reference for one in batch.features)),
    )


def _counted(batch: Batch, rows: int) -> str:
    counts = sorted([kind, name, count] for (kind, name), count in batch.tallies.items())
    counts += [["latency", str(slot), count] for slot, count in enumerate(batch.latency) if count]
    features = [
        (one.name, one.reference.digest, one.not_finite, one.z_sum, one.z_sum_squares, *one.counts)
        for one in batch.features
    ]
    return _ENCODE(
        {
            "instance": batch.instance,
            "epoch": batch.epoch,
            "sequence": batch.sequence,
            "model_digest": batch.model_digest,
            "guard_digest": batch.guard_digest,
            "start_unix_ns": batch.start_unix_ns,
            "end_unix_ns": batch.end_unix_ns,
            "duration_ns": batch.duration_ns,
            "windows": batch.windows,
            "calls": batch.calls,
            "errors": batch.errors,
            "latency_sum_ns": batch.latency_sum_ns,
            "drift_evidence": batch.drift_evidence,
            "drift_rows": batch.drift_rows,
            "drift_alarm": batch.drift_alarm,
            "drifts": sorted(batch.drift_features.items()),
            "rows": rows,
            "counts": counts,
            "features": features,
        }
    )


class _Memory:
    """Of references that came together, as many as a number of bytes allows; then all are forgotten."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[bytes, str]] = {}
        self._bytes = 0

    def lines(self, guard_digest: str, references: tuple[Reference, ...]) -> tuple[bytes, str]:
        key = tuple(one.digest for one in references)  # which have the guard program's in them
        found = self._known.get(key)
        if found is None:
            lines = "\n".join(json.dumps({**one._asdict(), "guard_digest": guard_digest}) for one in references)
            found = hashlib.sha256(lines.encode()).digest(), lines
            size = len(lines) + _EACH_BYTES
            if self._bytes + size > _MOST_KNOWN_BYTES:
                self._known, self._bytes = {}, 0
            self._known[key] = found
            self._bytes += size
        return found


_references: Final = _Memory().lines
