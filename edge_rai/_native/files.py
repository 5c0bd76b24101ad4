"""Bundles and batch files, verified and decoded."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from edge_rai._ffi import ffi, lib
from edge_rai._native.library import Detail, array, text
from edge_rai.types import FeatureCounts, Snapshot


def read_bundle(path: str) -> dict[str, bytes]:
    """Reads a bundle; every file is verified against the manifest, and the manifest against manifest.sha256.

    Raises:
        BundleError: Not a bundle, malformed or newer than understood; names the file.
        IntegrityError: A file is missing, extra or changed; names it.
    """
    detail = Detail(path)
    out = ffi.new("erai_bundle **")
    detail.check(lib.erai_bundle_open(os.fsencode(path), out, detail.buffer))
    try:
        files = {}
        name, data, size = ffi.new("const char **"), ffi.new("const uint8_t **"), ffi.new("size_t *")
        for i in range(lib.erai_bundle_files(out[0])):
            lib.erai_bundle_file(out[0], i, name, data, size)
            files[text(name[0])] = bytes(ffi.buffer(data[0], size[0]))
        return files
    finally:
        lib.erai_bundle_close(out[0])


def read_snapshot(data: bytes) -> Snapshot:
    """Reads a batch file's bytes, which may come from anybody.

    Raises:
        SpoolError: The bytes are not a batch file that this build understands.
    """
    detail = Detail()
    out = ffi.new("erai_snapshot **")
    detail.check(lib.erai_snapshot_open(ffi.from_buffer(data), len(data), out, detail.buffer))
    return take_snapshot(out[0])


def take_snapshot(handle: Any) -> Snapshot:
    """Reads and closes a snapshot handle."""
    try:
        info = ffi.new("erai_snapshot_info *")
        lib.erai_snapshot_read(handle, info)
        counts = ffi.new("erai_feature_counts *")
        features = []
        for i in range(info.features):
            lib.erai_snapshot_feature(handle, i, counts)
            histogram = array(counts.histogram, counts.bins, np.uint64)
            features.append(FeatureCounts(histogram, counts.not_finite, counts.sum, counts.sum_squares))
        return Snapshot(
            instance=bytes(ffi.buffer(info.instance)).hex(),
            epoch=info.epoch,
            sequence=info.sequence,
            start_unix_ns=info.start_unix_ns,
            end_unix_ns=info.end_unix_ns,
            duration_ns=info.duration_ns,
            model_digest=bytes(ffi.buffer(info.model_digest)).hex(),
            guard_digest=bytes(ffi.buffer(info.guard_digest)).hex(),
            calls=info.calls,
            errors=info.errors,
            rows_by_verdict=array(info.rows_by_verdict, info.verdicts, np.uint64),
            rows_by_source=array(info.rows_by_source, info.sources, np.uint64),
            reasons=array(info.reasons, info.reason_codes, np.uint64),
            decisions=array(info.decisions, info.decision_counts, np.uint64),
            latency=array(info.latency, info.latency_slots, np.uint64),
            latency_sum_ns=info.latency_sum_ns,
            features=tuple(features),
        )
    finally:
        lib.erai_snapshot_close(handle)
