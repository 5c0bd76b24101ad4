"""Sessions: one C call a prediction, with as little Python around it as the answer needs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai._ffi import ffi, lib
from edge_rai._native.files import take_snapshot
from edge_rai._native.library import DTYPES, Detail, array, raise_status, text
from edge_rai._native.programs import read_rules
from edge_rai.types import Answer, Reason, ReasonCode, Snapshot, Source, Verdict

_FLOAT32 = np.dtype(np.float32)
_ACCEPT, _PRIMARY = Verdict.ACCEPT, Source.PRIMARY
_REASON_FIELDS = ("subject", "row", "value", "limit", "code", "element")
_REASON = np.dtype(
    {
        "names": _REASON_FIELDS,
        "formats": [np.uintp, np.int64, np.float64, np.float64, np.uint32, np.uint32],
        "offsets": [ffi.offsetof("erai_reason", name) for name in _REASON_FIELDS],
        "itemsize": ffi.sizeof("erai_reason"),
    }
)


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


class _Call:
    """The memory of one thread of calls: C's answer, the tensor descriptions and views of the outputs."""

    __slots__ = ("answer", "layout", "rows", "session", "shapes", "tensors", "views")

    def __init__(self, session: NativeSession) -> None:
        out = ffi.new("erai_answer **")
        Detail().check(lib.erai_answer_open(session.handle, out))
        self.session = session
        self.answer = out[0]
        self.tensors = ffi.new("erai_tensor[]", len(session.inputs))
        self.shapes: list[tuple[tuple[int, ...], Any] | None] = [None] * len(session.inputs)
        self.layout = -1
        self.rows = 1
        self.views: list[tuple[str, npt.NDArray[Any]]] = []

    def run(self, arrays: Sequence[npt.NDArray[Any]]) -> Answer:
        """One prediction. arrays stand in the model's order."""
        buffers = []  # must outlive the C call
        tensors = self.tensors
        for i, values in enumerate(arrays):
            if values.dtype is not _FLOAT32:
                values = self.session.as_float32(values, i)
            known = self.shapes[i]
            if known is None or known[0] != values.shape:
                self.describe(i, values.shape)
            try:
                buffer = ffi.from_buffer(values)
            except ValueError:  # not C-contiguous
                buffer = ffi.from_buffer(np.ascontiguousarray(values))
            tensors[i].data = buffer
            buffers.append(buffer)
        answer = self.answer
        status = lib.erai_session_predict(self.session.handle, tensors, len(arrays), answer)
        if status:
            raise_status(status, text(lib.erai_answer_detail(answer)))
        if lib.erai_answer_layout(answer) != self.layout:
            self.look()
        outputs = {name: view.copy() for name, view in self.views}
        if lib.erai_answer_verdict(answer) == 0:
            return Answer(_ACCEPT, _PRIMARY, outputs, self.rows)
        return self.explain(outputs)

    def describe(self, index: int, shape: tuple[int, ...]) -> None:
        """Gives C an input's shape."""
        dims = ffi.new("int64_t[]", list(shape))
        self.shapes[index] = (shape, dims)
        tensor = self.tensors[index]
        tensor.shape, tensor.rank, tensor.dtype = dims, len(shape), lib.ERAI_DTYPE_FLOAT32

    def look(self) -> None:
        """Makes views of the outputs where they stand now."""
        output = ffi.new("erai_tensor *")
        views = []
        for i, spec in enumerate(self.session.outputs):
            Detail().check(lib.erai_answer_output(self.answer, i, output))
            dtype = np.dtype(DTYPES[output.dtype])
            shape = tuple(output.shape[axis] for axis in range(output.rank))
            size = int(np.prod(shape, dtype=np.int64))
            view = np.frombuffer(ffi.buffer(output.data, size * dtype.itemsize), dtype) if size else np.empty(0, dtype)
            views.append((spec.name, view.reshape(shape)))
        self.views = views
        self.rows = lib.erai_answer_rows(self.answer, ffi.NULL, ffi.NULL)
        self.layout = lib.erai_answer_layout(self.answer)

    def explain(self, outputs: dict[str, npt.NDArray[Any]]) -> Answer:
        """An answer that is not a plain acceptance."""
        answer = self.answer
        verdicts, sources = ffi.new("const uint8_t **"), ffi.new("const uint8_t **")
        rows = lib.erai_answer_rows(answer, verdicts, sources)
        first = ffi.new("const erai_reason **")
        count = lib.erai_answer_reasons(answer, first)
        return Answer(
            Verdict(lib.erai_answer_verdict(answer)),
            Source(lib.erai_answer_source(answer)),
            outputs,
            rows,
            array(verdicts[0], rows, np.uint8),
            array(sources[0], rows, np.uint8),
            _Reasons(array(first[0], count, _REASON), self.session.subjects),
        )


class NativeSession:
    """A model with its guard, statistics and spool, as C holds them. Any thread.

    Args:
        path: A bundle or a bare .onnx model.
        runtime_path: The ONNX Runtime library; None: $ERAI_ONNXRUNTIME, then the loader's own search.
        spool_path: Directory for batch files; None: flush is an error.
        threads: Within an operator; 0: ONNX Runtime's choice.
    """

    def __init__(self, path: str, *, runtime_path: str | None, spool_path: str | None, threads: int) -> None:
        self._closed = True  # until everything below stands
        config = ffi.new("erai_session_config *")
        config.struct_size = ffi.sizeof("erai_session_config")
        strings = [ffi.new("char[]", value.encode()) if value else ffi.NULL for value in (runtime_path, spool_path)]
        config.runtime_path, config.spool_path = strings
        config.threads = threads
        out = ffi.new("erai_session **")
        detail = Detail(path)
        detail.check(lib.erai_session_open(path.encode(), config, out, detail.buffer))
        self.handle = out[0]
        guard = lib.erai_session_guard(self.handle)
        self.batched = bool(lib.erai_guard_batched(guard))
        self.inputs, self.outputs, self.features = read_rules(guard)
        self.subjects = _subjects(guard)
        self._lock = threading.Lock()
        self._idle: list[_Call] = []
        self._calls = 0  # open ones, under the lock
        self._closed = False

    def predict(self, arrays: Sequence[npt.NDArray[Any]]) -> Answer:
        """One C call; arrays stand in the model's order."""
        try:
            call = self._idle.pop()
        except IndexError:
            call = self._open_call()
        try:
            return call.run(arrays)
        finally:
            self._idle.append(call)
            if self._closed:
                self._close_idle()

    def as_float32(self, values: npt.NDArray[Any], index: int) -> npt.NDArray[np.float32]:
        """An array whose type is not the usual one: byte-swapped float32 is turned, anything else is the caller's."""
        if not isinstance(values, np.ndarray) or values.dtype.newbyteorder("=") != _FLOAT32:
            came = f"{values.dtype} values" if isinstance(values, np.ndarray) else type(values).__name__
            raise TypeError(
                f"input '{self.inputs[index].name}': expected a numpy array of float32, got {came}"
                + ("; convert them with .astype(numpy.float32)" if isinstance(values, np.ndarray) else "")
            )
        return values.astype(np.float32)

    def snapshot(self) -> Snapshot:
        """What has been counted since the last flush, which goes on being counted."""
        self._check_open()
        detail = Detail()
        out = ffi.new("erai_snapshot **")
        detail.check(lib.erai_session_snapshot(self.handle, out, detail.buffer))
        return take_snapshot(out[0])

    def flush(self) -> str:
        """Writes a batch file into the spool, durably, and returns its name."""
        self._check_open()
        detail = Detail()
        name = ffi.new("char[]", lib.ERAI_DETAIL_SIZE)
        detail.check(lib.erai_session_flush(self.handle, name, detail.buffer))
        return text(name)

    def close(self) -> None:
        """Frees everything; calls still running in other threads finish first."""
        if not self._closed:
            self._closed = True
            self._close_idle()

    def __del__(self) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the session is closed")

    def _open_call(self) -> _Call:
        with self._lock:
            self._check_open()
            call = _Call(self)
            self._calls += 1
            return call

    def _close_idle(self) -> None:
        """After close: the last call to become idle takes the session with it."""
        with self._lock:
            while self._idle:
                lib.erai_answer_close(self._idle.pop().answer)
                self._calls -= 1
            if self._calls == 0 and self.handle is not None:
                lib.erai_session_close(self.handle)
                self.handle = None


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
