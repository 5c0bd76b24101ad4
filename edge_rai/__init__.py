"""Guarded inference for edge devices."""

from edge_rai._native import version
from edge_rai.errors import (
    BundleError,
    DeliveryError,
    EdgeRaiError,
    InferenceError,
    InputRejectedError,
    IntegrityError,
    NativeError,
    PolicyError,
    RuntimeMissingError,
    SpoolError,
    StoreError,
    UnreadableError,
    UnsupportedModelError,
)
from edge_rai.session import Session, load
from edge_rai.types import (
    Answer,
    Feature,
    FeatureCounts,
    FeatureDrift,
    Reason,
    ReasonCode,
    Snapshot,
    Source,
    TensorSpec,
    Verdict,
)

__version__ = version()

__all__ = [
    "Answer",
    "BundleError",
    "DeliveryError",
    "EdgeRaiError",
    "Feature",
    "FeatureCounts",
    "FeatureDrift",
    "InferenceError",
    "InputRejectedError",
    "IntegrityError",
    "NativeError",
    "PolicyError",
    "Reason",
    "ReasonCode",
    "RuntimeMissingError",
    "Session",
    "Snapshot",
    "Source",
    "SpoolError",
    "StoreError",
    "TensorSpec",
    "UnreadableError",
    "UnsupportedModelError",
    "Verdict",
    "load",
]
