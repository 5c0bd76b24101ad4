"""How late the answer comes that a deadline of 10 ms asks for, of a model that has all cores and takes several times as
long.

ADR 7 has the same on cores that are free and on cores that are not. `make bench` runs this.
"""

from __future__ import annotations

import time

import numpy as np

from edge_rai import ManualClock, Source
from edge_rai.policy import FallbackRule
from support.decisions import opener, rows, slow_model

DEADLINE_MS, CALLS = 10.0, 400
SLOW, REST_S = 0.1, 0.1  # 200 products of 300 by 300 matrices; so long until what was left is over


def test_lateness_of_a_deadline(figures, capsys, tmp_path) -> None:
    late_us = []
    rules = (FallbackRule(("default",), ("deadline",)), FallbackRule(("reject",)))
    with opener(tmp_path, ManualClock())(rules=rules, model=slow_model, threads=0, deadline_ms=DEADLINE_MS) as session:
        for _ in range(CALLS):
            began = time.perf_counter()
            answer = session.predict(rows(SLOW))
            late_us.append((time.perf_counter() - began) * 1e6 - DEADLINE_MS * 1e3)
            assert answer.source is Source.DEFAULT
            time.sleep(REST_S)
    p50, p90, p99 = np.percentile(late_us, (50, 90, 99))
    figures["deadline of 10 ms, lateness, us"] = {"p50": p50, "p90": p90, "p99": p99}
    with capsys.disabled():
        print(f"\ndeadline of {DEADLINE_MS:g} ms, late by, us: p50 {p50:.0f}, p90 {p90:.0f}, p99 {p99:.0f}")
