"""Who answers when the model must not: the fallback chain, and the queue of those who wait for somebody."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from edge_rai import DecisionCount, InferenceError, ManualClock, ReasonCode, Source, UnsupportedModelError, load
from edge_rai.policy import Decision, FallbackRule, FeatureRule, InputRule, LastGood, OutputRule, Policy
from support.bundles import write_bundle
from support.decisions import Open, constant, count, failing_model, opener, rows
from support.models import save_zip_map


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(monotonic_ns=5, unix_ns=1_700_000_000_000_000_000)


@pytest.fixture
def opened(tmp_path: Path, clock: ManualClock) -> Open:
    return opener(tmp_path, clock)


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
    assert (answer.source, np.isnan(answer.outputs["y"]).all()) == (Source.NONE, True)


def test_first_rule_that_names_a_reason_of_the_row_decides(opened: Open) -> None:
    rules = (
        FallbackRule(("reject",), ("above_range", "below_range")),
        FallbackRule(("default",)),
    )
    with opened(rules=rules) as session:
        answer = session.predict(rows(1, 9, 7))
    assert answer.row_sources.tolist() == [Source.PRIMARY, Source.NONE, Source.DEFAULT]


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


def test_row_of_a_model_with_sequences_is_overridden_with_none_and_the_error_says_so(tmp_path: Path) -> None:
    policy = Policy(
        1,
        True,
        (InputRule("x", "float32", (-1, 2), (9, 2), features=(FeatureRule("x", 0, 8),)),),
        (OutputRule("z", "object", ()),),
        decision=Decision(review_rows=2),
        fallback=(FallbackRule(("abstain",)),),
    )
    pair = np.array([[1, 2], [3, 4]], np.float32)
    bundle = write_bundle(tmp_path / "b.erai", save_zip_map(tmp_path / "m.onnx"), policy, {"x": pair})
    with load(bundle, threads=1) as session:
        asked, other = session.predict(pair * 9).review_ids.tolist()
        for given in ([{7: 0.5, 8: 0.5}], {"z": [{7: 0.5, 8: 0.5}]}, pair, {"y": pair}):
            with pytest.raises(UnsupportedModelError, match="'z' is a sequence or map, .* override the row with None"):
                session.override(asked, given)  # type: ignore[arg-type]
        session.override(asked, None)
        item = session.review()
        assert item is not None
        assert item.id == other


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
