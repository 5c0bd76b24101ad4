"""Which layers stay float when int8 harms too much."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_rai_converters.passes.contract import NotApplicableError, apply
from edge_rai_converters.passes.quantize import mixed_int8, mixed_layers, static_int8
from support.calibrating import answers, delicate, graph_model, material
from support.networks import digits_mlp

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(400, 16)).astype(np.float32)


def agreement(model: onnx.ModelProto, other: onnx.ModelProto) -> float:
    return float(np.mean(answers(model, ROWS).argmax(axis=1) == answers(other, ROWS).argmax(axis=1)))


def test_the_worst_layers_return_to_float_and_the_others_stay_int8() -> None:
    model = delicate()
    assert agreement(model, apply([static_int8()], model, material(ROWS))) < 0.6
    mixed = apply([mixed_int8(max_drop=3.0)], model, material(ROWS))
    assert "wide" in mixed_layers(mixed)
    assert "head" not in mixed_layers(mixed)
    assert agreement(model, mixed) > 0.95


def test_what_stayed_float_and_the_harm_of_each_layer_are_noted() -> None:
    mixed = apply([mixed_int8(max_drop=3.0)], delicate(), material(ROWS))
    notes = {entry.key: entry.value for entry in mixed.metadata_props}
    assert notes["edge_rai.float_layers"] == ", ".join(mixed_layers(mixed))
    harm = [entry.split() for entry in notes["edge_rai.int8_harm"].split(", ")]
    assert {name for name, _ in harm} == {"into", "wide", "head"}
    shares = [float(share) for _, share in harm]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.5 > 0.1 > shares[-1]


def test_budget_that_all_of_int8_keeps_leaves_nothing_in_float() -> None:
    digits = digits_mlp(0)
    rows = digits.x_train[:400]
    mixed = apply([mixed_int8(max_drop=1.0)], digits.model, material(rows))
    assert mixed_layers(mixed) == ()
    assert mixed.ByteSize() < 0.35 * digits.model.ByteSize()


def test_model_without_classes_is_held_to_the_range_of_its_output() -> None:
    model = delicate(classes=1)
    mixed = apply([mixed_int8(max_drop=0.0)], model, material(ROWS))
    expected, found = answers(model, ROWS), answers(mixed, ROWS)
    assert "wide" in mixed_layers(mixed)
    assert np.abs(found - expected).max() < 0.07 * np.ptp(expected)


def test_model_of_which_every_layer_is_too_delicate_is_refused() -> None:
    model = graph_model(
        [helper.make_node("Gemm", ["x", "w"], ["y"], "only")],
        {"w": np.concatenate([np.eye(15), -np.ones((1, 15))]).astype(np.float32)},
        ["N", 16],
        ["N", 15],
    )
    rows = ROWS.copy()
    rows += 1e5 * rows[:, -1:]  # and each answer is the difference of two such numbers
    with pytest.raises(NotApplicableError, match="even with 'only' alone in int8 more answers change"):
        apply([mixed_int8(max_drop=0.0)], model, material(rows))


def test_rows_that_judge_are_not_those_that_give_the_ranges() -> None:
    # Of four rows, the fourth judges. It is a thousand times as great, so a range that it gave would leave the others
    # three levels of int8; a range that it did not give clips it, at which every layer is refused.
    rows = ROWS.copy()
    rows[3::4] *= 1000
    model = graph_model(
        [helper.make_node("Gemm", ["x", "w"], ["y"], "only")], {"w": np.eye(16, dtype=np.float32)}, ["N", 16], ["N", 16]
    )
    with pytest.raises(NotApplicableError, match="'only' alone"):
        apply([mixed_int8(max_drop=5.0)], model, material(rows))
    apply([mixed_int8(max_drop=5.0)], model, material(ROWS))


def test_model_that_answers_one_row_at_a_time_is_mixed_too() -> None:
    model = delicate()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    mixed = apply([mixed_int8(max_drop=3.0)], model, material(ROWS[:100], batched=False))
    assert "wide" in mixed_layers(mixed)


def test_too_few_rows_to_keep_some_apart_are_refused() -> None:
    with pytest.raises(NotApplicableError, match="of 3 calibration rows none can be kept apart"):
        apply([mixed_int8(max_drop=1.0)], delicate(), material(ROWS[:3]))


def test_progress_never_goes_back_and_ends_near_all() -> None:
    said: list[float] = []
    apply([mixed_int8(max_drop=100.0)], delicate(), material(ROWS, progress=said.append))
    assert said == sorted(said)
    assert 0 < said[0] < 0.3
    assert 0.8 < said[-1] <= 1


def test_layer_in_int8_keeps_its_relu_where_the_next_one_is_float() -> None:
    # The quantizer leaves the Relu to the rounding behind it, whose range begins at zero.
    rng = np.random.default_rng(2)
    model = graph_model(
        [
            helper.make_node("Gemm", ["x", "w0"], ["a"], "first"),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Gemm", ["b", "w1"], ["y"], "second"),
        ],
        {name: rng.normal(size=(16, 16)).astype(np.float32) / 4 for name in ("w0", "w1")},
        ["N", 16],
        ["N", 16],
    )
    half = apply([static_int8(keep_float=["second"])], model, material(ROWS))
    expected = answers(model, ROWS)
    assert np.abs(answers(half, ROWS) - expected).max() < 0.05 * np.abs(expected).max()
