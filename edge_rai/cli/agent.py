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
    from edge_rai.telemetry.scrape import AgentCounts
    from edge_rai.telemetry.settings import Quiet, UploadSettings

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
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="holds a bearer token; read every pass")
    parser.add_argument("--ca", type=Path, metavar="PEM", help="trust these authorities alone")
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="show this certificate of the device")
    parser.add_argument("--key", type=Path, metavar="PEM", help="its key, where that is in another file")
    parser.add_argument("--bytes-a-day", type=_positive, default=0, metavar="N", help="send at most N in any 24 hours")
    parser.add_argument("--quiet", type=_parsed, metavar="HH:MM-HH:MM", help="send nothing in these hours")
    parser.add_argument(
        "--attribute", type=_attribute, action="append", default=[], metavar="KEY=VALUE", help="edge.site=..., say"
    )
    parser.add_argument("--metrics", type=_address, metavar="HOST:PORT", help="serve /metrics for Prometheus there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    from edge_rai.telemetry.agent import UploadReport, upload, upload_forever
    from edge_rai.telemetry.receiver import Receiver
    from edge_rai.telemetry.scrape import AgentCounts

    settings = _settings(args)
    Receiver(settings, None)  # what is wrong with the settings is told before a spool is waited for
    counts = AgentCounts(args.spool)
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
        report = upload(args.spool, settings)
        counts.add(report)
        _print_json(report) if args.json else _print_text(report)
        return report

    # An interrupted pass has lost nothing: whatever has no receipt is still in the spool.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _serving(args.metrics, counts):
            if args.once:
                report = one_pass()
                left = report.error or report.refused or report.corrupt or report.unreadable or report.waiting
                return 1 if left else 0
            with sleep_that_signals_end() as sleep:
                upload_forever(one_pass, interval_s=args.interval, sleep=sleep)
    except KeyboardInterrupt:
        return 1 if args.once else 0
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def _settings(args: argparse.Namespace) -> UploadSettings:
    from edge_rai.telemetry.settings import UploadSettings

    if args.key and not args.certificate:
        raise ValueError("--key is the key of a --certificate, and there is none")
    return UploadSettings(
        args.endpoint,
        args.interval,
        args.timeout,
        args.token_file,
        args.ca,
        args.certificate,
        args.key,
        args.bytes_a_day,
        args.quiet,
        tuple(args.attribute),
    )


@contextmanager
def _serving(address: tuple[str, int] | None, counts: AgentCounts) -> Iterator[None]:
    """Serves /metrics meanwhile, where an address is given."""
    if address is None:
        yield
        return
    from edge_rai.telemetry.scrape import ScrapeServer

    server = ScrapeServer(*address, counts)
    print(f"metrics at http://{server.address}/metrics", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        server.close()


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
    if report.waiting:
        print(f"{report.waiting}; {report.kept} batch files wait in the spool", file=sys.stderr)
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
        "waiting": report.waiting,
    }
    print(json.dumps(fields), flush=True)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of bytes from 1")
    return value


def _parsed(text: str) -> Quiet:
    from edge_rai.telemetry.settings import parse_quiet

    try:
        return parse_quiet(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _attribute(text: str) -> tuple[str, str]:
    from edge_rai.telemetry.settings import parse_attribute

    try:
        return parse_attribute(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as 127.0.0.1:9464")
    return host, int(port)
