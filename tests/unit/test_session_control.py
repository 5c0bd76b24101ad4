"""What a session carries from call to call, its clock, and what it refuses."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper

from edge_rai import (
    Breaker,
    DecisionCount,
    ManualClock,
    ProviderError,
    ReasonCode,
    Session,
    Source,
    Verdict,
    load,
)
from edge_rai.policy import (
    Age,
    Decision,
    FallbackRule,
    FeatureRule,
    InputRule,
    LastGood,
    OutputRule,
    Policy,
    StateRule,
)
from support.bundles import write_bundle
from support.models import FLOAT, reference_run, save

Floats = npt.NDArray[np.float32]
ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)


# ---- Recurrent states ----


def summing_model(path: Path) -> Path:
    """(N, 1) "x" and the states "h" and "c": h grows by x, c by 1, and "y" is h + c."""
    nodes = [
        helper.make_node("Add", ["h", "x"], ["h_out"]),
        helper.make_node("Add", ["c", "one"], ["c_out"]),
        helper.make_node("Add", ["h_out", "c_out"], ["y"]),
    ]
    inputs = [(name, FLOAT, ["N", 1]) for name in ("h", "x", "c")]
    outputs = [(name, FLOAT, ["N", 1]) for name in ("y", "h_out", "c_out")]
    return save(path, nodes, inputs, outputs, {"one": np.array(1, np.float32)})


@pytest.fixture
def summing(tmp_path: Path) -> Iterator[Session]:
    policy = Policy(
        1,
        True,
        tuple(InputRule(name, "float32", (-1, 1), (9, 1)) for name in ("h", "x", "c")),
        tuple(OutputRule(name, "float32", (-1, 1)) for name in ("y", "h_out", "c_out")),
        states=(StateRule("h", "h_out", row_axis=0), StateRule("c", "c_out", row_axis=0)),
    )
    one = np.ones((1, 1), np.float32)
    bundle = write_bundle(
        tmp_path / "b.erai", summing_model(tmp_path / "m.onnx"), policy, {"h": one, "x": one, "c": one}
    )
    with load(bundle, threads=1) as session:
        yield session


def ask(session: Session, *values: float) -> list[float]:
    outputs = session.predict(np.array(values, np.float32)[:, None]).outputs
    return [float(value) for value in outputs["y"].ravel()]


def test_callers_leave_states_out(summing: Session) -> None:
    assert [spec.name for spec in summing.inputs] == ["x"]
    assert [spec.name for spec in summing.states] == ["h", "c"]
    assert ask(summing, 1) == [2]
    assert summing.predict({"x": np.array([[1]], np.float32)}).outputs["y"].item() == 4
    with pytest.raises(ValueError, match="unknown: h; the model has: x"):
        summing.predict({"x": np.ones((1, 1), np.float32), "h": np.ones((1, 1), np.float32)})


def test_states_go_from_call_to_call_until_reset(summing: Session) -> None:
    for _ in range(3):
        assert [ask(summing, value) for value in (1, 2, 3, -1, 5)] == [[2], [5], [9], [9], [15]]
        summing.reset()


def test_rejected_row_keeps_its_state_and_the_others_go_on(summing: Session) -> None:
    assert ask(summing, 1, 10) == [2, 11]
    answer = summing.predict(np.array([[np.nan], [1]], np.float32))
    assert answer.row_verdicts.tolist() == [Verdict.REJECT, Verdict.ACCEPT]
    assert answer.outputs["y"][1].item() == 13
    assert ask(summing, 1, 1) == [4, 15]


def test_another_number_of_rows_costs_the_states_only_when_it_was_answered(summing: Session) -> None:
    assert ask(summing, 1, 10) == [2, 11]
    assert summing.predict(np.full((1, 1), np.nan, np.float32)).verdict is Verdict.REJECT
    assert ask(summing, 1, 1) == [4, 13]
    assert ask(summing, 5) == [6]
    assert ask(summing, 1, 1) == [2, 2]
    assert summing.snapshot().decisions[DecisionCount.STATE_RESETS] == 2


def test_override_of_a_model_with_states_gives_the_other_outputs(tmp_path: Path) -> None:
    policy = Policy(
        1,
        True,
        tuple(InputRule(name, "float32", (-1, 1), (9, 1)) for name in ("h", "x", "c")),
        tuple(OutputRule(name, "float32", (-1, 1)) for name in ("y", "h_out", "c_out")),
        fallback=(FallbackRule(("last_good", "abstain")),),
        decision=Decision(last_good=LastGood(60.0), review_rows=2),
        states=(StateRule("h", "h_out", row_axis=0), StateRule("c", "c_out", row_axis=0)),
    )
    one, bad = np.ones((1, 1), np.float32), np.full((1, 1), np.nan, np.float32)
    bundle = write_bundle(
        tmp_path / "b.erai", summing_model(tmp_path / "m.onnx"), policy, {"h": one, "x": one, "c": one}
    )
    with load(bundle, threads=1) as session:
        (asked,) = session.predict(bad, key="ann").review_ids.tolist()
        with pytest.raises(ValueError, match="unknown: h_out; the model has: y"):
            session.override(asked, {"y": one, "h_out": one})
        session.override(asked, one * 42)
        answer = session.predict(bad, key="ann")
        assert (answer.source, answer.outputs["y"].item()) == (Source.LAST_GOOD, 42)


def test_calls_of_threads_wait_for_each_other(summing: Session) -> None:
    def use() -> None:
        for _ in range(200):
            ask(summing, 1)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(summing, 0) == [800 + 801]


def test_infinite_state_is_flagged_counted_and_zero_again(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["h", "x"], ["sum"]), helper.make_node("Mul", ["sum", "big"], ["h_out"])]
    nodes.append(helper.make_node("Identity", ["sum"], ["y"]))
    form = [1]
    model = save(
        tmp_path / "m.onnx",
        nodes,
        [("x", FLOAT, form), ("h", FLOAT, form)],
        [("y", FLOAT, form), ("h_out", FLOAT, form)],
        {"big": np.array([1e20], np.float32)},
    )
    policy = Policy(
        1,
        False,
        (InputRule("x", "float32", (1,)), InputRule("h", "float32", (1,))),
        (OutputRule("y", "float32", (1,)), OutputRule("h_out", "float32", (1,), finite=False)),
        states=(StateRule("h", "h_out"),),
    )
    one = np.ones(1, np.float32)
    with load(write_bundle(tmp_path / "b.erai", model, policy, {"x": one * 0, "h": one * 0})) as session:
        assert session.predict(one).outputs["y"].item() == 1
        answer = session.predict(one)  # h becomes 1e40
        assert answer.verdict is Verdict.FLAG
        (reason,) = answer.reasons
        assert (reason.code, reason.subject, reason.value) == (ReasonCode.STATE_NOT_FINITE, "h_out", np.inf)
        assert session.predict(one).outputs["y"].item() == 1
        assert session.snapshot().decisions[DecisionCount.STATE_RESETS] == 1


def test_what_rules_remember_is_forgotten_on_reset(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    model = save(tmp_path / "m.onnx", [node], [("x", FLOAT, ["N"])], [("y", FLOAT, ["N"])])
    rule = InputRule("x", "float32", (-1,), (9,), features=(FeatureRule("x", step=1.0),))
    policy = Policy(1, True, (rule,), (OutputRule("y", "float32", (-1,)),))
    with load(write_bundle(tmp_path / "b.erai", model, policy, {"x": np.ones(1, np.float32)})) as session:
        assert session.predict(np.array([1], np.float32)).verdict is Verdict.ACCEPT
        assert session.predict(np.array([9], np.float32)).reasons[0].code is ReasonCode.STEP
        session.reset()
        assert session.predict(np.array([1], np.float32)).verdict is Verdict.ACCEPT


# ---- The clock ----


def test_age_of_a_time_stamp_goes_by_the_sessions_clock(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    model = save(tmp_path / "m.onnx", [node], [("x", 11, ["N"])], [("y", 11, ["N"])])
    rule = InputRule("x", "float64", (-1,), (9,), features=(FeatureRule("x", age=Age(10.0)),))
    policy = Policy(1, True, (rule,), (OutputRule("y", "float64", (-1,)),))
    bundle = write_bundle(tmp_path / "b.erai", model, policy, {"x": np.ones(1)})
    clock = ManualClock(unix_ns=1_700_000_000_000_000_000)
    with load(bundle, clock=clock) as session:
        stamp = np.array([1_700_000_000.0])
        assert session.predict(stamp).verdict is Verdict.ACCEPT
        clock.advance(10)
        assert session.predict(stamp).verdict is Verdict.ACCEPT
        clock.advance(0.25)
        (reason,) = session.predict(stamp).reasons
        assert (reason.code, reason.value, reason.limit) == (ReasonCode.AGE, 10.25, 10)
        clock.unix_ns -= 20 * 10**9
        (reason,) = session.predict(stamp).reasons
        assert (reason.code, reason.value, reason.limit) == (ReasonCode.AGE, -9.75, 0)


def test_snapshot_and_latency_go_by_the_sessions_clock(linear_bundle: Path) -> None:
    clock = ManualClock(monotonic_ns=7, unix_ns=1000)
    with load(linear_bundle, clock=clock) as session:
        clock.advance(2.5)
        session.predict(ROWS)
        snapshot = session.snapshot()
    assert (snapshot.start_unix_ns, snapshot.end_unix_ns, snapshot.duration_ns) == (1000, 2_500_001_000, 2_500_000_000)
    assert (snapshot.latency_sum_ns, int(snapshot.latency[0])) == (0, 1)


def test_clock_lives_as_long_as_its_session(linear_bundle: Path) -> None:
    session = load(linear_bundle, clock=ManualClock(unix_ns=123))
    assert session.snapshot().start_unix_ns == 123
    assert repr(ManualClock(monotonic_ns=1, unix_ns=-2)) == "ManualClock(monotonic_ns=1, unix_ns=-2)"


def test_clock_stays_where_it_is_when_it_cannot_stand_there() -> None:
    clock = ManualClock(monotonic_ns=3 * 10**9, unix_ns=-(2**63))
    for seconds in (-5, -1, 1e12, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected"):
            clock.advance(seconds)
        assert (clock.monotonic_ns, clock.unix_ns) == (3 * 10**9, -(2**63))
    for wrong in ({"monotonic_ns": -1}, {"monotonic_ns": 2**64}, {"unix_ns": 2**63}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; expected"):
            ManualClock(**wrong)


# ---- The rest of a session ----


def test_session_without_such_rules_says_so_quietly(linear_bundle: Path) -> None:
    with load(linear_bundle) as session:
        assert (session.breaker, session.review(), session.stopped, session.states) == (Breaker.CLOSED, None, False, ())
        assert session.rows_independent
        session.reset()
        with pytest.raises(ValueError, match="no row with the id 1 waits"):
            session.override(1, None)
        for none in (0, -1, 2**64):
            with pytest.raises(ValueError, match=f"no row with the id {none} waits"):
                session.override(none, None)
        assert session.predict(ROWS).review_ids.tolist() == [0, 0, 0, 0]


def test_closed_session_says_so_whatever_is_asked(linear_bundle: Path) -> None:
    session = load(linear_bundle)
    session.close()
    uses: list[Callable[[], object]] = [
        session.reset,
        session.resume,
        session.review,
        lambda: session.stop("x"),
        lambda: session.stopped,
        lambda: session.breaker,
        lambda: session.override(1, None),
        lambda: session.predict({"radius": 1}),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="session is closed"):
            use()


def test_provider_that_is_not_there_is_refused_by_name(linear_bundle: Path, linear_model: Path) -> None:
    for path in (linear_bundle, linear_model):
        with pytest.raises(ProviderError, match="NowhereExecutionProvider"):
            load(path, provider="NowhereExecutionProvider")
        with pytest.raises(ProviderError, match=r"absent\.so"):
            load(path, provider="NowhereExecutionProvider", provider_path="/nonexistent/absent.so")
        with load(path, provider="CPUExecutionProvider") as session:
            expected = reference_run(linear_model, {"x": ROWS})["y"]
            assert session.predict(ROWS).outputs["y"].tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["spool", "provider", "provider_path"])
def test_empty_and_impossible_settings_are_a_value_error(linear_bundle: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is empty"):
        load(linear_bundle, **{name: ""})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NUL"):
        load(linear_bundle, **{name: "a\0b"})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "wrong"), [("threads", 2**40), ("threads", -1), ("cache_bytes", 2**70)])
def test_numbers_that_no_machine_has_are_a_value_error(linear_bundle: Path, name: str, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is {wrong}; expected 0"):
        load(linear_bundle, **{name: wrong})  # type: ignore[arg-type]


def test_answer_outlives_its_session_as_a_pickle(linear_bundle: Path) -> None:
    with load(linear_bundle) as session:
        answers = [session.predict(ROWS), session.predict(np.full((2, 3), 99, np.float32))]
    for answer, again in zip(answers, pickle.loads(pickle.dumps(answers)), strict=True):
        assert (again.verdict, again.rows, str(again)) == (answer.verdict, answer.rows, str(answer))
        assert again.reasons == answer.reasons
        assert {name for name in dir(again) if not name.startswith("_")} == {
            *(
                "outputs",
                "rows",
                "verdict",
                "source",
                "reasons",
                "row_verdicts",
                "row_sources",
                "review_ids",
                "receipts",
            )
        }
