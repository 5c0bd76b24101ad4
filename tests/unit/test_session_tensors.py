"""Tensors of every layout, size, type and shape, in and out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper

from edge_rai import ReasonCode, Session, load
from edge_rai.policy import InputRule, OutputRule, Policy
from support.bundles import write_bundle
from support.children import run_python
from support.models import FLOAT, reference_run, save, save_identities, save_linear, save_lstm

ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def session(linear_bundle: Path) -> Iterator[Session]:
    with load(linear_bundle) as opened:
        yield opened


def outputs_of(model: Path, values: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
    return reference_run(model, {"x": values})["y"]


# ---- Memory and layout ----


def test_batch_size_may_change_from_call_to_call(session: Session, linear_model: Path) -> None:
    generator = np.random.default_rng(0)
    for rows in (1, 7, 3, 1, 1, 1000, 7, 1000, 1):
        values = generator.uniform(-9, 9, (rows, 3)).astype(np.float32)
        assert session.predict(values).outputs["y"].tobytes() == outputs_of(linear_model, values).tobytes()


LARGE = np.random.default_rng(1).uniform(-9, 9, (600, 3)).astype(np.float32)
UNALIGNED = np.zeros(LARGE.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(LARGE.shape)
UNALIGNED[...] = LARGE
READ_ONLY = LARGE.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    "values",
    [
        LARGE,
        np.asfortranarray(LARGE),
        np.repeat(LARGE, 2, axis=0)[::2],
        LARGE[::-1],
        READ_ONLY,
        LARGE.astype(">f4"),
        UNALIGNED,
        LARGE.view(type("Special", (np.ndarray,), {})),
        np.broadcast_to(LARGE[:1], (600, 3)),
    ],
    ids=["plain", "fortran", "strided", "reversed", "read-only", "byte-swapped", "unaligned", "subclass", "broadcast"],
)
@pytest.mark.parametrize("rows", [600, 2])
def test_memory_layout_does_not_matter(session: Session, linear_model: Path, values: np.ndarray, rows: int) -> None:
    expected = outputs_of(linear_model, np.array(values[:rows], np.float32))
    assert session.predict(values[:rows]).outputs["y"].tobytes() == expected.tobytes()
    assert session.predict({"x": values[:rows]}).outputs["y"].tobytes() == expected.tobytes()


def test_rejected_rows_of_a_large_batch_leave_the_callers_array_alone(session: Session) -> None:
    values = LARGE.copy()
    values[5] = np.nan
    before = values.tobytes()
    clean = session.predict(LARGE).outputs["y"]
    answer = session.predict(values)
    assert values.tobytes() == before
    assert np.delete(answer.outputs["y"], 5, 0).tobytes() == np.delete(clean, 5, 0).tobytes()
    assert session.predict(LARGE).outputs["y"].tobytes() == clean.tobytes()


def test_answers_are_the_callers_to_keep(session: Session) -> None:
    batches = [ROWS, ROWS + 1, LARGE, np.full((4, 3), np.nan, np.float32), ROWS * 2]
    answers = [session.predict(batch) for batch in batches]
    copies = [answer.outputs["y"].copy() for answer in answers]
    answers[0].outputs["y"][...] = 7  # writable, and nobody else's
    for batch in batches:
        session.predict(batch)
    session.close()
    assert (answers[0].outputs["y"] == 7).all()
    for answer, copy in zip(answers[1:], copies[1:], strict=True):
        assert answer.outputs["y"].tobytes() == copy.tobytes()
    assert answers[3].reasons[0].subject == "radius"
    assert answers[3].row_verdicts.tolist() == [2] * 4


# ---- Models of every form ----


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    model = save(
        tmp_path / "m.onnx",
        [
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("Greater", ["a", "b"], ["more"]),
            helper.make_node("Cast", ["a"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Cast", ["b"], ["double"], to=TensorProto.DOUBLE),
        ],
        [("a", FLOAT, ["N", 2]), ("b", FLOAT, ["N", 2])],
        [
            ("sum", FLOAT, ["N", 2]),
            ("more", TensorProto.BOOL, ["N", 2]),
            ("whole", TensorProto.INT64, ["N", 2]),
            ("double", TensorProto.DOUBLE, ["N", 2]),
        ],
    )
    a, b = np.array([[1, 2], [3, 4]], np.float32), np.array([[5, 1], [0, 9]], np.float32)
    with load(model) as session:
        answer = session.predict({"b": b, "a": a})
        for name, expected in reference_run(model, {"a": a, "b": b}).items():
            assert answer.outputs[name].dtype == expected.dtype
            assert answer.outputs[name].tobytes() == expected.tobytes()
        b[1, 0] = np.nan
        answer = session.predict({"a": a, "b": b})
        assert {name: values[1].tolist() for name, values in answer.outputs.items() if name in ("more", "whole")} == {
            "more": [False, False],
            "whole": [-1, -1],
        }
        assert np.isnan(answer.outputs["double"][1]).all()
        assert np.isnan(answer.outputs["sum"][1]).all()
        assert answer.outputs["sum"][0].tolist() == [6, 3]
        (reason,) = session.predict({"a": a, "b": b[:1]}).reasons
    assert (reason.code, reason.subject, reason.value, reason.limit) == (ReasonCode.ROWS, "b", 1, 2)


def test_defaults_of_every_type(tmp_path: Path) -> None:
    kinds = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "float32", "float64"]
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node("Cast", ["x"], [kind], to=helper.np_dtype_to_tensor_dtype(np.dtype(kind))) for kind in kinds],
        [("x", FLOAT, ["N"])],
        [(kind, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), ["N"]) for kind in kinds],
    )
    policy = Policy(
        1,
        True,
        (InputRule("x", "float32", (-1,), (9,)),),
        tuple(OutputRule(kind, kind, (-1,), default=(1.0 if kind == "bool" else 100.0,)) for kind in kinds),  # type: ignore[arg-type]
    )
    bundle = write_bundle(tmp_path / "b.erai", model, policy, {"x": np.array([1], np.float32)})
    with load(bundle) as session:
        answer = session.predict(np.array([2, np.nan, 3], np.float32))
    for kind in kinds:
        assert answer.outputs[kind].dtype == kind
        assert answer.outputs[kind].tolist() == ([True] * 3 if kind == "bool" else [2, 100, 3])


def test_output_without_rows_is_not_trusted_when_a_row_was_rejected(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0, axes=[0]),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    outputs = [("mean", FLOAT, [2]), ("y", FLOAT, ["N", 2])]
    model = save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 2])], outputs)
    with load(model) as session:
        assert not session.batched  # an output of fixed axis 0: no rows
        answer = session.predict(np.array([[1, 2], [3, np.nan]], np.float32))
        assert (answer.rows, answer.reasons[0].element) == (1, 3)
        assert np.isnan(answer.outputs["mean"]).all()
        assert session.predict(np.array([[1, 2], [3, 4]], np.float32)).outputs["mean"].tolist() == [2, 3]


def test_output_shapes_that_depend_on_the_data(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node("NonZero", ["x"], ["at"]), helper.make_node("Identity", ["x"], ["y"])],
        [("x", FLOAT, ["N", 3])],
        [("at", TensorProto.INT64, [2, "K"]), ("y", FLOAT, ["N", 3])],
    )
    generator = np.random.default_rng(0)
    with load(model) as session:
        for rows in (2, 2, 2, 3, 3, 2, 1, 2):
            values = generator.integers(0, 2, (rows, 3)).astype(np.float32)
            answer = session.predict(values)
            assert answer.outputs["at"].tolist() == [list(axis) for axis in np.nonzero(values)]
            assert answer.outputs["y"].tolist() == values.tolist()
        assert session.snapshot().errors == 0
    assert capfd.readouterr() == ("", "")  # the library never prints, nor does the runtime in its name


def test_input_of_rank_0(tmp_path: Path) -> None:
    model = save_identities(tmp_path / "m.onnx", [0])
    with load(model) as session:
        assert session.predict(np.array(2.5, np.float32)).outputs["y0"].tolist() == 2.5
        assert session.predict(np.array(np.nan, np.float32)).reasons[0].code is ReasonCode.NOT_FINITE
        assert session.predict(np.ones(1, np.float32)).reasons[0].code is ReasonCode.RANK


def test_zero_size_batch_of_an_lstm_is_rejected_and_the_process_lives(tmp_path: Path) -> None:
    # onnxruntime 1.31 ends the process on such a batch, so a child makes the attempt.
    save_lstm(tmp_path / "lstm.onnx")
    child = run_python(
        textwrap.dedent(
            """
            import sys, numpy, edge_rai
            with edge_rai.load(sys.argv[1]) as session:
                print(session.predict(numpy.zeros((2, 0, 3), numpy.float32)).verdict.name)
                print(session.predict(numpy.zeros((2, 5, 3), numpy.float32)).outputs["y"].shape)
            """
        ),
        tmp_path / "lstm.onnx",
    )
    assert (child.returncode, child.stdout) == (0, "REJECT\n(1, 5, 4)\n"), child.stderr


def test_outputs_of_a_real_sized_model_are_bit_identical(tmp_path: Path) -> None:
    model = save_linear(tmp_path / "m.onnx", 300, 40)
    generator = np.random.default_rng(2)
    with load(model, threads=1) as session:
        for rows in (1, 64, 3):
            values = generator.normal(size=(rows, 300)).astype(np.float32)
            assert session.predict(values).outputs["y"].tobytes() == outputs_of(model, values).tobytes()
