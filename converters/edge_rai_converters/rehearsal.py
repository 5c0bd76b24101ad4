"""Loads a bundle as a device would and shows its guard the held-back rows, before anybody relies on it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.bundle import SUFFIX, Format, Manifest, write_bundle
from edge_rai.policy import Policy, Reference, compile_policy, policy_to_toml
from edge_rai.policy.decision import without_alarm
from edge_rai.policy.order import OF_ORDER, without
from edge_rai.policy.program import strides_of
from edge_rai.session import Session, load
from edge_rai.types import Verdict
from edge_rai_converters.data import Rows
from edge_rai_converters.runner import feeds


@dataclass(frozen=True, slots=True)
class FalseRejections:
    """What the guard said of rows that are taken to be good.

    Attributes:
        rows: Rows shown.
        rejected: Of these.
        flagged: Of these.
        left_out: Rules that could say nothing of rows of a table, in words.
    """

    rows: int
    rejected: int
    flagged: int
    left_out: tuple[str, ...] = ()


_RUNTIMES: Mapping[Format, str] = {"onnx": "onnxruntime", "tflite": "litert"}


def rehearse(
    files: Mapping[str, bytes], manifest: Manifest, policy: Policy, rows: Rows, held_back: npt.NDArray[np.int64]
) -> FalseRejections:
    """Counts verdicts of the device's own session; loading replays the golden vectors, in each runtime.

    The guard sees a row before any model does, so the runtime of the first one counts.

    Recurrent states begin anew with each call, as they did for what was learned. Rules that need an order of rows or a
    clock are left out, so that equal data gives equal counts.

    Raises:
        EdgeRaiError: The bundle would not load on a device.
    """
    timeless, left_out = without(policy, OF_ORDER)
    found = verdicts(files, manifest, timeless, rows, held_back).tolist()
    return FalseRejections(
        rows=len(found),
        rejected=found.count(Verdict.REJECT),
        flagged=found.count(Verdict.FLAG),
        left_out=left_out,
    )


def verdicts(
    files: Mapping[str, bytes],
    manifest: Manifest,
    policy: Policy,
    rows: Rows,
    index: npt.NDArray[np.int64],
    most_rows: int | None = None,
) -> npt.NDArray[np.uint8]:
    """(chosen rows,) what the device's own session says of each.

    Args:
        files: Of the bundle.
        manifest: Of the bundle.
        policy: In the place of the bundle's own.
        rows: Per input (N, *call).
        index: Of the chosen rows.
        most_rows: A call; None: as many as the policy allows.

    Raises:
        EdgeRaiError: The bundle would not load on a device.
    """
    calls = _calls(files, manifest, policy, rows, index, most_rows)
    return np.concatenate([session.predict(feed).row_verdicts.copy() for session, feed in calls])


def observations(
    files: Mapping[str, bytes], manifest: Manifest, policy: Policy, rows: Rows, index: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    """(chosen rows,) of each that the policy observes, by name; arguments and errors as of ``verdicts``."""
    found = [session.observe(feed) for session, feed in _calls(files, manifest, policy, rows, index, None)]
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _calls(
    files: Mapping[str, bytes],
    manifest: Manifest,
    policy: Policy,
    rows: Rows,
    index: npt.NDArray[np.int64],
    most_rows: int | None,
) -> Iterator[tuple[Session, dict[str, Any]]]:
    """The device's own session, and what it is given call by call; recurrent states begin anew with each."""
    reference = Reference.from_json(files["reference/reference.json"])
    policy = without_seasons(policy, reference)
    shown = {**files, "policy.toml": policy_to_toml(policy).encode(), "guard.bin": compile_policy(policy, reference)}
    states = {state.input for state in policy.states}
    given = {name: array for name, array in rows.items() if name not in states}
    allowed = min(rule.max_shape[0] for rule in policy.inputs) if policy.batched else 1
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        path = Path(folder, f"rehearsal{SUFFIX}")
        write_bundle(path, shown, manifest)
        first, *others = (_RUNTIMES[model.format] for model in manifest.of_role("primary"))
        for runtime in others:
            load(path, runtime=runtime).close()
        with load(path, runtime=first) as session:
            for feed in feeds(given, index, batched=policy.batched, most_rows=min(allowed, most_rows or allowed)):
                if states:
                    session.reset()
                yield session, feed


def without_seasons(policy: Policy, reference: Reference) -> Policy:
    """The policy without a watch of what follows the hours, where rows are shown at the time of now."""
    seasons = [rule.name for rule in policy.observe if rule.kind == "seasonal"]
    if policy.drift is None or not seasons:
        return policy
    drift = replace(policy.drift, strides={**policy.drift.strides, **dict.fromkeys(seasons, 0)})
    rest = replace(policy, drift=drift)
    return rest if any(strides_of(rest, reference)) else unwatched(policy)


def unwatched(policy: Policy) -> Policy:
    """The policy with nothing watched for drift."""
    return replace(policy, drift=None, decision=without_alarm(policy.decision))
