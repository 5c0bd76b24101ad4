"""What a call takes beside time: processor time, context switches, page faults, energy."""

from __future__ import annotations

import resource
import time
from typing import Any

from edge_rai.bench.meters import Meter
from edge_rai.bench.series import Subject

_MOST_S, _SHARE = 0.25, 0.1
_SLICE_S = 0.02


def per_call(subject: Subject, meter: Meter | None, duration_s: float) -> dict[str, Any]:
    """What one call takes on average, over a tenth of the duration of them, at most a quarter of a second.

    Args:
        subject: Called.
        meter: None: energy is "not measured".
        duration_s: Of the whole run.

    Returns:
        "cpu_ns" (all threads of the process), "voluntary_switches", "involuntary_switches", "page_faults" and "energy".
    """
    used, cpu_ns, began = resource.getrusage(resource.RUSAGE_SELF), time.process_time_ns(), time.perf_counter()
    joules = meter.joules() if meter else 0.0
    calls, now = 0, began
    end = began + min(_MOST_S, _SHARE * duration_s)
    while now < end:
        until = min(end, now + _SLICE_S)
        while now < until:
            subject.call(calls)
            calls += 1
            now = time.perf_counter()
        if meter:
            meter.joules()
    joules = meter.joules() - joules if meter else 0.0
    cpu_ns = time.process_time_ns() - cpu_ns
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "calls": calls,
        "cpu_ns": cpu_ns / calls,
        "voluntary_switches": (after.ru_nvcsw - used.ru_nvcsw) / calls,
        "involuntary_switches": (after.ru_nivcsw - used.ru_nivcsw) / calls,
        "page_faults": (after.ru_minflt - used.ru_minflt) / calls,
        "energy": {"meter": meter.name, "joules": joules / calls} if meter else "not measured",
    }
