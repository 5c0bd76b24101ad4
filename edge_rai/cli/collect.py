"""`edge-rai collect`: receives batches and stores them."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_rai.fleet.server import Tls

NEEDED = ("duckdb", "ibis", "starlette", "uvicorn", "httptools")


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "collect",
        help="receive batches over OTLP/HTTP and store them",
        description="Receives batches over OTLP/HTTP, removes duplicates, and answers when they are on disk. Beyond "
        "the loopback interface give it TLS and tokens. The fleet's page is at /: open on the loopback interface, for "
        "readers with a token elsewhere.",
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:4318", metavar="HOST:PORT", help="0: a free port (default: %(default)s)"
    )
    parser.add_argument(
        "--store", type=Path, required=True, metavar="DIR", help="directory of the store, made when missing"
    )
    parser.add_argument("--device-tokens", type=Path, metavar="FILE", help="who may send: bearer tokens, one a line")
    parser.add_argument("--reader-tokens", type=Path, metavar="FILE", help="who may see the page: one a line")
    parser.add_argument("--tls-certificate", type=Path, metavar="PEM", help="with its chain; needs --tls-key")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="of the certificate")
    parser.add_argument("--tls-client-ca", type=Path, metavar="PEM", help="only clients whose certificate it signed")
    parser.add_argument(
        "--keep-days",
        type=_days,
        metavar="N",
        help="forget facts, and who sent them, N days after the day of their receipt (default: never)",
    )
    parser.add_argument("--json", action="store_true", help="print the address as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    if lacking("collect"):
        return 3
    from edge_rai.fleet.access import read_tokens
    from edge_rai.fleet.collector import Tokens, make_app
    from edge_rai.fleet.decoder import LOG_FORMAT
    from edge_rai.fleet.ingest import Ingest
    from edge_rai.fleet.page.routes import pages
    from edge_rai.fleet.retention import kept_up
    from edge_rai.fleet.server import listen, serve
    from edge_rai.fleet.store import Store

    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    tls = _tls(args)
    tokens = Tokens(*(read_tokens(path) if path else () for path in (args.device_tokens, args.reader_tokens)))
    with listen(args.listen) as listener:
        host, port = listener.getsockname()[:2]
        scheme = "https" if tls else "http"
        url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        line = json.dumps({"listening": url}) if args.json else f"listening on {url}"
        store = Store(args.store)
        ingest = Ingest(store)
        is_loopback = host == "::1" or host.startswith("127.")
        open_to_all = not tokens.devices and is_loopback
        if not is_loopback and (lacks := _lacking_beyond_loopback(args)):
            print(f"edge-rai collect: beyond the loopback interface without {lacks}", file=sys.stderr, flush=True)
        routes = pages(store, tokens.readers, open_to_all=open_to_all)
        try:
            with kept_up(store, args.keep_days):
                serve(make_app(ingest, tokens, routes), listener, tls=tls, ready=lambda: print(line, flush=True))
        finally:
            ingest.stop()
            store.close()
    return 0


def lacking(command: str) -> bool:
    """Whether packages of the extra `fleet` are missing; says which."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(
            f"edge-rai {command} needs {', '.join(missing)}: install edge-rai from where this one came from, with its "
            "extra 'fleet' (in the source tree: pip install '.[fleet]')",
            file=sys.stderr,
            flush=True,
        )
    return bool(missing)


def _lacking_beyond_loopback(args: argparse.Namespace) -> str:
    """What a network that others use calls for and was not given, as a sentence goes on; empty: nothing."""
    lacks = []
    if not args.device_tokens and not args.tls_client_ca:
        lacks.append("--device-tokens (anybody who reaches it can send)")
    if not args.tls_certificate:
        lacks.append("--tls-certificate and --tls-key (batches and tokens can be read on the way)")
    return ", and without ".join(lacks)


def _tls(args: argparse.Namespace) -> Tls | None:
    from edge_rai.fleet.server import Tls

    if bool(args.tls_certificate) != bool(args.tls_key):
        raise ValueError("--tls-certificate and --tls-key go together; give both")
    if not args.tls_certificate:
        if args.tls_client_ca:
            raise ValueError("--tls-client-ca needs --tls-certificate and --tls-key: without TLS no client shows any")
        return None
    return Tls(args.tls_certificate, args.tls_key, args.tls_client_ca)


def _days(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 36_500:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days from 1 to 36500")
    return value
