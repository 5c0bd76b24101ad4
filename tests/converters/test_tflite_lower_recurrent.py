"""LSTM, GRU and RNN unrolled: every direction, layout and option, and in TFLite the same at every call."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from edge_rai._native import check_tflite
from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite import write
from edge_rai_converters.targets.tflite.lower import lower
from edge_rai_converters.targets.tflite.lower.recurrent import MOST_PACKED, MOST_STEPS
from support.lowering import Array, answers, lowered, model, node_model, operators, random
from support.written import agrees

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, ROWS, WIDTH, HIDDEN = 5, 2, 3, 4


def layer(operator: str, *, steps: int = STEPS, **more: Any) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A model of one layer whose weights keep its state near 1, and what it is asked; ``more`` as of the node."""
    directions = 2 if more.get("direction") == "bidirectional" else 1
    wide = GATES[operator] * HIDDEN
    constants = {
        "W": random(directions, wide, WIDTH, seed=1) / 2,
        "R": random(directions, wide, HIDDEN, seed=2) / 4,
        "B": random(directions, 2 * wide, seed=3) / 2,
    }
    by_row = more.get("layout", 0)
    feed = {"x": random(ROWS, steps, WIDTH) if by_row else random(steps, ROWS, WIDTH)}
    states = ["h", "c"] if operator == "LSTM" else ["h"]
    begun = more.pop("begun", False)
    if begun:
        shape = (ROWS, directions, HIDDEN) if by_row else (directions, ROWS, HIDDEN)
        feed |= {name: random(*shape, seed=4 + index) for index, name in enumerate(states)}
    inputs = ["x", "W", "R", "B", "", *(states if begun else [])]
    for name in ("lengths", "P"):
        if name in more:
            constants[name] = more.pop(name)
    if "lengths" in constants:
        inputs[4] = "lengths"
    if "P" in constants:
        inputs = [*inputs, *[""] * (7 - len(inputs)), "P"]
    return node_model(
        operator, feed, inputs=inputs, outputs=1 + len(states), hidden_size=HIDDEN, opset=17, **constants, **more
    ), feed


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("begun", [False, True])
def test_layer_is_unrolled(operator: str, direction: str, begun: bool) -> None:
    given, feed = layer(operator, direction=direction, begun=begun)
    assert operator not in operators(lowered(given, feed, 2e-6))


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("begun", [False, True])
def test_gru_resets_before_or_behind_its_product(before: int, begun: bool) -> None:
    given, feed = layer("GRU", linear_before_reset=before, begun=begun)
    lowered(given, feed, 2e-6)


@pytest.mark.parametrize(
    "more",
    [
        {"clip": 0.3},
        {"input_forget": 1},
        {"input_forget": 1, "begun": True},
        {"P": random(1, 3 * HIDDEN, seed=9)},
        {"P": random(1, 3 * HIDDEN, seed=9), "begun": True},
        {"activations": ["HardSigmoid", "Relu", "Softsign"]},
        {"activations": ["sigmoid", "tanh", "elu"]},
        {"lengths": np.full(ROWS, STEPS, np.int32)},
    ],
)
def test_options_of_an_lstm_are_kept(more: dict[str, Any]) -> None:
    given, feed = layer("LSTM", **more)
    lowered(given, feed, 2e-6)


@pytest.mark.parametrize("operator", GATES)
def test_rows_may_come_first(operator: str) -> None:
    """ONNX Runtime has no kernel of this layout: the other one is what it must agree with."""
    given, feed = layer(operator, layout=1, begun=True, direction="bidirectional")
    other, _ = layer(operator, begun=True, direction="bidirectional")
    turned = {name: np.ascontiguousarray(value.swapaxes(0, 1)) for name, value in feed.items()}
    expected, found = answers(other, turned), answers(lower(given), feed)
    np.testing.assert_allclose(found["y0"], expected["y0"].transpose(2, 0, 1, 3), atol=2e-6)
    np.testing.assert_allclose(found["y1"], expected["y1"].swapaxes(0, 1), atol=2e-6)


ENDS = {
    "last": "s = Squeeze (y0, one) t = Transpose <perm = [1, 0, 2]> (s) z = Gather <axis = 1> (t, last)",
    "first, of a range": "s = Squeeze (y0, one) t = Slice (s, zero, one, zero) z = Reshape (t, flat)",
    "of both": "t = Transpose <perm = [2, 0, 1, 3]> (y0) s = Reshape (t, rows) z = Gather <axis = 1> (s, last)",
}


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("end", ENDS)
def test_answer_after_one_step_is_read_without_the_others(operator: str, end: str) -> None:
    """What puts them beside each other no delegate would run."""
    given, feed = layer(operator, direction="bidirectional" if end == "of both" else "forward")
    places = {"one": [1], "zero": [0], "flat": [ROWS, HIDDEN], "rows": [ROWS, STEPS, 2 * HIDDEN]}
    constants = {name: np.array(numbers, np.int64) for name, numbers in places.items()} | {"last": np.array(-1)}
    tail = model(f"(float[a, b, c, d] y0) => (float[e, f] z) {{ {ENDS[end]} }}", opset=17, **constants)
    given.graph.node.extend(tail.graph.node)
    given.graph.initializer.extend(tail.graph.initializer)
    del given.graph.output[:]
    given.graph.output.extend(tail.graph.output)
    joined = operators(lowered(given, feed, 2e-6)).count("Concat")
    assert joined == (1 if end == "of both" else 0)


def test_every_step_reads_the_same_weights() -> None:
    given, _ = layer("LSTM", steps=40)
    weights = sum(int(np.prod(tensor.dims)) for tensor in given.graph.initializer)
    kept = sum(int(np.prod(tensor.dims)) for tensor in lower(given).graph.initializer)
    assert kept < 2 * weights


@pytest.mark.parametrize(
    ("operator", "hidden", "steps", "more"),
    [
        ("LSTM", 128, 36, {}),
        ("GRU", 128, 44, {"linear_before_reset": 1}),
        ("GRU", 128, 44, {"direction": "reverse"}),
        ("RNN", 256, 36, {}),
    ],
)
def test_long_layer_reads_its_weights_where_they_are(
    operator: str, hidden: int, steps: int, more: dict[str, Any]
) -> None:
    wide = GATES[operator] * hidden
    weights = {"W": random(1, wide, WIDTH, seed=1), "R": random(1, wide, hidden, seed=2) / 16}
    weights["B"] = random(1, 2 * wide, seed=3)
    assert steps * weights["R"].nbytes > MOST_PACKED
    for length in (steps, 3):
        feed = {"x": random(length, 1, WIDTH)}
        given = node_model(operator, feed, hidden_size=hidden, opset=17, outputs=2, **weights, **more)
        found = agrees(given, feed)
        check_tflite(found.written.model)
        assert found.partitions >= length if length == steps else found.partitions == 1


def test_longest_sequence_that_is_written_has_a_bound() -> None:
    lower(layer("RNN", steps=MOST_STEPS)[0])
    with pytest.raises(
        UnsupportedModelError, match=f"GRU node 'node': it takes {MOST_STEPS + 1} steps.*shorter sequences"
    ):
        lower(layer("GRU", steps=MOST_STEPS + 1)[0])


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("begun", [False, True])
def test_sequences_may_end_early_or_have_no_steps(operator: str, direction: str, begun: bool) -> None:
    for lengths in ([STEPS, STEPS - 2], [0, 1]):
        given, feed = layer(operator, direction=direction, begun=begun, lengths=np.array(lengths, np.int32))
        assert operator not in operators(lowered(given, feed, 2e-6))


@pytest.mark.parametrize("operator", GATES)
def test_lengths_of_sequences_may_come_with_each_call(operator: str) -> None:
    """What lies behind an end counts for nothing, a NaN neither; a length that ONNX Runtime refuses is the nearest."""
    given, feed = layer(operator, direction="bidirectional", begun=True, lengths=np.zeros(ROWS, np.int32))
    held = next(tensor for tensor in given.graph.initializer if tensor.name == "lengths")
    given.graph.initializer.remove(held)
    given.graph.input.append(onnx.helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, [ROWS]))
    feed["x"][3:, 1] = np.nan
    runner = Interpreter(model_content=write(given).model, num_threads=1).get_signature_runner()
    for lengths, asked in (((STEPS, 3), ()), ((1, 2), ()), ((0, 3), ()), ((STEPS, 0), (STEPS + 2, -1))):
        expected = answers(given, {**feed, "lengths": np.array(lengths, np.int32)})
        found = runner(**{**feed, "lengths": np.array(asked or lengths, np.int32)})
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=2e-6)


def test_activation_with_factors_of_its_own_is_refused() -> None:
    given, _ = layer("RNN", activations=["Affine"], activation_alpha=[0.5])
    with pytest.raises(UnsupportedModelError, match="RNN node 'node': its activations have factors"):
        lower(given)


def test_unknown_activation_is_refused_by_name() -> None:
    given, _ = layer("RNN", activations=["ScaledTanh"])
    with pytest.raises(UnsupportedModelError, match="its activation is ScaledTanh; one of Elu"):
        lower(given)


def test_computed_weights_are_refused() -> None:
    feed = {"x": random(2, 1, 3), "W": random(1, 4, 3), "R": random(1, 4, 4)}
    with pytest.raises(UnsupportedModelError, match="RNN node 'node': its input 'W' is computed"):
        lower(node_model("RNN", feed, hidden_size=4))


@pytest.mark.parametrize("operator", GATES)
def test_no_call_remembers_the_one_before(operator: str) -> None:
    """As TFLite's own operator of a whole LSTM does."""
    given, feed = layer(operator, direction="bidirectional")
    interpreter = Interpreter(model_content=write(given).model, num_threads=1)
    runner = interpreter.get_signature_runner()
    expected = answers(given, feed)
    for _ in range(3):
        found = runner(**feed)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=2e-6)
