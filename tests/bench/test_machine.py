"""What is seen of machines, each a small tree of /proc and /sys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_rai.bench.machine import Watcher, warnings_of
from edge_rai.bench.result import Machine

CPU = "sys/devices/system/cpu/cpu"


def write(root: Path, **files: Any) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A board with a clock and a temperature that can be read."""
    write(
        tmp_path,
        **{
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: Some Core\nflags\t\t: fpu sse avx2 avx512_vnni rdrand",
            "proc/meminfo": "MemTotal:        2048 kB\nMemFree: 1 kB",
            "proc/stat": "cpu  100 0 100 1000 0 0 0 0 0 0",
            "sys/firmware/devicetree/base/model": "Some Board\0",
            f"{CPU}0/cpufreq/scaling_governor": "performance",
            f"{CPU}0/cpufreq/scaling_cur_freq": 1500000,
            f"{CPU}1/cpufreq/scaling_cur_freq": 1200000,
            f"{CPU}0/thermal_throttle/core_throttle_count": 3,
            "sys/class/thermal/thermal_zone0/temp": 45500,
            "sys/class/thermal/thermal_zone1/temp": 999000,
        },
    )
    return tmp_path


def test_what_a_board_shows_is_read(board: Path) -> None:
    machine = Watcher(board).machine()
    assert machine.fixed["cpu"] == "Some Core"
    assert machine.fixed["model"] == "Some Board"
    assert machine.fixed["instructions"] == ["avx2", "avx512_vnni"]
    assert machine.fixed["memory_bytes"] == 2048 * 1024
    assert machine.fixed["virtual_machine"] is None
    assert machine.before["frequency_mhz"] == [1500, 1200]
    assert machine.before["governor"] == "performance"
    assert machine.before["temperature_c"] == 45.5
    assert machine.before["times_throttled"] == 3


def test_instructions_of_arm_are_read(board: Path) -> None:
    write(board, **{"proc/cpuinfo": "processor : 0\nFeatures : fp asimd crc32 asimddp fphp"})
    assert Watcher(board).machine().fixed["instructions"] == ["asimd", "asimddp", "fphp"]


def test_a_guest_is_told_from_its_host(board: Path) -> None:
    write(board, **{"proc/cpuinfo": "flags : fpu hypervisor"})
    assert Watcher(board).machine().fixed["virtual_machine"] == "unknown"
    write(board, **{"sys/class/dmi/id/sys_vendor": "QEMU"})
    assert Watcher(board).machine().fixed["virtual_machine"] == "QEMU"


def test_a_machine_that_shows_nothing_is_described_all_the_same(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path)
    watcher.look()
    machine = watcher.machine()
    assert machine.before["frequency_mhz"] is None
    assert machine.after["others_share"] is None
    assert len(machine.during) == 1
    assert warnings_of(machine) == []
    json.dumps(machine.fixed, allow_nan=False)


def test_load_of_others_and_what_the_host_takes_are_said(board: Path) -> None:
    watcher = Watcher(board)
    write(board, **{"proc/stat": "cpu  300 0 200 1600 0 0 0 100 0 0"})
    machine = watcher.machine()
    assert machine.after["others_share"] == pytest.approx(0.3, abs=0.01)
    assert machine.after["stolen_share"] == 0.1
    assert warnings_of(machine) == [
        "other processes used 30% of the processors' time during the run",
        "the host of this virtual machine took 10% of the processors' time during the run",
    ]


def test_a_processor_that_throttled_or_slowed_down_is_said(board: Path) -> None:
    watcher = Watcher(board)
    watcher.look()
    write(board, **{f"{CPU}0/cpufreq/scaling_cur_freq": 900000, f"{CPU}1/cpufreq/scaling_cur_freq": 900000})
    write(board, **{f"{CPU}0/thermal_throttle/core_throttle_count": 5})
    watcher.look()
    assert warnings_of(watcher.machine()) == [
        "the processor says that it was throttled 2 times during the run",
        "the clock fell from 1500 to 900 MHz during the run",
    ]


def test_a_steady_machine_gets_no_warning() -> None:
    seen = {"frequency_mhz": [1000], "times_throttled": 1, "others_share": 0.05, "stolen_share": 0.0}
    assert warnings_of(Machine({}, seen, [seen, seen], seen)) == []
