"""Loads a bundle as a device would and shows its guard the held-back rows, before anybody relies on it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_rai.bundle import SUFFIX, Manifest, write_bundle
from edge_rai.policy import Policy
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
    files: Mapping[str, bytes], manifest: Manifest, policy: Policy, rows: Rows, held_back: npt.NDArray[np.int64]
) -> FalseRejections:
    """Counts verdicts of the device's own session; loading replays the golden vectors.

    Recurrent states begin anew with each call, as they did for what was learned.

    Raises:
        EdgeRaiError: The bundle would not load on a device.
    """
    verdicts: list[int] = []
    states = {state.input for state in policy.states}
    given = {name: array for name, array in rows.items() if name not in states}
    most_rows = min(rule.max_shape[0] for rule in policy.inputs) if policy.batched else 1
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        path = Path(folder, f"rehearsal{SUFFIX}")
        write_bundle(path, files, manifest)
        with load(path) as session:
            for feed in feeds(given, held_back, batched=policy.batched, most_rows=most_rows):
                if states:
                    session.reset()
                verdicts.extend(session.predict(feed).row_verdicts.tolist())
    return FalseRejections(
        rows=len(verdicts), rejected=verdicts.count(Verdict.REJECT), flagged=verdicts.count(Verdict.FLAG)
    )
