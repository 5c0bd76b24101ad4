"""A batch as the JSON that the ledger keeps until it is rolled, and by whose digest two batches are the same."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from edge_rai.fleet.decode import Batch, FeatureBatch

_MOST_KNOWN: Final = 1 << 16


def counted(batch: Batch) -> str:
    """What was counted, as JSON: equal for equal batches, whatever the order in which a relay put their parts."""
    counts = sorted([kind, name, count] for (kind, name), count in batch.tallies.items())
    counts += [["latency", str(slot), count] for slot, count in enumerate(batch.latency) if count]
    features = sorted(
        [
            one.name,
            reference_digest(batch.guard_digest, one),
            one.not_finite,
            one.z_sum,
            one.z_sum_squares,
            *one.counts,
        ]
        for one in batch.features.values()
    )
    return json.dumps(
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
            "counts": counts,
            "features": features,
        }
    )


_digests: dict[tuple[object, ...], str] = {}


def reference_digest(guard_digest: str, feature: FeatureBatch) -> str:
    """Names a reference by its content: a device that sends another one under the same guard program spoils its own."""
    key = (guard_digest, feature.name, feature.bounds, feature.reference)
    found = _digests.get(key)
    if found is None:
        if len(_digests) >= _MOST_KNOWN:
            _digests.clear()
        found = _digests[key] = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return found
