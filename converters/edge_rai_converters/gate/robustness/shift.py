"""The shift rehearsal: corrupted rows as a stream past the drift detector, and how long that takes to find them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rai.drift import Watch
from edge_rai.session import Session
from edge_rai.simulation import drawn
from edge_rai_converters.data import Array
from edge_rai_converters.gate.robustness.curves import without_missing
from edge_rai_converters.gate.robustness.rules import RobustnessRule
from edge_rai_converters.gate.robustness.sample import Sample
from edge_rai_converters.runner import feeds

ROWS_BEFORE = 500
MOST_ROWS = 5000
_RUNS = 5
_SEVERITIES = (1, 3, 5)
# What is watched of answers is looked at when a call ends, so that delays are known to so many rows.
_ROWS_A_CALL = 16


def rehearse_shifts(
    session: Session, sample: Sample, rule: RobustnessRule, told: Callable[[str, float], None]
) -> dict[str, Any]:
    """Rows between each shift and the alarm.

    Args:
        session: A model behind a guard that watches for drift; nobody else asks it.
        sample: Rows, of which streams are drawn with replacement: one by one, or where the watch looks at features
            once in so many rows, because rows depend on those before, in pieces. Then they follow each other.
        rule: Has the seed.
        told: Of the corruption that begins, and the share of all that is done.
    """
    changes = without_missing(sample.kind)
    delays = []
    for place, (name, change) in enumerate(changes.items()):
        told(name, place / len(changes))
        for severity in _SEVERITIES:
            shifted = sample.written(change.at(severity, sample, rule.seed))
            runs = [_run(session, sample, shifted, rule.seed + run) for run in range(_RUNS)]
            delays.append({"corruption": name, "severity": severity, **_summary(runs)})
    return {
        "average_run_length": _watched(session).average_run_length,
        "stride": stride_of(session),
        "rows_before": ROWS_BEFORE,
        "most_rows": MOST_ROWS,
        "delays": delays,
    }


@dataclass(frozen=True, slots=True)
class _Run:
    """One stream: the row of the alarm, counted from the shift, and what it named; None: there was none."""

    delay: int | None
    features: tuple[str, ...] = ()


def _run(session: Session, sample: Sample, shifted: dict[str, Array], seed: int) -> _Run:
    generator = np.random.default_rng(seed)
    session.reset_watch()
    begun = _watched(session).rows + ROWS_BEFORE
    for rows, count in ((sample.rows, ROWS_BEFORE), (shifted, MOST_ROWS)):
        places = drawn(len(sample), count, stride_of(session), generator)
        for feed in feeds(rows, places, batched=session.batched, most_rows=_ROWS_A_CALL):
            session.predict(feed)
            alarm = _watched(session).alarm
            if alarm is not None:
                return _Run(alarm.row - begun, alarm.features)
    return _Run(None)


def stride_of(session: Session) -> int:
    """Rows so far apart know nothing of each other, as far as the watch goes."""
    return max(feature.stride for feature in _watched(session).features)


def _watched(session: Session) -> Watch:
    watch = session.watch()
    assert watch is not None
    return watch


def _summary(runs: list[_Run]) -> dict[str, Any]:
    found = [run for run in runs if run.delay is not None and run.delay > 0]
    delays = sorted(run.delay for run in found if run.delay is not None)
    return {
        "runs": len(runs),
        "early": sum(run.delay is not None and run.delay <= 0 for run in runs),
        "missed": sum(run.delay is None for run in runs),
        "median": float(np.median(delays)) if delays else float("nan"),
        "delays": delays,
        "features": list(found[0].features) if found else [],
    }
