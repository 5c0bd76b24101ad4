"""`edge-rai collect`: receives batches and stores them."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from importlib.util import find_spec
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "collect",
        help="receive batches over OTLP/HTTP and store them",
        description="Receives batches over OTLP/HTTP, removes duplicates, and answers when they are on disk. No TLS "
        "and no authentication: beyond the loopback interface put a reverse proxy in front of it.",
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:4318", metavar="HOST:PORT", help="0: a free port (default: %(default)s)"
    )
    parser.add_argument(
        "--store", type=Path, required=True, metavar="DIR", help="directory of the store, made when missing"
    )
    parser.add_argument("--json", action="store_true", help="print the address as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    missing = [name for name in ("starlette", "uvicorn", "h11") if find_spec(name) is None]
    if missing:
        print(f"edge-rai collect needs {', '.join(missing)}: pip install {' '.join(missing)}", file=sys.stderr)
        return 3
    from edge_rai.fleet.collector import listen, make_app, serve
    from edge_rai.fleet.store import Store

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    with listen(args.listen) as listener:
        host, port = listener.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        line = json.dumps({"listening": url}) if args.json else f"listening on {url}"
        store = Store(args.store)
        try:
            serve(make_app(store), listener, ready=lambda: print(line, flush=True))
        finally:
            store.close()
    return 0
