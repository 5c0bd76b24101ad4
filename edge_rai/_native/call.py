"""One thread of calls: a prediction's way to C and back, with as little Python around it as the answer needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_rai._ffi import ffi, lib
from edge_rai._native.library import Detail, array, raise_interruption, raise_status, text
from edge_rai._native.tensors import Array, Tensors, unnest, view
from edge_rai._predict import UsualCall, explain_with, prepare
from edge_rai.types import Answer, Reason, ReasonCode, Source, Verdict

if TYPE_CHECKING:
    from edge_rai._native.session import NativeSession

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
    at = known.__array_interface__["data"][0]
    return prepare(known, np.ndarray, known.dtype, at, 2, 3, table, np.dtype(object))


class _Reasons(Sequence[Reason]):
    """The findings of one call, decoded when somebody looks.

    Args:
        records: As C has them.
        names: What their subjects point to.
    """

    def __init__(self, records: bytes, names: dict[int, str]) -> None:
        self._records = records
        self._names = names

    def __len__(self) -> int:
        return len(self._records) // _REASON.itemsize

    def __getitem__(self, index: Any) -> Any:
        record = np.frombuffer(self._records, _REASON)[index]
        return Reason(
            ReasonCode(int(record["code"])),
            self._names[int(record["subject"])],
            float(record["value"]),
            float(record["limit"]),
            int(record["row"]),
            int(record["element"]),
        )


def _addresses(*names: str) -> tuple[int, ...]:
    """Of functions of the library."""
    return tuple(int(ffi.cast("uintptr_t", ffi.addressof(lib, f"erai_{name}"))) for name in names)


_prepare()
explain_with(
    _addresses("answer_verdict", "answer_source", "answer_rows", "answer_reasons", "answer_review"),
    tuple(Verdict),
    tuple(Source),
    _Reasons,
)


class Call(UsualCall):
    """The memory of one thread of calls: C's answer, the tensors' descriptions and views of the outputs.

    It is one caller's within ``lend`` and within a usual call, whose ends are C's. So no exception of a signal, which
    may come between any two steps of Python's, can keep it for ever; what it leaves half done here, the next call of
    ``run`` does again.
    """

    def __init__(self, session: NativeSession) -> None:
        out = ffi.new("erai_answer **")
        Detail().check(lib.erai_answer_open(session.handle, out))
        # Not the session itself: the two would keep each other alive.
        self.handle, self.inputs, self.outputs = session.handle, session.inputs, session.outputs
        self.subjects, self.observed, self.outcomes = session.subjects, session.observed, session.outcomes
        self.answer = out[0]
        self.tensors = Tensors(session.inputs)
        self.layout = lib.erai_answer_layout(self.answer)
        self.seen = 0
        self.rows = 1
        self.keyed = False  # C may hold keys of a prediction that never came
        self.views: list[tuple[str, Array | None]] = []
        predict, value = _addresses("session_predict", "answer_value")
        handle, answer, tensors, layout = (
            int(ffi.cast("uintptr_t", pointer))
            for pointer in (session.handle, self.answer, self.tensors.first, self.layout)
        )
        self.bind(predict, value, handle, answer, tensors, layout, self.subjects)

    def run(self, arrays: Sequence[Array], keys: Sequence[bytes]) -> Answer:
        """One prediction; the inputs stand in the model's order."""
        self.learn()
        held = [self.tensors.place(i, values) for i, values in enumerate(arrays)]
        if keys or self.keyed:
            self.keyed = True
            self.set_keys(keys)
        status = lib.erai_session_predict(self.handle, self.tensors.first, len(arrays), self.answer)
        self.keyed = False
        del held  # the arrays' memory had to stay until C was done
        return self.finish(status)

    def set_keys(self, keys: Sequence[bytes]) -> None:
        """Of the rows of the next prediction: one for all, one a row, or none."""
        held = [ffi.from_buffer(key) for key in keys]
        strings = ffi.new("erai_string[]", [(buffer, len(buffer)) for buffer in held])
        status = lib.erai_answer_set_keys(self.answer, strings, len(keys))
        if status:
            raise_status(status, text(lib.erai_answer_detail(self.answer)))

    def finish(self, status: int) -> Answer:
        """What a prediction came to, of which C has said ``status``."""
        explained = self.layout[0] & 1
        if status or explained:
            raise_interruption()
        if status:
            raise_status(status, text(lib.erai_answer_detail(self.answer)))
        self.look()
        result = Answer()
        result.rows = self.rows
        result.outputs = {
            name: self.read(i) if seen is None else seen.copy() for i, (name, seen) in enumerate(self.views)
        }
        if self.outcomes:
            receipts = (lib.erai_answer_receipt(self.answer, row) for row in range(self.rows))
            result.receipts = np.fromiter(receipts, np.uint64, self.rows)
        if explained:
            self.explain(result)
        return result

    def look(self) -> None:
        """Makes views of the outputs where they stand now, and teaches the usual call."""
        layout = self.layout[0] & ~1
        if layout != self.seen:
            self.views = [(spec.name, self.see(i)) for i, spec in enumerate(self.outputs)]
            self.seen = layout
        self.rows = lib.erai_answer_rows(self.answer, ffi.NULL, ffi.NULL)
        names, views = zip(*self.views, strict=True)
        single = len(self.inputs) == 1
        shape, dtype = (self.tensors.shapes[0], self.tensors.dtypes[0]) if single else (None, None)
        known = all(seen is None or seen.dtype.isbuiltin == 1 for seen in views)
        known = known and self.inputs[0].dtype not in ("string", "bfloat16") and not self.outcomes
        if known and shape is not None and dtype is not None:
            rows = None if self.rows == Answer.rows else self.rows
            self.learn(shape, dtype, Answer, rows, names, views)

    def see(self, index: int) -> Array | None:
        """A view of an output; None where there is none: of strings, and of what is no tensor."""
        output = ffi.new("erai_tensor *")
        return None if lib.erai_answer_output(self.answer, index, output) else view(output)

    def read(self, index: int) -> Any:
        """What an output holds."""
        found = self.object(index)
        if found is not NotImplemented:
            return found
        value = ffi.new("erai_value *")
        Detail().check(lib.erai_answer_value(self.answer, index, value))
        return unnest(value)

    def observations(self) -> dict[str, Array]:
        """(rows,) of each that is observed in the last prediction."""
        values = ffi.new("const double **")
        width = lib.erai_answer_observed(self.answer, values)
        rows = lib.erai_answer_rows(self.answer, ffi.NULL, ffi.NULL)
        table = array(values[0], rows * width, np.float64).reshape(rows, width)
        return {name: table[:, place].copy() for place, name in enumerate(self.observed)}
