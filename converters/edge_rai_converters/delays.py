"""How soon a bundle's watch finds what is put into its data, and how often it cries wolf: what the card quotes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from edge_rai import ManualClock
from edge_rai.bundle import SUFFIX, Manifest, write_bundle
from edge_rai.session import load
from edge_rai.simulation import OUT_OF_PLACE, Moments, NotATableError, simulate
from edge_rai.undisturbed import files_without
from edge_rai_converters.learning import Learned
from edge_rai_converters.progress import Progress

# As few as show an order of magnitude: a conversion is no place for more, and `edge-rai drift simulate` has more.
_RUNS, _ROWS, _QUIET_ROWS = 5, 2000, 10000
_MOST_ROWS = 200_000  # that streams are drawn from
_MOST_SECONDS = 60.0


class _TakesTooLongError(Exception):
    """A model so slow that nobody would wait."""


def found_delays(
    files: Mapping[str, bytes], manifest: Manifest, learned: Learned, progress: Progress
) -> dict[str, Any] | None:
    """evidence/drift.json; None where the policy watches nothing, the model takes no table, or it would take long.

    Args:
        files: Of the finished bundle.
        manifest: Of the bundle.
        learned: Rows, policy, and when the rows came.
        progress: Is told the share.

    Raises:
        EdgeRaiError: The bundle would not load on a device.
    """
    policy = learned.policy
    if policy.drift is None or policy.states or not policy.batched:
        return None
    if not all(rule.feature_axis is not None and rule.has_one_value_a_feature(True) for rule in policy.inputs):
        return None
    begun = monotonic()

    def told(_: str, share: float) -> None:
        if monotonic() - begun > _MOST_SECONDS:
            raise _TakesTooLongError
        progress("rehearsing drift: shifts put into rows, and none", share)

    clock = None if learned.times is None else ManualClock()
    moments = None if clock is None or learned.times is None else Moments(clock, learned.times[:_MOST_ROWS])
    rows = {name: values[:_MOST_ROWS][:, 0] for name, values in learned.dataset.rows.items()}
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        path = Path(folder, f"drift{SUFFIX}")
        write_bundle(path, files_without(files, OUT_OF_PLACE), manifest)
        with load(path, clock=clock) as session:
            try:
                found = simulate(
                    session, rows, moments=moments, runs=_RUNS, most_rows=_ROWS, quiet_rows=_QUIET_ROWS, told=told
                )
            except (NotATableError, _TakesTooLongError):
                return None
    return {**found._asdict(), "delays": [delay._asdict() for delay in found.delays]}
