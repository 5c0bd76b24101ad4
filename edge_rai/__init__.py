"""Guarded inference for edge devices."""

from typing import TYPE_CHECKING, Any

from edge_rai._native import ManualClock, version
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
    ReviewItem,
    Snapshot,
    Source,
    TensorSpec,
    Verdict,
)

if TYPE_CHECKING:
    from edge_rai.batcher import Batcher

__version__ = version()

__all__ = [
    "Answer",
    "Batcher",
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
    "ManualClock",
    "NativeError",
    "PolicyError",
    "ProviderError",
    "Reason",
    "ReasonCode",
    "ReviewItem",
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


def __getattr__(name: str) -> Any:
    """What few need and costs time to import."""
    if name == "Batcher":
        from edge_rai.batcher import Batcher

        return Batcher
    raise AttributeError(f"module 'edge_rai' has no attribute {name!r}")
