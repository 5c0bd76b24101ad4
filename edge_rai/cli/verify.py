"""``edge-rai verify``: whether a bundle is what it says, one line a check."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any

_BARE = (".onnx", ".tflite")


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser("verify", help="Check a bundle from its digests to its answers.", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle (NAME.erai or a directory) or a bare model")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exits 1 when a check says no; what stands behind a failed check is not reached."""
    from edge_rai import EdgeRaiError, RuntimeMissingError, UnreadableError

    results: list[dict[str, Any]] = []
    for name, check in _checks(arguments.bundle):
        try:
            detail, passed = check(), True
        except (RuntimeMissingError, UnreadableError):
            raise
        except EdgeRaiError as error:
            detail, passed = str(error), False
        results.append({"check": name, "passed": passed, "detail": detail})
        if not arguments.json:
            print(f"{'ok ' if passed else 'NO '} {name:9} {detail}")
        if not passed:
            break
    passed = all(result["passed"] for result in results)
    if arguments.json:
        print(json.dumps({"bundle": arguments.bundle, "passed": passed, "checks": results}, indent=1))
    return 0 if passed else 1


def _checks(path: str) -> Iterator[tuple[str, Callable[[], str]]]:
    if path.endswith(_BARE):
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
    from edge_rai import load

    with load(path, runtime=runtime) as session:
        rules = f"{len(session.inputs)} inputs, {len(session.outputs)} outputs, {len(session.features)} features"
    if path.endswith(_BARE):
        return f"a bare model opens with the default policy ({rules}); there are no digests or golden vectors to check"
    return f"opens ({rules}), and the golden vectors gave the same answers"
