"""Rows of many callers in one call: each must get what it would have got alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper

from edge_rai import Answer, Batcher, InferenceError, InputRejectedError, ReasonCode, Session, Source, Verdict, load
from edge_rai.policy import (
    Decision,
    FallbackRule,
    FeatureRule,
    InputRule,
    LastGood,
    OutputRule,
    Policy,
    RateLimit,
    StateRule,
)
from support.bundles import write_bundle
from support.models import FLOAT, save, save_identities, save_linear

Rows = npt.NDArray[np.float32]
LONG = 30.0  # a batcher that waits so long is asked by the size of its batch, or by its end


def rows(*values: float) -> Rows:
    """(N, 3)"""
    return np.repeat(np.array(values, np.float32)[:, None], 3, axis=1)


@pytest.fixture
def session(linear_bundle: Path) -> Iterator[Session]:
    with load(linear_bundle, threads=1) as opened:
        yield opened


def answered(batcher: Batcher, *given: Any, **named: Any) -> list[Answer]:
    """Answers to requests that all go into batches of this batcher; it ends."""
    with batcher:
        futures = [
            batcher.submit(one, **{name: keys[i] for name, keys in named.items()}) for i, one in enumerate(given)
        ]
    return [future.result(0) for future in futures]


def assert_alike(got: Answer, alone: Answer) -> None:
    for name in ("verdict", "source", "rows"):
        assert getattr(got, name) == getattr(alone, name)
    for name in ("row_verdicts", "row_sources", "review_ids"):
        assert getattr(got, name).tolist() == getattr(alone, name).tolist()
    assert [str(reason) for reason in got.reasons] == [str(reason) for reason in alone.reasons]
    for name, expected in alone.outputs.items():
        output = got.outputs[name]
        assert (output.dtype, output.tobytes()) == (expected.dtype, expected.tobytes())
        assert output.flags.owndata
        assert output.flags.writeable


def test_every_caller_gets_what_it_would_have_got_alone(session: Session) -> None:
    bad = rows(1, 2, 3)
    bad[1, 2], bad[2, 0] = np.nan, 11
    given = [rows(1), bad, rows(2, 3), rows(np.inf), rows(-4), {"radius": 1, "texture": 2, "area": 99}, {"x": rows(5)}]
    before = session.snapshot().calls
    answers = answered(Batcher(session, max_wait_s=LONG), *given)
    assert session.snapshot().calls == before + 1
    for one, answer in zip(given, answers, strict=True):
        assert_alike(answer, session.predict(one))
    (first, second) = answers[1].reasons
    assert [(first.row, first.subject), (second.row, second.subject)] == [(1, "area"), (2, "radius")]


def test_batch_that_is_full_does_not_wait(session: Session) -> None:
    with Batcher(session, max_batch=4, max_wait_s=LONG) as batcher:
        futures = [batcher.submit(rows(i)) for i in range(8)]
        assert not wait(futures, timeout=10).not_done
        assert session.snapshot().calls == 2


def test_lone_caller_waits_no_longer_than_said(session: Session) -> None:
    with Batcher(session, max_wait_s=0.05) as batcher:
        start = time.perf_counter()
        assert batcher.predict(rows(1)).verdict is Verdict.ACCEPT
        assert 0.05 <= time.perf_counter() - start < 5


def test_batches_hold_no_more_rows_than_said(session: Session) -> None:
    batcher = Batcher(session, max_batch=4, max_wait_s=LONG)
    given = [rows(*range(count)) for count in (3, 3, 1, 2, 2, 9, 4, 1)]
    answers = answered(batcher, *given)
    assert [answer.rows for answer in answers] == [len(one) for one in given]
    assert session.snapshot().calls == 6  # 3, 3+1, 2+2, 1 and those that are alone
    for one, answer in zip(given, answers, strict=True):
        assert_alike(answer, session.predict(one))


def test_rows_of_other_shapes_go_into_other_batches(tmp_path: Path) -> None:
    with load(save_identities(tmp_path / "m.onnx", [2]), threads=1) as session:
        given = [np.full((1, width), width, np.float32) for width in (2, 3, 2, 3, 3)]
        answers = answered(Batcher(session, max_wait_s=LONG), *given)
        assert [answer.outputs["y0"].tolist() for answer in answers] == [one.tolist() for one in given]
        assert session.snapshot().calls == 2


@pytest.mark.parametrize("shape", [(0, 3), (1, 4), (1, 0), (1,), (1, 3, 1), ()])
def test_refused_shape_costs_its_caller_alone(session: Session, shape: tuple[int, ...]) -> None:
    given = [rows(1), np.ones(shape, np.float32), rows(2), np.ones(shape, np.float32)]
    answers = answered(Batcher(session, max_wait_s=LONG), *given)
    for one, answer in zip(given, answers, strict=True):
        assert_alike(answer, session.predict(one))
    assert [answer.verdict for answer in answers] == [Verdict.ACCEPT, Verdict.REJECT] * 2


def test_batch_stays_within_the_rows_that_the_policy_allows(
    linear_model: Path, linear_policy: Policy, tmp_path: Path
) -> None:
    (rule,) = linear_policy.inputs
    narrow = InputRule("x", "float32", (-1, 3), (3, 3), feature_axis=1, features=rule.features)
    bundle = write_bundle(
        tmp_path / "b.erai", linear_model, Policy(1, True, (narrow,), linear_policy.outputs), {"x": rows(1)}
    )
    with load(bundle, threads=1) as session:
        answers = answered(
            Batcher(session, max_batch=32, max_wait_s=LONG), *[rows(i) for i in range(7)], rows(*range(4))
        )
    assert [answer.verdict for answer in answers] == [Verdict.ACCEPT] * 7 + [Verdict.REJECT]


def test_wrong_arguments_are_the_callers_alone(session: Session) -> None:
    with Batcher(session, max_wait_s=0.0) as batcher:
        for wrong in (rows(1).astype(np.float64), [[1.0, 2.0, 3.0]], None):
            with pytest.raises(TypeError, match="expected"):
                batcher.submit(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="missing: x; the model has: x"):
            batcher.predict({})
        with pytest.raises(ValueError, match="2 keys for 1 rows"):
            batcher.predict(rows(1), key=["a", "b"])
        assert batcher.predict(rows(1)).verdict is Verdict.ACCEPT


def test_strings_of_a_wrong_kind_never_reach_the_batch(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    form = [("x", TensorProto.STRING, ["N"])], [("y", TensorProto.STRING, ["N"])]
    with load(save(tmp_path / "m.onnx", [node], *form)) as session:
        batcher = Batcher(session, max_wait_s=LONG)
        with pytest.raises(TypeError, match=r"element \[0\] is int"):
            batcher.submit(np.array([1], object))
        given = [np.array(["a", "東"]), np.array([b"c"], object), np.array(["d"], "S1")]
        answers = answered(batcher, *given)
        assert [answer.outputs["y"].tolist() for answer in answers] == [["a", "東"], ["c"], ["d"]]
        assert session.snapshot().calls == 1


def test_several_inputs_of_several_types(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["a"], ["p"]), helper.make_node("Identity", ["b"], ["q"])]
    a, b = ("a", FLOAT, ["N", 2]), ("b", TensorProto.INT64, ["N"])
    model = save(tmp_path / "m.onnx", nodes, [a, b], [("p", FLOAT, ["N", 2]), ("q", TensorProto.INT64, ["N"])])
    given = [{"b": np.arange(n), "a": np.full((n, 2), n, np.float32)} for n in (1, 3, 2)]
    uneven = {"a": np.ones((2, 2), np.float32), "b": np.arange(3)}
    with load(model) as session:
        *answers, refused = answered(Batcher(session, max_wait_s=LONG), *given, uneven)
        assert session.snapshot().calls == 2
    for one, answer in zip(given, answers, strict=True):
        assert answer.outputs["p"].tolist() == one["a"].tolist()
        assert answer.outputs["q"].tolist() == one["b"].tolist()
    assert [reason.code for reason in refused.reasons] == [ReasonCode.ROWS]


def test_sequences_are_taken_apart(tmp_path: Path) -> None:
    import onnx

    node = helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    scores = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 3])],
        [helper.make_value_info("z", helper.make_sequence_type_proto(scores))],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    policy = Policy(
        1,
        True,
        (InputRule("x", "float32", (-1, 3), (99, 3)),),
        (OutputRule("z", "object", ()),),
    )
    with load(write_bundle(tmp_path / "b.erai", tmp_path / "m.onnx", policy, {"x": rows(1)})) as session:
        given = [rows(1), rows(2, 3)]
        answers = answered(Batcher(session, max_wait_s=LONG), *given)
        assert session.snapshot().calls == 1
        assert [answer.outputs["z"] for answer in answers] == [session.predict(one).outputs["z"] for one in given]
        answers = answered(Batcher(session, max_wait_s=LONG), rows(np.nan), rows(np.nan, np.nan))
        assert [answer.verdict for answer in answers] == [Verdict.REJECT] * 2


# ---- Keys, review and the call's own reasons ----


@pytest.fixture
def guarded(linear_model: Path, tmp_path: Path) -> Callable[..., Session]:
    def make(*chain: Any, **decision: Any) -> Session:
        features = tuple(FeatureRule(name, -10, 10) for name in ("a", "b", "c"))
        policy = Policy(
            1,
            True,
            (InputRule("x", "float32", (-1, 3), (99, 3), feature_axis=1, features=features),),
            (OutputRule("y", "float32", (-1, 2)),),
            decision=Decision(**decision),
            fallback=(FallbackRule(chain),),
        )
        return load(write_bundle(tmp_path / "b.erai", linear_model, policy, {"x": rows(1)}), threads=1)

    return make


def test_last_good_answer_of_one_caller_never_reaches_another(guarded: Callable[..., Session]) -> None:
    with guarded("last_good", "reject", last_good=LastGood(60.0)) as session:
        answered(Batcher(session, max_wait_s=LONG), rows(1), rows(2, 3), rows(4), key=["ann", ["bob", "cy"], None])
        got = answered(
            Batcher(session, max_wait_s=LONG), rows(99, 99), rows(99), rows(99), rows(99), key=["bob", "ann", None, "x"]
        )
        assert session.snapshot().calls == 2
        assert [answer.row_sources.tolist() for answer in got] == [[2, 2], [2], [5], [5]]
        assert got[0].outputs["y"].tolist() == session.predict(rows(2, 2)).outputs["y"].tolist()
        assert got[1].outputs["y"].tolist() == session.predict(rows(1)).outputs["y"].tolist()


def test_review_ids_are_those_of_the_callers_rows(guarded: Callable[..., Session]) -> None:
    with guarded("abstain", review_rows=9) as session:
        answers = answered(Batcher(session, max_wait_s=LONG), rows(1, 50), rows(2), rows(60, 3, 70))
        ids = [answer.review_ids.tolist() for answer in answers]
        assert [[bool(one) for one in some] for some in ids] == [[False, True], [False], [True, False, True]]
        waiting = {}
        while item := session.review():
            waiting[item.id] = item.inputs["x"][0, 0]
        assert waiting == {ids[0][1]: 50, ids[2][0]: 60, ids[2][2]: 70}


def test_reason_of_a_row_stays_with_it_and_one_of_the_call_comes_to_all(guarded: Callable[..., Session]) -> None:
    with guarded("reject", rate_limit=RateLimit(0.001, 2)) as session:
        answers = answered(Batcher(session, max_wait_s=LONG), rows(1), rows(2, 3), rows(4))
        assert [answer.row_sources.tolist() for answer in answers] == [[0], [0, 5], [5]]
        assert [[reason.row for reason in answer.reasons] for answer in answers] == [[], [1], [0]]


def test_strict_raises_for_its_caller_alone(session: Session) -> None:
    with Batcher(session, max_batch=2, max_wait_s=LONG) as batcher:
        other = batcher.submit(rows(1))
        with pytest.raises(InputRejectedError, match="row 0: radius above range: 99"):
            batcher.predict(rows(99), strict=True)
        assert other.result(10).verdict is Verdict.ACCEPT


# ---- Errors and ends ----


def test_output_without_rows_is_an_error_for_all_of_the_batch(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["x", "x"], ["y"], axis=0)]
    model = save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 3])], [("y", FLOAT, ["M", 3])])
    with load(model) as session, Batcher(session, max_batch=2, max_wait_s=0.01) as batcher:
        assert batcher.predict(rows(1)).outputs["y"].shape == (2, 3)  # alone it is what the session gives
        for future in [batcher.submit(rows(1)), batcher.submit(rows(2))]:
            with pytest.raises(InferenceError, match="output 'y' came back without an entry for each of 2 rows"):
                future.result(10)


def test_close_answers_whoever_waits(session: Session) -> None:
    batcher = Batcher(session, max_wait_s=LONG)
    futures = [batcher.submit(rows(i)) for i in range(5)]
    batcher.close()
    assert all(future.done() for future in futures)
    batcher.close()
    with pytest.raises(ValueError, match="the batcher is closed"):
        batcher.predict(rows(1))
    assert session.predict(rows(1)).verdict is Verdict.ACCEPT


def test_cancelled_request_is_left_out(session: Session) -> None:
    batcher = Batcher(session, max_wait_s=LONG)
    futures: list[Future[Answer]] = [batcher.submit(rows(i)) for i in range(3)]
    assert futures[1].cancel()
    batcher.close()
    assert session.snapshot().rows == 2
    with pytest.raises(CancelledError):
        futures[1].result()
    assert futures[2].result().outputs["y"].tolist() == session.predict(rows(2)).outputs["y"].tolist()


def test_session_that_is_closed_meanwhile_is_everybodys_error(linear_bundle: Path) -> None:
    session = load(linear_bundle)
    with Batcher(session, max_wait_s=LONG) as batcher:
        futures = [batcher.submit(rows(i)) for i in range(3)]
        session.close()
    for future in futures:
        with pytest.raises(ValueError, match="session is closed"):
            future.result()


def test_idle_batcher_costs_no_time(session: Session) -> None:
    with Batcher(session, max_wait_s=0.001) as batcher:
        batcher.predict(rows(1))
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.05


def test_many_threads_each_get_their_own_answers(linear_bundle: Path) -> None:
    failures: list[Any] = []

    def use(number: int) -> None:
        generator = np.random.default_rng(number)
        for call in range(100):
            given = generator.uniform(-9, 9, (int(generator.integers(1, 4)), 3)).astype(np.float32)
            if call % 5 == 0:
                given[0, 1] = np.nan
            try:
                assert_alike(batcher.predict(given), session.predict(given))
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
                return

    with load(linear_bundle, threads=1) as session, Batcher(session, max_batch=8, max_wait_s=0.001) as batcher:
        threads = [threading.Thread(target=use, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        assert session.snapshot().rows_by_source[Source.DEFAULT] == 16 * 20 * 2


# ---- What cannot be batched ----


def test_session_that_cannot_be_batched_is_refused_in_one_sentence(
    tmp_path: Path, linear_model: Path, linear_policy: Policy
) -> None:
    one = np.ones((1, 3), np.float32)
    depends = write_bundle(tmp_path / "d.erai", linear_model, linear_policy, {"x": one}, rows_independent=False)
    whole = Policy(1, False, (InputRule("x", "float32", (-1, 3), (9, 3)),), (OutputRule("y", "float32", (-1, 2)),))
    not_batched = write_bundle(tmp_path / "w.erai", linear_model, whole, {"x": one})
    nodes = [helper.make_node("Add", ["x", "h"], ["y"])]
    form = ["N", 3]
    model = save(tmp_path / "h.onnx", nodes, [("x", FLOAT, form), ("h", FLOAT, form)], [("y", FLOAT, form)])
    inputs = tuple(InputRule(name, "float32", (-1, 3), (9, 3)) for name in "xh")
    recurrent = Policy(1, True, inputs, (OutputRule("y", "float32", (-1, 3)),), states=(StateRule("h", "y", 0),))
    states = write_bundle(tmp_path / "s.erai", model, recurrent, {"x": one, "h": one})
    for bundle, why in (
        (depends, "rows of its model depend on their batch mates"),
        (not_batched, "its axis 0 does not count rows"),
        (states, r"it carries states from call to call \(h\)"),
    ):
        with load(bundle) as session, pytest.raises(ValueError, match=f"^this session cannot be batched: {why}$"):
            Batcher(session)


def test_numbers_out_of_range_are_a_value_error(tmp_path: Path) -> None:
    with load(save_linear(tmp_path / "m.onnx")) as session:
        for wrong in ({"max_batch": 0}, {"max_wait_s": -1}, {"max_wait_s": float("nan")}, {"max_wait_s": float("inf")}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                Batcher(session, **wrong)  # type: ignore[arg-type]
