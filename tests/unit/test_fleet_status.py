from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from edge_rai.counts import FeatureCounts, Snapshot
from edge_rai.errors import StoreError
from edge_rai.fleet.decode import decode
from edge_rai.fleet.status import FeatureStatus, FleetStatus, read_status
from edge_rai.fleet.store import FILE_NAME, Store
from edge_rai.telemetry import otlp
from edge_rai.types import Feature
from support.telemetry import FEATURES, INSTANCE, command_line, counts, request, snapshot

OTHER = "ff" * 16


def store_all(directory: Path, *snapshots: Snapshot, at: int = 0, features: tuple[Feature, ...] = FEATURES) -> None:
    with closing(Store(directory)) as store:
        for one in snapshots:
            [(batch, _)], refusals = decode(otlp.encode(one, features, "0.0.0"))
            assert refusals == []
            store.add([batch], at)


def with_radius(bins: list[int], sequence: int = 0, **changes: object) -> Snapshot:
    features = (FeatureCounts(counts(bins), 0, 0, 0), *snapshot().features[1:])
    return snapshot(sequence, features=features, **changes)


def feature(status: FleetStatus, name: str) -> FeatureStatus:
    (found,) = (one for one in status.features if one.feature == name)
    return found


def psi_by_definition(reference: list[int], window: list[int]) -> float:
    """The formula in edge_rai.h, written out."""
    bins = len(reference)
    total = 0.0
    for r, w in zip(reference, window, strict=True):
        p = (w + 0.5) / (sum(window) + bins / 2)
        q = (r + 0.5) / (sum(reference) + bins / 2)
        total += (p - q) * math.log(p / q)
    return total


def test_missing_store_says_how_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="edge-rai collect"):
        read_status(tmp_path)


def test_empty_store_has_no_devices(tmp_path: Path) -> None:
    store_all(tmp_path)
    status = read_status(tmp_path)
    assert (status.devices, status.features, status.batches, status.missing) == ((), (), 0, 0)


def test_devices_are_listed_with_what_they_reported(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(0), at=1_000)
    store_all(tmp_path, snapshot(1, end_unix_ns=1_700_000_120_000_000_000), at=2_000)
    store_all(tmp_path, snapshot(0, instance=OTHER), at=3_000)
    status = read_status(tmp_path)
    assert [device.instance for device in status.devices] == [OTHER, INSTANCE]
    device = status.devices[1]
    assert (device.batches, device.calls, device.errors) == (2, 26, 2)
    assert device.rows == {"accept": 40, "flag": 0, "reject": 8}
    assert (device.first_received_unix_ns, device.last_received_unix_ns) == (1_000, 2_000)
    assert device.first_start_unix_ns == 1_700_000_000_000_000_000
    assert device.last_end_unix_ns == 1_700_000_120_000_000_000
    assert status.rows == {"accept": 60, "flag": 0, "reject": 12}
    assert status.sources == {"default": 12, "primary": 60}
    assert status.reasons == {"above_range": 3, "not_finite": 9}
    assert (status.batches, status.calls, status.errors) == (3, 39, 3)


def test_gaps_in_a_sequence_are_counted_by_epoch(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(0), snapshot(1), snapshot(4), snapshot(7))
    store_all(tmp_path, snapshot(0, epoch=8), snapshot(1, epoch=8))
    store_all(tmp_path, snapshot(2, epoch=9))
    status = read_status(tmp_path)
    assert status.devices[0].missing == {7: 4, 9: 2}
    assert status.missing == 6


def test_batch_that_comes_late_closes_its_gap(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(1))
    assert read_status(tmp_path).missing == 1
    store_all(tmp_path, snapshot(0))
    assert read_status(tmp_path).missing == 0


def test_psi_is_that_of_the_formula_on_the_added_histograms(tmp_path: Path) -> None:
    store_all(tmp_path, with_radius([10, 0, 5, 1], 0), with_radius([1, 2, 3, 40], 1))
    store_all(tmp_path, with_radius([0, 7, 0, 0], 0, instance=OTHER))
    radius = feature(read_status(tmp_path), "radius")
    assert radius.psi == pytest.approx(psi_by_definition([25, 25, 26, 24], [11, 9, 8, 41]), rel=1e-12)
    assert radius.expected == pytest.approx(3 * (1 / 69 + 1 / 100))
    assert (radius.values, radius.reference_values, radius.devices) == (69, 100, 2)


def test_merging_many_batches_equals_counting_them_as_one(tmp_path: Path) -> None:
    store_all(tmp_path / "many", *(with_radius([i, 2 * i, 0, 3], i) for i in range(20)))
    store_all(tmp_path / "one", with_radius([190, 380, 0, 60]))
    many, one = (feature(read_status(tmp_path / name), "radius") for name in ("many", "one"))
    assert (many.psi, many.expected, many.values) == (one.psi, one.expected, one.values)


def test_worst_psi_comes_first_and_features_without_reference_last(tmp_path: Path) -> None:
    store_all(tmp_path, with_radius([0, 0, 0, 500]))
    features = read_status(tmp_path).features
    assert [one.feature for one in features] == ["radius", "texture", "flags"]
    assert (features[2].psi, features[2].expected, features[2].values) == (None, None, 0)


def test_guard_programs_are_kept_apart(tmp_path: Path) -> None:
    store_all(tmp_path, with_radius([25, 25, 25, 25]), with_radius([0, 0, 0, 100], 1, guard_digest="ee" * 32))
    found = {one.guard_digest: one for one in read_status(tmp_path).features if one.feature == "radius"}
    assert {digest: one.values for digest, one in found.items()} == {"cd" * 32: 100, "ee" * 32: 100}
    assert found["ee" * 32].psi > 1 > 0.01 > found["cd" * 32].psi


def test_device_with_a_false_reference_spoils_nobody_elses_psi(tmp_path: Path) -> None:
    store_all(tmp_path, with_radius([25, 25, 25, 25]))
    liar = (FEATURES[0]._replace(counts=counts([1, 0, 0, 10_000])), *FEATURES[1:])
    store_all(tmp_path, with_radius([25, 25, 25, 25], instance=OTHER), features=liar)
    found = [one for one in read_status(tmp_path).features if one.feature == "radius"]
    assert [one.devices for one in found] == [1, 1]
    assert found[0].psi > 1 > 0.01 > found[1].psi


def test_hostile_counts_are_added_without_overflow(tmp_path: Path) -> None:
    most = 2**63 - 1
    huge = {"calls": most, "errors": most, "rows_by_verdict": counts([most, 0, 0])}
    store_all(tmp_path, *(snapshot(i, **huge) for i in (0, 1, most)))
    status = read_status(tmp_path)
    assert (status.calls, status.rows["accept"]) == (3 * most, 3 * most)
    assert status.missing == most - 2


def test_status_can_be_read_while_the_collector_holds_the_store(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.add([decode(request(snapshot()))[0][0][0]], 5)
        assert read_status(tmp_path).batches == 1


def test_command_prints_the_worst_feature_first(tmp_path: Path) -> None:
    store_all(tmp_path, with_radius([0, 0, 0, 500], 3), at=1_700_000_000_000_000_000)
    command = command_line("fleet", "status", "--store", tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "1 devices, 1 batches, 3 missing, 24 rows"
    assert any(INSTANCE in line and "2023-11-14 22:13:20Z" in line for line in lines)
    table = [line.split()[1] for line in lines[-3:]]
    assert table == ["radius", "texture", "flags"]
    assert all(line == line.rstrip() for line in lines)


def test_command_gives_the_whole_status_as_json(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(2))
    command = command_line("fleet", "status", "--store", tmp_path, "--json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    status = json.loads(done.stdout)
    assert set(status) == {field.name for field in dataclasses.fields(FleetStatus)}
    assert status["devices"][0]["missing"] == {"7": 2}
    assert {one["feature"] for one in status["features"]} == {"radius", "texture", "flags"}


def test_command_without_a_store_says_so_in_one_line(tmp_path: Path) -> None:
    command = command_line("fleet", "status", "--store", tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "no store at" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_store_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot())
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("DROP TABLE tally")
    with pytest.raises(StoreError, match="cannot be read"):
        read_status(tmp_path)
