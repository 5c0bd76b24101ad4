"""`edge-rai fleet alerts`: looks at the fleet by rules and tells what it finds."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rai.cli.agent import sleep_that_signals_end
from edge_rai.cli.collect import lacking

if TYPE_CHECKING:
    from edge_rai.fleet.rules import Rules
    from edge_rai.fleet.store import Store


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "alerts",
        help="tell what rules find",
        description="Looks at the fleet by the rules of a TOML file and tells what was raised and cleared: on stdout, "
        "to a webhook, as OTLP logs, never more messages an hour than the file says. Exit code 1: a sink did not take "
        "what it was to be told; it is kept for the next look.",
    )
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="directory of `edge-rai collect`")
    parser.add_argument("--rules", type=Path, required=True, metavar="FILE", help="TOML")
    parser.add_argument("--once", action="store_true", help="one look, then exit")
    parser.add_argument("--interval", type=_seconds, default=60.0, metavar="S", help="between looks (default: 60)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    if lacking("fleet"):
        return 3
    from edge_rai.fleet.rules import read_rules
    from edge_rai.fleet.store import Store, require_store

    rules = read_rules(args.rules)
    require_store(args.store)
    store = Store(args.store)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.once:
            return _look(store, rules)
        with sleep_that_signals_end() as sleep:
            while True:
                _look(store, rules)
                sleep(args.interval)
    except KeyboardInterrupt:
        return 1 if args.once else 0
    finally:
        signal.signal(signal.SIGTERM, previous)
        store.close()


def _look(store: Store, rules: Rules) -> int:
    from edge_rai.fleet.alerts import look
    from edge_rai.fleet.engine import opened_beside
    from edge_rai.fleet.notify import sinks_of, tell
    from edge_rai.fleet.roll import roll

    sinks = sinks_of(rules, lambda line: print(line, flush=True))
    roll(store)
    now = time.time_ns()
    with opened_beside(store) as engine:
        look(store, engine, rules, list(sinks), now)
    failures = tell(store, sinks, rules.most_an_hour, now)
    for failure in failures:
        print(f"{failure}; it is tried again", file=sys.stderr, flush=True)
    return 1 if failures else 0


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value
