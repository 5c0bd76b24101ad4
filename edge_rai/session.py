"""``load`` and ``Session``: one model, guarded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_rai import arguments
from edge_rai._native import Call, ManualClock, Predictor, ready, usual_call_first
from edge_rai.backends.opening import FORMATS, open_session, runtime_of
from edge_rai.errors import InputRejectedError
from edge_rai.inputs import Key, encode_keys, in_order, rows_of
from edge_rai.types import Answer, Breaker, Feature, ReviewItem, TensorSpec, Verdict
from edge_rai.watching import Watching

if TYPE_CHECKING:
    from edge_rai._native.quantiles import QuantileSettings
    from edge_rai.telemetry.flusher import Flusher
    from edge_rai.telemetry.settings import SpoolSettings
    from edge_rai.telemetry.uploader import Uploader

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
Path = str | os.PathLike[str]

_MOST_THREADS = 2**31 - 1


def load(
    path: Path,
    *,
    runtime: str | None = None,
    spool: Path | SpoolSettings | None = None,
    threads: int = 0,
    clock: ManualClock | None = None,
    provider: str | None = None,
    provider_path: Path | None = None,
    cache_bytes: int = 0,
    quantiles: int | QuantileSettings | None = None,
) -> Session:
    """Opens a bundle, or a bare .onnx or .tflite model with the default policy: data type, shape, finite.

    Of a bundle every digest is verified and the golden vectors are replayed before the first answer.

    Args:
        path: A ``.erai`` file, a bundle directory, or an ``.onnx`` or ``.tflite`` file.
        runtime: "onnxruntime" or "litert", of a bundle for both; None: the first that is here and has the provider.
        spool: Directory for batch files, made when missing, or SpoolSettings. Without one, ``flush`` raises.
        threads: Threads within an operator; 0 leaves the choice to the runtime.
        clock: That every rule and count goes by; None: the system's. A deadline is always the system's.
        provider: Execution provider that must run the whole model, for LiteRT a delegate ("XNNPACK", or with a library
            any name); None: the policy's, or the CPU's.
        provider_path: Library that brings it, a plug-in; None: the runtime has it.
        cache_bytes: For answers to inputs seen before, to the bit; 0: none.
        quantiles: Sketches of the inputs' quantiles, see ``Session.quantiles``: their k, of which 200 is usual, or
            QuantileSettings; None: there are none.

    Raises:
        BundleError: The file is not usable; names it. IntegrityError and UnsupportedModelError are kinds of it.
        RuntimeMissingError: The model's runtime was not found, or (ProviderError) not the execution provider.
        SpoolError: The spool directory cannot be written.
        TypeError: An argument of another type; names it.
        ValueError: A number out of range, a text that is empty, a runtime that there is no model for, or a cache for a
            model whose rows depend on their batch mates, or that has states.
    """
    return Session(path, runtime, spool, threads, clock, provider, provider_path, cache_bytes, quantiles)


def _unless_none(name: str, given: Any, check: Callable[[str, Any], str]) -> str | None:
    if given is None:
        return None
    value = check(name, given)
    if not value:
        raise ValueError(f"{name} is empty; leave it out for a session without one")
    return value


def _known_clock(given: Any) -> ManualClock | None:
    if given is None or isinstance(given, ManualClock):
        return given
    raise arguments.wrong_type("clock", given, "an edge_rai.ManualClock, or None for the system's clock")


def _known_spool(given: Any) -> SpoolSettings | None:
    if given is None:
        return None
    from edge_rai.telemetry.settings import checked

    return checked(given)


def _known_quantiles(given: Any) -> QuantileSettings | None:
    if given is None:
        return None
    from edge_rai._native.quantiles import checked

    return checked(given)


def _known_runtime(name: str, given: Any) -> str:
    value = arguments.text(name, given)
    if value not in FORMATS:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, FORMATS))}, or None")
    return value


@usual_call_first
class Session(Watching, Predictor):
    """A guarded model, made by ``load``. Any thread may call it; a context manager.

    Attributes:
        inputs: What callers give; of integers that stand for numbers, as a bare quantized model has them, the spec is a
            ``types.QuantizedSpec`` and has ``scale`` and ``zero_point``, and so in ``outputs``.
        states: Inputs that callers leave out, because the session carries them from call to call.
        outputs: The model's outputs.
        features: What the guard knows of each feature, and behind these of what it observes besides.
        observations: How many of the features, the last, are not of the input but observed.
        seasonal: By name of a feature that is held against the hour of the session's clock, what is observed of it.
        batched: Whether axis 0 of inputs and outputs counts rows that are judged one by one.
        rows_independent: Whether a row's answer does not depend on its batch mates: the bundle's manifest says so; of
            a bare model it is assumed, unless the model quantizes dynamically or keeps state.
        runtime: What runs the model, "onnxruntime" or "litert".
    """

    def __init__(
        self,
        path: Path,
        runtime: str | None = None,
        spool: Path | SpoolSettings | None = None,
        threads: int = 0,
        clock: ManualClock | None = None,
        provider: str | None = None,
        provider_path: Path | None = None,
        cache_bytes: int = 0,
        quantiles: int | QuantileSettings | None = None,
    ) -> None:
        self._flusher: Flusher | None = None
        self._uploader: Uploader | None = None
        settings = _known_spool(spool)
        self._path = arguments.path("path", path)
        self._native = open_session(
            self._path,
            runtime=_unless_none("runtime", runtime, _known_runtime),
            spool=settings and str(settings.path),
            threads=arguments.within(
                "threads", threads, 0, _MOST_THREADS, f"0 (the runtime's choice) to {_MOST_THREADS}"
            ),
            clock=_known_clock(clock),
            provider=_unless_none("provider", provider, arguments.text),
            provider_path=_unless_none("provider_path", provider_path, arguments.path),
            cache_bytes=arguments.within("cache_bytes", cache_bytes, 0, sys.maxsize, f"0 (no cache) to {sys.maxsize}"),
            spool_quota_bytes=settings.quota_bytes or 0 if settings else 0,
            events=settings.room if settings else 0,
            sample_one_in=settings.sample_one_in if settings else 0,
            spool_age_s=settings.max_age_s or 0.0 if settings else 0.0,
            quantiles=_known_quantiles(quantiles),
        )
        self.inputs: tuple[TensorSpec, ...] = self._native.inputs
        self.states: tuple[TensorSpec, ...] = self._native.states
        self.outputs: tuple[TensorSpec, ...] = self._native.outputs
        self.observations: int = len(self._native.observed) + self._native.outcomes
        self.features: tuple[Feature, ...] = self._native.features
        self.seasonal: dict[str, str] = self._native.seasonal
        self.batched: bool = self._native.batched
        self.rows_independent: bool = self._native.rows_independent
        self.runtime: str = runtime_of(self._native.file_format)
        self._single = len(self.inputs) == 1
        self._flushing_pid = os.getpid() if settings else 0  # who flushes at close
        self._add(self._native.calls[0])
        if settings:
            self._start(settings)

    def predict(
        self, inputs: Array | Mapping[str, Any], *, key: Key | Sequence[Key] | None = None, strict: bool = False
    ) -> Answer:
        """Admits the input, runs the model on the rows that may run, judges and records: one C call.

        Args:
            inputs: An array for a model of one input, or arrays by name, of the type that ``inputs`` says; strings of
                any of numpy's types for them. Rows on axis 0 when ``batched``; a call without one is rejected as a
                call, unless the policy allows it. Or, for one input of (rows, columns), values by column name, and for
                inputs of one column each by theirs: scalars for one row, or sequences; None is a missing value.
            key: Of all rows, or one a row, at most 64 bytes each: the fallback ``last_good`` gives a row the last good
                answer of its own key. An integer is its decimal text, so 7 and "7" are one key; a bytearray or
                memoryview is its bytes; None and what is empty are no key.
            strict: Raise when a row is rejected instead of answering from the fallback chain.

        Raises:
            TypeError: Not a numpy array, or one with a mask or of another type; says how to convert it.
            ValueError: A name is missing or unknown, a key is too long, or the session is closed.
            InputRejectedError: With ``strict`` only.
            InferenceError: The runtime failed, and the policy has no fallback chain.
            StoppedError: Somebody stopped the session.
        """
        arrays = in_order(inputs, self.inputs, self._columns)
        answer = self._usual(arrays[0]) if self._single and key is None else None
        if answer is None:
            answer = self._native.predict(arrays, encode_keys(key, rows_of(arrays, self.batched)))
        if strict:
            raise_rejected(answer)
        return answer

    def _start(self, settings: SpoolSettings) -> None:
        """The threads that flush and upload."""
        if settings.upload is not None:
            from edge_rai.telemetry.uploader import Uploader

            try:
                self._uploader = Uploader(settings.path, settings.upload)
            except BaseException:
                self._native.close()
                raise
        if settings.flush_s is not None:
            from edge_rai.telemetry.flusher import Flusher

            self._flusher = Flusher(self._native, settings.flush_s)

    def reset(self) -> None:
        """Forgets the recurrent states, those that a model keeps itself, and what rules remember of earlier rows."""
        self._native.reset()

    def stop(self, reason: str) -> None:
        """Has every call of this session, and of those opened from now on, raise StoppedError until it is resumed.

        Sessions of the same bundle that are open already, in this process or another, go on until they are opened
        again. The files that do it lie in the spool and beside the bundle: where it was when it was opened, links
        followed. With a spool, and a bundle in a directory that cannot be written, that in the spool is all, and stops
        sessions with this spool alone.

        Args:
            reason: For whoever finds the session stopped: the error says it, with the time and the file's path.

        Raises:
            TypeError: The reason is no str.
            ValueError: It holds NUL, or what UTF-8 has no bytes for.
            SpoolError: The session is stopped, but the file could not be written.
        """
        self._native.stop(arguments.text("reason", reason))

    def resume(self) -> str:
        """Ends a stop.

        Returns:
            The path of the file that is removed now, or two with " and " between them; empty when there was none.

        Raises:
            SpoolError: The file could not be removed; the session is still stopped.
        """
        return self._native.resume()

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it."""
        return self._native.stopped

    @property
    def breaker(self) -> Breaker:
        """Whether the circuit breaker lets the model be asked; CLOSED where the policy has none."""
        return self._native.breaker

    def review(self) -> ReviewItem | None:
        """The oldest row that waits for a decision and was not handed out yet; None when there is none."""
        return self._native.review()

    def override(self, review_id: int, outputs: Array | Mapping[str, Array] | None) -> None:
        """Answers a row of the review queue: this becomes the last good answer of its key.

        Args:
            review_id: ``ReviewItem.id``.
            outputs: This row's, by name and states left out, or an array for a model of one; axis 0 is 1 where the
                model has rows. None: the row leaves the queue without an answer.

        Raises:
            TypeError: An id or outputs of another type.
            ValueError: No such row waits, a name is missing or unknown, or a shape is not that of one row.
            UnsupportedModelError: The model has an output that is no tensor, and the outputs are not None: of such a
                model no answers are remembered.
        """
        review_id = arguments.integer("review_id", review_id, "an integer, ReviewItem.id")
        if not 0 < review_id < 2**64:
            raise ValueError(f"no row with the id {review_id} waits for a decision")
        if outputs is not None:
            self._native.check_overridable()
        none: dict[str, Any] = {}
        arrays = [] if outputs is None else in_order(outputs, self._native.decided, lambda: none, "output")
        self._native.override(review_id, arrays)

    def flush(self) -> str:
        """Writes what was counted as one batch file into the spool, durably, and begins the next window.

        A session with a spool does so once more when it is closed, if there is something.

        Returns:
            The file's name in the spool.

        Raises:
            ValueError: The session was loaded without a spool.
            SpoolError: The file could not be written, and the counts are kept for the next flush; or, when the message
                says so, it is written and may not outlast a power cut.
        """
        return self._native.flush()

    def close(self) -> None:
        """Flushes into the spool, if there is one, what was counted since the last flush, and frees the model.

        When that flush fails a warning in the log says what is lost. A forked child leaves it to its parent: what the
        child counted itself, only its own ``flush`` keeps.
        """
        flushing, self._flushing_pid = self._flushing_pid == os.getpid(), 0
        try:
            if self._flusher is not None and flushing:
                self._flusher.stop()
            if flushing and not self._native.closed:
                from edge_rai.telemetry.flusher import flush_last

                flush_last(self._native)
        finally:
            if self._uploader is not None:
                self._uploader.stop()
            self._native.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _finish(self, call: Call, status: int) -> Answer:
        """For ``usual_call_first``."""
        return call.finish(status)

    def _leave(self) -> None:
        """For ``usual_call_first``."""
        self._native.leave()

    def _ready(self, inputs: Array | Mapping[str, Any]) -> list[Array]:
        """For ``Batcher``: what ``predict`` would give to the model, in its order; raises as that does."""
        arrays = in_order(inputs, self.inputs, self._columns)
        return [ready(values, spec) for values, spec in zip(arrays, self.inputs, strict=True)]

    def _most_rows(self) -> int:
        """For ``Batcher``: the most that one call may have."""
        return self._native.most_rows


def raise_rejected(answer: Answer) -> None:
    """Raises InputRejectedError with the first reasons, when a row was rejected."""
    if answer.verdict is Verdict.REJECT:
        raise InputRejectedError("; ".join(map(str, islice(answer._findings, 8))))
