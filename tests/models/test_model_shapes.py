"""Forms that occur in published models, one small model each; guarded as bare, or refused in words."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai import BundleError, ReasonCode, UnsupportedModelError, load
from support.children import run_python
from support.models import FLOAT, save
from support.parity import answered

BOOL, DOUBLE, INT8, INT64 = TensorProto.BOOL, TensorProto.DOUBLE, TensorProto.INT8, TensorProto.INT64
ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)


def typed(name: str, element: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def save_model(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> Path:
    """A graph whose inputs and outputs are more than tensors, or its operators more than ONNX's own."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


# ---- Inputs and outputs of every kind ----


def test_scalar_int64_input_chooses_the_sampling_rate(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Equal", ["rate", "high"], ["is_high"]),
        helper.make_node("Where", ["is_high", "half", "one"], ["gain"]),
        helper.make_node("Mul", ["audio", "gain"], ["y"]),
    ]
    constants = {"high": np.array(16000), "half": np.array(0.5, np.float32), "one": np.array(1, np.float32)}
    inputs = [("audio", FLOAT, ["N", "T"]), ("rate", INT64, [])]
    model = save(tmp_path / "m.onnx", nodes, inputs, [("y", FLOAT, ["N", "T"])], constants)
    fast, slow = answered(model, *({"audio": ROWS, "rate": np.array(rate)} for rate in (16000, 8000)))
    assert (fast["y"].tolist(), slow["y"].tolist()) == ((ROWS / 2).tolist(), ROWS.tolist())
    with load(model) as session:
        (reason,) = session.predict({"audio": ROWS, "rate": np.array([8000])}).reasons
    assert (reason.code, reason.subject) == (ReasonCode.RANK, "rate")


def test_bool_masks_go_in_and_come_out(tmp_path: Path) -> None:
    nodes = [helper.make_node("Where", ["mask", "x", "zero"], ["y"]), helper.make_node("Not", ["mask"], ["left_out"])]
    inputs = [("x", FLOAT, ["N", 3]), ("mask", BOOL, ["N", 3])]
    outputs = [("y", FLOAT, ["N", 3]), ("left_out", BOOL, ["N", 3])]
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, {"zero": np.array(0, np.float32)})
    mask = ROWS > 0
    (got,) = answered(model, {"x": ROWS, "mask": mask})
    assert got["left_out"].dtype == np.bool_
    assert (got["left_out"].tolist(), got["y"].tolist()) == ((~mask).tolist(), np.where(mask, ROWS, 0).tolist())


def test_float64_tree_splits_where_float32_could_not(tmp_path: Path) -> None:
    threshold = 0.1
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values_as_tensor=numpy_helper.from_array(np.array([threshold, 0, 0])),
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights_as_tensor=numpy_helper.from_array(np.array([-1.0, 1.0])),
        n_targets=1,
    )
    inputs, outputs = [("x", DOUBLE, ["N", 1])], [("y", FLOAT, ["N", 1])]
    model = save_model(tmp_path / "m.onnx", [node], [typed(*inputs[0])], [typed(*outputs[0])])
    values = np.array([[threshold], [np.nextafter(threshold, 1)], [np.nextafter(threshold, 0)]])
    (got,) = answered(model, {"x": values})
    assert got["y"].ravel().tolist() == [-1, 1, -1]


def test_int8_in_and_uint8_out_as_fully_quantized_models_have(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "in_zero"], ["x"]),
        helper.make_node("Relu", ["x"], ["positive"]),
        helper.make_node("QuantizeLinear", ["positive", "scale", "out_zero"], ["y"]),
    ]
    constants = {
        "scale": np.array(0.5, np.float32),
        "in_zero": np.array(-1, np.int8),
        "out_zero": np.array(3, np.uint8),
    }
    outputs = [("y", TensorProto.UINT8, ["N", 3])]
    model = save(tmp_path / "m.onnx", nodes, [("q", INT8, ["N", 3])], outputs, constants)
    (got,) = answered(model, {"q": np.array([[-128, -1, 127]], np.int8)})
    assert got["y"].tolist() == [[3, 3, 131]]


def test_several_inputs_and_outputs_of_several_types(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["embedding", "tokens"], ["vectors"], axis=0),
        helper.make_node("ReduceMean", ["vectors"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["weight"], ["narrow"], to=FLOAT),
        helper.make_node("Mul", ["mean", "narrow"], ["scaled"]),
        helper.make_node("ArgMax", ["scaled"], ["best"], axis=1, keepdims=0),
        helper.make_node("Greater", ["scaled", "zero"], ["positive"]),
    ]
    generator = np.random.default_rng(0)
    constants = {"embedding": generator.normal(size=(50, 4)).astype(np.float32), "zero": np.array(0, np.float32)}
    inputs = [("tokens", INT64, ["N", "T"]), ("weight", DOUBLE, ["N", 1])]
    outputs = [("scaled", FLOAT, ["N", 4]), ("best", INT64, ["N"]), ("positive", BOOL, ["N", 4])]
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, constants)
    calls = [
        {"tokens": generator.integers(0, 50, (rows, length)), "weight": generator.normal(size=(rows, 1))}
        for rows, length in ((1, 7), (5, 3), (5, 3), (2, 9))
    ]
    for got in answered(model, *calls):
        assert got["best"].tolist() == got["scaled"].argmax(1).tolist()


def test_inputs_whose_first_axes_have_other_names_need_no_equal_rows(tmp_path: Path) -> None:
    nodes = [helper.make_node("Transpose", ["known"], ["t"]), helper.make_node("MatMul", ["asked", "t"], ["scores"])]
    inputs = [("asked", FLOAT, ["queries", 3]), ("known", FLOAT, ["entries", 3])]
    model = save(tmp_path / "m.onnx", nodes, inputs, [("scores", FLOAT, ["queries", "entries"])])
    one, several = answered(model, {"asked": ROWS[:1], "known": ROWS}, {"asked": ROWS, "known": ROWS[:3]})
    assert (one["scores"].shape, several["scores"].shape) == ((1, 4), (4, 3))


def test_sequence_of_tensors_comes_back_as_a_list_of_arrays(tmp_path: Path) -> None:
    node = helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0)
    parts = helper.make_tensor_sequence_value_info("parts", FLOAT, None)
    model = save_model(tmp_path / "m.onnx", [node], [typed("x", FLOAT, ["N", 3])], [parts])
    short, long = answered(model, {"x": ROWS[:2]}, {"x": ROWS})
    assert [part.tolist() for part in short["parts"]] == [[row] for row in ROWS[:2].tolist()]
    assert len(long["parts"]) == 4


# ---- Time, state ----


def test_state_passed_by_the_caller_makes_two_halves_equal_the_whole(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weights = {"w": (1, 12, 3), "r": (1, 12, 4), "b": (1, 24)}
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node("GRU", ["x", "w", "r", "b", "", "state"], ["y", "next_state"], hidden_size=4)],
        [("x", FLOAT, ["T", "N", 3]), ("state", FLOAT, [1, "N", 4])],  # time first, rows on axis 1
        [("y", FLOAT, ["T", 1, "N", 4]), ("next_state", FLOAT, [1, "N", 4])],
        {name: generator.normal(size=shape).astype(np.float32) for name, shape in weights.items()},
    )
    frames = generator.normal(size=(10, 2, 3)).astype(np.float32)
    start = np.zeros((1, 2, 4), np.float32)
    (whole,) = answered(model, {"x": frames, "state": start})
    (first,) = answered(model, {"x": frames[:5], "state": start})
    (second,) = answered(model, {"x": frames[5:], "state": first["next_state"]})
    np.testing.assert_allclose(np.concatenate([first["y"], second["y"]]), whole["y"], atol=1e-6)
    np.testing.assert_allclose(second["next_state"], whole["next_state"], atol=1e-6)
    spoilt = first["next_state"].copy()
    spoilt[0, 1, 2] = np.nan
    with load(model) as session:
        (reason,) = session.predict({"x": frames[5:], "state": spoilt}).reasons
    assert (reason.code, reason.subject) == (ReasonCode.NOT_FINITE, "state")


ZERO_SIZE = """
import sys, numpy, edge_rai
with edge_rai.load(sys.argv[1]) as session:
    for shape in ((2, 0, 3), (0, 5, 3), (0, 0, 3)):
        answer = session.predict(numpy.zeros(shape, numpy.float32))
        print(answer.verdict.name, answer.reasons[0].code.name)
    print(session.predict(numpy.zeros((2, 5, 3), numpy.float32)).verdict.name)
"""


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_zero_size_input_of_a_recurrent_model_is_rejected_and_the_process_lives(
    tmp_path: Path, kind: str, gates: int
) -> None:
    generator = np.random.default_rng(0)
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node(kind, ["x", "w", "r"], ["", "y"], hidden_size=4)],
        [("x", FLOAT, ["T", "N", 3])],
        [("y", FLOAT, [1, "N", 4])],
        {
            "w": generator.normal(size=(1, 4 * gates, 3)).astype(np.float32),
            "r": generator.normal(size=(1, 4 * gates, 4)).astype(np.float32),
        },
    )
    child = run_python(ZERO_SIZE, model)  # the bare runtime ends its process on some of these
    assert (child.returncode, child.stdout) == (0, "REJECT SHAPE\n" * 3 + "ACCEPT\n"), child.stderr


# ---- Files, names, shapes as declared ----


def test_weights_in_data_files_beside_the_model_are_found_from_any_directory(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "model").mkdir()
    weights = {name: generator.normal(size=(3, 3)).astype(np.float32) for name in ("first", "second")}
    nodes = [helper.make_node("MatMul", ["x", "first"], ["h"]), helper.make_node("MatMul", ["h", "second"], ["y"])]
    model = save(tmp_path / "model/m.onnx", nodes, [("x", FLOAT, ["N", 3])], [("y", FLOAT, ["N", 3])], weights)
    onnx.save(onnx.load(model), model, save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    assert sorted(path.name for path in model.parent.iterdir()) == ["first", "m.onnx", "second"]
    answered(model, {"x": ROWS})
    child = run_python(
        textwrap.dedent(
            """
            import sys, numpy, edge_rai
            with edge_rai.load(sys.argv[1]) as session:
                print(session.predict(numpy.ones((1, 3), numpy.float32)).verdict.name)
            """
        ),
        "m.onnx",
        cwd=model.parent,
    )
    assert (child.returncode, child.stdout) == (0, "ACCEPT\n"), child.stderr
    (model.parent / "second").unlink()
    with pytest.raises(BundleError, match="second"):
        load(model)


def test_names_that_are_no_identifiers_are_kept(tmp_path: Path) -> None:
    inputs = ["serving_default_input_2:0", "0", '{"layer": 1, "kind": "input"}', "größe [mm]"]
    outputs = ["StatefulPartitionedCall:1", "7", '{"layer": 9, "kind": "output"}', "save_infer_model/scale_0.tmp_1"]
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node("Neg", [given], [made]) for given, made in zip(inputs, outputs, strict=True)],
        [(name, FLOAT, ["N", 3]) for name in inputs],
        [(name, FLOAT, ["N", 3]) for name in outputs],
    )
    (got,) = answered(model, {name: ROWS * i for i, name in enumerate(inputs)})
    assert {name: values.tolist() for name, values in got.items()} == {
        name: (-ROWS * i).tolist() for i, name in enumerate(outputs)
    }
    with load(model) as session, pytest.raises(ValueError, match="missing: größe"):
        session.predict(dict.fromkeys(inputs[:3], ROWS))


def test_output_extents_declared_as_expressions_are_learned(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["x", "x", "one"], ["y"], axis=1), helper.make_node("Neg", ["x"], ["z"])]
    outputs = [("y", FLOAT, ["N", "2*T + 1"]), ("z", FLOAT, ["N", "floor(2*T/2)"])]
    constants = {"one": np.ones((1, 1), np.float32)}
    model = save(tmp_path / "m.onnx", nodes, [("x", FLOAT, [1, "T"])], outputs, constants)
    calls = [{"x": ROWS[:1, :length]} for length in (1, 3, 3, 2)]
    assert [got["y"].shape for got in answered(model, *calls)] == [(1, 3), (1, 7), (1, 7), (1, 5)]


def test_output_of_another_rank_than_declared_is_what_came_back(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["shape"], ["s"]), helper.make_node("Reshape", ["x", "s"], ["y"])]
    inputs = [("x", FLOAT, ["N", 3]), ("shape", INT64, ["R"])]
    model = save(tmp_path / "m.onnx", nodes, inputs, [("y", FLOAT, [1, "length"])])
    shapes = [(2, 2, 3), (12,), (4, 3, 1, 1), (1, 12)]
    answers = answered(model, *({"x": ROWS, "shape": np.array(shape)} for shape in shapes))
    assert [got["y"].shape for got in answers] == shapes


def test_metadata_that_holds_a_dictionary_is_no_obstacle(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Neg", ["x"], ["y"])],
        [("x", FLOAT, ["N", 3])],
        [("y", FLOAT, ["N", 3])],
    )
    model = onnx.load(path)
    helper.set_model_props(model, {"vocabulary": str({f"word {i}": i for i in range(1000)}), "": "\n\t\"'{}"})
    onnx.save(model, path)
    answered(path, {"x": ROWS})


# ---- What is refused, by name ----


def test_sequence_input_is_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("ConcatFromSequence", ["frames"], ["y"], axis=0)
    frames = helper.make_tensor_sequence_value_info("frames", FLOAT, None)
    model = save_model(tmp_path / "m.onnx", [node], [frames], [typed("y", FLOAT, ["N", 3])])
    with pytest.raises(UnsupportedModelError, match="input 'frames' is a sequence"):
        load(model)


def test_optional_input_is_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("OptionalGetElement", ["perhaps"], ["y"])
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, ["N", 3]))
    perhaps = helper.make_value_info("perhaps", kind)
    model = save_model(tmp_path / "m.onnx", [node], [perhaps], [typed("y", FLOAT, ["N", 3])])
    with pytest.raises(UnsupportedModelError, match="input 'perhaps' is an? .*optional"):
        load(model)
