"""`edge-rai agent`: uploads the spool."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_rai.telemetry.agent import UploadReport

_SHOWN = 8  # what is kept is told again after every pass


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "agent",
        help="upload batch files over OTLP/HTTP",
        description="Uploads the batch files of a spool to an OpenTelemetry backend or to `edge-rai collect`, oldest "
        "first, and removes each only after the receipt. Exit code 1: some are still in the spool or were refused. "
        "Without --once it waits for a spool that is not there yet.",
    )
    parser.add_argument("--spool", type=Path, required=True, metavar="DIR", help="directory the session writes to")
    parser.add_argument("--endpoint", required=True, metavar="URL", help="such as https://collector.example:4318")
    parser.add_argument("--once", action="store_true", help="one pass, then exit")
    parser.add_argument("--interval", type=_seconds, default=60.0, metavar="S", help="between passes (default: 60)")
    parser.add_argument("--timeout", type=_seconds, default=10.0, metavar="S", help="of the network (default: 10)")
    parser.add_argument("--json", action="store_true", help="one line of JSON a pass")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    from edge_rai.telemetry.agent import UploadReport, check_endpoint, upload, upload_forever

    check_endpoint(args.endpoint)
    waiting = False

    def one_pass() -> UploadReport:
        nonlocal waiting
        if not args.spool.exists():
            # On a device the agent may well be started before the session that makes the directory.
            if args.once:
                raise FileNotFoundError(f"no spool directory at {args.spool}; give the one that the session writes to")
            if not waiting:
                print(f"no spool directory at {args.spool} yet: waiting for it", file=sys.stderr, flush=True)
            waiting = True
            return UploadReport()
        waiting = False
        report = upload(args.spool, args.endpoint, timeout_s=args.timeout)
        _print_json(report) if args.json else _print_text(report)
        return report

    # An interrupted pass has lost nothing: whatever has no receipt is still in the spool.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.once:
            report = one_pass()
            return 1 if report.error or report.refused or report.corrupt or report.unreadable else 0
        with sleep_that_signals_end() as sleep:
            upload_forever(one_pass, interval_s=args.interval, sleep=sleep)
    except KeyboardInterrupt:
        return 1 if args.once else 0
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


@contextmanager
def sleep_that_signals_end() -> Iterator[Callable[[float], object]]:
    """A sleep that a signal ends even if it came just before; main thread only.

    `time.sleep` would begin all the same and run the handler at its end: an agent asked to end would go on for minutes.
    """
    woken, waker = os.pipe()
    os.set_blocking(waker, False)

    def sleep(seconds: float) -> None:
        if select.select([woken], [], [], seconds)[0]:
            os.read(woken, 4096)

    previous = signal.set_wakeup_fd(waker)
    try:
        yield sleep
    finally:
        signal.set_wakeup_fd(previous)
        os.close(woken)
        os.close(waker)


def _print_text(report: UploadReport) -> None:
    print(
        f"sent {report.sent}, kept {report.kept}, refused {len(report.refused)}, corrupt {len(report.corrupt)}",
        flush=True,
    )
    for reason in report.refused:
        print(f"refused, moved aside: {reason}", file=sys.stderr)
    for reason in report.corrupt:
        print(f"corrupt, moved aside: {reason}", file=sys.stderr)
    for reason in report.unreadable[:_SHOWN]:
        print(f"kept, cannot be uploaded now: {reason}", file=sys.stderr)
    if len(report.unreadable) > _SHOWN:
        print(f"kept, cannot be uploaded now: {len(report.unreadable) - _SHOWN} more", file=sys.stderr)
    if report.error:
        print(f"{report.error}; {report.kept} batch files are kept in the spool", file=sys.stderr)


def _print_json(report: UploadReport) -> None:
    fields = {
        "sent": report.sent,
        "kept": report.kept,
        "refused": report.refused,
        "corrupt": report.corrupt,
        "unreadable": report.unreadable,
        "error": str(report.error) if report.error else None,
        "retryable": report.error.retryable if report.error else None,
        "retry_after_s": report.retry_after_s,
    }
    print(json.dumps(fields), flush=True)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value
