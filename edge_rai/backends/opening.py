"""Opening a session on whatever runtimes are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rai._native import ManualClock, NativeSession, SessionConfig
from edge_rai.backends import litert, onnx

if TYPE_CHECKING:
    from edge_rai._native.quantiles import QuantileSettings

# What callers call a runtime, and the format of its models.
FORMATS = {"onnxruntime": "onnx", "litert": "tflite"}


def open_session(
    path: str,
    *,
    runtime: str | None,
    spool: str | None,
    threads: int,
    clock: ManualClock | None,
    provider: str | None,
    provider_path: str | None,
    cache_bytes: int,
    spool_quota_bytes: int = 0,
    events: int | None = 0,
    sample_one_in: int = 0,
    spool_age_s: float = 0.0,
    quantiles: QuantileSettings | None = None,
) -> NativeSession:
    """Opens a bundle or a bare model; ``runtime`` is one of FORMATS, or None for what is installed, ONNX first."""
    config = SessionConfig(
        runtime_path=onnx.runtime_path(),
        runtime=litert.runtime(),
        file_format=None if runtime is None else FORMATS[runtime],
        spool_path=spool,
        threads=threads,
        clock=clock,
        provider=provider,
        provider_path=provider_path,
        cache_bytes=cache_bytes,
        spool_quota_bytes=spool_quota_bytes,
        events=events,
        sample_one_in=sample_one_in,
        spool_age_s=spool_age_s,
        quantiles=quantiles,
    )
    return NativeSession(path, config)


def runtime_of(file_format: str) -> str:
    """What runs models of a format."""
    return next(name for name, known in FORMATS.items() if known == file_format)
