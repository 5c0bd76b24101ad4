"""Bundles without rules that rows of a file break only because they are all shown at once."""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge_rai.bundle import SUFFIX, read, write_bundle
from edge_rai.errors import IntegrityError
from edge_rai.policy import Reference, check_guard, compile_policy, parse_policy, policy_to_toml
from edge_rai.policy.order import without

_POLICY, _REFERENCE, _GUARD = "policy.toml", "reference/reference.json", "guard.bin"
_SEALS = ("manifest.json", "manifest.sha256")


def files_without(files: Mapping[str, bytes], rules: Container[str]) -> dict[str, bytes]:
    """Files of a bundle whose policy has some rules no more.

    Args:
        files: With policy and guard program.
        rules: Names, of ``policy.order.OF_ORDER``.

    Raises:
        PolicyError: The policy is not valid.
        BundleError: The reference is not valid.
    """
    policy, _ = without(parse_policy(files[_POLICY].decode("utf-8", errors="replace")), rules)
    reference = Reference.from_json(files[_REFERENCE]) if _REFERENCE in files else None
    changed = {_POLICY: policy_to_toml(policy).encode(), _GUARD: compile_policy(policy, reference)}
    return {name: content for name, content in {**files, **changed}.items() if name not in _SEALS}


@contextmanager
def copy_without(path: str, rules: Container[str]) -> Iterator[str]:
    """A bundle without some rules: a copy for as long as the context lasts, or itself where it has none of them.

    Args:
        path: A bundle, or a bare model.
        rules: Names, of ``policy.order.OF_ORDER``.

    Raises:
        BundleError: The bundle is not sound. IntegrityError is a kind of it.
        IntegrityError: What is written in it is not what its guard program does.
        PolicyError: Its policy is not valid.
        FileNotFoundError: There is none.
    """
    bundle = None if path.lower().endswith((".onnx", ".tflite")) else read(path)
    if bundle is None or _POLICY not in bundle.files:
        yield path
        return
    if not without(parse_policy(bundle.files[_POLICY].decode("utf-8", errors="replace")), rules)[1]:
        yield path
        return
    try:
        check_guard(bundle.files[_POLICY], bundle.files.get(_REFERENCE), bundle.files[_GUARD])
    except IntegrityError as error:
        raise IntegrityError(f"{path}: {error}; convert the model with this version") from error
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        copy = Path(folder, f"rows{SUFFIX}")
        write_bundle(copy, files_without(bundle.files, rules), bundle.manifest)
        yield str(copy)
