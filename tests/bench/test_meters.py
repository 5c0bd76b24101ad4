"""Energy from counters and sensors as sysfs shows them."""

from __future__ import annotations

import time
from pathlib import Path

from edge_rai.bench.meters import find_meter


def write(path: Path, text: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
    return path


def package(system: Path, number: int, microjoules: int) -> Path:
    zone = system / f"class/powercap/intel-rapl:{number}"
    write(zone / "name", f"package-{number}")
    write(zone / "max_energy_range_uj", 10_000_000)
    return write(zone / "energy_uj", microjoules)


def test_a_machine_without_a_meter_has_none(tmp_path: Path) -> None:
    assert find_meter(tmp_path) is None


def test_packages_add_up_and_their_parts_do_not_count_twice(tmp_path: Path) -> None:
    first, second = package(tmp_path, 0, 1_000_000), package(tmp_path, 1, 2_000_000)
    core = tmp_path / "class/powercap/intel-rapl:0:0"
    write(core / "name", "core")
    write(core / "energy_uj", 0)
    meter = find_meter(tmp_path)
    assert meter is not None
    assert meter.name == "RAPL, 2 packages"
    write(first, 1_500_000)
    write(second, 2_250_000)
    write(core / "energy_uj", 9_000_000)
    assert meter.joules() == 0.75


def test_a_counter_that_wraps_goes_on_counting(tmp_path: Path) -> None:
    counter = package(tmp_path, 0, 9_000_000)
    meter = find_meter(tmp_path)
    assert meter is not None
    write(counter, 1_000_000)
    assert meter.joules() == 2.0
    write(counter, 3_000_000)
    assert meter.joules() == 4.0


def test_a_power_sensor_counts_over_time(tmp_path: Path) -> None:
    write(tmp_path / "class/hwmon/hwmon2/name", "ina3221")
    write(tmp_path / "class/hwmon/hwmon2/power1_input", 2_000_000)
    meter = find_meter(tmp_path)
    assert meter is not None
    assert meter.name == "hwmon ina3221 power1_input"
    before, began = meter.joules(), time.perf_counter()
    time.sleep(0.05)
    used, took = meter.joules() - before, time.perf_counter() - began
    assert 0.1 <= used <= 2 * took + 0.01


def test_a_sensor_that_cannot_be_read_is_no_meter(tmp_path: Path) -> None:
    write(tmp_path / "class/hwmon/hwmon0/power1_input", "")
    write(tmp_path / "class/hwmon/hwmon1/name", "soc")
    write(tmp_path / "class/hwmon/hwmon1/energy1_input", 5)
    meter = find_meter(tmp_path)
    assert meter is not None
    assert meter.name == "hwmon soc energy1_input"
