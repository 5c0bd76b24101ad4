from __future__ import annotations

from pathlib import Path

from support.kill_cycles import run_cycles


def test_nothing_that_was_flushed_is_lost_or_stored_twice_whoever_is_killed(
    watched_bundle: Path, tmp_path: Path
) -> None:
    outcome = run_cycles(watched_bundle, tmp_path, cycles=5, seed=1)
    assert outcome.flushed > 0
    assert (outcome.lost, outcome.twice) == (0, 0)
    assert outcome.rows[0] == outcome.rows[1]
