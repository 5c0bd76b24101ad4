"""The same queries by DuckDB and by Spark over the same Parquet files. Skipped, with a reason, without PySpark or Java.

PySpark is 450 MB and no requirement of anything here: pip install pyspark into the environment that runs this.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edge_rai.fleet import queries
from edge_rai.fleet.engine import Row, opened
from edge_rai.fleet.evidence import features_by_guard, read_watching
from edge_rai.fleet.queries import DIMENSIONS, Part
from support.fleets import HOUR_NS, seen, store_all, with_radius
from support.telemetry import counts, snapshot

pytestmark = [
    pytest.mark.skipif(find_spec("pyspark") is None, reason="PySpark is not installed (pip install pyspark)"),
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java, which Spark needs"),
    pytest.mark.filterwarnings("default"),  # PySpark's own
]
WHEN = 480_000 * HOUR_NS
PART = Part(since_unix_ns=WHEN + HOUR_NS, until_unix_ns=WHEN + 40 * HOUR_NS)
QUERIES = {
    "totals": queries.totals(Part()),
    "totals of a part by everything": queries.totals(PART, DIMENSIONS),
    "tallies": queries.tallies(Part()),
    "tallies by site": queries.tallies(PART, ["site"]),
    "histograms": queries.histograms(Part()),
    "histograms by everything": queries.histograms(PART, DIMENSIONS),
    "one feature by firmware": queries.histograms(Part(feature="radius"), ["firmware"]),
    "one model": queries.histograms(Part(model_digest="ab" * 6)),
    "hourly histograms": queries.hourly_histograms(Part()),
    "hourly tallies": queries.hourly_tallies(PART, "verdict"),
    "references": queries.references(),
    "devices": queries.devices(Part()),
    "latest": queries.latest(Part()),
    "rows since an alarm": queries.rows_since_alarm(Part()),
    "rows since an alarm, of a part": queries.rows_since_alarm(PART),
    "features that alarms name": queries.alarmed_features(Part()),
    "device tallies": queries.device_tallies(Part(), ("verdict", "source")),
    "last events": queries.last_events(Part(), 5),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty devices over three days, with counts near the largest that are taken."""
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(4)
    for device in range(60):
        for sequence in range(3):
            bins = rng.integers(0, 2**53, 4, dtype=np.int64).tolist()
            changes = {
                "instance": f"{device:032x}",
                "epoch": int(rng.integers(1, 2**62)) if device % 7 else 3,
                "rows_by_verdict": counts(rng.integers(0, 1000, 3).tolist()),
                "model_digest": ("ab" if device % 2 else "ba") * 32,
            }
            labels = {
                "site": ("", "Oslo", "Århus \u732b")[device % 3],
                "firmware": f"1.{device % 4}",
                "drift_evidence": float(rng.exponential()),
                "drift_rows": 10,
                "drift_alarm": bool(rng.integers(0, 2)),
                "drift_features": {"radius": float(rng.exponential())},
            }
            at = WHEN + int(rng.integers(0, 72)) * HOUR_NS
            store_all(folder, with_radius(bins, sequence, **changes), at=at, **labels)
    store_all(folder, snapshot(9), at=WHEN)
    return folder


@pytest.fixture(scope="module")
def answers(store: Path) -> dict[str, tuple[list[Row], list[Row]]]:
    """By query what DuckDB says and what Spark says."""
    with opened(store) as engine:
        by_duckdb = {name: engine.rows(query) for name, query in QUERIES.items()}
    with opened(store, "spark") as engine:
        return {name: (by_duckdb[name], engine.rows(query)) for name, query in QUERIES.items()}


@pytest.mark.parametrize("name", QUERIES)
def test_spark_says_exactly_what_duckdb_says(answers: dict[str, tuple[list[Row], list[Row]]], name: str) -> None:
    by_duckdb, by_spark = answers[name]
    assert by_spark == by_duckdb
    assert by_duckdb or name == "last events"


def test_evidence_is_the_same_by_both(store: Path) -> None:
    found = []
    for engine in ("duckdb", "spark"):
        with opened(store, engine) as facts:
            found.append((read_watching(facts, Part()), features_by_guard(facts)))
    assert found[0] == found[1]
    assert any(one.alarm and one.features and one.rows > 10 for one in found[0][0])


def test_status_is_the_same_by_both(store: Path) -> None:
    assert seen(store, by=["site"], engine="spark") == seen(store, by=["site"])
