"""Guarded inference for edge devices."""

import os
import sys
from typing import TYPE_CHECKING, Any

if os.path.basename((getattr(sys, "argv", None) or [""])[0]) == "edge-rai":
    # The command: whoever thinks better of it while it still imports gets no traceback. ``cli.main`` ends this.
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: (os.write(2, b"edge-rai: interrupted\n"), os._exit(130)))
try:
    from edge_rai._native import ManualClock, version
except ModuleNotFoundError as missing:
    if missing.name not in ("edge_rai._ffi", "edge_rai._predict"):
        raise
    raise ImportError(
        f"edge_rai is imported from {__path__[0]}, which lacks its compiled part, {missing.name}. Where Python is "
        "started in the source tree, the tree hides the installed package: start it in another directory, or as "
        "python -P (3.11 and later). `make install` in the tree installs edge_rai in .venv",
        name=missing.name,
    ) from missing
from edge_rai.errors import (
    BundleError,
    DeliveryError,
    EdgeRaiError,
    InferenceError,
    InputRejectedError,
    IntegrityError,
    NativeError,
    PolicyError,
    ProviderError,
    RuntimeMissingError,
    SpoolError,
    StoppedError,
    StoreError,
    UnreadableError,
    UnsupportedModelError,
)
from edge_rai.session import Session, load
from edge_rai.types import (
    Answer,
    Breaker,
    Feature,
    Reason,
    ReasonCode,
    ReviewItem,
    Source,
    TensorSpec,
    Verdict,
)

if TYPE_CHECKING:
    from edge_rai._native.quantiles import QuantileSettings, QuantileSketch
    from edge_rai.batcher import Batcher
    from edge_rai.certificate import Certificate
    from edge_rai.counts import DecisionCount, FeatureCounts, FeatureDrift, Snapshot
    from edge_rai.drift import Alarm, Direction, Watch, WatchedFeature
    from edge_rai.drift_report import DriftReport
    from edge_rai.telemetry.settings import SpoolSettings, UploadSettings

__version__ = version()

__all__ = [
    "Alarm",
    "Answer",
    "Batcher",
    "Breaker",
    "BundleError",
    "Certificate",
    "DecisionCount",
    "DeliveryError",
    "Direction",
    "DriftReport",
    "EdgeRaiError",
    "Feature",
    "FeatureCounts",
    "FeatureDrift",
    "InferenceError",
    "InputRejectedError",
    "IntegrityError",
    "ManualClock",
    "NativeError",
    "PolicyError",
    "ProviderError",
    "QuantileSettings",
    "QuantileSketch",
    "Reason",
    "ReasonCode",
    "ReviewItem",
    "RuntimeMissingError",
    "Session",
    "Snapshot",
    "Source",
    "SpoolError",
    "SpoolSettings",
    "StoppedError",
    "StoreError",
    "TensorSpec",
    "UnreadableError",
    "UnsupportedModelError",
    "UploadSettings",
    "Verdict",
    "Watch",
    "WatchedFeature",
    "load",
]

_LATER = {
    "Alarm": "edge_rai.drift",
    "Batcher": "edge_rai.batcher",
    "Certificate": "edge_rai.certificate",
    "DecisionCount": "edge_rai.counts",
    "Direction": "edge_rai.drift",
    "DriftReport": "edge_rai.drift_report",
    "FeatureCounts": "edge_rai.counts",
    "FeatureDrift": "edge_rai.counts",
    "QuantileSettings": "edge_rai._native.quantiles",
    "QuantileSketch": "edge_rai._native.quantiles",
    "Snapshot": "edge_rai.counts",
    "SpoolSettings": "edge_rai.telemetry.settings",
    "UploadSettings": "edge_rai.telemetry.settings",
    "Watch": "edge_rai.drift",
    "WatchedFeature": "edge_rai.drift",
}


def __getattr__(name: str) -> Any:
    """What not every prediction needs, and costs time to import."""
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module 'edge_rai' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(module), name)
