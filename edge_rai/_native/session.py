"""Sessions: a model with its guard, as C holds them, for any number of threads."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

from edge_rai._ffi import ffi, lib
from edge_rai._native.call import Call
from edge_rai._native.clock import ManualClock
from edge_rai._native.files import take_snapshot
from edge_rai._native.given import Column, read_columns, read_most_rows, read_states
from edge_rai._native.library import Detail, text
from edge_rai._native.programs import read_rules
from edge_rai._native.runtimes import Runtime
from edge_rai._native.tensors import Array, Tensors, copy
from edge_rai._predict import Predictor, method
from edge_rai.errors import UnsupportedModelError
from edge_rai.types import Answer, Breaker, ReasonCode, ReviewItem, Snapshot

T = TypeVar("T", bound=Predictor)


class NativeSession:
    """A model with its guard, statistics and spool, as C holds them. Any thread.

    Args:
        path: A bundle or a bare model.
        runtime_path: The ONNX Runtime library; None: $ERAI_ONNXRUNTIME, then the loader's own search.
        runtime: For models of another format.
        file_format: Of a model that the bundle has in two; None: ONNX, or the other where no ONNX Runtime is found.
        spool_path: Directory for batch files; None: flush is an error.
        threads: Within an operator; 0: the runtime's choice.
        clock: That rules and counts go by; None: the system's.
        provider: Execution provider to ask for; None: the policy's, or the CPU's.
        provider_path: Library that brings it; None: ONNX Runtime has it.
        cache_bytes: For answers to inputs seen before; 0: none.

    Attributes:
        inputs: What callers give.
        states: Inputs that the session carries from call to call.
        most_rows: The most that one call may have.
        rows_independent: Whether rows of a batch are answered as if each were alone.
        file_format: Of the model that answers.
    """

    def __init__(
        self,
        path: str,
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
    ) -> None:
        self.closed = True  # until everything below stands
        config = ffi.new("erai_session_config *")
        config.struct_size = ffi.sizeof("erai_session_config")
        given = (runtime_path, spool_path, provider, provider_path, file_format)
        strings = [ffi.new("char[]", os.fsencode(value)) if value else ffi.NULL for value in given]
        config.runtime_path, config.spool_path, config.provider, config.provider_path, config.format = strings
        self._runtime = runtime  # which C calls as long as the session is open
        config.runtime = runtime.struct
        config.threads, config.cache_bytes = threads, cache_bytes
        self._clock = clock  # which C reads as long as the session is open
        if clock is not None:
            config.clock = clock.struct
        out = ffi.new("erai_session **")
        detail = Detail(path)
        detail.check(lib.erai_session_open(os.fsencode(path), config, out, detail.buffer))
        self.handle = out[0]
        guard = lib.erai_session_guard(self.handle)
        self.batched = bool(lib.erai_guard_batched(guard))
        inputs, self.outputs, self.features = read_rules(guard)
        carried = read_states(guard)
        self.inputs = tuple(spec for spec in inputs if spec.name not in carried)
        self.states = tuple(spec for spec in inputs if spec.name in carried)
        self.decided = tuple(spec for spec in self.outputs if spec.name not in carried.values())
        self.most_rows = read_most_rows(guard, carried)
        self.rows_independent = bool(lib.erai_session_rows_independent(self.handle))
        self.file_format = text(lib.erai_session_format(self.handle))
        self.subjects = _subjects(guard)
        self._lock = threading.Lock()
        self._review_lock = threading.Lock()
        self.calls = [Call(self)]
        self.calls[0].give()
        self._users = 0  # of the handle beside the calls, under the lock
        self.closed = False

    def predict(self, arrays: Sequence[Array], keys: Sequence[bytes] = ()) -> Answer:
        """A prediction that is not a usual one; arrays stand in the model's order."""
        call = self._take_call()
        try:
            return call.run(arrays, keys)
        finally:
            self._give(call)

    def finish(self, call: Call, status: int) -> Answer:
        """What came of a prediction that was begun as a usual one, of which C has said ``status``."""
        try:
            return call.finish(status)
        finally:
            self._give(call)

    def snapshot(self) -> Snapshot:
        """What has been counted since the last flush, which goes on being counted."""
        detail = Detail()
        out = ffi.new("erai_snapshot **")
        with self._use() as handle:
            detail.check(lib.erai_session_snapshot(handle, out, detail.buffer))
        return take_snapshot(out[0])

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
            self.closed = True
            self._close_calls()

    def __del__(self) -> None:
        self.close()

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
            if self.closed:
                self._close_calls()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the session is closed")

    def _take_call(self) -> Call:
        """A call that nobody else uses."""
        self._check_open()
        for call in self.calls:
            if call.take():
                return call
        with self._lock:
            self._check_open()
            call = Call(self)
            self.calls[0].add(call)
            self.calls.append(call)
            return call

    def _give(self, call: Call) -> None:
        call.give()
        if self.closed:
            self._close_calls()

    def _close_calls(self) -> None:
        """After close: whoever uses the last call takes the session with it."""
        with self._lock:
            running = [call for call in self.calls if not call.retire()]
            for call in self.calls:
                if call not in running:
                    lib.erai_answer_close(call.answer)
            self.calls = running
            if not running and not self._users and self.handle is not None:
                lib.erai_session_close(self.handle)
                self.handle = None


def usual_call_first(kind: type[T]) -> type[T]:
    """Has ``predict`` of a class, given one argument by position, try the usual call in C before it does as written.

    An object ``_add``s the first ``Call`` of its model. Its ``_finish`` is given a call that was not usual after all.
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
