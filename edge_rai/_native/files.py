"""Bundles and batch files, verified and decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_rai._ffi import ffi, lib
from edge_rai._native.library import Detail, array, text
from edge_rai.counts import DriftState, FeatureCounts, Snapshot
from edge_rai.events import Event, EventClass, EventField, Expired, Expiry, FieldForm, Windows


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
            features.append(
                FeatureCounts(histogram, counts.not_finite, counts.sum, counts.sum_squares, counts.watch_evidence)
            )
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
            windows=tuple(
                Windows(one.epoch, one.first, one.count) for one in ffi.unpack(info.windows, info.window_ranges)
            ),
            events_by_class=tuple(ffi.unpack(info.events_by_class, info.event_classes)),
            expired=tuple(
                Expired(one.windows, one.unknown, one.calls, one.rows, one.events)
                for one in ffi.unpack(info.expired, info.expiries)
            ),
            events=tuple(_events(handle, info.events)),
            drift=_drift(info),
        )
    finally:
        lib.erai_snapshot_close(handle)


def _drift(info: Any) -> DriftState | None:
    if info.watch == lib.ERAI_WATCH_NONE:
        return None
    return DriftState(info.watch_rows, info.watch_evidence, info.watch == lib.ERAI_WATCH_ALARM)


def _events(handle: Any, count: int) -> Iterator[Event]:
    event = ffi.new("erai_event *")
    for i in range(count):
        lib.erai_snapshot_event(handle, i, event)
        yield Event(
            event.epoch,
            event.number,
            event.unix_ns,
            EventClass(event.event_class),
            event.verdict,
            event.source,
            event.reasons,
            event.latency_ns,
            event.row,
            tuple(map(_field, ffi.unpack(event.fields, event.field_count))) if event.field_count else (),
        )


def _field(field: Any) -> EventField:
    form = FieldForm(field.form)
    real = form in (FieldForm.PLAIN, FieldForm.EVIDENCE)
    return EventField(field.feature, form, field.value if real else field.number)


def merge_batches(one: bytes, other: bytes) -> bytes:
    """The batch file of two of one spool, model and guard program: see erai_snapshot_merge in edge_rai.h.

    Raises:
        SpoolError: One of them is no batch file.
        ValueError: They do not belong together, or share a window.
    """
    detail = Detail()
    handles = []
    try:
        for data in (one, other):
            out = ffi.new("erai_snapshot **")
            detail.check(lib.erai_snapshot_open(ffi.from_buffer(data), len(data), out, detail.buffer))
            handles.append(out[0])
        out = ffi.new("erai_snapshot **")
        detail.check(lib.erai_snapshot_merge(handles[0], handles[1], out, detail.buffer))
        handles.append(out[0])
        size = ffi.new("size_t *")
        lib.erai_snapshot_write(out[0], ffi.NULL, 0, size, ffi.NULL)
        room = ffi.new("uint8_t[]", size[0])
        detail.check(lib.erai_snapshot_write(out[0], room, size[0], size, detail.buffer))
        return bytes(ffi.buffer(room, size[0]))
    finally:
        for handle in handles:
            lib.erai_snapshot_close(handle)


class NativeSpool:
    """A spool as who uploads it sees it. Any thread."""

    def __init__(self, path: str) -> None:
        """Ends what was left half done in it.

        Raises:
            SpoolError: There is no such directory, or it cannot be written.
        """
        detail = Detail()
        out = ffi.new("erai_spool **")
        detail.check(lib.erai_spool_attach(os.fsencode(path), out, detail.buffer))
        self._handle = ffi.gc(out[0], lib.erai_spool_close)

    def offer(self, name: str) -> bool:
        """Has a batch stay as it is from now on; whether there is one. Raises SpoolError."""
        detail = Detail()
        there = ffi.new("int *")
        detail.check(lib.erai_spool_offer(self._handle, os.fsencode(name), there, detail.buffer))
        return bool(there[0])

    def receipt(self, name: str) -> None:
        """Removes a batch, durably. Raises SpoolError."""
        detail = Detail()
        detail.check(lib.erai_spool_receipt(self._handle, os.fsencode(name), detail.buffer))

    def set_aside(self, name: str, why: Expiry) -> None:
        """Moves a batch aside, CORRUPT or REFUSED, durably. Raises SpoolError."""
        detail = Detail()
        detail.check(lib.erai_spool_set_aside(self._handle, os.fsencode(name), int(why), detail.buffer))
