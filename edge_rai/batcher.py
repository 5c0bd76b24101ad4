"""Rows of many callers in one call of the model."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai import arguments
from edge_rai.errors import InferenceError
from edge_rai.inputs import Key, encode_keys, rows_of
from edge_rai.session import Session, raise_rejected
from edge_rai.types import Answer, ReasonCode, Source, TensorSpec, Verdict

Array = npt.NDArray[Any]
# Requests whose rows have the same shapes go together. None: a request that goes alone.
Form = tuple[tuple[int, ...], ...] | None


@dataclass(frozen=True, eq=False, slots=True)
class _Request:
    arrays: list[Array]
    keys: list[bytes]
    rows: int
    came: float  # time.monotonic()
    answer: Future[Answer]


@dataclass(eq=False, slots=True)
class _Group:
    """Requests of one form that wait, the oldest first."""

    requests: deque[_Request]
    rows: int = 0


class Batcher:
    """Collects the rows of concurrent callers, asks the model once, and gives each caller the answer to its own.

    It pays where a batch costs the model little more than a row: weights are read once for all of them. A model of
    microseconds is better asked directly. The rows of a batch are those of callers whose rows have one shape; whatever
    the policy turns away, it turns away for the caller that gave it. A batch on which the runtime fails is asked once
    more, each caller alone, so that it fails for those whose rows are to blame. One thread in the background, which
    ends with ``close``, or once nobody has the batcher any more; a context manager. A forked child has a thread of its
    own, and none of the requests that waited in its parent.

    Args:
        session: Batched, of rows that do not depend on each other, and without recurrent states. It stays open.
        max_batch: The most rows in one call; a caller that gives more has a call of its own.
        max_wait_s: How long a caller waits for others to come.

    Raises:
        TypeError: An argument of another type; names it.
        ValueError: The session cannot be batched, or a number is out of range.
    """

    def __init__(self, session: Session, max_batch: int = 32, max_wait_s: float = 0.002) -> None:
        _check(session)
        max_batch = arguments.within("max_batch", max_batch, 1, sys.maxsize, "1 or more rows")
        max_wait_s = arguments.seconds("max_wait_s", max_wait_s, 0, threading.TIMEOUT_MAX, "0 or more seconds")
        self._session = session
        self._limits = min(max_batch, session._most_rows()), max_wait_s
        self._begin()
        _batchers.add(self)

    def _begin(self) -> None:
        self._queue = _Queue(self._session.inputs, *self._limits)
        # The thread has the queue and not the batcher, which would live as long as its thread.
        work = (self._session, self._queue)
        self._worker = threading.Thread(target=_work, args=work, name="edge_rai.Batcher", daemon=True)
        self._worker.start()
        self._end = weakref.finalize(self, self._queue.close)

    def _begin_anew(self) -> None:
        """In a forked child: its parent's thread is not there, and may have left the queue locked."""
        self._end.detach()
        if not self._queue.closed:
            self._begin()

    def predict(
        self, inputs: Array | Mapping[str, Any], *, key: Key | Sequence[Key] | None = None, strict: bool = False
    ) -> Answer:
        """As ``Session.predict``, together with what others ask meanwhile; blocks until the answer is there."""
        answer = self.submit(inputs, key=key).result()
        if strict:
            raise_rejected(answer)
        return answer

    def submit(self, inputs: Array | Mapping[str, Any], *, key: Key | Sequence[Key] | None = None) -> Future[Answer]:
        """As ``predict``, without blocking. The arrays must stay as they are until the answer is there.

        Raises:
            TypeError: As ``Session.predict``.
            ValueError: As ``Session.predict``, or the batcher is closed.
        """
        arrays = self._session._ready(inputs)
        rows = rows_of(arrays, batched=True)
        request = _Request(arrays, encode_keys(key, rows), rows, time.monotonic(), Future())
        self._queue.put(request)
        return request.answer

    def close(self) -> None:
        """Answers whoever waits, and ends; called by a callback of an answer, it ends soon after. The session stays."""
        self._queue.close()
        if threading.current_thread() is not self._worker:
            self._worker.join()

    def __enter__(self) -> Batcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Queue:
    """Requests that wait, by form. Any thread puts them, one takes them."""

    def __init__(self, specs: Sequence[TensorSpec], most_rows: int, wait_s: float) -> None:
        self._specs = specs
        self._most = most_rows
        self._wait_s = wait_s
        self._waiting: dict[Form, _Group] = {}  # none of them empty
        self._changed = threading.Condition()  # over what is waiting and whether it is closed
        self.closed = False

    def put(self, request: _Request) -> None:
        """Raises ValueError when it is closed."""
        form = self._form(request)
        with self._changed:
            if self.closed:
                raise ValueError("the batcher is closed")
            group = self._waiting.setdefault(form, _Group(deque()))
            group.requests.append(request)
            group.rows += request.rows
            if len(group.requests) == 1 or self._is_full(form):
                self._changed.notify()  # otherwise there is nothing for it to do yet

    def close(self) -> None:
        """What waits is due at once, and nothing comes after it."""
        with self._changed:
            self.closed = True
            self._changed.notify()

    def next(self) -> list[_Request]:
        """The next batch, when it is due; empty when all is done."""
        with self._changed:
            while self._waiting or not self.closed:
                form = min(self._waiting, key=self._due, default=None)
                left = self._due(form) - time.monotonic() if self._waiting else None
                if left is not None and (left <= 0 or self.closed):
                    return self._take(form)
                self._changed.wait(left)
        return []

    def _form(self, request: _Request) -> Form:
        """Of what the policy may turn away as a whole the form is None: its rows cannot be told in the answer."""
        fits = request.rows < self._most and all(
            values.size and values.ndim == len(spec.shape) and len(values) == request.rows
            for values, spec in zip(request.arrays, self._specs, strict=True)
        )
        return tuple(values.shape[1:] for values in request.arrays) if fits else None

    def _is_full(self, form: Form) -> bool:
        return form is None or self._waiting[form].rows >= self._most

    def _due(self, form: Form) -> float:
        """When the group is to be asked; one that is full is served by how long it waits, too, so that none starves."""
        came = self._waiting[form].requests[0].came
        return came if self._is_full(form) else came + self._wait_s

    def _take(self, form: Form) -> list[_Request]:
        group, rows = self._waiting[form], 0
        batch: list[_Request] = []
        while group.requests and (not batch or (form is not None and rows + group.requests[0].rows <= self._most)):
            batch.append(group.requests.popleft())
            rows += batch[-1].rows
        group.rows -= rows
        if not group.requests:
            del self._waiting[form]
        return batch


_batchers: weakref.WeakSet[Batcher] = weakref.WeakSet()


def _begin_all_anew() -> None:
    for batcher in list(_batchers):
        batcher._begin_anew()


os.register_at_fork(after_in_child=_begin_all_anew)


# ---- Asking ----


def _work(session: Session, queue: _Queue) -> None:
    while batch := queue.next():
        running = [request for request in batch if request.answer.set_running_or_notify_cancel()]
        if running:
            _serve(session, running)
        del batch, running  # while it waits for the next, nothing is kept of these


def _serve(session: Session, batch: list[_Request]) -> None:
    """Sets what each of the requests waits for."""
    try:
        answers = [_ask_alone(session, batch[0])] if len(batch) == 1 else _ask_together(session, batch)
    except Exception as error:  # noqa: BLE001  whatever it is, whoever waits must hear of it
        for request in batch:
            request.answer.set_exception(error)
        return
    if answers is None:
        for request in batch:
            _serve(session, [request])
    else:
        for request, answer in zip(batch, answers, strict=True):
            request.answer.set_result(answer)


def _ask_alone(session: Session, request: _Request) -> Answer:
    key = request.keys[0] if len(request.keys) == 1 else request.keys or None
    return session.predict(_by_name(session, request.arrays), key=key)


def _ask_together(session: Session, batch: list[_Request]) -> list[Answer] | None:
    """An answer a request; None when the runtime failed, and nobody knows on whose rows."""
    arrays = [np.concatenate(parts) for parts in zip(*(request.arrays for request in batch), strict=True)]
    keys = [key for request in batch for key in _key_of_each_row(request)]
    try:
        answer = session.predict(_by_name(session, arrays), key=keys if any(keys) else None)
    except InferenceError:
        return None
    if any(reason.code is ReasonCode.INFERENCE for reason in answer.reasons):
        _take_out_of_review(session, answer)
        return None
    ends = np.cumsum([request.rows for request in batch]).tolist()
    if ends[-1] != answer.rows:
        raise InferenceError(f"a batch of {ends[-1]} rows was answered as {answer.rows}")
    return [_part(answer, end - request.rows, end) for request, end in zip(batch, ends, strict=True)]


def _take_out_of_review(session: Session, answer: Answer) -> None:
    """Rows that are asked once more, and would wait twice."""
    for review_id in filter(None, answer.review_ids.tolist()):
        with suppress(ValueError):  # somebody has decided it, or newer ones took its place
            session.override(review_id, None)


def _by_name(session: Session, arrays: list[Array]) -> dict[str, Array]:
    return dict(zip([spec.name for spec in session.inputs], arrays, strict=True))


def _check(session: Session) -> None:
    """Raises ValueError where a batch would change answers."""
    if not isinstance(session, Session):
        raise arguments.wrong_type("session", session, "what edge_rai.load gives")
    why = None
    if session.states:
        why = f"it carries states from call to call ({', '.join(spec.name for spec in session.states)})"
    elif not session.batched:
        why = "its axis 0 does not count rows"
    elif not session.rows_independent:
        why = "rows of its model depend on their batch mates"
    if why is not None:
        raise ValueError(f"this session cannot be batched: {why}")


def _key_of_each_row(request: _Request) -> list[bytes]:
    return request.keys if len(request.keys) == request.rows else (request.keys or [b""]) * request.rows


# ---- Taking an answer apart ----


def _part(answer: Answer, begin: int, end: int) -> Answer:
    """The answer to rows begin to end, as if they had been asked alone."""
    part = Answer()
    part.rows = end - begin
    part.outputs = {
        name: _rows_of_output(name, values, answer.rows, begin, end) for name, values in answer.outputs.items()
    }
    if len(answer.receipts):
        part.receipts = answer.receipts[begin:end].copy()
    if answer.verdict is Verdict.ACCEPT:
        return part
    part.row_verdicts = answer.row_verdicts[begin:end].copy()
    part.row_sources = answer.row_sources[begin:end].copy()
    part.review_ids = answer.review_ids[begin:end].copy()
    part.verdict = Verdict(part.row_verdicts.max())
    part.source = Source(part.row_sources.max())
    part._findings = tuple(
        reason._replace(row=max(reason.row - begin, -1))
        for reason in answer.reasons
        if reason.row < 0 or begin <= reason.row < end
    )
    return part


def _rows_of_output(name: str, values: Any, rows: int, begin: int, end: int) -> Any:
    if isinstance(values, np.ndarray) and values.ndim and len(values) == rows:
        return values[begin:end].copy()
    if isinstance(values, list) and len(values) in (0, rows):  # empty: the model did not run
        return values[begin:end]
    raise InferenceError(f"output '{name}' came back without an entry for each of {rows} rows: use no Batcher")
