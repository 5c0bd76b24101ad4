"""The power goes at any call, and of what was not synced anything may be left."""

from __future__ import annotations

from pathlib import Path

from support.children import run_python
from support.faults import build_faults
from support.power_cuts import REFUSALS, check_every_cut, trace_life


def test_power_cut_at_any_call_of_a_full_spool_leaves_every_row_once(linear_bundle: Path, tmp_path: Path) -> None:
    calls, path = trace_life(linear_bundle, tmp_path, windows=16)
    assert sum(call.kind in "cwsrud" for call in calls) >= 200
    assert any(call.one.endswith(b".batch") and call.two.endswith(b".merging") for call in calls)
    assert check_every_cut(calls, path, tmp_path / "scratch", seeds=1) > 800


def test_any_call_on_a_full_spool_may_fail_once_or_write_short_and_no_row_is_lost(
    linear_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "spools").mkdir()
    child = run_python(REFUSALS, linear_bundle, tmp_path / "spools", environment=build_faults(tmp_path))
    assert child.returncode == 0, child.stderr
    lines = child.stdout.splitlines()
    assert [line for line in lines if not line.startswith("calls")] == []
    assert int(lines[0].split()[1]) > 25
