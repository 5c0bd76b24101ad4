"""The simulated fleet of benchmarks/fleet_sim.py at its full size: 10,000 devices; minutes."""

from __future__ import annotations

import sys

import pytest

from support.simulated_fleet import HOLDS, simulated


@pytest.mark.proof
def test_store_holds_exactly_what_ten_thousand_devices_made(capsys: pytest.CaptureFixture[str]) -> None:
    lines = simulated("--devices", "10000")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert [line for line in HOLDS if line not in lines] == []
    assert "the drifting firmware is the surest: True" in lines
    assert "the firmware that its detectors name is the drifting one: True" in lines
    assert "drifting devices named: 200 of 200" in lines
