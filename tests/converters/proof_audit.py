"""A table of 100,000 rows with everything planted: what it takes, and that nothing planted is missed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from support.children import run_python

pytestmark = pytest.mark.proof

AUDIT = """
import json, sys, time
from edge_rai_converters.audit import audit

report = audit(sys.argv[1], ["y"]).as_json()
report["seconds"] = time.process_time()
report["kib"] = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps(report))
"""


def test_hundred_thousand_rows_take_less_than_a_minute(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(100_000, 10)) @ generator.normal(size=(10, 30))
    rows += 0.3 * generator.normal(size=rows.shape)
    rows[50_000:50_100] = rows[:100] + 1e-3
    rows[60_000:60_050] = rows[200:250]
    labels = (rows[:, 0] > 0).astype(np.int64) + (rows[:, 1] > 0)
    np.savez(tmp_path / "data.npz", X=rows.astype(np.float32), y=labels)
    child = run_python(AUDIT, tmp_path / "data.npz", environment={"OMP_NUM_THREADS": "1"})
    assert child.returncode == 0, child.stderr
    report = json.loads(child.stdout)
    sys.stdout.write(f"{report['seconds']:.1f} s of one processor, {report['kib'] / 1024:.0f} MiB resident at most\n")
    numbers = {finding["kind"]: finding["numbers"] for finding in report["findings"]}
    assert numbers["exact_duplicates"]["rows"] == 50
    assert numbers["near_duplicates"]["rows"] == 200
    assert report["rows_compared"] == 99_950
    assert report["rows_with_neighbours"] == 20_000
    assert report["seconds"] < 60
    assert report["kib"] < 1 << 19
