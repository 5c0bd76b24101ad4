"""The long form of test_kill_cycles.py; run by ``make proof``."""

from __future__ import annotations

import sys
from pathlib import Path

from support.kill_cycles import run_cycles


def test_three_hundred_kills_of_device_agent_and_collector_lose_nothing(watched_bundle: Path, tmp_path: Path) -> None:
    outcome = run_cycles(watched_bundle, tmp_path, cycles=300, seed=2)
    sys.stdout.write(
        f"\nkilled {outcome.killed}: {outcome.flushed} windows flushed, {outcome.rows[0]} rows stored of "
        f"{outcome.rows[1]}; {outcome.lost} windows lost, {outcome.twice} stored twice\n"
    )
    assert sum(outcome.killed.values()) >= 300
    assert (outcome.lost, outcome.twice) == (0, 0)
    assert outcome.rows[0] == outcome.rows[1]
