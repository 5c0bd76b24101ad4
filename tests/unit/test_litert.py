"""TFLite models behind the guard: what callers give and get is what they would of an ONNX model."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from edge_rai import (
    InferenceError,
    ProviderError,
    ReasonCode,
    RuntimeMissingError,
    Session,
    TensorSpec,
    UnsupportedModelError,
    Verdict,
    load,
)
from edge_rai.types import QuantizedSpec
from support import litert_models as models
from support.children import run_python
from support.litert_models import BIAS, WEIGHTS, interpreter_run
from support.tflite_models import Graph, read, write

Open = Callable[..., Session]
ROWS = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Loads the bytes of a bare model."""

    def open_model(data: bytes, **options: Any) -> Session:
        (tmp_path / "m.tflite").write_bytes(data)
        return load(tmp_path / "m.tflite", **options)

    return open_model


def test_bare_model_answers_as_the_interpreter_does(opened: Open, tmp_path: Path) -> None:
    session = opened(models.linear())
    assert session.runtime == "litert"
    assert session.batched
    assert session.rows_independent
    for rows in (ROWS[:1], ROWS, ROWS[1:3], ROWS[:1]):
        answer = session.predict(rows)
        assert answer.verdict is Verdict.ACCEPT
        expected = interpreter_run(tmp_path / "m.tflite", {"x": rows})
        np.testing.assert_array_equal(answer.outputs["y"], expected["y"])


def test_names_are_those_of_the_signature(opened: Open) -> None:
    session = opened(models.linear(names=("features", "scores")))
    assert session.inputs == (TensorSpec("features", "float32", (None, 3)),)
    assert session.predict({"features": ROWS}).outputs["scores"].shape == (4, 2)


@pytest.mark.parametrize("free", [True, False], ids=["one call for all rows", "row by row"])
def test_a_bad_row_costs_that_row_alone(opened: Open, free: bool) -> None:
    session = opened(models.linear(free=free))
    rows = ROWS.copy()
    rows[2, 1] = np.nan
    answer = session.predict(rows)
    assert answer.row_verdicts.tolist() == [0, 0, 2, 0]
    assert answer.reasons[0].code is ReasonCode.NOT_FINITE
    good = [0, 1, 3]
    np.testing.assert_allclose(answer.outputs["y"][good], ROWS[good] @ WEIGHTS.T + BIAS, rtol=1e-6)
    assert np.isnan(answer.outputs["y"][2]).all()


def test_rows_of_a_model_of_one_row_are_as_if_each_were_alone(opened: Open) -> None:
    session = opened(models.difference())
    p, q = ROWS[:, :2], ROWS[::-1, :2]
    together = session.predict({"p": p, "q": q}).outputs["d"]
    alone = [session.predict({"p": p[i : i + 1], "q": q[i : i + 1]}).outputs["d"] for i in range(4)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    rejected = session.predict({"p": p, "q": q[:3]})
    assert rejected.reasons[0].code is ReasonCode.ROWS


def test_wrong_shapes_and_types_are_reasons_and_errors_as_ever(opened: Open) -> None:
    session = opened(models.linear())
    assert session.predict(ROWS[:, :2]).reasons[0].code is ReasonCode.SHAPE
    assert session.predict(ROWS[0]).reasons[0].code is ReasonCode.RANK
    assert session.predict(ROWS[:0]).verdict is Verdict.REJECT
    with pytest.raises(TypeError, match="expected float32, got float64"):
        session.predict(ROWS.astype(np.float64))


def test_integers_at_the_edges_of_a_bare_model_are_the_models_own(opened: Open) -> None:
    session = opened(models.requantized())
    assert (session.inputs[0].dtype, session.outputs[0].dtype) == ("int8", "uint8")
    answer = session.predict(np.array([[0, 10, 11, -128]], np.int8))
    assert answer.outputs["y"].tolist() == [[108, 128, 130, 0]]


@pytest.mark.parametrize("free", [True, False], ids=["its axis declared free", "declared as stored"])
def test_model_that_cannot_be_planned_as_it_is_stored_is_resized_first(opened: Open, free: bool) -> None:
    session = opened(models.reshaped(free=free))
    six = np.arange(6, dtype=np.float32)[None]
    np.testing.assert_array_equal(session.predict(six).outputs["y"], six.reshape(2, 3))
    with pytest.raises(InferenceError):
        session.predict(six[:, :5])
    np.testing.assert_array_equal(session.predict(six).outputs["y"], six.reshape(2, 3))


def test_outputs_whose_shape_depends_on_the_values_are_found_after_each_run(opened: Open) -> None:
    session = opened(models.positives())
    for row in ([1, -1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]):
        expected = np.argwhere(np.array([row]) > 0)
        np.testing.assert_array_equal(session.predict(np.array([row], np.float32)).outputs["y"], expected)


def test_tensors_that_are_stored_without_elements_are_planned_with_the_call(opened: Open) -> None:
    session = opened(models.stored_empty())
    np.testing.assert_array_equal(session.predict(ROWS).outputs["y"], np.abs(ROWS))


def test_a_model_that_litert_runs_in_part_itself_is_not_looked_through_after_each_run(opened: Open) -> None:
    session = opened(models.chain(300))
    times = []
    for _ in range(30):
        began = time.perf_counter()
        session.predict(ROWS[:1])
        times.append(time.perf_counter() - began)
    assert sorted(times)[15] < 1e-3  # looking through 300 operators takes some 7 ms


def test_answers_are_the_callers_to_keep(opened: Open) -> None:
    session = opened(models.linear())
    first = session.predict(ROWS[:1]).outputs["y"]
    kept = first.copy()
    session.predict(ROWS[3:])
    np.testing.assert_array_equal(first, kept)


# ---- What is refused ----


def test_custom_operator_is_named(opened: Open) -> None:
    with pytest.raises(UnsupportedModelError, match=r"m\.tflite: .*custom operator 'Frob'"):
        opened(models.custom("Frob"))


def test_outputs_of_one_name_are_refused(opened: Open) -> None:
    with pytest.raises(UnsupportedModelError, match=r"m\.tflite: .*'y' is the name of two outputs"):
        opened(models.named_alike())


def test_model_without_inputs_is_refused(opened: Open) -> None:
    with pytest.raises(UnsupportedModelError, match=r"m\.tflite: the model has 0 inputs; expected 1 to"):
        opened(models.of_nothing())


def test_tflite_model_that_is_named_as_an_onnx_model_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(models.linear())
    with pytest.raises(UnsupportedModelError, match=r"m\.onnx holds a TFLite model: give it a name that ends in"):
        load(tmp_path / "m.onnx")


def test_operator_of_an_unknown_version_is_named(opened: Open) -> None:
    with pytest.raises(UnsupportedModelError, match=r"m\.tflite: .*'FULLY_CONNECTED' version '99'"):
        opened(models.versioned(99))


def test_damaged_file_is_refused(opened: Open) -> None:
    data = models.linear()
    for end in range(0, len(data), 97):
        with pytest.raises(UnsupportedModelError, match=r"m\.tflite: "):
            opened(data[:end])


def test_inputs_that_are_no_numbers_are_named(opened: Open) -> None:
    model = read(models.linear())
    model.subgraphs[0].tensors[0].type = 5
    with pytest.raises(UnsupportedModelError, match="of strings"):
        opened(write(model))


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (5, "is of strings; give the model numbers in their place"),
        (8, "is of no type of numbers that this library knows"),  # complex
        (13, "is of no type of numbers that this library knows"),  # a handle
        (17, "is of no type of numbers that this library knows"),  # 4 bits
    ],
)
def test_input_that_is_no_number_is_refused_before_litert_is_asked_for_its_memory(
    opened: Open, stored: int, said: str
) -> None:
    """LiteRT ends the process where it is asked for an array of strings that nobody has set."""
    graph = Graph()
    x, y, kept = (graph.tensor(name, (1, 2)) for name in ("x", "y", "kept"))
    graph.operator("ABS", [x], [y], "AbsOptions")
    graph.graph.tensors[kept].type = stored
    with pytest.raises(UnsupportedModelError, match=rf"m\.tflite: input 'kept' {said}"):
        opened(write(graph.edges([x, kept], [y]).model))


def test_output_that_is_no_number_is_refused_by_name(opened: Open) -> None:
    graph = Graph()
    x, y = (graph.tensor(name, (1, 2)) for name in "xy")
    graph.graph.tensors[y].type = 8  # complex
    graph.operator("CAST", [x], [y], "CastOptions", inDataType=0, outDataType=8)
    with pytest.raises(UnsupportedModelError, match=r"m\.tflite: output 'y' is of no type of numbers"):
        opened(write(graph.edges([x], [y]).model))


def test_type_that_numpy_does_not_know_yet_is_refused_with_what_makes_it_known(tmp_path: Path) -> None:
    graph = Graph()
    x, y, kept = (graph.tensor(name, (1, 2)) for name in ("x", "y", "kept"))
    graph.operator("ABS", [x], [y], "AbsOptions")
    graph.graph.tensors[kept].type = 18  # bfloat16
    (tmp_path / "m.tflite").write_bytes(write(graph.edges([x, kept], [y]).model))
    child = run_python("import sys, edge_rai; edge_rai.load(sys.argv[1])", tmp_path / "m.tflite")
    said = child.stderr.splitlines()[-1]
    assert "UnsupportedModelError" in said
    assert "m.tflite: an input or output is of a type that has no array, as bfloat16 before `import ml_dtypes`" in said


def test_required_delegate_must_take_the_whole_model(opened: Open) -> None:
    with pytest.raises(ProviderError, match=r"XNNPACK must run all of .*m\.tflite, and leaves out REVERSE_V2"):
        opened(models.through_two_kernels(both=False), provider="XNNPACK")
    session = opened(models.through_two_kernels(both=True), provider="XNNPACK")
    assert session.predict(ROWS[:1]).outputs["y"].tolist() == (-np.abs(ROWS[:1])).tolist()
    assert opened(models.through_two_kernels(both=False)).predict(ROWS[:1]).verdict is Verdict.ACCEPT


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        (models.through_two_kernels(both=True), 0),
        (models.through_two_kernels(both=False), 0),  # REVERSE_V2 is LiteRT's own
        (models.positives(), 5),  # WHERE makes room for its output in every run
    ],
    ids=["a delegate's", "LiteRT's own", "planned in the run"],
)
def test_places_are_asked_for_again_only_where_a_run_may_move_them(opened: Open, data: bytes, asked: int) -> None:
    session = opened(data)
    row = np.array([[1, -2, 3, 4]], np.float32)[:, : session.inputs[0].shape[1]]
    first = [session.predict(row).outputs["y"].tolist() for _ in range(2)]
    looks = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == "look" and frame.f_code.co_filename.endswith("litert.py"):
            looks.append(frame)

    sys.setprofile(note)
    try:
        later = [session.predict(row).outputs["y"].tolist() for _ in range(5)]
    finally:
        sys.setprofile(None)
    assert len(looks) == asked
    assert later == [first[0]] * 5 == [first[1]] * 5


def test_delegate_that_litert_does_not_have_is_asked_for_by_its_library(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="give its library as provider_path"):
        opened(models.linear(), provider="CUDAExecutionProvider")
    with pytest.raises(ProviderError, match=r"there is no .*npu\.so"):
        opened(models.linear(), provider="npu", provider_path=tmp_path / "npu.so")


def test_floats_for_integers_are_refused_with_the_way_to_quantize_them(opened: Open) -> None:
    session = opened(models.requantized())
    with pytest.raises(
        TypeError, match="expected int8, got float32; quantize a row x by scale 0.5 and zero"
    ) as refused:
        session.predict(np.array([[1, 2, 3, 4]], np.float32))
    x = np.array([[0.5, -3.5, 1.25, 1000]], np.float32)
    integers = eval(str(refused.value).split(": ")[-1], {"numpy": np, "x": x})
    assert integers.tolist() == [[11, 3, 12, 127]]
    given, got = session.inputs[0], session.outputs[0]
    assert isinstance(given, QuantizedSpec)
    assert isinstance(got, QuantizedSpec)
    assert (given.scale, given.zero_point, got.scale, got.zero_point) == (0.5, 10, 0.25, 128)
    answer = session.predict(integers).outputs["y"].astype(np.float64)
    assert (got.scale * (answer - got.zero_point)).tolist() == [[0.5, -3.5, 1, 31.75]]


@pytest.mark.parametrize("name", ["m.TFLITE", "M.TfLite"])
def test_name_ends_in_letters_of_either_case(tmp_path: Path, linear_model: Path, name: str) -> None:
    (tmp_path / name).write_bytes(models.linear())
    assert load(tmp_path / name).runtime == "litert"
    upper = tmp_path / "M.ONNX"
    upper.write_bytes(linear_model.read_bytes())
    assert load(upper).runtime == "onnxruntime"


def test_runtime_is_one_that_there_is_a_model_for(opened: Open) -> None:
    with pytest.raises(
        ValueError, match=r"m\.tflite is a model of format tflite, not onnx: leave the choice of the run"
    ):
        opened(models.linear(), runtime="onnxruntime")
    with pytest.raises(ValueError, match="runtime is 'torch'; expected one of 'onnxruntime', 'litert', or None"):
        opened(models.linear(), runtime="torch")
    assert opened(models.linear(), runtime="litert").runtime == "litert"


WITHOUT_LITERT = """
import sys
for name in ("ai_edge_litert", "tflite_runtime"):
    sys.modules[name] = None
import edge_rai
try:
    edge_rai.load(sys.argv[1])
except edge_rai.RuntimeMissingError as error:
    print(error)
"""
LOADED = """
import sys, edge_rai
edge_rai.load(sys.argv[1])
print(sorted(name for name in sys.modules if name.split(".")[0] in ("ai_edge_litert", "tflite_runtime")))
"""


def test_missing_package_is_named_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.linear())
    said = run_python(WITHOUT_LITERT, tmp_path / "m.tflite").stdout
    assert "m.tflite is a TFLite model" in said
    assert "run: pip install ai-edge-litert" in said
    assert issubclass(RuntimeMissingError, InferenceError)


def test_litert_is_imported_for_tflite_models_alone(linear_model: Path) -> None:
    assert run_python(LOADED, linear_model).stdout == "[]\n"
