"""Sessions: one C call a prediction, with as little Python around it as the answer needs."""

from __future__ import annotations

import inspect
import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edge_rai._ffi import ffi, lib
from edge_rai._native.files import take_snapshot
from edge_rai._native.library import DTYPES, Detail, array, raise_status, text
from edge_rai._native.programs import read_rules
from edge_rai._predict import Predictor, UsualCall, method, prepare
from edge_rai.types import Answer, Reason, ReasonCode, Snapshot, Source, Verdict

T = TypeVar("T", bound=Predictor)

_FLOAT32 = np.dtype(np.float32)
_REASON_FIELDS = ("subject", "row", "value", "limit", "code", "element")
_REASON = np.dtype(
    {
        "names": _REASON_FIELDS,
        "formats": [np.uintp, np.int64, np.float64, np.float64, np.uint32, np.uint32],
        "offsets": [ffi.offsetof("erai_reason", name) for name in _REASON_FIELDS],
        "itemsize": ffi.sizeof("erai_reason"),
    }
)


def _prepare() -> bool:
    """Whether arrays and numpy's table of functions are as extensions built with its headers find them."""
    known = np.zeros((2, 3), np.float32)
    try:
        table = getattr(import_module("numpy._core._multiarray_umath"), "_ARRAY_API", None)
    except ImportError:
        table = None
    return prepare(known, np.ndarray, known.dtype, known.__array_interface__["data"][0], 2, 3, table)


_prepare()


class _Reasons(Sequence[Reason]):
    """The findings of one call, copied at once and decoded when somebody looks."""

    def __init__(self, records: npt.NDArray[Any], names: dict[int, str]) -> None:
        self._records = records
        self._names = names

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        record = self._records[index]
        return Reason(
            ReasonCode(int(record["code"])),
            self._names[int(record["subject"])],
            float(record["value"]),
            float(record["limit"]),
            int(record["row"]),
            int(record["element"]),
        )


class Call(UsualCall):
    """The memory of one thread of calls: C's answer, the tensors' descriptions and views of the outputs.

    It is one caller's between ``take``, or its making, and ``give``.
    """

    def __init__(self, session: NativeSession) -> None:
        out = ffi.new("erai_answer **")
        Detail().check(lib.erai_answer_open(session.handle, out))
        count = len(session.inputs)
        # Not the session itself: the two would keep each other alive.
        self.handle, self.inputs, self.outputs = session.handle, session.inputs, session.outputs
        self.subjects = session.subjects
        self.answer = out[0]
        self.tensors = ffi.new("erai_tensor[]", count)
        self.extents = [ffi.new("int64_t[]", lib.ERAI_MAX_RANK) for _ in range(count)]
        for i, extents in enumerate(self.extents):
            self.tensors[i].shape, self.tensors[i].dtype = extents, lib.ERAI_DTYPE_FLOAT32
        self.shapes: list[tuple[int, ...] | None] = [None] * count
        self.accepted = lib.erai_answer_accepted(self.answer)
        self.seen = 0
        self.rows = 1
        self.views: list[tuple[str, npt.NDArray[Any]]] = []
        predict = ffi.addressof(lib, "erai_session_predict")
        addresses = (predict, session.handle, self.answer, self.tensors, self.accepted)
        self.bind(*(int(ffi.cast("uintptr_t", address)) for address in addresses))

    def run(self, arrays: Sequence[npt.NDArray[Any]]) -> Answer:
        """One prediction; the inputs stand in the model's order."""
        self.learn()
        held = [self.place(i, values) for i, values in enumerate(arrays)]
        status = lib.erai_session_predict(self.handle, self.tensors, len(arrays), self.answer)
        del held  # the arrays' memory had to stay until C was done
        return self.finish(status)

    def finish(self, status: int) -> Answer:
        """What a prediction came to, of which C has said ``status``."""
        if status:
            raise_status(status, text(lib.erai_answer_detail(self.answer)))
        self.look()
        result = Answer()
        result.rows = self.rows
        result.outputs = {name: view.copy() for name, view in self.views}
        return result if self.accepted[0] else self.explain(result)

    def place(self, index: int, values: npt.NDArray[Any]) -> Any:
        """Points a tensor description at an array; returns what holds its memory."""
        if values.dtype != _FLOAT32:
            values = as_float32(values, self.inputs[index].name)
        if values.shape != self.shapes[index]:
            self.describe(index, values.shape)
        buffer = ffi.from_buffer("uint8_t[]", np.require(values, requirements=("C", "ALIGNED")))
        self.tensors[index].data = buffer
        return buffer

    def describe(self, index: int, shape: tuple[int, ...]) -> None:
        """Tells C an input's shape. Of a rank that C refuses anyway the first extents do."""
        self.shapes[index] = shape
        self.tensors[index].rank = len(shape)
        extents = self.extents[index]
        for axis, extent in enumerate(shape[: lib.ERAI_MAX_RANK]):
            extents[axis] = extent

    def look(self) -> None:
        """Makes views of the outputs where they stand now, and teaches the usual call."""
        accepted = self.accepted[0]
        if accepted != self.seen or not accepted:
            output = ffi.new("erai_tensor *")
            self.views = []
            for i, spec in enumerate(self.outputs):
                Detail().check(lib.erai_answer_output(self.answer, i, output))
                self.views.append((spec.name, view(output)))
            self.seen = accepted
        self.rows = lib.erai_answer_rows(self.answer, ffi.NULL, ffi.NULL)
        shape = self.shapes[0] if len(self.shapes) == 1 else None
        if accepted and shape is not None:
            names, views = zip(*self.views, strict=True)
            rows = None if self.rows == Answer.rows else self.rows
            self.learn(shape, np.dtype(self.inputs[0].dtype), Answer, rows, names, views)

    def explain(self, result: Answer) -> Answer:
        """Says what makes an answer more than a plain acceptance."""
        answer = self.answer
        verdicts, sources = ffi.new("const uint8_t **"), ffi.new("const uint8_t **")
        rows = lib.erai_answer_rows(answer, verdicts, sources)
        first = ffi.new("const erai_reason **")
        count = lib.erai_answer_reasons(answer, first)
        result.verdict = Verdict(lib.erai_answer_verdict(answer))
        result.source = Source(lib.erai_answer_source(answer))
        result.row_verdicts = array(verdicts[0], rows, np.uint8)
        result.row_sources = array(sources[0], rows, np.uint8)
        result.findings = _Reasons(array(first[0], count, _REASON), self.subjects)
        return result


def view(tensor: Any) -> npt.NDArray[Any]:
    """A C tensor's memory as an array."""
    dtype = np.dtype(DTYPES[tensor.dtype])
    shape = tuple(tensor.shape[axis] for axis in range(tensor.rank))
    size = math.prod(shape)
    values = np.frombuffer(ffi.buffer(tensor.data, size * dtype.itemsize), dtype) if size else np.empty(0, dtype)
    return values.reshape(shape)


def as_float32(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
    """An array of an unusual type: byte-swapped float32 is turned round, anything else is the caller's to convert."""
    if values.dtype.newbyteorder("=") != _FLOAT32:
        raise TypeError(f"input '{name}': expected float32, got {values.dtype}; convert it with .astype(numpy.float32)")
    return values.astype(np.float32)


class NativeSession:
    """A model with its guard, statistics and spool, as C holds them. Any thread.

    Args:
        path: A bundle or a bare .onnx model.
        runtime_path: The ONNX Runtime library; None: $ERAI_ONNXRUNTIME, then the loader's own search.
        spool_path: Directory for batch files; None: flush is an error.
        threads: Within an operator; 0: ONNX Runtime's choice.
    """

    def __init__(self, path: str, *, runtime_path: str | None, spool_path: str | None, threads: int) -> None:
        self.closed = True  # until everything below stands
        config = ffi.new("erai_session_config *")
        config.struct_size = ffi.sizeof("erai_session_config")
        strings = [ffi.new("char[]", os.fsencode(value)) if value else ffi.NULL for value in (runtime_path, spool_path)]
        config.runtime_path, config.spool_path = strings
        config.threads = threads
        out = ffi.new("erai_session **")
        detail = Detail(path)
        detail.check(lib.erai_session_open(os.fsencode(path), config, out, detail.buffer))
        self.handle = out[0]
        guard = lib.erai_session_guard(self.handle)
        self.batched = bool(lib.erai_guard_batched(guard))
        self.inputs, self.outputs, self.features = read_rules(guard)
        self.subjects = _subjects(guard)
        self._lock = threading.Lock()
        self.calls = [Call(self)]
        self.calls[0].give()
        self._users = 0  # of the handle beside the calls, under the lock
        self.closed = False

    def predict(self, arrays: Sequence[npt.NDArray[Any]]) -> Answer:
        """A prediction that is not a usual one; arrays stand in the model's order."""
        call = self._take_call()
        try:
            return call.run(arrays)
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

    An object ``add``s the first ``Call`` of its model. Its ``_finish`` is given a call that was not usual after all.
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
