"""What a session's watch for drift has found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edge_rai._ffi import ffi, lib
from edge_rai.drift import Alarm, Direction, Watch, WatchedFeature


def _effect(found: Any) -> tuple[float | None, tuple[float, float] | None]:
    """The effect and its interval; None where C has none."""
    if math.isnan(found.effect):
        return None, None
    return found.effect, (found.effect_low, found.effect_high)


def read_watch(handle: Any, names: Sequence[str]) -> Watch | None:
    """None where the policy watches nothing."""
    rule = ffi.new("erai_drift_rule *")
    drift = ffi.new("erai_drift *")
    if lib.erai_guard_drift(lib.erai_session_guard(handle), rule) or lib.erai_session_drift(handle, drift):
        return None
    found = ffi.new("erai_feature_drift *")
    features, named = [], []
    for index, name in enumerate(names):
        lib.erai_session_feature_drift(handle, index, found)
        if not found.stride:
            continue
        features.append(
            WatchedFeature(
                name,
                found.evidence,
                Direction(found.direction),
                int(found.changed),
                int(found.stride),
                *_effect(found),
            )
        )
        if found.named:
            named.append(name)
    alarm = None
    if drift.alarm_row:
        first = names[drift.alarm_feature]
        named = [first, *(name for name in named if name != first)]
        alarm = Alarm(int(drift.alarm_row), int(drift.alarm_unix_ns), drift.alarm_evidence, tuple(named))
    return Watch(
        int(drift.rows), drift.evidence, rule.average_run_length, alarm, tuple(features), bool(drift.continued)
    )
