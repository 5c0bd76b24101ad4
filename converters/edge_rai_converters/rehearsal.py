"""Loads a bundle as a device would and shows its guard the held-back rows, before anybody relies on it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_rai.bundle import SUFFIX, Manifest, write_bundle
from edge_rai.session import load
from edge_rai.types import Verdict
from edge_rai_converters.data import Rows
from edge_rai_converters.runner import feeds


@dataclass(frozen=True, slots=True)
class FalseRejections:
    """What the guard said of rows that are taken to be good.

    Attributes:
        rows: Rows shown.
        rejected: Of these.
        flagged: Of these.
    """

    rows: int
    rejected: int
    flagged: int


def rehearse(
    files: Mapping[str, bytes],
    manifest: Manifest,
    rows: Rows,
    held_back: npt.NDArray[np.int64],
    *,
    batched: bool,
    most_rows: int,
) -> FalseRejections:
    """Counts verdicts of the device's own session, most_rows a call; loading replays the golden vectors.

    Raises:
        EdgeRaiError: The bundle would not load on a device.
    """
    verdicts: list[int] = []
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        path = Path(folder, f"rehearsal{SUFFIX}")
        write_bundle(path, files, manifest)
        with load(path) as session:
            for feed in feeds(rows, held_back, batched=batched, most_rows=most_rows):
                verdicts.extend(session.predict(feed).row_verdicts.tolist())
    return FalseRejections(
        rows=len(verdicts), rejected=verdicts.count(Verdict.REJECT), flagged=verdicts.count(Verdict.FLAG)
    )
