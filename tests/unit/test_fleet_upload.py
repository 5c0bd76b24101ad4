"""From predictions on a device to what the fleet's commands say, through the real agent and a real collector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edge_rai import load
from edge_rai.fleet.queries import Part, last_events
from edge_rai.fleet.store import stored
from edge_rai.telemetry.agent import upload
from edge_rai.telemetry.settings import SpoolSettings, UploadSettings
from support.fleets import open_store, seen
from support.telemetry import CollectorProcess


def test_everything_a_device_counted_is_what_the_fleet_shows(linear_bundle: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(0.5, 2, (200, 3)).astype(np.float32)
    rows[::20, 1] = np.nan
    with load(linear_bundle, spool=SpoolSettings(tmp_path / "spool", events=64)) as session:
        for start in range(0, 200, 50):
            session.predict(rows[start : start + 50])
            session.flush()
    with CollectorProcess(tmp_path / "store") as collector:
        told = (("edge.site", "Oslo"), ("edge.firmware", "1.4"))
        report = upload(tmp_path / "spool", UploadSettings(collector.url, attributes=told))
        assert (report.sent, report.kept, report.error) == (4, 0, None)
    ledger, found = stored(tmp_path / "store"), seen(tmp_path / "store")
    assert sum(one.rows for one in ledger) == 200
    assert [one.sequence for one in ledger] == [0, 1, 2, 3]
    (device,) = found.devices
    assert (device.site, device.firmware, device.missing) == ("Oslo", "1.4", {})
    assert device.rows["reject"] == found.group.sources["default"]
    finite = np.isfinite(rows[:, 1])
    texture = found.feature("texture")
    expected = np.bincount(np.searchsorted([-1, 0.5, 2], rows[finite, 1], side="left"), minlength=4)
    assert (texture.values, texture.not_finite) == (int(finite.sum()), int((~finite).sum()))
    assert texture.window == tuple(expected.tolist())
    with open_store(tmp_path / "store") as (_, engine):
        events = engine.rows(last_events(Part(), 100))
    rejected = [one for one in events if json.loads(one["said"])["edge.verdict"] == 2]
    assert len(rejected) == device.rows["reject"] > 0
    assert {one["instance"] for one in events} == {device.instance}
