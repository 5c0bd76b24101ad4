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
    DecisionCount,
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
    "Breaker",
    "BundleError",
    "DecisionCount",
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
    "ProviderError",
    "Reason",
    "ReasonCode",
    "RuntimeMissingError",
    "Session",
    "Snapshot",
    "Source",
    "SpoolError",
    "StoppedError",
    "StoreError",
    "TensorSpec",
    "UnreadableError",
    "UnsupportedModelError",
    "Verdict",
    "load",
]
