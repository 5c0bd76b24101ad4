"""Spark merges sketches of 300 devices. Skipped, with a reason, without PySpark or Java.

PySpark is 450 MB and no requirement of anything here: pip install pyspark into the environment that runs this.
"""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from edge_rai import QuantileSketch

pytestmark = [
    pytest.mark.skipif(find_spec("pyspark") is None, reason="PySpark is not installed (pip install pyspark)"),
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java, which Spark needs"),
    pytest.mark.filterwarnings("default"),  # PySpark's own
]
DEVICES = 300
RANKS = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]


def test_spark_merges_300_of_them_with_the_count_exact() -> None:
    from pyspark.sql import SparkSession

    random = np.random.default_rng(9)
    counts = [0, 1, 2, 3, 200, 201, *random.integers(4, 3000, DEVICES - 6).tolist()]
    values = np.sort(random.permutation(sum(counts)).astype(np.float32))
    parts = np.split(random.permutation(values), np.cumsum(counts)[:-1])
    merged, rows = QuantileSketch(seed=DEVICES), []
    for device, part in enumerate(parts):
        sketch = QuantileSketch(seed=device)
        sketch.update(part)
        rows.append((bytearray(sketch.to_bytes()),))
        merged.merge(sketch)
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        spark.createDataFrame(rows, "sketch binary").createOrReplaceTempView("devices")
        asked = ", ".join(f"kll_sketch_get_quantile_float(merged, {rank}D)" for rank in RANKS)
        (row,) = spark.sql(
            f"SELECT kll_sketch_get_n_float(merged), hex(merged), array({asked}) "
            "FROM (SELECT kll_merge_agg_float(sketch) AS merged FROM devices)"
        ).collect()
    finally:
        spark.stop()
    n, data, quantiles = row
    by_spark = QuantileSketch.from_bytes(bytes.fromhex(data))
    assert n == by_spark.n == merged.n == sum(counts)
    assert (by_spark.least, by_spark.greatest) == (0, sum(counts) - 1)
    for found in (np.asarray(quantiles), by_spark.quantile(RANKS), merged.quantile(RANKS)):
        errors = np.abs((found + 1) / sum(counts) - RANKS)
        sys.stdout.write(f"{DEVICES} sketches, n {n}: ranks off by {errors.max():.4f} at most\n")
        assert errors.max() <= 0.0133
