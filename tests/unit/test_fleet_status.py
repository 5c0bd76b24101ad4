from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_rai.cli import main
from edge_rai.errors import StoreError
from edge_rai.events import Windows
from edge_rai.fleet.drift import drifted, latency_percentile, measure
from edge_rai.fleet.queries import Part
from edge_rai.fleet.status import missing_windows
from edge_rai.fleet.store import FILE_NAME, Store, stored
from support.fleets import HOUR_NS, OTHER, batch_of, open_store, seen, store_all, with_radius
from support.telemetry import FEATURES, INSTANCE, counts, snapshot


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
        seen(tmp_path)


def test_empty_store_has_no_devices(tmp_path: Path) -> None:
    store_all(tmp_path)
    found = seen(tmp_path)
    assert (found.devices, found.features, found.group.batches, found.group.devices) == ((), (), 0, 0)


def test_devices_are_listed_with_what_they_reported(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(0), at=1_000)
    store_all(tmp_path, snapshot(1, end_unix_ns=1_700_000_120_000_000_000), at=2_000, site="Oslo", firmware="1.4")
    store_all(tmp_path, snapshot(0, instance=OTHER), at=3_000)
    found = seen(tmp_path)
    assert [device.instance for device in found.devices] == [OTHER, INSTANCE]
    device = found.devices[1]
    assert (device.batches, device.calls, device.errors) == (2, 26, 2)
    assert device.rows == {"accept": 40, "reject": 8}
    assert (device.first_received_unix_ns, device.last_received_unix_ns) == (1_000, 2_000)
    assert device.first_start_unix_ns == 1_700_000_000_000_000_000
    assert device.last_end_unix_ns == 1_700_000_120_000_000_000
    assert (device.site, device.firmware, device.model_digest) == ("Oslo", "1.4", "ab" * 6)
    group = found.group
    assert group.rows == {"accept": 60, "reject": 12}
    assert group.sources == {"default": 12, "primary": 60}
    assert group.reasons == {"above_range": 3, "not_finite": 9}
    assert (group.batches, group.devices, group.calls, group.errors) == (3, 2, 39, 3)


def test_groups_have_what_their_devices_reported(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(0), site="Oslo", firmware="1")
    store_all(tmp_path, snapshot(1), site="Oslo", firmware="2")
    store_all(tmp_path, snapshot(0, instance=OTHER, rows_by_verdict=counts([1, 2, 3])), site="Rome", firmware="2")
    by_site = {group.of["site"]: group.rows for group in seen(tmp_path, by=["site"]).groups}
    assert by_site == {
        "Oslo": {"accept": 40, "reject": 8},
        "Rome": {"accept": 1, "flag": 2, "reject": 3},
    }
    both = [(*group.of.values(), group.batches) for group in seen(tmp_path, by=["site", "firmware"]).groups]
    assert both == [("Oslo", "1", 1), ("Oslo", "2", 1), ("Rome", "2", 1)]


def test_only_what_was_received_in_a_period_is_counted(tmp_path: Path) -> None:
    for sequence, hour in enumerate((0, 30, 60)):
        store_all(tmp_path, snapshot(sequence), at=hour * HOUR_NS)
    assert seen(tmp_path, Part(since_unix_ns=30 * HOUR_NS)).group.batches == 2
    assert seen(tmp_path, Part(since_unix_ns=1, until_unix_ns=60 * HOUR_NS)).group.batches == 1


def test_windows_that_did_not_arrive_are_counted_by_epoch(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(0), snapshot(1), snapshot(4), snapshot(7))
    store_all(tmp_path, snapshot(0, epoch=8), snapshot(1, epoch=8))
    store_all(tmp_path, snapshot(2, epoch=9))
    assert seen(tmp_path).devices[0].missing == {7: 4, 9: 2}


def test_batch_that_comes_late_closes_its_gap(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(1), snapshot(3))
    assert missing_windows(tmp_path) == {INSTANCE: {7: 2}}
    store_all(tmp_path, snapshot(0), snapshot(2))
    assert missing_windows(tmp_path) == {}


def test_merged_batch_accounts_for_all_of_its_windows(tmp_path: Path) -> None:
    windows = (Windows(6, 0, 3), Windows(7, 0, 5))
    store_all(tmp_path, snapshot(4, windows=windows), snapshot(6))
    assert missing_windows(tmp_path) == {INSTANCE: {7: 1}}
    assert [(one.sequence, one.windows) for one in stored(tmp_path)] == [(4, 8), (6, 1)]


def test_windows_in_any_order_of_arrival_leave_the_gaps_that_they_leave(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    order = rng.permutation(60).tolist()
    left_out = set(rng.choice(59, 9, replace=False).tolist())
    store_all(tmp_path, *(snapshot(sequence) for sequence in order if sequence not in left_out))
    assert missing_windows(tmp_path) == {INSTANCE: {7: 9}}


def test_psi_is_that_of_the_formula_on_the_added_histograms(tmp_path: Path) -> None:
    store_all(tmp_path, with_radius([10, 0, 5, 1], 0), with_radius([1, 2, 3, 40], 1))
    store_all(tmp_path, with_radius([0, 7, 0, 0], 0, instance=OTHER))
    radius = seen(tmp_path).feature("radius")
    assert radius.psi == pytest.approx(psi_by_definition([25, 25, 26, 24], [11, 9, 8, 41]), rel=1e-12)
    assert radius.expected == pytest.approx(3 * (1 / 69 + 1 / 100))
    assert (radius.values, radius.reference, radius.devices) == (69, (25, 25, 26, 24), 2)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
def test_standard_error_of_psi_is_what_it_scatters_by(shift: float) -> None:
    rng = np.random.default_rng(11)
    edges = np.linspace(-1.5, 1.5, 9)
    found = []
    for _ in range(400):
        sampled = (rng.normal(size=2000), rng.normal(shift, 1, 1500))
        reference, window = (
            np.bincount(np.searchsorted(edges, one), minlength=10).astype(np.uint64) for one in sampled
        )
        found.append(measure(reference, window))
    values = np.array([psi.value for psi in found])
    error = float(np.mean([psi.error for psi in found]))
    assert 0.9 <= error / values.std() <= 1.3


def test_nothing_counted_has_no_psi() -> None:
    assert measure(counts([1, 2]), counts([0, 0])) is None
    assert measure(counts([]), counts([])) is None


def test_merging_many_batches_equals_counting_them_as_one(tmp_path: Path) -> None:
    store_all(tmp_path / "many", *(with_radius([i, 2 * i, 0, 3], i) for i in range(20)))
    store_all(tmp_path / "one", with_radius([190, 380, 0, 60]))
    many, one = (seen(tmp_path / name).feature("radius") for name in ("many", "one"))
    assert (many.window, many.psi, many.error) == (one.window, one.psi, one.error)


def test_surest_drift_comes_first_and_features_without_reference_last(tmp_path: Path) -> None:
    store_all(tmp_path, with_radius([0, 0, 0, 500]))
    features = seen(tmp_path).features
    assert [one.feature for one in features] == ["radius", "texture", "flags"]
    assert (features[2].psi, features[2].expected, features[2].values) == (None, None, 0)


def test_guard_programs_are_kept_apart(tmp_path: Path) -> None:
    store_all(tmp_path, with_radius([25, 25, 25, 25]), with_radius([0, 0, 0, 100], 1, guard_digest="ee" * 32))
    found = {one.guard_digest: one for one in seen(tmp_path).features if one.feature == "radius"}
    assert {digest: one.values for digest, one in found.items()} == {"cd" * 6: 100, "ee" * 6: 100}
    assert found["ee" * 6].psi > 1 > 0.01 > found["cd" * 6].psi


def test_device_with_a_false_reference_spoils_nobody_elses_psi(tmp_path: Path) -> None:
    store_all(tmp_path, with_radius([25, 25, 25, 25]))
    liar = (FEATURES[0]._replace(counts=counts([1, 0, 0, 10_000])), *FEATURES[1:])
    store_all(tmp_path, with_radius([25, 25, 25, 25], instance=OTHER), features=liar)
    found = [one for one in seen(tmp_path).features if one.feature == "radius"]
    assert [one.devices for one in found] == [1, 1]
    assert found[0].psi > 1 > 0.01 > found[1].psi


def test_hostile_counts_are_added_without_overflow(tmp_path: Path) -> None:
    most, last = 2**53, 2**63 - 2
    huge = {"calls": most, "errors": most, "rows_by_verdict": counts([most, 0, 0])}
    store_all(tmp_path, *(snapshot(i, **huge) for i in (0, 1, last)))
    found = seen(tmp_path)
    assert (found.group.calls, found.group.rows["accept"]) == (3 * most, 3 * most)
    assert found.devices[0].missing == {7: last - 2}


def test_latency_percentiles_are_the_upper_ends_of_slots(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot())
    assert seen(tmp_path).group.latency_ns == {"0.5": 2.0**15, "0.9": 2 ** (123 / 8), "0.99": 2 ** (123 / 8)}
    assert latency_percentile([4], 1.0) == 1.0
    assert latency_percentile([], 0.5) is None


def test_e_bh_names_by_the_definition() -> None:
    assert drifted({"a": 1e9, "b": 1.0, "c": 0.1}, 0.05) == ("a",)
    assert drifted({"a": 59.9, "b": 1.0, "c": 0.1}, 0.05) == ()
    assert drifted({"a": 30.0, "b": 31.0, "c": 0.1}, 0.05) == ("b", "a")  # 3 / (0.05 * 2)
    assert drifted({}, 0.05) == ()


def test_e_bh_names_few_wrongly_and_most_of_those_that_drift() -> None:
    # e-values of a likelihood ratio, whose mean is 1 under no change, of devices that share noise
    rng = np.random.default_rng(5)
    wrong, right, rounds = 0.0, 0.0, 200
    for _ in range(rounds):
        z = rng.normal(size=500) * 0.8 + rng.normal() * 0.6
        z[:50] += 5.0
        e_values = {f"{index:03}": float(math.exp(4 * value - 8)) for index, value in enumerate(z)}
        named = drifted(e_values, 0.1)
        false = sum(name >= "050" for name in named)
        wrong += false / max(len(named), 1)
        right += (len(named) - false) / 50
    assert wrong / rounds <= 0.1
    assert right / rounds >= 0.5


def test_status_can_be_read_while_the_collector_holds_the_store(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.add([batch_of(snapshot())], 5)
        assert seen(tmp_path).group.batches == 1


def test_damaged_ledger_and_lost_file_are_errors_and_no_crash(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot())
    with open_store(tmp_path):
        pass
    (lost,) = tmp_path.glob("facts/counts/*/0*.parquet")
    lost.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        seen(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("DROP TABLE span")
    with pytest.raises(StoreError, match="cannot be read"):
        missing_windows(tmp_path)


Said = pytest.CaptureFixture[str]


def run(said: Said, *arguments: str | Path) -> str:
    assert main(["fleet", *map(str, arguments)]) == 0
    return said.readouterr().out


def test_commands_print_rates_gaps_and_the_surest_drift_first(tmp_path: Path, capsys: Said) -> None:
    store_all(tmp_path, with_radius([0, 0, 0, 500], 3), at=1_700_000_000_000_000_000, site="Oslo")
    lines = run(capsys, "status", "--store", tmp_path, "--by", "site").splitlines()
    assert lines[0] == "1 devices, 1 silent, 3 windows missing"
    assert "site Oslo: 1 devices, 1 batches, 13 calls, 24 rows" in lines
    assert "verdict: accept 20 (83.33%), reject 4 (16.67%)" in lines
    assert "calls: 50% within 33 us, 90% within 42 us, 99% within 42 us; 1 raised" in lines
    assert any(INSTANCE in line and "2023-11-14 22:13:20Z silent" in line for line in lines)
    lines = run(capsys, "drift", "--store", tmp_path).splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["radius", "texture", "flags"]
    assert all(line == line.rstrip() for line in lines)


def test_commands_give_everything_as_json(tmp_path: Path, capsys: Said) -> None:
    store_all(tmp_path, snapshot(2), drift_evidence=1e6, drift_rows=10)
    status = json.loads(run(capsys, "status", "--store", tmp_path, "--json"))
    assert status["devices"][0]["missing"] == {"7": 2}
    assert (status["silent"], status["groups"][0]["of"]) == ([INSTANCE], {})
    drift = json.loads(run(capsys, "drift", "--store", tmp_path, "--json", "--feature", "radius"))
    assert [one["feature"] for one in drift["features"]] == ["radius"]
    assert set(drift["evidence"]) == {"as_of_unix_ns", "rate", "groups", "features", "devices", "drifted"}


@pytest.mark.parametrize("command", ["status", "drift", "export"])
def test_command_without_a_store_says_so_in_one_line(tmp_path: Path, capsys: Said, command: str) -> None:
    more = ["counts", str(tmp_path / "x.csv")] if command == "export" else []
    assert main(["fleet", command, "--store", str(tmp_path), *more]) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no store at" in said
