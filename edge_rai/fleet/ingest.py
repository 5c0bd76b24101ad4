"""From the bytes of requests to receipts: a process decodes them while a thread commits what is decoded."""

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
from edge_rai.fleet.body import Body, Decoded, FailedError
from edge_rai.fleet.decode import Refusal
from edge_rai.fleet.decoder import Decoder
from edge_rai.fleet.facts import Facts
from edge_rai.fleet.store import Outcome, Store
from edge_rai.telemetry import otlp

_PAUSE_S: Final = 1.0  # before another process decodes: one that cannot work is not started all the time
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


_Said = tuple[Waiting, otlp.Answer | FailedError]


class Ingest:
    """Two threads: one gives requests to the process that decodes them, the other stores what that finds.

    `put` is for any thread; whoever made it stops it.
    """

    def __init__(self, store: Store, clock: Callable[[], int] = time.time_ns) -> None:
        """Starts them.

        Raises:
            OSError: The system has no room for the process.
        """
        self._store = store
        self._clock = clock
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._given: deque[Waiting] = deque()  # to the process, which has not told yet what it found
        self._ends = False
        self._lock = threading.Lock()  # of whoever gives to the process, or replaces it
        self._decoder = Decoder()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for run, name in ((self._give, "edge-rai-give"), (self._store_found, "edge-rai-store"))
        ]
        for thread in self._threads:
            thread.start()

    def put(self, waiting: Waiting) -> None:
        """Has a request decoded and stored."""
        self._waiting.put(waiting)

    def stop(self) -> None:
        """Ends the threads and the process, once all that was put is answered."""
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _give(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            with self._lock:
                self._given.append(waiting)
                self._decoder.give(waiting.body)
                if self._waiting.empty():
                    self._decoder.flush()
        with self._lock:
            self._ends = True
            self._decoder.give_no_more()

    def _store_found(self) -> None:
        while (found := self._decoder.take()) or self._replace_decoder():
            together = [(self._given.popleft(), one) for one in found]
            said: list[_Said] = [(waiting, one) for waiting, one in together if isinstance(one, FailedError)]
            said += self._answers([(waiting, one) for waiting, one in together if isinstance(one, Decoded)])
            _settle(said)

    def _replace_decoder(self) -> bool:
        """Has another process decode after one that has ended; False: nothing is to be decoded any more."""
        with self._lock:
            left = list(self._given)
            self._given.clear()
            if left or not self._ends:
                code = self._decoder.wait()
                _log.error("the process that decodes ended with %d; %d requests get a 503", code, len(left))
            _settle([(one, FailedError(503, "the request could not be decoded; send it again")) for one in left])
            if self._ends:
                self._decoder.close()
                return False
            time.sleep(_PAUSE_S)
            try:
                another = Decoder()
            except OSError as error:
                _log.error("no process to decode can be started: %s; it is tried again", error)
                return True
            self._decoder.close()
            self._decoder = another
            return True

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
    """Wakes who waits: once for all, which is as dear as decoding a small batch."""
    if said:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            said[0][0].answer.get_loop().call_soon_threadsafe(_set_answers, said)


def _set_answers(said: Sequence[_Said]) -> None:
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
