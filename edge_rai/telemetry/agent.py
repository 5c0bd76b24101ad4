"""Uploads the spool over OTLP/HTTP and removes a batch file only after the receiver's receipt.

What each answer means (OTLP 1.x, docs/formats/otlp.md):

    200 with a valid body, nothing rejected    receipt: the file is removed
    200 with rejected data points; 400, 413    the receiver will never take it: moved into `refused/`, reported
    200 with any other body                    not a receipt (a captive portal says 200 too): the file stays
    429, 502, 503, 504, no connection          the file stays, the pass ends, the next one comes after a back-off
    another 5xx                                the file stays, the next one is tried, so that one batch that a receiver
                                               chokes on does not hold back the others
    anything else                              the file stays, the pass ends: the address or the rights are wrong
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from edge_rai.counts import Snapshot
from edge_rai.errors import DeliveryError, SpoolError
from edge_rai.telemetry import otlp
from edge_rai.telemetry.budget import Budget, since_boot
from edge_rai.telemetry.otlp_events import LOGS_PATH, encode_events
from edge_rai.telemetry.receiver import LONGEST_WAIT_S, BudgetSpentError, Receiver, Response, UndeliveredError
from edge_rai.telemetry.settings import UploadSettings
from edge_rai.telemetry.spool import CORRUPT, REFUSED, BatchFile, NotReadableYetError, Spool

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_UNACCEPTABLE: Final = frozenset({400, 413})  # said of this request, not of the receiver's state
_SERVER_FAULTS_ALLOWED: Final = 8  # a pass ends after so many: then it is the receiver, not the batch
_SHOWN_CHARACTERS: Final = 300

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class UploadReport:
    """What one pass over the spool did.

    Attributes:
        sent: Batch files delivered and removed.
        kept: Batch files that are still in the spool.
        refused: "name: why" of each batch file the receiver will never take; they are in `refused/`.
        corrupt: "name: why" of each batch file whose bytes are bad; they are in `corrupt/`.
        unreadable: "name: why" of each batch file that could not be handled here and now: of a newer format, without a
            sound guard program, or not to be read or moved. They are still in the spool and count as kept.
        error: Why the pass could not deliver everything; None when it could.
        retry_after_s: The wait the receiver asked for; None when it did not.
        waiting: Why nothing more was sent although the receiver may well be there: quiet hours, or the day's bytes.
        calls: Calls that the delivered batches count, those that ended in an error among them.
        rows: Rows by verdict that they count.
    """

    sent: int = 0
    kept: int = 0
    refused: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    error: DeliveryError | None = None
    retry_after_s: float | None = None
    waiting: str | None = None
    calls: int = 0
    rows: list[int] = field(default_factory=lambda: [0, 0, 0])


class _RefusedError(Exception):
    """The receiver will never take this batch."""


class Clocks(NamedTuple):
    """What an agent goes by.

    Attributes:
        since_boot: A name that is another after each boot, and seconds since it.
        minute: Of the day, by the wall clock of the place, 0 to 1439.
    """

    since_boot: Callable[[], tuple[str, float]]
    minute: Callable[[], int]


def _minute_of_day() -> int:
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


SYSTEM_CLOCKS: Final = Clocks(since_boot, _minute_of_day)


def upload(spool_path: Path, settings: UploadSettings | str, clocks: Clocks = SYSTEM_CLOCKS) -> UploadReport:
    """Makes one pass: every batch file in the order of (epoch, sequence), one request each, two with events.

    Killing it at any moment loses nothing; at worst a batch is sent again, and the collector knows it by its instance,
    epoch and sequence.

    Args:
        spool_path: The spool directory.
        settings: Where to, and how much when; or the endpoint alone.
        clocks: By which quiet hours and the budget go.

    Returns:
        What was sent and what was not. A receiver that is away is told there, not raised.

    Raises:
        ValueError: The settings are none to upload with; says why.
        OSError: The spool cannot be listed, or a file that the settings name cannot be read.
        SpoolError: There is none; or a delivered batch file cannot be removed, and going on would send all of them
            again every pass.
    """
    given = UploadSettings(settings) if isinstance(settings, str) else settings
    spool = Spool(spool_path)
    budget = Budget(spool_path, given.bytes_a_day, clocks.since_boot) if given.bytes_a_day else None
    run = _Pass(spool, Receiver(given, budget), given)
    try:
        run.deliver_all(clocks)
    finally:
        run.receiver.close()
    run.report.kept = len(spool.batches())
    return run.report


def upload_forever(
    one_pass: Callable[[], UploadReport],
    *,
    interval_s: float,
    sleep: Callable[[float], object] = time.sleep,
    uniform: Callable[[float, float], float] = random.uniform,
) -> None:
    """Repeats a pass until an exception ends it; the command line turns signals into one.

    After a pass that could not deliver, the wait doubles from `interval_s` up to LONGEST_WAIT_S; it is never shorter
    than what the receiver asked for. Every wait is spread at random, so that a fleet switched on together does not call
    together.
    """
    failures = 0
    while True:
        report = one_pass()
        failures = failures + 1 if report.error else 0
        sleep(next_wait_s(interval_s, failures, report.retry_after_s, uniform))


def next_wait_s(
    interval_s: float, failures: int, retry_after_s: float | None, uniform: Callable[[float, float], float]
) -> float:
    """Seconds until the next pass, after so many passes in a row that could not deliver."""
    if not failures:
        return uniform(0.9, 1.1) * interval_s
    longest = max(LONGEST_WAIT_S, interval_s)
    ceiling = min(interval_s * 2.0 ** min(failures, 32), longest)
    return max(uniform(ceiling / 2, ceiling), min(retry_after_s or 0.0, longest))


class _Pass:
    """One pass over a spool."""

    def __init__(self, spool: Spool, receiver: Receiver, settings: UploadSettings) -> None:
        self.receiver, self.report = receiver, UploadReport()
        self._spool, self._settings = spool, settings

    def deliver_all(self, clocks: Clocks) -> None:
        """Sends what there is, until the receiver is away, the hours are quiet, or the day's bytes are spent."""
        faults = 0
        for batch in self._spool.batches():
            if self._settings.quiet and self._settings.quiet.holds(clocks.minute()):
                self.report.waiting = f"quiet hours, {self._settings.quiet}"
                return
            try:
                failure = self._deliver(batch)
            except BudgetSpentError as spent:
                if spent.never:  # it does not hold back the others
                    self.report.unreadable.append(f"{batch.path.name}: {spent}")
                    continue
                self.report.waiting = str(spent)
                return
            if failure is None:
                continue
            faults += 1
            self.report.error = DeliveryError(f"{self._settings.endpoint}: {failure}", retryable=failure.retryable)
            self.report.retry_after_s = failure.wait_s
            if failure.ends_pass or faults == _SERVER_FAULTS_ALLOWED:
                return

    def _deliver(self, batch: BatchFile) -> UndeliveredError | None:
        """Sends one batch file; what it returns says why the receiver has not got it."""
        try:
            snapshot = self._send(batch)
        except FileNotFoundError:
            return None  # another agent was quicker
        except (SpoolError, OSError) as error:
            self.report.unreadable.append(f"{batch.path.name}: {error}")
            return None
        except UndeliveredError as failure:
            return failure
        if snapshot is not None:
            self._spool.remove(batch)
            self.report.sent += 1
            self.report.calls += snapshot.calls + snapshot.errors
            for verdict, rows in enumerate(snapshot.rows_by_verdict.tolist()[:3]):
                self.report.rows[verdict] += rows
        return None

    def _send(self, batch: BatchFile) -> Snapshot | None:
        """What there is a receipt for; None: the batch file has been set aside."""
        name = batch.path.name
        if not self._spool.offer(batch):
            raise FileNotFoundError(name)
        try:
            snapshot = self._spool.read(batch)
            features = self._spool.features(snapshot.guard_digest)
            extra = self._settings.attributes
            request = otlp.encode(snapshot, features, extra)
            if snapshot.events:  # first: a receiver that takes no logs is to refuse the batch before it has its counts
                events = encode_events(snapshot, tuple(feature.name for feature in features), extra)
                _judge(self.receiver.post(events, LOGS_PATH))
            _judge(self.receiver.post(request, otlp.METRICS_PATH))
        except NotReadableYetError:
            raise
        except SpoolError as error:
            _log.warning("batch file %s is set aside as corrupt: %s", name, error)
            self._spool.set_aside(batch, CORRUPT)
            self.report.corrupt.append(f"{name}: {error}")
            return None
        except _RefusedError as refusal:
            _log.warning("batch file %s is set aside, the receiver refuses it: %s", name, refusal)
            self._spool.set_aside(batch, REFUSED)
            self.report.refused.append(f"{name}: {refusal}")
            return None
        return snapshot


def _judge(response: Response) -> None:
    """Returns on a receipt; raises _RefusedError or UndeliveredError otherwise."""
    status = response.status
    if status == 200:
        _judge_receipt(response)
        return
    said = otlp.read_status(response.body)[:_SHOWN_CHARACTERS]
    message = f"answered {status}" + (f", {said!r}" if said else "")
    if status in _UNACCEPTABLE:
        raise _RefusedError(message)
    retryable = status in _RETRYABLE
    ends_pass = retryable or status < 500
    raise UndeliveredError(message, retryable=retryable, ends_pass=ends_pass, wait_s=response.retry_after_s)


def _judge_receipt(response: Response) -> None:
    try:
        if response.content_type != otlp.CONTENT_TYPE:
            raise ValueError(f"the content type is {response.content_type!r}, expected {otlp.CONTENT_TYPE!r}")
        answer = otlp.read_answer(response.body)
    except ValueError as error:
        message = f"answered 200, but that is no OTLP receipt: {error}; is the endpoint right, is a portal in between?"
        raise UndeliveredError(message, retryable=True) from error
    if answer.rejected:
        raise _RefusedError(f"{answer.rejected} data points rejected, {answer.message[:_SHOWN_CHARACTERS]!r}")
    if answer.message:
        _log.warning("the receiver took a batch with a warning: %r", answer.message[:_SHOWN_CHARACTERS])
