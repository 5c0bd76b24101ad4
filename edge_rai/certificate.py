"""What a bundle's release gate promised of its model, and whether that still holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge_rai.bundle.read import read
from edge_rai.errors import BundleError

if TYPE_CHECKING:
    from edge_rai.counts import Snapshot
    from edge_rai.drift import Alarm

# Of the only model, or of the one for ONNX Runtime; of another the target is in the name.
_REPORT, _REPORTS = "evidence/gate.json", {"litert": "evidence/gate.tflite.json"}


class Certificate(NamedTuple):
    """A promise about rows like those that it was tested on.

    Attributes:
        promises: Sentences: on what share it abstains at most, on what share of its answers it errs, of whom, and with
            what confidence.
        revoked: The alarm of drift that says that rows are not like those any more; None: none stands.
    """

    promises: tuple[str, ...]
    revoked: Alarm | None

    @property
    def holds(self) -> bool:
        """Whether it can be relied on."""
        return self.revoked is None


def certificate_of(path: str, runtime: str, counted: Snapshot, alarm: Alarm | None) -> Certificate | None:
    """What the gate granted.

    Args:
        path: Of the bundle or model.
        runtime: Of the session: a bundle may hold a model for each.
        counted: By the session, by a model and a guard program: another bundle may lie there by now.
        alarm: That stands.

    Returns:
        None where nothing is promised.

    Raises:
        BundleError: The bundle is not sound, not the session's any more, or its gate's report is none.
    """
    if not Path(path).is_dir() and Path(path).suffix.lower() in (".onnx", ".tflite"):
        return None
    bundle = read(path)
    files = bundle.files
    digests = {model.sha256 for model in bundle.manifest.models} | {hashlib.sha256(files["guard.bin"]).hexdigest()}
    if not {counted.model_digest, counted.guard_digest} <= digests:
        raise BundleError(f"{path}: it has changed since the session was opened; open it again")
    name = _REPORTS.get(runtime, _REPORT)
    report = files.get(name, files.get(_REPORT))
    if report is None:
        return None
    try:
        found = json.loads(report).get("certificate")
        if found is None or found["granted"] is not True:
            return None
        promises = tuple(str(sentence) for sentence in found["sentences"])
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: {name} is no report of a release gate; convert the model again") from error
    return Certificate(promises, alarm)
