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
import onnx
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


def labels(path: Path, *more: onnx.NodeProto) -> Path:
    """float32 x (N, 2) to label, the text of the greater one's place, "score" as it came, and what else there is."""
    nodes = [
        helper.make_node("Identity", ["x"], ["score"]),
        helper.make_node("ArgMax", ["x"], ["at"], axis=1, keepdims=0),
        helper.make_node(
            "LabelEncoder", ["at"], ["label"], domain="ai.onnx.ml", keys_int64s=[0, 1], values_strings=TEXTS
        ),
        *more,
    ]
    maps = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, []))
    kinds = {"maps": helper.make_sequence_type_proto(maps)}
    kinds["parts"] = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
        helper.make_tensor_value_info("score", FLOAT, ["N", 2]),
        *(helper.make_value_info(node.output[0], kinds[node.output[0]]) for node in more),
    ]
    given = [helper.make_tensor_value_info("x", FLOAT, ["N", 2])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "labels", given, outputs)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


TEXTS = ["", "né 否"]
PAIRS = np.array([[1, 0], [0, 1], [3, 2]], np.float32)


def test_calls_with_texts_lists_and_maps_in_their_answers_are_usual(tmp_path: Path) -> None:
    zipped = helper.make_node("ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["a", "ß"])
    model = labels(tmp_path / "m.onnx", zipped)
    with Counting(str(model), threads=1) as session:
        for rows in (PAIRS, PAIRS[:, ::-1].copy(), PAIRS + 1):
            outputs = session.predict(rows).outputs
            assert list(outputs) == ["label", "score", "maps"]
            right = reference_run(model, {"x": rows})
            label = outputs["label"]
            assert (type(label), label.dtype, label.shape) == (np.ndarray, object, (3,))
            assert label.tolist() == right["label"].tolist() == [TEXTS[place] for place in rows.argmax(axis=1)]
            assert outputs["score"].tolist() == rows.tolist()
            assert outputs["maps"] == right["maps"] == [{"a": one, "ß": other} for one, other in rows.tolist()]
        assert session.written == 1
        assert session.predict(PAIRS[:2]).outputs["label"].tolist() == ["", "né 否"]


def test_lists_of_arrays_are_read_in_python_within_usual_calls(tmp_path: Path) -> None:
    split = helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0, keepdims=0)
    with Counting(str(labels(tmp_path / "m.onnx", split)), threads=1) as session:
        for rows in (PAIRS, PAIRS + 1, PAIRS + 2):
            assert [part.tolist() for part in session.predict(rows).outputs["parts"]] == rows.tolist()
        assert session.written == 1


def test_answers_of_nothing_but_maps_are_usual(tmp_path: Path) -> None:
    zipped = helper.make_node("ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["a", "b"])
    model = onnx.load(labels(tmp_path / "m.onnx", zipped))
    del model.graph.output[:2], model.graph.node[:3]
    onnx.save(model, tmp_path / "m.onnx")
    with Counting(str(tmp_path / "m.onnx"), threads=1) as session:
        for rows in (PAIRS, PAIRS + 1):
            answer = session.predict(rows)
            assert answer.verdict is Verdict.ACCEPT
            assert answer.outputs["maps"] == [{"a": one, "b": other} for one, other in rows.tolist()]
        assert session.written == 1


def test_texts_that_are_no_utf_8_are_shown_with_replacements(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    kinds = [("x", TensorProto.STRING, ["N"])], [("y", TensorProto.STRING, ["N"])]
    with load(save(tmp_path / "m.onnx", [node], *kinds)) as session:
        given = np.array([b"a\xffb", b"", "né\0".encode()], object)
        assert session.predict(given).outputs["y"].tolist() == ["a�b", "", "né\0"]
        assert session.predict(given[:, np.newaxis][:0, 0]).outputs["y"].tolist() == []


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


def test_rejected_rows_of_usual_calls_are_told_as_the_written_method_tells_them(linear_bundle: Path) -> None:
    values = ROWS.copy()
    values[1, 2], values[2, 0] = 1e9, np.nan
    with Counting(str(linear_bundle), threads=1) as session, load(linear_bundle, threads=1) as other:
        session.predict(values)
        for _ in range(2):
            answer, expected = session.predict(values), other.predict({"x": values})
            assert answer.outputs["y"].tobytes() == expected.outputs["y"].tobytes()
            assert (answer.rows, answer.verdict, answer.source) == (4, expected.verdict, expected.source)
            assert str(answer.reasons) == str(expected.reasons) != "()"
            assert str(answer) == str(expected)
            for one, another in (
                (answer.row_verdicts, expected.row_verdicts),
                (answer.row_sources, expected.row_sources),
                (answer.review_ids, expected.review_ids),
            ):
                assert one.dtype == another.dtype
                assert one.flags.writeable
                assert one.tolist() == another.tolist()
        assert answer.verdict is Verdict.REJECT
        assert session.predict(ROWS).verdict is Verdict.ACCEPT
        assert session.written == 1


@pytest.mark.parametrize("shape", [(4, 3), (4, 2), (0, 3)])
def test_usual_call_learned_of_a_rejected_one_is_told_as_ever(linear_bundle: Path, shape: tuple[int, int]) -> None:
    bad = np.full(shape, np.nan, np.float32)
    with Counting(str(linear_bundle), threads=1) as session, load(linear_bundle, threads=1) as other:
        for rows in (bad, bad, ROWS, ROWS, bad, ROWS):
            answer, expected = session.predict(rows), other.predict({"x": rows})
            assert answer.outputs["y"].tobytes() == expected.outputs["y"].tobytes()
            assert str(answer) == str(expected)
            assert str(answer.reasons) == str(expected.reasons)
            assert answer.row_verdicts.tolist() == expected.row_verdicts.tolist()
        assert session.written < 6


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


@pytest.mark.parametrize("texts", [False, True])
def test_calls_leave_nothing_behind(session: Session, tmp_path: Path, texts: bool) -> None:
    rows = PAIRS if texts else ROWS
    if texts:
        zipped = helper.make_node("ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["a", "ß"])
        session = load(labels(tmp_path / "m.onnx", zipped))
    bad = rows.copy()
    bad[0] = np.nan
    kept = (rows, bad, np.dtype(np.float32), np.dtype(object), Answer, session)

    def count() -> tuple[list[int], int]:
        for _ in range(1000):
            session.predict(rows)
            session.predict(bad)
            session.predict(inputs=rows)
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
