"""The usual call, made in one crossing: it must not be told from the method as it is written."""

from __future__ import annotations

import gc
import inspect
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_rai import Answer, Session, Verdict, load
from support.models import FLOAT, reference_run, save

ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def session(linear_bundle: Path) -> Iterator[Session]:
    with load(linear_bundle, threads=1) as opened:
        opened.predict(ROWS)
        yield opened


class Counting(Session):
    """How often the method as it is written was needed."""

    written = 0

    def _predict_as_written(self, *given: Any, **named: Any) -> Answer:
        self.written += 1
        return super()._predict_as_written(*given, **named)  # type: ignore[misc]


def test_usual_calls_never_come_to_the_written_method(linear_bundle: Path, linear_model: Path) -> None:
    with Counting(str(linear_bundle), threads=1) as session:
        for _ in range(3):
            answer = session.predict(ROWS)
            assert answer.outputs["y"].tobytes() == reference_run(linear_model, {"x": ROWS})["y"].tobytes()
            assert (answer.rows, answer.verdict, answer.reasons) == (4, Verdict.ACCEPT, ())
        assert session.written == 1
        for unusual in (ROWS[:2], ROWS[::-1], ROWS.astype(">f4"), ROWS.view(np.recarray), {"x": ROWS}):
            before = session.written
            assert session.predict(unusual).verdict is Verdict.ACCEPT  # type: ignore[arg-type]
            assert session.written == before + 1
        assert session.snapshot().calls == 8


def test_type_that_is_another_object_becomes_usual_too(linear_bundle: Path) -> None:
    other = np.frombuffer(ROWS.tobytes(), np.dtype(np.float32).newbyteorder("<")).reshape(ROWS.shape)
    assert other.dtype == np.float32
    assert other.dtype is not ROWS.dtype
    with Counting(str(linear_bundle), threads=1) as session:
        for _ in range(3):
            session.predict(other)
        assert session.written == 1


def test_outputs_are_ordinary_arrays(session: Session) -> None:
    output = session.predict(ROWS).outputs["y"]
    assert (type(output), output.dtype, output.shape, output.strides) == (np.ndarray, np.float32, (4, 2), (8, 4))
    assert all(output.flags[flag] for flag in ("C_CONTIGUOUS", "OWNDATA", "WRITEABLE", "ALIGNED"))
    assert output.base is None


def test_outputs_of_every_shape_and_type_in_one_crossing(tmp_path: Path) -> None:
    model = save(
        tmp_path / "m.onnx",
        [
            helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
            helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
            helper.make_node("Greater", ["x", "x"], ["more"]),
            helper.make_node("NonZero", ["more"], ["at"]),
        ],
        [("x", FLOAT, [2, 3])],
        [
            ("whole", TensorProto.INT64, [2, 3]),
            ("total", FLOAT, []),
            ("more", TensorProto.BOOL, [2, 3]),
            ("at", TensorProto.INT64, [2, "K"]),
        ],
    )
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = reference_run(model, {"x": values})
    with Counting(str(model), threads=1) as session:
        for _ in range(3):
            outputs = session.predict(values).outputs
            assert list(outputs) == ["whole", "total", "more", "at"]
            for name, right in expected.items():
                assert (outputs[name].dtype, outputs[name].shape) == (right.dtype, right.shape)
                assert outputs[name].tobytes() == right.tobytes()
        assert session.written == 1


@pytest.mark.parametrize("name", ["bool", "int8", "uint8", "int16", "uint64", "float16", "float64"])
def test_calls_of_every_type_that_numpy_knows_are_usual(tmp_path: Path, name: str) -> None:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(name))
    node = helper.make_node("Identity", ["x"], ["y"])
    model = save(tmp_path / "m.onnx", [node], [("x", element, ["N"])], [("y", element, ["N"])])
    with Counting(str(model), threads=1) as session:
        for values in (np.array([0, 1, 1], name), np.array([1, 1, 0], name)):
            output = session.predict(values).outputs["y"]
            assert (output.dtype, output.tolist()) == (name, values.tolist())
        assert session.written == 1


def test_calls_with_a_key_leave_the_usual_call_usual(linear_bundle: Path) -> None:
    with Counting(str(linear_bundle), threads=1) as session:
        for call in range(3):
            assert session.predict(ROWS, key="a").verdict is Verdict.ACCEPT
            assert session.predict(ROWS).verdict is Verdict.ACCEPT
            assert session.written == call + 1
        assert session.snapshot().calls == 6


def test_rejected_row_after_usual_calls_is_explained(session: Session) -> None:
    values = ROWS.copy()
    values[2, 0] = np.nan
    for _ in range(3):
        answer = session.predict(values)
        assert (answer.verdict, answer.row_verdicts.tolist()) == (Verdict.REJECT, [0, 0, 2, 0])
        assert answer.reasons[0].subject == "radius"
        assert session.predict(ROWS).verdict is Verdict.ACCEPT


def test_subclass_may_predict_otherwise(linear_bundle: Path) -> None:
    class Doubled(Session):
        def predict(self, inputs: Any, *, strict: bool = False) -> Answer:
            answer = super().predict(inputs, strict=strict)
            answer.outputs["y"] *= 2
            return answer

    with load(linear_bundle) as session, Doubled(str(linear_bundle)) as doubled:
        right = 2 * session.predict(ROWS).outputs["y"]
        for _ in range(2):
            assert doubled.predict(ROWS).outputs["y"].tobytes() == right.tobytes()


def test_predict_keeps_its_name_signature_and_description() -> None:
    assert Session.predict.__name__ == "predict"
    assert str(inspect.signature(Session.predict)) == "(self, /, inputs, *, key=None, strict=False)"
    assert (inspect.getdoc(Session.predict) or "").startswith("Admits the input")


def test_wrong_arguments_are_the_type_error_of_any_function(session: Session) -> None:
    for given, named in (((), {}), ((ROWS, True), {}), ((ROWS,), {"stict": True}), ((), {"strict": True})):
        with pytest.raises(TypeError, match=r"predict\(\)"):
            session.predict(*given, **named)  # type: ignore[arg-type]
    assert session.predict(inputs=ROWS).verdict is Verdict.ACCEPT
    with pytest.raises(TypeError):
        Session.predict(object(), ROWS)  # type: ignore[arg-type]


def test_bound_method_keeps_the_session_and_nothing_else_does(linear_bundle: Path) -> None:
    session = load(linear_bundle)
    predict, alive = session.predict, weakref.ref(session)
    native = weakref.ref(session._native)
    del session
    for _ in range(3):
        assert predict(ROWS).verdict is Verdict.ACCEPT
    gc.disable()
    try:
        del predict
        assert (alive(), native()) == (None, None)
    finally:
        gc.enable()


def test_calls_leave_nothing_behind(session: Session) -> None:
    bad = ROWS.copy()
    bad[0] = np.nan
    kept = (ROWS, bad, np.dtype(np.float32), Answer, session)

    def count() -> tuple[list[int], int]:
        for _ in range(1000):
            session.predict(ROWS)
            session.predict(bad)
            session.predict(inputs=ROWS)
        gc.collect()
        return [sys.getrefcount(one) for one in kept], sys.getallocatedblocks()

    count()
    (references, blocks), (references_then, blocks_then) = count(), count()
    assert references_then == references
    assert blocks_then - blocks < 500


def test_second_thread_has_its_own_usual_call(linear_bundle: Path) -> None:
    with Counting(str(linear_bundle), threads=1) as session:
        session.predict(ROWS)
        first = session._native.calls[0]

        def run(*_: Any) -> Answer:
            """As a thread within a prediction holds the call."""
            return [session.predict(ROWS) for _ in range(5)][-1]

        first.run = run  # type: ignore[method-assign]
        held = first.lend([ROWS], ())
        assert held is not None
        assert held.verdict is Verdict.ACCEPT
        assert (session.written, len(session._native.calls)) == (2, 2)
