"""Who answers when the model must not: the fallback chain, and what stands before the model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper

from edge_rai import (
    Breaker,
    DecisionCount,
    InferenceError,
    ManualClock,
    ReasonCode,
    Session,
    Source,
    load,
)
from edge_rai.policy import (
    CircuitBreaker,
    Decision,
    FallbackRule,
    FeatureRule,
    Hysteresis,
    InputRule,
    LastGood,
    OutputRule,
    Policy,
    RateLimit,
)
from support.bundles import write_bundle
from support.models import FLOAT, save, save_identities

Floats = npt.NDArray[np.float32]
Open = Callable[..., Session]
NOTHING = Source.NONE


def rows(*values: float) -> Floats:
    """(N, 1)"""
    return np.array(values, np.float32)[:, None]


def failing_model(path: Path) -> Path:
    """(N, 1) of 0 to 8 returned as it came; ONNX Runtime fails where a value is above 3."""
    nodes = [
        helper.make_node("Cast", ["x"], ["at"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "at"], ["y"]),
    ]
    table = {"table": np.arange(4, dtype=np.float32)}
    return save(path, nodes, [("x", FLOAT, ["N", 1])], [("y", FLOAT, ["N", 1])], table)


def slow_model(path: Path) -> Path:
    """(N, 1) returned as it came, after 2000 products of (300, 300) matrices for each 1 of the greatest value."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["m", "m"], ["product"]),
            helper.make_node("Clip", ["product", "zero", "one"], ["m_out"]),
            helper.make_node("Identity", ["go"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("m", FLOAT, [300, 300]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("m_out", FLOAT, [300, 300]),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "times"], ["products"]),
        helper.make_node("Cast", ["products"], ["count"], to=TensorProto.INT64),
        helper.make_node("Loop", ["count", "yes", "start"], ["end"], body=body),
        helper.make_node("ReduceMax", ["end"], ["greatest"], keepdims=0),
        helper.make_node("Mul", ["greatest", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    constants = {
        "yes": np.array(True),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "times": np.array(2000, np.float32),
        "start": np.eye(300, dtype=np.float32),
    }
    return save(path, nodes, [("x", FLOAT, ["N", 1])], [("y", FLOAT, ["N", 1])], constants)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(monotonic_ns=5, unix_ns=1_700_000_000_000_000_000)


@pytest.fixture
def opened(tmp_path: Path, clock: ManualClock) -> Open:
    """Opens a bundle of one (N, 1) input within 0 and 8, whose output above 5 the judge rejects."""

    def make(
        *chain: Any,
        model: Callable[[Path], Path] | None = None,
        fallback: Path | None = None,
        rules: tuple[FallbackRule, ...] | None = None,
        default: float | None = -1.0,
        cache_bytes: int = 0,
        **decision: Any,
    ) -> Session:
        policy = Policy(
            1,
            True,
            (InputRule("x", "float32", (-1, 1), (100, 1), features=(FeatureRule("x", 0, 8),)),),
            (OutputRule("y", "float32", (-1, 1), default=() if default is None else (default,), range=(-9.0, 5.0)),),
            decision=Decision(**decision) if decision else None,
            fallback=rules if rules is not None else (FallbackRule(chain),) if chain else (),
        )
        path = (model or identity)(tmp_path / "m.onnx")
        bundle = write_bundle(tmp_path / "b.erai", path, policy, {"x": rows(0)}, fallback=fallback)
        return load(bundle, threads=1, clock=clock, cache_bytes=cache_bytes)

    return make


def identity(path: Path) -> Path:
    return save(path, [helper.make_node("Identity", ["x"], ["y"])], [("x", FLOAT, ["N", 1])], [("y", FLOAT, ["N", 1])])


def constant(path: Path, value: float) -> Path:
    """A second, simpler model: (N, 1) of one value."""
    nodes = [helper.make_node("Mul", ["x", "zero"], ["none"]), helper.make_node("Add", ["none", "value"], ["y"])]
    constants = {"zero": np.array(0, np.float32), "value": np.array(value, np.float32)}
    return save(path, nodes, [("x", FLOAT, ["N", 1])], [("y", FLOAT, ["N", 1])], constants)


def count(session: Session, what: DecisionCount) -> int:
    return int(session.snapshot().decisions[what])


# ---- Last good ----


def test_last_good_answer_of_one_user_never_reaches_another(opened: Open) -> None:
    with opened("last_good", "default", last_good=LastGood(60.0)) as session:
        users = [f"user {i}" for i in range(200)]
        for i, user in enumerate(users):
            session.predict(rows(i / 50), key=user)
        for i, user in enumerate(users):
            answer = session.predict(rows(7), key=user)
            assert (answer.source, answer.outputs["y"].item()) == (Source.LAST_GOOD, np.float32(i / 50))
        for stranger in ("user", "user 200", "", None, "USER 1"):
            assert session.predict(rows(7), key=stranger).source is Source.DEFAULT


def test_last_good_answers_of_many_threads_are_each_their_own(opened: Open) -> None:
    wrong = []

    def use(user: int) -> None:
        for call in range(200):
            value = user + call / 1000
            session.predict(rows(value), key=user)
            answer = session.predict(rows(np.nan), key=user)
            if answer.outputs["y"].item() != np.float32(value):
                wrong.append((user, call, answer.outputs["y"].item()))

    with opened("last_good", "default", last_good=LastGood(60.0)) as session:
        threads = [threading.Thread(target=use, args=(user,)) for user in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_last_good_answer_ages(opened: Open, clock: ManualClock) -> None:
    with opened("last_good", "default", last_good=LastGood(60.0)) as session:
        session.predict(rows(2), key="a")
        clock.advance(60)
        assert session.predict(rows(7), key="a").outputs["y"].item() == 2
        clock.advance(1e-9)
        assert session.predict(rows(7), key="a").source is Source.DEFAULT


def test_least_used_key_makes_room(opened: Open) -> None:
    with opened("last_good", "default", last_good=LastGood(60.0, keys=2)) as session:
        for key in ("a", "b", "c"):
            session.predict(rows(2), key=key)
        sources = [session.predict(rows(7), key=key).source for key in ("a", "b", "c")]
    assert sources == [Source.DEFAULT, Source.LAST_GOOD, Source.LAST_GOOD]


def test_calls_without_a_key_share_an_answer_only_where_the_policy_says_so(opened: Open) -> None:
    for shared in (False, True):
        with opened("last_good", "default", last_good=LastGood(60.0, shared=shared)) as session:
            session.predict(rows(2))
            assert session.predict(rows(7)).source is (Source.LAST_GOOD if shared else Source.DEFAULT)
            assert session.predict(rows(7), key="a").source is Source.DEFAULT


# ---- The chain ----


def test_fallback_model_answers_what_the_judge_rejected(opened: Open, tmp_path: Path) -> None:
    with opened("model", "default", fallback=constant(tmp_path / "f.onnx", 4.5)) as session:
        answer = session.predict(rows(1, 7, 2, 9))
    assert answer.row_sources.tolist() == [Source.PRIMARY, Source.FALLBACK_MODEL, Source.PRIMARY, Source.DEFAULT]
    assert answer.outputs["y"].ravel().tolist() == [1, 4.5, 2, -1]  # 9 is no input for any model
    assert answer.source is Source.DEFAULT


def test_answer_of_the_fallback_model_is_judged_too(opened: Open, tmp_path: Path) -> None:
    with opened("model", "reject", fallback=constant(tmp_path / "f.onnx", 6)) as session:
        answer = session.predict(rows(7))
    assert (answer.source, np.isnan(answer.outputs["y"]).all()) == (NOTHING, True)


def test_first_rule_that_names_a_reason_of_the_row_decides(opened: Open) -> None:
    rules = (
        FallbackRule(("reject",), ("above_range", "below_range")),
        FallbackRule(("default",)),
    )
    with opened(rules=rules) as session:
        answer = session.predict(rows(1, 9, 7))
    assert answer.row_sources.tolist() == [Source.PRIMARY, NOTHING, Source.DEFAULT]


def test_failing_runtime_is_an_error_without_a_chain_and_a_reason_with_one(opened: Open) -> None:
    with opened(model=failing_model) as session:
        with pytest.raises(InferenceError, match="indices element out of data bounds"):
            session.predict(rows(1, 7))
        assert session.predict(rows(2)).outputs["y"].item() == 2
        assert session.snapshot().errors == 1
    with opened("default", model=failing_model) as session:
        answer = session.predict(rows(1, 7))
        assert (answer.source, answer.outputs["y"].ravel().tolist()) == (Source.DEFAULT, [-1, -1])
        assert [(reason.code, reason.subject, reason.row) for reason in answer.reasons] == [
            (ReasonCode.INFERENCE, "model", -1)
        ]
        assert str(answer.reasons[0]) == "model failed to run"
        assert session.predict(rows(2)).source is Source.PRIMARY
        assert session.snapshot().errors == 0


def test_reason_of_a_closed_session_can_still_be_read(opened: Open) -> None:
    with opened("default", model=failing_model) as session:
        answer = session.predict(rows(7))
    assert answer.reasons[0].subject == "model"


# ---- Abstaining, review and override ----


def test_row_that_waits_is_handed_out_once_with_its_inputs(opened: Open, clock: ManualClock) -> None:
    with opened("abstain", "default", review_rows=4) as session:
        assert session.review() is None
        given = rows(1, 7, 2, 9)
        answer = session.predict(given)
        assert answer.row_sources.tolist() == [Source.PRIMARY, Source.ABSTAIN, Source.PRIMARY, Source.ABSTAIN]
        assert answer.review_ids.dtype == np.uint64
        assert (answer.review_ids > 0).tolist() == [False, True, False, True]
        given[...] = 0
        first, second = session.review(), session.review()
        assert session.review() is None
        assert first is not None
        assert second is not None
        assert [first.id, second.id] == answer.review_ids[[1, 3]].tolist()
        assert first.unix_ns == clock.unix_ns
        assert (first.reasons, second.reasons) == ((ReasonCode.OUTPUT_RANGE,), (ReasonCode.ABOVE_RANGE,))
        assert (list(first.inputs), first.inputs["x"].tolist(), second.inputs["x"].tolist()) == (["x"], [[7]], [[9]])
        session.override(first.id, None)
        session.predict(rows(6))
        assert first.inputs["x"].tolist() == [[7]]  # a copy


def test_override_becomes_the_last_good_answer_of_its_key(opened: Open) -> None:
    with opened("last_good", "abstain", last_good=LastGood(60.0), review_rows=4) as session:
        (asked,) = session.predict(rows(7), key="ann").review_ids.tolist()
        session.override(asked, rows(0.5))
        answer = session.predict(rows(8), key="ann")
        assert (answer.source, answer.outputs["y"].item(), answer.review_ids.tolist()) == (Source.LAST_GOOD, 0.5, [0])
        assert session.predict(rows(8), key="bob").source is Source.ABSTAIN
        assert count(session, DecisionCount.OVERRIDES) == 1


def test_override_takes_outputs_by_name_and_refuses_what_is_no_row(opened: Open) -> None:
    with opened("abstain", review_rows=4) as session:
        (asked,) = session.predict(rows(7)).review_ids.tolist()
        with pytest.raises(TypeError, match="output 'y': expected float32, got float64"):
            session.override(asked, np.zeros((1, 1)))
        for wrong in (rows(1, 2), rows(1)[0], np.zeros((1, 2), np.float32)):
            with pytest.raises(ValueError, match="output 'y'"):
                session.override(asked, wrong)
        with pytest.raises(ValueError, match="outputs by name: missing: y; unknown: z; the model has: y"):
            session.override(asked, {"z": rows(1)})
        with pytest.raises(TypeError, match="expected a numpy array of float32"):
            session.override(asked, 1.5)  # type: ignore[arg-type]
        session.override(asked, {"y": rows(1)})
        for absent in (asked, 12345):
            with pytest.raises(ValueError, match=f"no row with the id {absent} waits"):
                session.override(absent, rows(1))


def test_full_queue_sends_the_row_on(opened: Open) -> None:
    with opened("abstain", "default", review_rows=2) as session:
        answer = session.predict(rows(7, 7, 7))
        assert answer.row_sources.tolist() == [Source.ABSTAIN, Source.ABSTAIN, Source.DEFAULT]
        assert count(session, DecisionCount.REVIEW_FULL) == 1
        session.override(int(answer.review_ids[0]), None)
        assert session.predict(rows(7)).source is Source.ABSTAIN


def test_rows_are_drained_while_others_ask(opened: Open) -> None:
    done = threading.Event()
    drained = []

    def drain() -> None:
        while not done.is_set() or (item := session.review()):
            if item := session.review():
                drained.append((item.id, item.inputs["x"].item()))
                session.override(item.id, rows(1))

    with opened("abstain", "default", review_rows=8) as session:
        drainer = threading.Thread(target=drain)
        drainer.start()
        asked: dict[int, float] = {}
        for call in range(500):
            answer = session.predict(rows(6 + call / 1000))
            if answer.review_ids[0]:
                asked[int(answer.review_ids[0])] = float(np.float32(6 + call / 1000))
        done.set()
        drainer.join()
    assert dict(drained).items() <= asked.items()
    assert len(drained) == len(dict(drained)) > 0


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
