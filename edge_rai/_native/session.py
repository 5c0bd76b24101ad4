"""Sessions: a model with its guard, as C holds them, for any number of threads."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakMethod

from edge_rai._ffi import ffi, lib
from edge_rai._native.call import Call
from edge_rai._native.clock import ManualClock
from edge_rai._native.given import Column, read_columns, read_most_rows, read_states, with_scales
from edge_rai._native.library import Detail, text
from edge_rai._native.programs import read_observed, read_rules, read_seasonal
from edge_rai._native.runtimes import Runtime
from edge_rai._native.tensors import Array, Tensors, copy
from edge_rai._predict import Predictor, method
from edge_rai.errors import UnsupportedModelError
from edge_rai.types import Answer, Breaker, ReasonCode, ReviewItem

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_rai._native.alarms import AlarmListener
    from edge_rai._native.quantiles import QuantileSettings, QuantileSketch
    from edge_rai.counts import Snapshot
    from edge_rai.drift import Watch

T = TypeVar("T", bound=Predictor)


class SessionConfig:
    """How a session is opened: C's ``erai_session_config``, and what that points to.

    Args:
        runtime_path: The ONNX Runtime library; None: $ERAI_ONNXRUNTIME, then the loader's own search.
        runtime: For models of another format.
        file_format: Of a model that the bundle has in two; None: the first, ONNX before the other, that can be run.
        spool_path: Directory for batch files; None: flush is an error.
        threads: Within an operator; 0: the runtime's choice.
        clock: That rules and counts go by; None: the system's.
        provider: Execution provider to ask for; None: the policy's, or the CPU's.
        provider_path: Library that brings it; None: ONNX Runtime has it.
        cache_bytes: For answers to inputs seen before; 0: none.
        spool_quota_bytes: That the spool may take; 0: the library's usual quota.
        events: Decisions kept one by one until the next flush, at most; 0: as the policy says; None: no events.
        sample_one_in: So many accepted rows, one is drawn as an event; 0: as the policy says.
        spool_age_s: Batches expire when sessions have been open for so long since; 0: they do not.
        quantiles: Sketches of the inputs' quantiles; None: there are none.
    """

    def __init__(
        self,
        *,
        runtime_path: str | None,
        runtime: Runtime,
        file_format: str | None,
        spool_path: str | None,
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
    ) -> None:
        config = ffi.new("erai_session_config *")
        config.struct_size = ffi.sizeof("erai_session_config")
        given = (runtime_path, spool_path, provider, provider_path, file_format)
        strings = [ffi.new("char[]", os.fsencode(value)) if value else ffi.NULL for value in given]
        config.runtime_path, config.spool_path, config.provider, config.provider_path, config.format = strings
        config.runtime = runtime.struct
        config.threads, config.cache_bytes = threads, cache_bytes
        config.spool_quota_bytes = spool_quota_bytes
        config.events = lib.ERAI_NO_EVENTS if events is None else events
        config.sample_one_in, config.spool_age_ns = sample_one_in, round(spool_age_s * 1e9)
        if clock is not None:
            config.clock = clock.struct
        self.struct = config
        self._held = runtime, clock, strings, quantiles and quantiles.fill(config)


class NativeSession:
    """A model with its guard, statistics and spool, as C holds them. Any thread.

    Args:
        path: A bundle or a bare model.
        config: How it is opened.

    Attributes:
        inputs: What callers give.
        states: Inputs that the session carries from call to call.
        most_rows: The most that one call may have.
        observed: Names of what is observed of each row.
        outcomes: Whether outcomes are observed.
        seasonal: By feature that is held against the hour, the name of what is observed of it.
        rows_independent: Whether rows of a batch are answered as if each were alone.
        file_format: Of the model that answers.
    """

    def __init__(self, path: str, config: SessionConfig) -> None:
        self.closed, self.handle, self.calls = True, None, list[Call]()
        self._lock, self._review_lock = threading.Lock(), threading.Lock()
        self._listener: AlarmListener | None = None
        self._users = 0  # of the handle beside the calls, under the lock
        self._config = config  # of which C calls the runtime and reads the clock as long as the session is open
        out = ffi.new("erai_session **")
        detail = Detail(path)
        detail.check(lib.erai_session_open(os.fsencode(path), config.struct, out, detail.buffer))
        # Released in one step of C's, and once: a signal's exception may come behind that, and the end again.
        self.handle, self.closed = ffi.gc(out[0], lib.erai_session_close), False
        guard = lib.erai_session_guard(self.handle)
        self.batched = bool(lib.erai_guard_batched(guard))
        inputs, outputs, self.features = read_rules(guard)
        inputs, self.outputs = with_scales(self.handle, 0, inputs), with_scales(self.handle, 1, outputs)
        carried = read_states(guard)
        self.inputs = tuple(spec for spec in inputs if spec.name not in carried)
        self.states = tuple(spec for spec in inputs if spec.name in carried)
        self.decided = tuple(spec for spec in self.outputs if spec.name not in carried.values())
        self.most_rows = read_most_rows(guard, carried)
        self.rows_independent = bool(lib.erai_session_rows_independent(self.handle))
        self.file_format = text(lib.erai_session_format(self.handle))
        self.subjects = _subjects(guard)
        self.observed, self.outcomes = read_observed(guard, self.features)
        self.seasonal = read_seasonal(guard, self.features)
        self.calls.append(Call(self))

    def predict(self, arrays: Sequence[Array], keys: Sequence[bytes] = ()) -> Answer:
        """A prediction that is not a usual one; arrays stand in the model's order."""
        self._check_open()
        try:
            while True:
                for call in self.calls:
                    answer = call.lend(arrays, keys)
                    if answer is not None:
                        return answer
                self._add_call()
        finally:
            self.leave()

    def observe(self, arrays: Sequence[Array]) -> dict[str, Array]:
        """A prediction, and what is observed of its rows by name."""
        with self._use():
            call = Call(self)
            try:
                call.run(arrays, ())
                return call.observations()
            finally:
                lib.erai_answer_close(call.answer)

    def record_outcome(self, receipt: int, label: float) -> None:
        """The truth of a row that was answered."""
        detail = Detail()
        with self._use() as handle:
            detail.check(lib.erai_session_outcome(handle, receipt, label, detail.buffer))

    def leave(self) -> None:
        """Whoever had a call has it no more: after a close the last of them takes the session along."""
        if self.closed:
            self._close_calls()

    def snapshot(self) -> Snapshot:
        """What has been counted since the last flush, which goes on being counted."""
        from edge_rai._native.files import take_snapshot  # as import time goes, a prediction comes first

        detail = Detail()
        out = ffi.new("erai_snapshot **")
        with self._use() as handle:
            detail.check(lib.erai_session_snapshot(handle, out, detail.buffer))
        return take_snapshot(out[0])

    def flush_due(self, timeout_s: float) -> bool:
        """Waits at most so long for a reason to flush before its time; whether there is one."""
        with self._use() as handle:
            return bool(lib.erai_session_flush_due(handle, int(timeout_s * 1e9)))

    def flush(self) -> str:
        """Writes a batch file into the spool, durably, and returns its name."""
        detail = Detail()
        name = ffi.new("char[]", lib.ERAI_DETAIL_SIZE)
        with self._use() as handle:
            detail.check(lib.erai_session_flush(handle, name, detail.buffer))
        return text(name)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Names that a mapping of columns has, in their order; empty where the model takes none."""
        with self._use() as handle:
            return read_columns(lib.erai_session_guard(handle), self.inputs, self.batched)

    def quantiles(self, begin: bool) -> dict[str, QuantileSketch]:
        """Copies of the sketches, which begin anew with ``begin``."""
        from edge_rai._native.quantiles import read_quantiles

        with self._use() as handle:
            return read_quantiles(handle, [feature.name for feature in self.features], begin)

    def watch(self) -> Watch | None:
        """How much speaks for drift; None where the policy watches nothing."""
        from edge_rai._native.watch import read_watch

        with self._use() as handle:
            return read_watch(handle, [feature.name for feature in self.features])

    def on_alarm(self, told: Callable[[Watch], object] | None) -> None:
        """Has an alarm told to somebody, in a thread of its own; None: to nobody any more."""
        from edge_rai._native.alarms import AlarmListener

        before, self._listener = self._listener, None
        if before is not None:
            before.stop()
        if told is not None:
            with self._use() as handle:
                self._listener = AlarmListener(handle, WeakMethod(self.watch), told)

    def reset_watch(self) -> None:
        """Takes an alarm back and begins anew without evidence."""
        with self._use() as handle:
            lib.erai_session_drift_reset(handle)

    def watch_state(self) -> bytes:
        """The watch as bytes; empty where the policy watches nothing."""
        size = ffi.new("size_t *")
        with self._use() as handle:
            if lib.erai_session_drift_state(handle, ffi.NULL, 0, size) == lib.ERAI_E_ARGUMENT:
                return b""
            buffer = ffi.new("uint8_t[]", size[0])
            Detail().check(lib.erai_session_drift_state(handle, buffer, size[0], size))
        return bytes(ffi.buffer(buffer, size[0]))

    def continue_watch(self, state: bytes) -> None:
        """Goes on from such bytes."""
        detail = Detail()
        with self._use() as handle:
            detail.check(lib.erai_session_drift_continue(handle, state, len(state), detail.buffer))

    def reset(self) -> None:
        """Forgets the recurrent states, and what rules remember of earlier rows."""
        with self._use() as handle:
            lib.erai_session_reset(handle)

    def stop(self, why: str) -> None:
        """Every call ends in StoppedError, in later processes too, until somebody resumes."""
        detail = Detail()
        with self._use() as handle:
            detail.check(lib.erai_session_stop(handle, why.encode(), detail.buffer))

    def resume(self) -> str:
        """Ends a stop; returns the paths of the files that are gone now."""
        detail = Detail()
        with self._use() as handle:
            detail.check(lib.erai_session_resume(handle, detail.buffer))
        return text(detail.buffer)

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it."""
        with self._use() as handle:
            return bool(lib.erai_session_stopped(handle))

    @property
    def breaker(self) -> Breaker:
        """The circuit breaker's state."""
        with self._use() as handle:
            return Breaker(lib.erai_session_breaker(handle))

    def review(self) -> ReviewItem | None:
        """The oldest row that waits and was not handed out yet."""
        found = ffi.new("erai_review *")
        with self._use() as handle, self._review_lock:  # an override frees what `found` points to
            Detail().check(lib.erai_session_review(handle, found))
            if not found.id:
                return None
            inputs = {spec.name: copy(found.inputs[i]) for i, spec in enumerate(self.inputs)}
            reasons = tuple(code for code in ReasonCode if found.reasons >> code & 1)
            return ReviewItem(found.id, found.unix_ns, reasons, inputs)

    def check_overridable(self) -> None:
        """Raises UnsupportedModelError where C could do nothing with a row's outputs."""
        nested = next((spec.name for spec in self.decided if spec.dtype == "object"), None)
        if nested is not None:
            raise UnsupportedModelError(
                f"output '{nested}' is a sequence or map, and of a model with such an output no answers are remembered "
                "as last good ones: override the row with None, which takes it out of the queue"
            )

    def override(self, review_id: int, outputs: Sequence[Array]) -> None:
        """One row's outputs, states left out, for a row that waits; none: it leaves without an answer."""
        tensors = Tensors(self.decided if outputs else (), "output")
        held = [tensors.place(i, values) for i, values in enumerate(outputs)]
        detail = Detail()
        with self._use() as handle, self._review_lock:
            detail.check(lib.erai_session_override(handle, review_id, tensors.first, len(outputs), detail.buffer))
        del held

    def close(self) -> None:
        """Frees everything; calls still running in other threads finish first."""
        if not self.closed:
            if self._listener is not None:
                self._listener.stop()
            self.closed = True
            self._close_calls()

    def __del__(self) -> None:
        self.close()
        if self.handle is not None:  # a signal's exception came in the middle of an earlier end
            self._close_calls()

    @contextmanager
    def _use(self) -> Iterator[Any]:
        """The handle, for something other than a prediction; a close meanwhile waits for its end."""
        with self._lock:
            self._check_open()
            self._users += 1
        try:
            yield self.handle
        finally:
            with self._lock:
                self._users -= 1
            self.leave()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the session is closed")

    def _add_call(self) -> None:
        """One more, for whoever finds it first: all the others are taken."""
        with self._lock:
            self._check_open()
            call = Call(self)
            self.calls[0].add(call)
            self.calls.append(call)

    def _close_calls(self) -> None:
        """After close: whoever uses the last call takes the session with it."""
        with self._lock:
            for call in [*self.calls]:
                if call.retire():
                    self.calls.remove(call)
                    lib.erai_answer_close(call.answer)
            if not self.calls and not self._users and self.handle is not None:
                ffi.release(self.handle)
                self.handle = None


def usual_call_first(kind: type[T]) -> type[T]:
    """Has ``predict`` of a class, given one argument by position, try the usual call in C before it does as written.

    An object ``_add``s the first ``Call`` of its model. Its ``_finish`` is given a call that was not usual after all,
    and its ``_leave`` is called after one that ``retire`` has waited for.
    """
    written = kind.__dict__["predict"]
    signature = inspect.signature(written)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    signature = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    shown = f"predict{signature}".replace("(self", "($self")  # as inspect.signature and help() read it
    kind._predict_as_written = written  # type: ignore[attr-defined]
    kind.predict = method(kind, f"{shown}\n--\n\n{written.__doc__ or ''}")  # type: ignore[attr-defined]
    return kind


def _subjects(guard: Any) -> dict[int, str]:
    """Names that reasons point to, by address: they live as long as the session."""
    names = {}
    for kind, count in (
        ("input", lib.erai_guard_inputs(guard)),
        ("feature", lib.erai_guard_features(guard)),
        ("output", lib.erai_guard_outputs(guard)),
    ):
        rule = ffi.new(f"erai_{kind}_rule *")
        read = getattr(lib, f"erai_guard_{kind}")
        for i in range(count):
            read(guard, i, rule)
            names[int(ffi.cast("uintptr_t", rule.name))] = text(rule.name)
    return names
