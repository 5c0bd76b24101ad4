"""How much a guard program may ask for, and which numbers: the reader refuses what the composer refuses."""

from __future__ import annotations

import math

import pytest

from edge_rai import BundleError, PolicyError
from edge_rai._native import GuardProgram, PolicyBuilder
from support import guard_bytes as raw
from support.compose import add_input, add_output, compose
from support.guard_bytes import FEATURE, INPUT, OUTPUT, PLAIN, guard
from support.refusals import asking, assert_both_refuse

NAN = math.nan
# Of which type a number is not, in a list of categories, and as what is missing or becomes of it.
FOREIGN: list[tuple[str, float]] = [
    ("float32", 1e39), ("float16", 65505), ("bfloat16", 3.4e38), ("int8", 300), ("int8", 0.5), ("uint8", -1),
    ("int16", 2**15), ("uint16", 2**16), ("int32", -(2.0**31) - 1), ("uint32", 2.0**32), ("int64", 2.0**63),
    ("uint64", 2.0**64), ("bool", 2),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "number"), FOREIGN)
def test_checks_hold_only_numbers_that_their_type_has(dtype: str, number: float) -> None:
    rule = {**INPUT, "dtype": dtype}
    for kind, fault, message in (
        ("categories", {"values": (number,)}, rf"category 0 is \S+, which no {dtype} is"),
        ("missing", {"limit": NAN, "values": (number,)}, f"one finite value of its type, {dtype}"),
        ("missing", {"limit": number, "values": (1.0,)}, f"one finite value of its type, {dtype}"),
    ):
        assert_both_refuse((rule, asking(FEATURE, raw.CHECKS, kind, fault), OUTPUT), message)


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        ("bfloat16", (2 - 2**-7) * 2.0**127),
        ("float16", -65504),
        ("int8", -128),
        ("int64", -(2.0**63)),
        ("float64", 1e308),
    ],
)
def test_checks_hold_the_greatest_numbers_of_their_type(dtype: str, number: float) -> None:
    asks = {
        "categories": (1, {"verdict": 2, "values": (number,)}),
        "missing": (3, {"verdict": 0, "limit": number, "values": (number,)}),
    }
    output = {**OUTPUT, "dtype": dtype, "default": (number,)}
    assert GuardProgram(compose([({**INPUT, "dtype": dtype}, [{**FEATURE, "asks": asks}, PLAIN])], [output]))


@pytest.mark.parametrize(("dtype", "number"), [("bfloat16", 3.4e38), ("float16", -65505.0)])
def test_default_beyond_a_small_float_is_refused(dtype: str, number: float) -> None:
    assert_both_refuse((INPUT, FEATURE, {**OUTPUT, "dtype": dtype, "default": (number,)}), "does not fit its data type")


def test_sum_of_scores_is_refused() -> None:
    scores = asking({**raw.PROBABILITIES, "logits": True}, raw.OUTPUT_CHECKS, "sum", {})
    assert_both_refuse((INPUT, FEATURE, scores), "'p': the sum of scores says nothing, and that of their shares is 1")


@pytest.mark.parametrize(
    "shape", [(None, 2**26 + 1), (None, 2**31 - 1, 2**31 - 1, 2**31 - 1), (None, None, 2**13, 0, 2**14)]
)
def test_output_whose_fixed_extents_are_beyond_any_model_is_refused(shape: tuple[int | None, ...]) -> None:
    message = "output 'y': its fixed extents make more than 67108864 elements"
    assert_both_refuse((INPUT, FEATURE, {**OUTPUT, "shape": shape, "default": None}), message)


def test_state_whose_fixed_extents_are_beyond_any_model_is_refused() -> None:
    vast = {**INPUT, "name": "h", "shape": (2**13, 2**14), "max_shape": (2**13, 2**14), "feature_axis": None}
    output = {**raw.PROBABILITIES, "name": "next h", "shape": (None, None), "default": None}
    given = [(INPUT, [FEATURE, PLAIN]), (vast, [{**PLAIN, "name": "h"}])]
    message = "state 'h': its fixed extents make more than 67108864 elements"
    builder = PolicyBuilder(batched=False)
    for rule, features in given:
        add_input(builder, rule, features)
    add_output(builder, output)
    builder.add_state(**raw.STATE)
    with pytest.raises(PolicyError, match=message):
        builder.write()
    inputs = [raw.input_record(rule, features) for rule, features in given]
    end = raw.ending(states=[raw.state_record(raw.STATE)])
    with pytest.raises(BundleError, match=message):
        GuardProgram(guard(inputs, [raw.output_record(output)], batched=0, end=end))


def test_output_may_have_as_many_elements_as_the_format_allows() -> None:
    most = {**OUTPUT, "shape": (None, 2**13, None, 2**13), "default": None}
    assert GuardProgram(compose([(INPUT, [FEATURE, PLAIN])], [most]))
