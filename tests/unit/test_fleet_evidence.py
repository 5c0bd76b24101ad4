"""What devices' own detectors say: e-values at set times, their means over groups, and which are named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_rai.cli import main
from edge_rai.fleet.evidence import (
    Watching,
    drifted_devices,
    features_by_guard,
    judge_features,
    judge_groups,
    last_set_time,
    read_watching,
)
from edge_rai.fleet.page.views import Look, show
from edge_rai.fleet.queries import Part
from edge_rai.fleet.store import Store
from support.fleets import HOUR_NS, OTHER, batch_of, open_store, store_all
from support.telemetry import INSTANCE, counts, snapshot

ROWS = 24  # of all verdicts in a snapshot of the tests
SET_TIME = 20_000 * 24 * HOUR_NS


def watching(store: Path, part: Part | None = None) -> tuple[Watching, ...]:
    with open_store(store) as (_, engine):
        return read_watching(engine, part or Part())


def device(e_value: float, features: dict[str, float] | None = None, **changes: str) -> Watching:
    known = {"instance": "aa", "site": "Oslo", "firmware": "1", "model_version": "7", **changes}
    return Watching(
        **known,
        model_digest="m",
        guard_digest="g",
        e_value=e_value,
        rows=10,
        alarm=bool(features),
        features=features or {},
    )


def test_device_that_watches_nothing_is_left_out_and_the_last_word_counts(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(0), drift_evidence=10.0, drift_rows=100)
    store_all(tmp_path, snapshot(1), drift_evidence=90_000.0, drift_rows=300)
    store_all(tmp_path, snapshot(0, instance=OTHER))
    (found,) = watching(tmp_path)
    assert (found.instance, found.e_value, found.rows, found.alarm) == (INSTANCE, 300.0, 300, False)


def test_rows_after_an_alarm_count_until_it_is_taken_back(tmp_path: Path) -> None:
    stands = {"drift_evidence": 2e5, "drift_rows": 500, "drift_alarm": True, "drift_features": {"radius": 1e6}}
    store_all(tmp_path, snapshot(0), drift_evidence=10.0, drift_rows=480)
    for sequence in (1, 2, 3):
        store_all(tmp_path, snapshot(sequence), **stands)
        (found,) = watching(tmp_path)
        rows = 500 + sequence * ROWS
        assert (found.rows, found.e_value, found.alarm) == (rows, 2e5 / rows, True)
        assert found.features == {"radius": 1e6 / rows}
    store_all(tmp_path, snapshot(4), drift_evidence=3.0, drift_rows=20)
    (found,) = watching(tmp_path)
    assert (found.rows, found.e_value, found.alarm, found.features) == (20, 3 / 20, False, {})
    store_all(tmp_path, snapshot(5), **{**stands, "drift_rows": 30})
    assert watching(tmp_path)[0].rows == 30 + ROWS


def test_e_values_of_devices_without_a_change_are_at_most_one_on_average(tmp_path: Path) -> None:
    # Shiryaev-Roberts detectors of 300 streams, two windows of 200 rows each; most of them stop at a false alarm.
    rng, devices, alarm = np.random.default_rng(3), 300, 50.0
    won, stopped_after = np.zeros(devices), np.zeros(devices, int)
    batches = []
    for window in range(2):
        for row in range(200 * window + 1, 200 * window + 201):
            watches = stopped_after == 0
            won = np.where(watches, (won + 1) * np.exp(0.5 * rng.normal(size=devices) - 0.125), won)
            stopped_after[watches & (won >= alarm)] = row
        for index, (evidence, stopped) in enumerate(zip(won.tolist(), stopped_after.tolist(), strict=True)):
            one = snapshot(window, instance=f"{index:032x}", rows_by_verdict=counts([200, 0, 0]))
            drift = {"drift_rows": stopped or 200 * (window + 1), "drift_alarm": stopped > 0}
            batches.append(batch_of(one, drift_evidence=evidence, **drift))
    with closing(Store(tmp_path)) as store:
        store.add(batches, 0)
    found = watching(tmp_path)
    assert len(found) == devices
    assert sum(one.alarm for one in found) > devices / 2
    assert all(one.rows >= 400 for one in found)
    assert np.mean([one.e_value for one in found]) <= 1


def test_groups_have_the_mean_of_their_devices_and_each_list_its_own_rate() -> None:
    devices = [device(100.0, site="Oslo"), device(300.0, site="Oslo"), device(0.5, site="Rome"), device(1.5, site="")]
    found = judge_groups(devices, ["site"], 0.05)
    assert [(one.of["site"], one.devices, one.e_value, one.moved) for one in found] == [
        ("Oslo", 2, 200.0, True),
        ("", 1, 1.5, False),
        ("Rome", 1, 0.5, False),
    ]
    assert [one.e_value for one in judge_groups(devices, [], 0.05)] == [402.0 / 4]
    assert judge_groups([], ["site"], 0.05) == ()


def test_features_are_judged_among_all_features_of_all_groups() -> None:
    devices = [device(9.0, {"radius": 500.0}), device(0.1), device(0.1, site="Rome")]
    found = judge_features(devices, {"g": ["radius", "texture"]}, ["site"], 0.05)
    assert [(one.feature, one.of["site"], one.devices, one.alarms, one.e_value) for one in found[:2]] == [
        ("radius", "Oslo", 2, 1, 250.0),
        ("texture", "Oslo", 2, 0, 0.0),
    ]
    assert [one.moved for one in found] == [True, False, False, False]  # 4 / 0.05 = 80
    many = {"g": [str(index) for index in range(8)] + ["radius"]}  # 18 / 0.05 = 360
    assert [one for one in judge_features(devices, many, ["site"], 0.05) if one.moved] == []


def test_what_is_judged_is_what_was_received_before_the_last_set_time(tmp_path: Path) -> None:
    assert last_set_time(SET_TIME, 24) == last_set_time(SET_TIME + 24 * HOUR_NS - 1, 24) == SET_TIME
    store_all(tmp_path, snapshot(0), at=SET_TIME - 1, drift_evidence=20.0, drift_rows=10)
    store_all(tmp_path, snapshot(1), at=SET_TIME, drift_evidence=1e6, drift_rows=20)
    before = watching(tmp_path, Part(until_unix_ns=SET_TIME))
    assert (before[0].e_value, drifted_devices(before, 0.05)) == (2.0, ())
    assert drifted_devices(watching(tmp_path), 0.05) == (INSTANCE,)


def lines_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> Sequence[str]:
    assert main(["fleet", "drift", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_command_says_which_features_moved_where_and_as_of_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stands = {"drift_evidence": 1e6, "drift_rows": 26, "drift_alarm": True, "drift_features": {"radius": 2e6}}
    store_all(tmp_path, snapshot(0), at=SET_TIME, firmware="1.5", **stands)
    store_all(tmp_path, snapshot(0, instance=OTHER), at=SET_TIME, firmware="1.4", drift_evidence=1.0, drift_rows=50)
    lines = lines_of(capsys, "--store", str(tmp_path), "--by", "firmware", "--every", "1")
    (said,) = (line for line in lines if line.startswith("as of "))
    assert "2 devices watch for drift, 1 have an alarm that stands; 1 have left their reference" in said
    assert "at most 5% wrongly, on average" in said
    cells = [line.split() for line in lines]
    assert ["1.5", "1", "1", "2e+04", "yes"] in cells
    assert ["1.4", "1", "0", "0.02", "not", "shown"] in cells
    assert ["cdcdcdcdcdcd", "radius", "1.5", "1", "1", "4e+04", "yes"] in cells
    (report,) = map(json.loads, lines_of(capsys, "--store", str(tmp_path), "--json", "--every", "1"))
    assert report["evidence"]["drifted"] == [INSTANCE]
    assert {one["feature"] for one in report["evidence"]["features"]} == {"radius", "texture"}


def test_page_tells_the_same_as_of_the_last_midnight(tmp_path: Path) -> None:
    stands = {"drift_evidence": 1e6, "drift_rows": 26, "drift_alarm": True, "drift_features": {"radius": 2e6}}
    store_all(tmp_path, snapshot(0), at=SET_TIME - 1, firmware="1.5", site="Oslo", **stands)
    with open_store(tmp_path) as (store, engine):
        page = show(Look(store, engine, SET_TIME + HOUR_NS, 24), "/", {}).decode()
        alone = show(Look(store, engine, SET_TIME + HOUR_NS, 24), "/device", {"instance": INSTANCE}).decode()
        early = show(Look(store, engine, SET_TIME - HOUR_NS, 24), "/", {}).decode()
        assert features_by_guard(engine) == {"cd" * 6: ["radius", "texture"]}
    assert "As of 2024-10-04 00:00:00 UTC: 1 devices watch, 1 have an alarm that stands, 1 are named." in page
    for caption in ("by model version", "by site", "by firmware"):
        assert f"Devices {caption}" in page
        assert f"Features that alarms name, {caption}" in page
    assert "an alarm stands, of radius; e-value 2e+04 after 50 rows" in alone
    assert "own detectors" not in early
