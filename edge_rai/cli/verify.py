"""``edge-rai verify``: whether a bundle is what it says, one line a check."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any

from edge_rai.cli.opening import is_bare, opened

_MARKS = {True: "ok", False: "NO", None: "--"}


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser("verify", help="Check a bundle from its digests to its answers.", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle (NAME.erai or a directory) or a bare model")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exits 1 when a check says no, else 3 when there is no runtime for one; behind a failed check none is made."""
    results: list[dict[str, Any]] = []
    for name, check in _checks(arguments.bundle):
        passed, detail = _result(check)
        results.append({"check": name, "passed": passed, "detail": detail})
        if not arguments.json:
            print(f"{_MARKS[passed]}  {name:9} {detail}")
        if passed is False:
            break
    verdicts = {result["passed"] for result in results}
    passed = False if False in verdicts else None if None in verdicts else True
    if arguments.json:
        print(json.dumps({"bundle": arguments.bundle, "passed": passed, "checks": results}, indent=1))
    return {True: 0, False: 1, None: 3}[passed]


def _result(check: Callable[[], str]) -> tuple[bool | None, str]:
    """What a check says, and whether it passed; None: nothing is here that could make it."""
    from edge_rai import EdgeRaiError, RuntimeMissingError, UnreadableError

    try:
        return True, check()
    except UnreadableError:
        raise
    except RuntimeMissingError as error:
        return None, f"not checked: {error}"
    except EdgeRaiError as error:
        return False, str(error)


def _checks(path: str) -> Iterator[tuple[str, Callable[[], str]]]:
    if is_bare(path):
        yield "session", lambda: _session(path)
        return
    yield "files", lambda: _files(path)
    yield "policy", lambda: _policy(path)
    runtimes = _runtimes(path)
    if len(runtimes) == 1:
        yield "session", lambda: _session(path)
        return
    for runtime in runtimes:  # the same model in several formats, each of which has to answer
        yield "session", lambda: f"{runtime}: {_session(path, runtime)}"  # noqa: B023  called before the next


def _files(path: str) -> str:
    from edge_rai import bundle

    found = bundle.read(path)
    total = sum(map(len, found.files.values()))
    return f"{len(found.files)} files, {total:,} bytes: all there, nothing else, every sha256 as in the manifest"


def _policy(path: str) -> str:
    from edge_rai import bundle, policy

    files = bundle.read(path).files
    if "policy.toml" not in files:
        return "there is no policy.toml: what guard.bin was written as is not known"
    policy.check_guard(files["policy.toml"], files.get("reference/reference.json"), files["guard.bin"])
    return "guard.bin is what policy.toml and the reference compile to"


def _runtimes(path: str) -> list[str]:
    from edge_rai import bundle
    from edge_rai.backends.opening import runtime_of

    return [runtime_of(model.format) for model in bundle.read(path).manifest.of_role("primary")]


def _session(path: str, runtime: str | None = None) -> str:
    with opened(path, runtime=runtime) as session:
        counts = {"input": session.inputs, "output": session.outputs, "feature": session.features}
        stopped = "; it is stopped, and refuses to answer until `edge-rai resume`" if session.stopped else ""
        rules = ", ".join(f"{len(found)} {thing}{'s' * (len(found) != 1)}" for thing, found in counts.items())
    if is_bare(path):
        found = f"a bare model opens with the default policy ({rules}); there are no digests or golden vectors to check"
    else:
        found = f"opens ({rules}), and the golden vectors gave the same answers"
    return found + stopped
