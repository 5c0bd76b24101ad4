"""What has been counted: of decisions, of each feature, and a snapshot of everything."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge_rai.events import Event, Expired, Windows


class DecisionCount(IntEnum):
    """What a snapshot counts of decisions; see erai_decision_count in edge_rai.h."""

    BREAKER_OPENED = 0
    BREAKER_CLOSED = 1
    HELD = 2
    RELEASED = 3
    REVIEW_FULL = 4
    OVERRIDES = 5
    CACHE_HITS = 6
    STATE_RESETS = 7
    DRIFT_ALARMS = 8


class FeatureCounts(NamedTuple):
    """What a snapshot counted of one feature.

    Attributes:
        histogram: (bins,) finite values in each reference bin, of accepted and rejected rows alike.
        not_finite: NaN and infinite values.
        sum: Sum of z = (value - mean) / stddev, clipped to +-8, in units of 1/256.
        sum_squares: Sum of the squares of the same integers, in units of 1/65536.
        drift_evidence: Of a feature that the alarm of drift names, while it stands; else 0.
    """

    histogram: npt.NDArray[np.uint64]
    not_finite: int
    sum: int
    sum_squares: int
    drift_evidence: float = 0.0


class DriftState(NamedTuple):
    """What the watch for drift had come to at the end of a window.

    Attributes:
        rows: Watched.
        evidence: The device's: the mean over its features.
        alarm: One stands: rows and evidence are as they were when it came.
    """

    rows: int
    evidence: float
    alarm: bool


class Snapshot(NamedTuple):
    """Everything counted since the last flush. All counts are integers; merging two is addition.

    Attributes:
        instance: Random hex name of the device's spool, zeros without one.
        epoch: One a session, increasing within a spool.
        sequence: From 0 within an epoch.
        start_unix_ns: Wall clock at the start of the window, for people only.
        end_unix_ns: Wall clock at its end.
        duration_ns: Monotonic length of the window.
        model_digest: SHA-256 of the model file, hex.
        guard_digest: SHA-256 of the guard program, hex.
        calls: Calls of predict.
        errors: Calls that raised.
        rows_by_verdict: (3,) rows, indexed by Verdict.
        rows_by_source: (6,) rows, indexed by Source.
        reasons: Reasons given, indexed by ReasonCode.
        decisions: What was decided, indexed by DecisionCount.
        latency: Calls by duration: slot 0 at most 1 ns, slot i in (2^((i-1)/8), 2^(i/8)] ns.
        latency_sum_ns: Sum of all durations.
        features: One entry a feature, in the guard program's order.
        windows: That it accounts for: what was created in them is what it counts and what has expired.
        events_by_class: Events that there were, indexed by EventClass; those kept, and those expired.
        expired: Indexed by Expiry.
        events: Those kept, by epoch and number.
        drift: At the end of the latest window; None where nothing is watched.
    """

    instance: str
    epoch: int
    sequence: int
    start_unix_ns: int
    end_unix_ns: int
    duration_ns: int
    model_digest: str
    guard_digest: str
    calls: int
    errors: int
    rows_by_verdict: npt.NDArray[np.uint64]
    rows_by_source: npt.NDArray[np.uint64]
    reasons: npt.NDArray[np.uint64]
    decisions: npt.NDArray[np.uint64]
    latency: npt.NDArray[np.uint64]
    latency_sum_ns: int
    features: tuple[FeatureCounts, ...]
    windows: tuple[Windows, ...] = ()
    events_by_class: tuple[int, ...] = ()
    expired: tuple[Expired, ...] = ()
    events: tuple[Event, ...] = ()
    drift: DriftState | None = None

    @property
    def rows(self) -> int:
        """All rows judged."""
        return int(self.rows_by_verdict.sum())

    def __repr__(self) -> str:
        accepted, flagged, rejected = (int(count) for count in self.rows_by_verdict)
        return (
            f"Snapshot(epoch={self.epoch}, sequence={self.sequence}, calls={self.calls}, errors={self.errors}, "
            f"accepted={accepted}, flagged={flagged}, rejected={rejected}, features={len(self.features)})"
        )


class FeatureDrift(NamedTuple):
    """Population stability index of one feature's window against its reference.

    Attributes:
        name: The feature.
        psi: See ``erai_psi`` in edge_rai.h for the formula.
        expected: What psi would be on average if nothing had changed: (bins - 1) (1 / values + 1 / reference).
        values: Finite values in the window.
    """

    name: str
    psi: float
    expected: float
    values: int
