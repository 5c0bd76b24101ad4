"""The simulated fleet of benchmarks/fleet_sim.py, small."""

from __future__ import annotations

from support.simulated_fleet import HOLDS, simulated


def test_store_holds_exactly_what_a_simulated_fleet_made() -> None:
    lines = simulated("--devices", "60", "--windows", "3", "--kills", "1")
    assert [line for line in HOLDS if line not in lines] == []
