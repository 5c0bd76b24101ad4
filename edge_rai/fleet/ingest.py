"""From the bytes of requests to receipts: one thread decodes them while another commits what is decoded."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from edge_rai.errors import StoreError
from edge_rai.fleet.body import Body, Decoded, FailedError, decode_or_failure
from edge_rai.fleet.decode import Refusal
from edge_rai.fleet.facts import Facts
from edge_rai.fleet.store import Outcome, Store
from edge_rai.telemetry import otlp

_MOST_IN_A_COMMIT: Final = 256
_ENOUGH_UNPACKED_BYTES: Final = 16 << 20  # for a commit: with the request that reaches it, at most 32 MiB
_LONGEST_MESSAGE: Final = 1000

_log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A request.

    Attributes:
        body: As it came.
        answer: Of the event loop that waits for it; gets an otlp.Answer once all is on disk, or a FailedError.
    """

    body: Body
    answer: asyncio.Future[otlp.Answer]


_Found = tuple[Waiting, Decoded | FailedError]
_Said = tuple[Waiting, otlp.Answer | FailedError]


class _Line:
    """What is decoded and not yet stored; whoever decodes waits while it is enough for a commit."""

    def __init__(self) -> None:
        self._found: deque[_Found] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ends = False

    def put(self, waiting: Waiting, found: Decoded | FailedError) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < _ENOUGH_UNPACKED_BYTES)
            self._found.append((waiting, found))
            self._bytes += _size(found)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ends = True
            self._changed.notify_all()

    def take(self) -> list[_Found]:
        """What one commit is for; empty: there is nothing any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._found or self._ends)
            together: list[_Found] = []
            size = 0
            while self._found and len(together) < _MOST_IN_A_COMMIT and size < _ENOUGH_UNPACKED_BYTES:
                together.append(self._found.popleft())
                size += _size(together[-1][1])
            self._bytes -= size
            self._changed.notify_all()
            return together


def _size(found: Decoded | FailedError) -> int:
    return found.unpacked_bytes if isinstance(found, Decoded) else 0


class Ingest:
    """The two threads. `put` is for any thread; whoever made it stops it."""

    def __init__(self, store: Store, clock: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._clock = clock
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._line = _Line()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for run, name in ((self._decode, "edge-rai-decode"), (self._store_decoded, "edge-rai-store"))
        ]
        for thread in self._threads:
            thread.start()

    def put(self, waiting: Waiting) -> None:
        """Has a request decoded and stored."""
        self._waiting.put(waiting)

    def stop(self) -> None:
        """Ends the threads, once they have answered what they were given."""
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _decode(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            self._line.put(waiting, decode_or_failure(waiting.body))
        self._line.end()

    def _store_decoded(self) -> None:
        while together := self._line.take():
            said: list[_Said] = [(waiting, found) for waiting, found in together if isinstance(found, FailedError)]
            said += self._answers([(waiting, found) for waiting, found in together if isinstance(found, Decoded)])
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                # Once for all: it is as dear as decoding a small batch.
                together[0][0].answer.get_loop().call_soon_threadsafe(_settle, said)

    def _answers(self, decoded: list[tuple[Waiting, Decoded]]) -> list[_Said]:
        """Stores requests in one commit."""
        batches = [batch for _, one in decoded for batch in one.batches]
        events = [event for _, one in decoded for event in one.events]
        try:
            outcomes = iter(self._store.add(batches, self._clock(), events) if batches or events else [])
        except StoreError as error:
            _log.error("nothing stored: %s", error)
            return [(waiting, FailedError(503, "the store cannot be written")) for waiting, _ in decoded]
        except Exception:  # noqa: BLE001  a fault of ours must not end the thread, nor look like a receipt
            if len(decoded) > 1:  # it is one's fault: the others shall not pay for it
                return [answer for one in decoded for answer in self._answers([one])]
            _log.exception("nothing stored")
            return [(waiting, FailedError(500, "the collector failed on this request")) for waiting, _ in decoded]
        answers: list[_Said] = []
        for waiting, one in decoded:
            conflicts = [
                Refusal(batch.points, _conflict(batch)) for batch in one.batches if next(outcomes) is Outcome.CONFLICT
            ]
            answers.append((waiting, _answer([*one.refusals, *conflicts])))
        return answers


def _settle(said: Sequence[_Said]) -> None:
    for waiting, answer in said:
        if waiting.answer.done():  # whoever asked has hung up
            continue
        if isinstance(answer, FailedError):
            waiting.answer.set_exception(answer)
        else:
            waiting.answer.set_result(answer)


def _conflict(batch: Facts) -> str:
    return (
        f"epoch {batch.epoch}, sequence {batch.sequence} of instance {batch.instance} is stored with other contents: "
        "two devices share one spool instance, as copies of one disk image do"
    )


def _answer(refusals: Sequence[Refusal]) -> otlp.Answer:
    message = "; ".join(refusal.message for refusal in refusals[:3])
    # A refusal of an empty scope would else look like a receipt.
    rejected = sum(max(refusal.points, 1) for refusal in refusals)
    if refusals:
        _log.warning("refused %d batches with %d data points or events: %s", len(refusals), rejected, message)
    return otlp.Answer(rejected, message[:_LONGEST_MESSAGE])
