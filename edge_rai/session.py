"""``load`` and ``Session``: one model, guarded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai._native import Call, Predictor, usual_call_first
from edge_rai.backends import onnx
from edge_rai.errors import InputRejectedError
from edge_rai.telemetry.drift import feature_drift
from edge_rai.types import Answer, Feature, FeatureDrift, Snapshot, TensorSpec, Verdict

Array = npt.NDArray[Any]


def load(path: str | os.PathLike[str], *, spool: str | os.PathLike[str] | None = None, threads: int = 0) -> Session:
    """Opens a bundle, or a bare .onnx model with the default policy: data type, shape, finite.

    Of a bundle every digest is verified and the golden vectors are replayed before the first answer.

    Args:
        path: A ``.erai`` file, a bundle directory, or an ``.onnx`` file.
        spool: Directory for batch files, made when missing. Without one, ``flush`` raises.
        threads: Threads within an operator; 0 leaves the choice to ONNX Runtime.

    Raises:
        BundleError: The file is not usable; names it. IntegrityError and UnsupportedModelError are kinds of it.
        RuntimeMissingError: No ONNX Runtime library was found.
        SpoolError: The spool directory cannot be written.
    """
    for given in (path, spool):
        if given is not None and "\0" in os.fsdecode(given):
            raise ValueError(f"a path cannot hold NUL: {os.fsdecode(given)!r}")
    if spool is not None and not os.fspath(spool):
        raise ValueError("spool is an empty path; leave it out for a session without one")
    if threads < 0:
        raise ValueError(f"threads is {threads}; expected 0 (ONNX Runtime's choice) or more")
    return Session(os.fsdecode(path), None if spool is None else os.fsdecode(spool), threads)


@usual_call_first
class Session(Predictor):
    """A guarded model, made by ``load``. Any thread may call it; a context manager.

    Attributes:
        inputs: The model's inputs.
        outputs: The model's outputs.
        features: What the guard knows of each feature.
        batched: Whether axis 0 of inputs and outputs counts rows that are judged one by one.
    """

    def __init__(self, path: str, spool: str | None, threads: int) -> None:
        self._native = onnx.open_session(path, spool=spool, threads=threads)
        self.inputs: tuple[TensorSpec, ...] = self._native.inputs
        self.outputs: tuple[TensorSpec, ...] = self._native.outputs
        self.features: tuple[Feature, ...] = self._native.features
        self.batched: bool = self._native.batched
        self._single = len(self.inputs) == 1
        self.add(self._native.calls[0])

    def predict(self, inputs: Array | Mapping[str, Array], *, strict: bool = False) -> Answer:
        """Admits the input, runs the model on the rows that may run, judges and records: one C call.

        Args:
            inputs: float32 array for a model of one input, or arrays by name. Rows on axis 0 when ``batched``.
            strict: Raise when a row is rejected instead of answering from the fallback chain.

        Raises:
            TypeError: Not a numpy array, or not float32.
            ValueError: A name is missing or unknown, or the session is closed.
            InputRejectedError: With ``strict`` only.
            InferenceError: ONNX Runtime failed.
        """
        arrays = self._in_order(inputs)
        answer = self.usual(arrays[0]) if self._single else None
        if answer is None:
            answer = self._native.predict(arrays)
        if strict and answer.verdict is Verdict.REJECT:
            raise InputRejectedError("; ".join(map(str, islice(answer.findings, 8))))
        return answer

    def snapshot(self) -> Snapshot:
        """What has been counted since the last flush, which goes on being counted."""
        return self._native.snapshot()

    def drift(self) -> tuple[FeatureDrift, ...]:
        """PSI of each feature that has a reference, over what has been counted since the last flush."""
        counts = self.snapshot().features
        return tuple(
            feature_drift(feature.name, feature.counts, counted.histogram)
            for feature, counted in zip(self.features, counts, strict=True)
            if len(feature.counts)
        )

    def flush(self) -> str:
        """Writes what was counted as one batch file into the spool, durably, and begins the next window.

        Returns:
            The file's name in the spool.

        Raises:
            ValueError: The session was loaded without a spool.
            SpoolError: The file could not be written, and the counts are kept for the next flush; or, when the message
                says so, it is written and may not outlast a power cut.
        """
        return self._native.flush()

    def close(self) -> None:
        """Frees the model. What was counted and not flushed is gone."""
        self._native.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _finish(self, call: Call, status: int) -> Answer:
        """For ``usual_call_first``."""
        return self._native.finish(call, status)

    def _in_order(self, inputs: Any) -> list[Array]:
        if self._single and isinstance(inputs, np.ndarray):
            return [inputs]
        names = [spec.name for spec in self.inputs]
        if not isinstance(inputs, Mapping):
            expected = "a numpy array of float32 or a mapping" if self._single else "a mapping of names to arrays"
            raise TypeError(f"expected {expected} ({', '.join(names)}), got {type(inputs).__name__}")
        missing = [name for name in names if name not in inputs]
        unknown = [str(name) for name in inputs if name not in names]
        if missing or unknown:
            found = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(
                unknown
            )
            raise ValueError(f"inputs by name: {'; '.join(found)}; the model has: {', '.join(names)}")
        arrays = [inputs[name] for name in names]
        for name, values in zip(names, arrays, strict=True):
            if not isinstance(values, np.ndarray):
                raise TypeError(f"input '{name}': expected a numpy array of float32, got {type(values).__name__}")
        return arrays
