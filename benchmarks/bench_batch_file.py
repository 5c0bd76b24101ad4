"""Bytes of one batch file: what a session counted of 4,260 rows of 30 features. `make bench` runs this."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np

import edge_rai

sys.path.insert(0, str(Path(__file__).parent))
from subjects import bundle, train

TIMES = 10  # the calibration set's 426 rows


def test_bytes_of_a_batch_file(figures, capsys, tmp_path) -> None:
    rows = np.load(train(tmp_path)[1])["features"]
    with edge_rai.load(bundle("MLP 64-32 int8"), spool=tmp_path / "spool") as session:
        for _ in range(TIMES):
            session.predict(rows)
        session.flush()
    (batch,) = (tmp_path / "spool").glob("*.batch")
    written = batch.read_bytes()
    plain, packed = len(written), len(gzip.compress(written))
    figures["batch file, 30 features, 4,260 rows"] = {"bytes": plain, "gzip": packed}
    with capsys.disabled():
        print(f"\none batch file, 30 features, {TIMES * len(rows):,} rows: {plain:,} bytes, {packed:,} after gzip")
