"""Every type of tensor that ONNX models take and give, in every layout that numpy has."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai import ReasonCode, Session, UnsupportedModelError, Verdict, load
from support.children import run_python
from support.models import reference_run, save
from support.parity import same

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64", "bfloat16"]
NUMBERS = ["bool", *INTEGERS, *FLOATS]
STRING = TensorProto.STRING


def dtype_of(name: str) -> np.dtype[Any]:
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


def element(name: str) -> int:
    return {"string": STRING, "bfloat16": TensorProto.BFLOAT16}.get(
        name, 0 if name in ("string", "bfloat16") else helper.np_dtype_to_tensor_dtype(np.dtype(name))
    )


def identity(path: Path, name: str, shape: list[int | str]) -> Path:
    """ "x" returned as "y"."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return save(path, [node], [("x", element(name), shape)], [("y", element(name), shape)])


def values_of(name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """All kinds of values of a type, its greatest and least among them."""
    if name == "bool":
        return np.resize([True, False, False], shape)
    if name in FLOATS:
        return np.resize([1.5, -0.0, 0.25, 3e-5, -120.0], shape).astype(dtype_of(name))
    limits = np.iinfo(name)
    return np.resize(np.array([limits.max, limits.min, 1, 0, 77], name), shape)


def layouts(values: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """The same values in other memory."""
    unaligned = np.zeros(values.nbytes + 1, np.uint8)[1:].view(values.dtype).reshape(values.shape)
    unaligned[...] = values
    read_only = values.copy()
    read_only.flags.writeable = False
    return {
        "plain": values,
        "fortran": np.asfortranarray(values),
        "strided": np.repeat(values, 2, axis=0)[::2],
        "reversed": values[::-1].copy()[::-1],
        "read-only": read_only,
        "byte-swapped": values.astype(values.dtype.newbyteorder(">")),
        "unaligned": unaligned,
        "broadcast": np.broadcast_to(values[:1], values.shape),
        "subclass": values.view(type("Special", (np.ndarray,), {})),
    }


@pytest.mark.parametrize("name", NUMBERS)
def test_every_layout_of_every_type_comes_back_to_the_bit(tmp_path: Path, name: str) -> None:
    values = values_of(name, (600, 3))
    with load(identity(tmp_path / "m.onnx", name, ["N", 3])) as session:
        assert (session.inputs[0].dtype, session.outputs[0].dtype) == (name, name)
        for rows in (2, 600):
            for layout, given in layouts(values[:rows]).items():
                expected = np.array(given, dtype_of(name)).tobytes()
                for form in (given, {"x": given}):
                    answer = session.predict(form)
                    assert answer.verdict is Verdict.ACCEPT, layout
                    assert answer.outputs["y"].dtype == dtype_of(name), layout
                    assert answer.outputs["y"].tobytes() == expected, layout
        assert session.snapshot().errors == 0


@pytest.mark.parametrize("name", NUMBERS)
def test_answers_of_every_type_are_the_callers_to_keep(tmp_path: Path, name: str) -> None:
    first, second = values_of(name, (4, 3)), values_of(name, (4, 3))[::-1].copy()
    with load(identity(tmp_path / "m.onnx", name, ["N", 3])) as session:
        answers = [session.predict(values).outputs["y"] for values in (first, first, second, first[:1])]
    assert all(answer.flags.owndata and answer.flags.writeable for answer in answers)
    answers[0][...] = 0
    assert [answer.tobytes() for answer in answers[1:]] == [array.tobytes() for array in (first, second, first[:1])]


@pytest.mark.parametrize("name", [*NUMBERS, "string"])
@pytest.mark.parametrize("rank", [0, 1, 8])
def test_every_rank_of_every_type(tmp_path: Path, name: str, rank: int) -> None:
    values = np.full((2,) * rank, "ä") if name == "string" else values_of(name, (2,) * rank)
    with load(identity(tmp_path / "m.onnx", name, [f"axis{axis}" for axis in range(rank)])) as session:
        for _ in range(2):
            output = session.predict(values).outputs["y"]
            assert output.shape == values.shape
            assert output.tolist() == values.tolist()
        for other in (values[None], np.repeat(values[None], 3, axis=0)):
            (reason,) = session.predict(other).reasons
            assert (reason.code, reason.value, reason.limit) == (ReasonCode.RANK, rank + 1, rank)


@pytest.mark.parametrize("name", [*NUMBERS, "string"])
def test_zero_size_array_of_every_type_is_an_answer(tmp_path: Path, name: str) -> None:
    with load(identity(tmp_path / "m.onnx", name, ["N", 3])) as session:
        for shape in ((0, 3), (3, 0), (0,)):
            values = np.empty(shape, "U1" if name == "string" else dtype_of(name))
            answer = session.predict(values)
            rows, dtype = (0 if shape[0] == 0 else 1), np.dtype(object) if name == "string" else dtype_of(name)
            assert (answer.verdict, answer.rows) == (Verdict.REJECT, rows)
            assert (answer.outputs["y"].shape, answer.outputs["y"].dtype) == ((rows, 3), dtype)


@pytest.mark.parametrize("name", FLOATS)
def test_not_finite_number_of_every_float_type_costs_its_row(tmp_path: Path, name: str) -> None:
    values = values_of(name, (4, 3))
    values[1, 2], values[3, 0] = np.nan, -np.inf
    with load(identity(tmp_path / "m.onnx", name, ["N", 3])) as session:
        answer = session.predict(values)
    assert answer.row_verdicts.tolist() == [0, 2, 0, 2]
    assert [(reason.row, reason.element) for reason in answer.reasons] == [(1, 2), (3, 0)]
    assert answer.outputs["y"][[0, 2]].tobytes() == values[[0, 2]].tobytes()
    assert np.isnan(answer.outputs["y"][[1, 3]].astype(np.float64)).all()


# ---- What is the caller's fault ----


@pytest.mark.parametrize("name", NUMBERS)
def test_other_type_is_a_type_error_with_the_conversion(tmp_path: Path, name: str) -> None:
    with load(identity(tmp_path / "m.onnx", name, ["N", 3])) as session:
        for other in [*NUMBERS, "complex64", "object", "U3", "M8[s]", "i4,f4"]:
            if other == name:
                continue
            values = np.zeros((1, 3), dtype_of(other))
            with pytest.raises(
                TypeError, match=rf"^input 'x': expected {name}, got .*; convert it with .astype\("
            ) as e:
                session.predict(values)
            conversion = str(e.value).rpartition("astype")[2]
            assert conversion in (f"(numpy.{name})", f"(ml_dtypes.{name})", f"({name})")
        assert session.snapshot().calls == 0


def test_list_where_an_array_is_due_names_its_type(tmp_path: Path) -> None:
    with load(identity(tmp_path / "m.onnx", "int64", ["N"])) as session:
        for given in ([1, 2], 1, None, {"x": [1, 2]}):
            with pytest.raises(TypeError, match=r"expected a numpy array of int64"):
                session.predict(given)  # type: ignore[arg-type]


# ---- bfloat16 where nobody has ml_dtypes ----

WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "ml_dtypes":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "ml_dtypes" else found(name, package)
"""


def test_bfloat16_is_uint16_with_its_bits_where_ml_dtypes_is_not_installed(tmp_path: Path) -> None:
    model = identity(tmp_path / "m.onnx", "bfloat16", ["N"])
    code = """
        import numpy, edge_rai
        with edge_rai.load(sys.argv[1]) as session:
            output = session.predict(numpy.array([0x3f80, 0xc000], numpy.uint16)).outputs["y"]
            print(output.dtype, [hex(bits) for bits in output.tolist()])
            try:
                session.predict(numpy.ones(2, numpy.float32))
            except TypeError as error:
                print(error)
    """
    child = run_python(WITHOUT + textwrap.dedent(code), model)
    assert child.stdout.splitlines() == [
        "uint16 ['0x3f80', '0xc000']",
        "input 'x': expected bfloat16, got float32; give its bits as uint16",
    ], child.stderr


def test_ml_dtypes_is_imported_only_for_an_output_that_needs_it(tmp_path: Path) -> None:
    takes = save(
        tmp_path / "takes.onnx",
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        [("x", TensorProto.BFLOAT16, ["N"])],
        [("y", TensorProto.FLOAT, ["N"])],
    )
    gives = save(
        tmp_path / "gives.onnx",
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)],
        [("x", TensorProto.FLOAT, ["N"])],
        [("y", TensorProto.BFLOAT16, ["N"])],
    )
    code = """
        import sys, numpy, edge_rai
        with edge_rai.load(sys.argv[1]) as session:
            for kind in ("float32", "uint16"):
                try:
                    session.predict(numpy.ones(2, kind))
                except TypeError as error:
                    print(error)
        print("ml_dtypes" in sys.modules)
        with edge_rai.load(sys.argv[2]) as session:
            print(session.predict(numpy.ones(2, "float32")).outputs["y"].dtype)
    """
    child = run_python(textwrap.dedent(code), takes, gives)
    advice = "convert it with .astype(ml_dtypes.bfloat16)"
    assert child.stdout.splitlines() == [
        f"input 'x': expected bfloat16, got float32; {advice}",
        f"input 'x': expected bfloat16, got uint16; {advice}",
        "False",
        "bfloat16",
    ], child.stderr


# ---- Strings ----

WORDS = ["", "a", "zoë", "東京", "a\0b", "x" * 5000, "\U0001f600", "\n"]


@pytest.fixture
def words(tmp_path: Path) -> Session:
    return load(identity(tmp_path / "words.onnx", "string", ["N", 2]))


def test_strings_of_every_form_that_numpy_has_come_back_as_str(words: Session) -> None:
    texts = np.array(WORDS, object).reshape(4, 2)
    ascii_only = np.array([["ab", "c"], ["", "d"]])
    forms = {
        "objects": texts,
        "bytes objects": np.array([text.encode() for text in WORDS], object).reshape(4, 2),
        "numpy objects": np.array([np.str_(text) for text in WORDS], object).reshape(4, 2),
        "mixed": np.array([WORDS[0], WORDS[1].encode(), *WORDS[2:]], object).reshape(4, 2),
        "fixed width": texts.astype(str),
        "swapped": texts.astype(str).astype(texts.astype(str).dtype.newbyteorder(">")),
        "fortran": np.asfortranarray(texts),
        "strided": np.repeat(texts, 2, axis=0)[::2],
        "reversed": texts[::-1].copy()[::-1],
        "fixed bytes": ascii_only.astype("S"),
    }
    if hasattr(np.dtypes, "StringDType"):
        forms["variable width"] = texts.astype(np.dtypes.StringDType())
    with words as session:
        for form, given in forms.items():
            output = session.predict(given).outputs["y"]
            expected = ascii_only if form == "fixed bytes" else texts
            assert (output.dtype, output.tolist()) == (object, expected.tolist()), form
            assert all(type(text) is str for text in output.ravel())


def test_strings_of_changing_length_at_one_place_are_read_anew(words: Session) -> None:
    with words as session:
        for call in range(50):
            given = np.array([["row", "x" * (call % 7)]], object)
            assert session.predict(given).outputs["y"].tolist() == given.tolist()


def test_what_is_no_string_is_named_with_its_place(words: Session) -> None:
    with words as session:
        for wrong, kind in ((None, "NoneType"), (1.5, "float"), (float("nan"), "float"), ([], "list")):
            given = np.empty((2, 2), object)
            given[...] = "a"
            given[1, 0] = wrong
            with pytest.raises(TypeError, match=rf"input 'x': element \[1, 0\] is {kind}, expected str or bytes"):
                session.predict(given)
        with pytest.raises(TypeError, match=r"input 'x': expected string, got float32; convert it with .astype\(str\)"):
            session.predict(np.zeros((1, 2), np.float32))


def test_text_that_is_not_utf8_is_for_the_policy_to_refuse(words: Session) -> None:
    with words as session:
        given = np.array([[b"\xff", "\ud800"]], object)
        assert session.predict(given).outputs["y"].tolist() == [["\ufffd", "\ufffd" * 3]]


def test_strings_of_a_rejected_row_are_empty(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["s"], ["t"]), helper.make_node("Identity", ["x"], ["y"])]
    inputs = [("s", STRING, ["N"]), ("x", TensorProto.FLOAT, ["N"])]
    outputs = [("t", STRING, ["N"]), ("y", TensorProto.FLOAT, ["N"])]
    with load(save(tmp_path / "m.onnx", nodes, inputs, outputs)) as session:
        given = {"s": np.array(["a", "b"]), "x": np.array([np.nan, 1], np.float32)}
        answer = session.predict(given)
    assert answer.outputs["t"].tolist() == ["", "b"]


# ---- Sequences, maps, optionals ----


def save_graph(path: Path, nodes: list[onnx.NodeProto], outputs: list[onnx.ValueInfoProto]) -> Path:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def map_value(name: str, key: int) -> onnx.ValueInfoProto:
    scores = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    return helper.make_value_info(name, helper.make_sequence_type_proto(scores))


ROWS = np.array([[1, 2], [3, 4.5]], np.float32)


@pytest.mark.parametrize("keys", [{"classlabels_int64s": [7, -1]}, {"classlabels_strings": ["yes", "né"]}])
def test_sequence_of_maps_is_a_list_of_dicts(tmp_path: Path, keys: dict[str, list[Any]]) -> None:
    key = TensorProto.INT64 if "classlabels_int64s" in keys else STRING
    node = helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", **keys)
    model = save_graph(tmp_path / "m.onnx", [node], [map_value("z", key)])
    (names,) = keys.values()
    with load(model) as session:
        assert session.outputs[0].dtype == "object"
        for rows in (ROWS, ROWS[:1], ROWS):
            assert session.predict(rows).outputs["z"] == [dict(zip(names, row, strict=True)) for row in rows.tolist()]
            assert same(session.predict(rows).outputs["z"], reference_run(model, {"x": rows})["z"])
        bad = ROWS.copy()
        bad[0, 1] = np.nan
        answer = session.predict(bad)
    assert answer.verdict is Verdict.REJECT
    assert np.isnan(list(answer.outputs["z"][0].values())).all()


def test_sequence_of_tensors_is_a_list_of_arrays_of_the_callers(tmp_path: Path) -> None:
    node = helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0, keepdims=0)
    output = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    with load(save_graph(tmp_path / "m.onnx", [node], [output])) as session:
        parts = session.predict(ROWS).outputs["parts"]
        other = session.predict(ROWS + 1).outputs["parts"]
    assert [part.tolist() for part in parts] == ROWS.tolist()
    assert [part.tolist() for part in other] == (ROWS + 1).tolist()
    assert all(part.dtype == np.float32 and part.flags.owndata for part in parts)


def test_optional_is_its_value(tmp_path: Path) -> None:
    node = helper.make_node("Optional", ["x"], ["maybe"])
    form = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    with load(save_graph(tmp_path / "m.onnx", [node], [helper.make_value_info("maybe", form)])) as session:
        assert session.predict(ROWS).outputs["maybe"].tolist() == ROWS.tolist()


def test_optional_of_nothing_is_none(tmp_path: Path) -> None:
    form = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("Optional", [], ["maybe"], type=form),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    outputs = [
        helper.make_value_info("maybe", helper.make_optional_type_proto(form)),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2]),
    ]
    with load(save_graph(tmp_path / "m.onnx", nodes, outputs)) as session:
        outputs_ = session.predict(ROWS).outputs
    assert outputs_["maybe"] is None
    assert outputs_["y"].tolist() == ROWS.tolist()


def test_tensor_beside_a_sequence_keeps_its_form(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
    ]
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["N"])
    model = save_graph(tmp_path / "m.onnx", nodes, [label, map_value("z", TensorProto.INT64)])
    with load(model) as session:
        outputs = session.predict(ROWS).outputs
    assert list(outputs) == ["label", "z"]
    assert outputs["label"].tolist() == [1, 1]
    assert outputs["z"][1] == {0: 3.0, 1: 4.5}


def test_sequence_input_is_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("SequenceLength", ["parts"], ["y"])
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match="input 'parts' is a sequence"):
        load(tmp_path / "m.onnx")
