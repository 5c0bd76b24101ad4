from __future__ import annotations

from pathlib import Path

from support.kernel_cuts import run_cycles


def test_row_that_was_stored_outlasts_a_power_cut_of_a_real_file_system(watched_bundle: Path, tmp_path: Path) -> None:
    acknowledged, lost = run_cycles(watched_bundle, tmp_path, cycles=200, seed=1)
    assert acknowledged > 0
    assert lost == 0
