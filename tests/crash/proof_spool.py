"""The long form of test_spool_power_cuts.py; run by ``make proof``."""

from __future__ import annotations

import sys
from pathlib import Path

from support.kernel_cuts import run_cycles
from support.power_cuts import check_every_cut, trace_life
from support.spools import offline


def test_power_cut_at_any_call_in_twenty_thousand_states(linear_bundle: Path, tmp_path: Path) -> None:
    calls, path = trace_life(linear_bundle, tmp_path, windows=30)
    states = check_every_cut(calls, path, tmp_path / "scratch", seeds=15)
    sys.stdout.write(f"\npower cuts: {len(calls)} calls, {states} states, no row lost or there twice\n")
    assert states >= 20_000


def test_thousand_power_cuts_of_a_real_file_system_lose_no_stored_row(watched_bundle: Path, tmp_path: Path) -> None:
    acknowledged, lost = run_cycles(watched_bundle, tmp_path, cycles=1000, seed=2)
    sys.stdout.write(f"\npower cuts by the kernel: 1000 cycles, {acknowledged} rows acknowledged, {lost} lost\n")
    assert lost == 0


def test_thirty_days_offline_at_256_kib_lose_no_count(linear_bundle: Path, quick_path: Path) -> None:
    found = offline(linear_bundle, quick_path, days=30, seed=3)
    minutes = sorted(sum(window.length for window in one.windows) for one in found)
    events = sum(len(one.events) for one in found)
    sys.stdout.write(f"\n30 days offline, a window a minute: {len(found)} batches of {minutes[0]} to {minutes[-1]} ")
    sys.stdout.write(f"minutes, the median {minutes[len(minutes) // 2]}; {events} events kept\n")
