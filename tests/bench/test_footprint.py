"""What a call takes beside time, of subjects that take a known amount; the meter's tree is written by the subject."""

from __future__ import annotations

import mmap
import time
from pathlib import Path

import pytest

from edge_rai.bench.footprint import per_call
from edge_rai.bench.meters import find_meter
from edge_rai.bench.series import Subject


def test_without_a_meter_energy_is_not_measured() -> None:
    assert per_call(Subject("model", lambda _: None), None, 0.1)["energy"] == "not measured"


def test_energy_is_that_of_one_call(tmp_path: Path) -> None:
    zone = tmp_path / "class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0")
    counter = zone / "energy_uj"
    counter.write_text("5000000")

    def call(number: int) -> None:
        counter.write_text(str(5_000_000 + 250 * (number + 1)))

    found = per_call(Subject("model", call), find_meter(tmp_path), 0.2)
    assert found["calls"] > 1
    assert found["energy"] == {"meter": "RAPL, 1 package", "joules": pytest.approx(250e-6)}


def test_who_waits_takes_no_processor_time_and_who_works_does() -> None:
    waits = per_call(Subject("waits", lambda _: time.sleep(0.002)), None, 1.0)
    assert waits["voluntary_switches"] >= 0.9
    assert waits["cpu_ns"] < 2e6

    def work(_: int) -> None:
        until = time.thread_time_ns() + 2_000_000
        while time.thread_time_ns() < until:
            pass

    assert per_call(Subject("works", work), None, 1.0)["cpu_ns"] == pytest.approx(2e6, rel=0.5)


def test_page_faults_are_those_of_memory_that_was_not_touched_before() -> None:
    def call(_: int) -> None:
        with mmap.mmap(-1, mmap.PAGESIZE) as fresh:
            fresh[0] = 1

    assert 1 <= per_call(Subject("model", call), None, 0.5)["page_faults"] < 2
