"""How a batcher fails and ends: each caller bears the failure of its own rows, and no thread is left behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from edge_rai import Answer, Batcher, InferenceError, ManualClock, Session, Source, load
from support.decisions import failing_model, opener, rows

LONG = 30.0  # a batcher that waits so long is asked by the size of its batch, or by its end
FAILS = 7.0  # what failing_model fails on


@pytest.fixture
def failing(tmp_path: Path) -> Callable[..., Session]:
    """Opens a model that fails where a row is FAILS, with a fallback chain."""
    opened = opener(tmp_path, ManualClock())
    return lambda *chain, **decision: opened(*chain, model=failing_model, **decision)


def together(session: Session, *values: float) -> list[Future[Answer]]:
    """What became of requests of one row each that went into one batch."""
    with Batcher(session, max_batch=len(values), max_wait_s=LONG) as batcher:
        return [batcher.submit(rows(value)) for value in values]


# ---- Failures of the runtime ----


def test_row_on_which_the_runtime_fails_costs_its_caller_alone(tmp_path: Path) -> None:
    with load(failing_model(tmp_path / "m.onnx")) as session:
        good, bad, other = together(session, 1, FAILS, 2)
        with pytest.raises(InferenceError, match="ONNX Runtime"):
            bad.result(0)
        for future, value in ((good, 1), (other, 2)):
            assert future.result(0).outputs["y"].tolist() == session.predict(rows(value)).outputs["y"].tolist()


def test_fallback_answers_for_that_caller_alone(failing: Callable[..., Session]) -> None:
    with failing("default") as session:
        answers = [future.result(0) for future in together(session, 1, FAILS, 2)]
        assert [answer.source for answer in answers] == [Source.PRIMARY, Source.DEFAULT, Source.PRIMARY]
        assert [len(answer.reasons) for answer in answers] == [0, 1, 0]


def test_row_that_was_asked_twice_waits_for_review_once(failing: Callable[..., Session]) -> None:
    with failing("abstain", "reject", review_rows=9) as session:
        answers = [future.result(0) for future in together(session, 1, FAILS, 9)]
        waiting = []
        while item := session.review():
            waiting.append(item.id)
        assert waiting == [int(answer.review_ids[0]) for answer in answers[1:]]
        assert not answers[0].review_ids[0]


# ---- Ends ----


def ended(thread: threading.Thread) -> bool:
    thread.join(10)
    return not thread.is_alive()


def worker_of(start: Callable[[], Batcher]) -> tuple[Batcher, threading.Thread]:
    before = set(threading.enumerate())
    batcher = start()
    (thread,) = set(threading.enumerate()) - before
    return batcher, thread


def test_callback_of_an_answer_may_close_the_batcher(linear_bundle: Path) -> None:
    failures: list[BaseException] = []

    def close(_: Future[Answer]) -> None:
        try:
            batcher.close()
        except RuntimeError as error:  # which Future would only log
            failures.append(error)

    with load(linear_bundle) as session:
        batcher, thread = worker_of(lambda: Batcher(session, max_wait_s=0.05))
        batcher.submit(np.ones((1, 3), np.float32)).add_done_callback(close)
        assert ended(thread)
        assert failures == []
        batcher.close()


def test_batcher_that_nobody_has_any_more_ends_its_thread(linear_bundle: Path) -> None:
    with load(linear_bundle) as session:
        batcher, thread = worker_of(lambda: Batcher(session, max_wait_s=0.0))
        batcher.predict(np.ones((1, 3), np.float32))
        gone = weakref.ref(batcher)
        del batcher
        gc.collect()
        assert gone() is None
        assert ended(thread)


def test_request_to_a_batcher_that_nobody_has_any_more_is_answered_at_once(linear_bundle: Path) -> None:
    with load(linear_bundle) as session:
        start = time.perf_counter()
        future = Batcher(session, max_wait_s=LONG).submit(np.ones((1, 3), np.float32))
        assert future.result(10).source is Source.PRIMARY
        assert time.perf_counter() - start < 5
