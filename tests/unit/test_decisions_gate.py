"""What stands before the model: breaker, rate limit, hysteresis, deadline, cache."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_rai import Breaker, DecisionCount, InferenceError, ManualClock, ReasonCode, Source, load
from edge_rai.policy import (
    CircuitBreaker,
    Decision,
    FallbackRule,
    Hysteresis,
    InputRule,
    OutputRule,
    Policy,
    RateLimit,
    StateRule,
)
from support.bundles import write_bundle
from support.decisions import Open, count, failing_model, opener, rows, slow_model
from support.models import FLOAT, save_identities


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(monotonic_ns=5, unix_ns=1_700_000_000_000_000_000)


@pytest.fixture
def opened(tmp_path: Path, clock: ManualClock) -> Open:
    return opener(tmp_path, clock)


# ---- Before the model ----


def test_breaker_opens_half_opens_after_its_cooldown_and_closes(opened: Open, clock: ManualClock) -> None:
    breaker = CircuitBreaker(on=("error",), window=4, failures=2, cooldown_s=30, probes=2)
    with opened("default", model=failing_model, breaker=breaker) as session:
        assert session.breaker is Breaker.CLOSED
        session.predict(rows(7))
        session.predict(rows(1))
        assert session.breaker is Breaker.CLOSED
        session.predict(rows(7))
        assert session.breaker is Breaker.OPEN
        (reason,) = session.predict(rows(1)).reasons
        assert (reason.code, reason.subject) == (ReasonCode.BREAKER_OPEN, "model")
        clock.advance(29.999)
        assert session.breaker is Breaker.OPEN
        clock.advance(0.001)
        assert session.breaker is Breaker.HALF_OPEN
        assert session.predict(rows(7)).reasons[0].code is ReasonCode.INFERENCE
        assert session.breaker is Breaker.OPEN
        clock.advance(30)
        assert session.predict(rows(1)).source is Source.PRIMARY
        assert session.breaker is Breaker.HALF_OPEN
        assert session.predict(rows(2)).source is Source.PRIMARY
        assert session.breaker is Breaker.CLOSED
        assert count(session, DecisionCount.BREAKER_OPENED) == 2
        assert count(session, DecisionCount.BREAKER_CLOSED) == 1


def test_breaker_opens_on_errors_that_no_chain_answers(opened: Open) -> None:
    breaker = CircuitBreaker(on=("error",), window=2, failures=2, cooldown_s=30)
    with opened(model=failing_model, breaker=breaker) as session:
        for _ in range(2):
            with pytest.raises(InferenceError):
                session.predict(rows(7))
        assert session.breaker is Breaker.OPEN
        assert session.predict(rows(1)).reasons[0].code is ReasonCode.BREAKER_OPEN


def test_rate_limit_lets_its_burst_through_and_refills(opened: Open, clock: ManualClock) -> None:
    with opened("default", rate_limit=RateLimit(rows_per_second=2, burst=3)) as session:
        answer = session.predict(rows(1, 2, 3, 4))
        assert answer.row_sources.tolist() == [0, 0, 0, Source.DEFAULT]
        (reason,) = answer.reasons
        assert (reason.code, reason.row, reason.value, reason.limit) == (ReasonCode.RATE_LIMITED, 3, 4, 3)
        clock.advance(0.5)
        assert session.predict(rows(1, 2)).row_sources.tolist() == [0, Source.DEFAULT]


def test_hysteresis_holds_until_enough_good_rows_came(opened: Open) -> None:
    with opened("default", hysteresis=Hysteresis(after=2, until=3)) as session:
        sources = [int(session.predict(rows(value)).source) for value in (7, 1, 7, 7, 1, 1, 1, 1)]
        default = int(Source.DEFAULT)
        assert sources == [default, 0, default, default, default, default, default, 0]
        assert (count(session, DecisionCount.HELD), count(session, DecisionCount.RELEASED)) == (1, 1)


def test_deadline_is_kept_answered_by_the_chain_and_the_next_call_works(opened: Open) -> None:
    rules = (FallbackRule(("default",), ("deadline",)), FallbackRule(("reject",)))
    with opened(rules=rules, model=slow_model, deadline_ms=100.0) as session:
        for _ in range(2):
            start = time.perf_counter()
            answer = session.predict(rows(0, 8))
            took = time.perf_counter() - start
            assert 0.1 <= took < 2  # the model takes eight
            assert (answer.source, answer.outputs["y"].ravel().tolist()) == (Source.DEFAULT, [-1, -1])
            (reason,) = answer.reasons
            assert (reason.code, reason.row, reason.limit) == (ReasonCode.DEADLINE, -1, 1e8)
            assert 1e8 <= reason.value <= took * 1e9
            assert session.predict(rows(0, 0)).source is Source.PRIMARY
        assert session.snapshot().errors == 0


def test_deadline_of_a_model_with_states_counts_while_another_call_has_them(tmp_path: Path) -> None:
    model = onnx.load(slow_model(tmp_path / "m.onnx"))
    model.graph.node.append(helper.make_node("Identity", ["h"], ["next h"]))
    model.graph.input.append(helper.make_tensor_value_info("h", FLOAT, [1]))
    model.graph.output.append(helper.make_tensor_value_info("next h", FLOAT, [1]))
    onnx.save(model, tmp_path / "m.onnx")
    policy = Policy(
        1,
        True,
        (InputRule("x", "float32", (-1, 1), (100, 1)), InputRule("h", "float32", (1,))),
        (OutputRule("y", "float32", (-1, 1), default=(-1.0,)), OutputRule("next h", "float32", (1,))),
        decision=Decision(deadline_ms=500),
        fallback=(FallbackRule(("default",)),),
        states=(StateRule("h", "next h"),),
    )
    golden = {"x": rows(0), "h": np.zeros(1, np.float32)}
    with load(write_bundle(tmp_path / "b.erai", tmp_path / "m.onnx", policy, golden), threads=1) as session:

        def time_call(_: int) -> float:
            start = time.perf_counter()
            assert session.predict(rows(8)).source is Source.DEFAULT
            return time.perf_counter() - start

        with ThreadPoolExecutor(4) as pool:
            assert max(pool.map(time_call, range(4))) < 1.4  # one after the other they would take two seconds


def test_breaker_opens_on_missed_deadlines(opened: Open) -> None:
    breaker = CircuitBreaker(on=("deadline",), window=2, failures=2)
    with opened("default", model=slow_model, deadline_ms=20.0, breaker=breaker) as session:
        session.predict(rows(0))
        for _ in range(2):
            assert session.predict(rows(8)).reasons[0].code is ReasonCode.DEADLINE
        start = time.perf_counter()
        assert session.predict(rows(8)).reasons[0].code is ReasonCode.BREAKER_OPEN
        assert time.perf_counter() - start < 2


# ---- The cache ----


def test_cache_answers_the_same_bits_again_and_counts_it(opened: Open) -> None:
    with opened(cache_bytes=1 << 20) as session:
        for value in (1, 2, 1, -0.0, 0.0, 1):
            answer = session.predict(rows(value))
            assert answer.outputs["y"].tobytes() == rows(value).tobytes()
        assert count(session, DecisionCount.CACHE_HITS) == 2
        assert session.snapshot().rows == 6


def test_cached_answer_is_the_callers_to_keep(opened: Open) -> None:
    with opened(cache_bytes=1 << 20) as session:
        session.predict(rows(1)).outputs["y"][...] = 99
        assert session.predict(rows(1)).outputs["y"].item() == 1


def test_cache_is_refused_where_rows_depend_on_their_batch_mates(
    tmp_path: Path, linear_model: Path, linear_policy: Any
) -> None:
    golden = {"x": np.ones((1, 3), np.float32)}
    bundle = write_bundle(tmp_path / "b.erai", linear_model, linear_policy, golden, rows_independent=False)
    with pytest.raises(ValueError, match="cache_bytes is 4096.*rows depend on their batch mates"):
        load(bundle, cache_bytes=4096)
    with load(bundle) as session:
        assert not session.rows_independent
    with pytest.raises(ValueError, match="cache_bytes is -1"):
        load(bundle, cache_bytes=-1)


def test_identities_are_independent_until_a_manifest_says_otherwise(tmp_path: Path) -> None:
    with load(save_identities(tmp_path / "m.onnx", [2])) as session:
        assert session.rows_independent
