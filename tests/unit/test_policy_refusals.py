"""What a rule may say is decided once: the reader of guard programs refuses what their composer refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edge_rai import BundleError, PolicyError
from edge_rai._native import GuardProgram, PolicyBuilder
from support import guard_bytes as raw
from support.compose import add_input, add_output, compose, set_distance
from support.guard_bytes import FEATURE, INPUT, OUTPUT, PLAIN, guard
from support.refusals import asking, assert_both_refuse

X = raw.input_record(INPUT, [FEATURE, PLAIN])
Y = raw.output_record(OUTPUT)
NAN = math.nan
INPUT_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"dtype": "complex64"}, "an unknown type is not supported"),
    ({"sketch_stride": 0}, "sketch_stride is 0"),
    ({"shape": (None, 0), "max_shape": (64, 0)}, "axis 1 is 0"),
    ({"max_shape": (0, 2)}, "axis 0 is -1 with at most 0"),
    ({"max_shape": (2**31, 2)}, "axis 0 is -1 with at most 2147483648"),
    ({"shape": (None, 2**31), "max_shape": (64, 2**31)}, "axis 1 is 2147483648"),
    ({"shape": (64, 2)}, "a batched policy needs a free axis 0"),
    ({"shape": (), "max_shape": (), "feature_axis": None}, "a batched policy needs a free axis 0"),
    ({"feature_axis": 2}, "feature_axis 2"),
    ({"feature_axis": -2}, "feature_axis -2"),
    ({"feature_axis": 0}, "feature_axis 0"),
    ({"shape": (None, None), "max_shape": (64, 2)}, "feature_axis 1"),
]
FEATURE_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"low": 2.0, "high": 1.0}, "low 2 is not at most high 1"),
    ({"low": NAN}, "low nan"),
    ({"high": NAN}, "high nan"),
    ({"mean": NAN}, "mean nan"),
    ({"mean": math.inf}, "mean inf"),
    ({"stddev": NAN}, "standard deviation nan"),
    ({"stddev": math.inf}, "standard deviation inf"),
    ({"stddev": -1e-300}, "standard deviation -1e-300"),
    ({"edges": (0.0, 0.0, 1.0)}, "edge 1 is 0"),
    ({"edges": (0.0, NAN, 1.0)}, "edge 1 is nan"),
    ({"edges": (NAN, 0.0, 1.0)}, "edge 0 is nan"),
    ({"edges": (0.0, 1.0, math.inf)}, "edge 2 is inf"),
    ({"edges": (-0.0, 0.0, 1.0)}, "edge 1 is 0"),
    ({"edges": tuple(range(32)), "counts": (1,) * 33}, "33 bins, at most 32"),
]
OUTPUT_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"dtype": "complex64"}, "an unknown type of rank 2 is not supported"),
    ({"shape": (None, -2)}, "axis 1 is -2"),
    ({"shape": (None, 2**31)}, "axis 1 is 2147483648"),
    ({"shape": (1, 3)}, "a batched policy needs a free axis 0"),
    ({"shape": (), "default": None}, "a batched policy needs a free axis 0"),
    ({"default": (1, 2)}, "a default of 2 values"),
    ({"default": ()}, "a default of 0 values"),
    ({"shape": (None, None), "default": (1, 2, 3)}, "a default of 3 values"),
    ({"shape": (None, 65537), "default": (0,) * 65537}, "a default of 65537 values"),
    ({"default": (1, 2, 0.5)}, "default 0.5 does not fit"),
    ({"default": (1, 2, NAN)}, "default nan does not fit"),
    ({"default": (2.0**63,)}, "default 9.22337e"),
    ({"dtype": "float32", "default": (1e39,)}, "default 1e\\+39 does not fit"),
    ({"dtype": "uint8", "default": (-1,)}, "default -1 does not fit"),
    ({"dtype": "uint8", "default": (256,)}, "default 256 does not fit"),
    ({"dtype": "int8", "default": (128,)}, "default 128 does not fit"),
    ({"dtype": "int16", "default": (-32769,)}, "default -32769 does not fit"),
    ({"dtype": "uint16", "default": (65536,)}, "default 65536 does not fit"),
    ({"dtype": "int32", "default": (2**31,)}, "does not fit"),
    ({"dtype": "uint32", "default": (2**32,)}, "does not fit"),
    ({"dtype": "uint64", "default": (2.0**64,)}, "does not fit"),
    ({"dtype": "bool", "default": (2,)}, "default 2 does not fit"),
]


@pytest.mark.parametrize(("fault", "message"), INPUT_FAULTS)
def test_reader_refuses_every_input_that_the_composer_refuses(fault: dict[str, Any], message: str) -> None:
    assert_both_refuse(({**INPUT, **fault}, FEATURE, OUTPUT), message)


@pytest.mark.parametrize(("fault", "message"), FEATURE_FAULTS)
def test_reader_refuses_every_feature_that_the_composer_refuses(fault: dict[str, Any], message: str) -> None:
    rule = (INPUT, {**FEATURE, **fault}, OUTPUT)
    if len(rule[1]["counts"]) > 32:
        message += "|cut short or too large"
    assert_both_refuse(rule, message)


@pytest.mark.parametrize(("fault", "message"), OUTPUT_FAULTS)
def test_reader_refuses_every_output_that_the_composer_refuses(fault: dict[str, Any], message: str) -> None:
    rule = (INPUT, FEATURE, {**OUTPUT, **fault})
    if len(rule[2]["default"] or ()) > 65536:
        message += "|cut short or too large"
    assert_both_refuse(rule, message)


INF = math.inf
# Kind as in the builder; what replaces its arguments; what both say.
CHECK_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    *[(kind, {"verdict": 3}, "verdict 3") for kind in raw.CHECKS],
    *[(kind, {"verdict": 0}, "verdict 0") for kind in raw.CHECKS if kind != "missing"],
    *[(kind, {"low": NAN}, "from nan to") for kind in raw.CHECKS],
    ("categories", {"values": ()}, "0 categories"),
    ("categories", {"values": (0.0, 0.0)}, "category 1"),
    ("categories", {"values": (1.0, 0.0)}, "category 1"),
    ("categories", {"values": (0.0, INF)}, "category 1"),
    ("categories", {"values": (NAN,)}, "category 0"),
    ("missing", {"values": (1.0, 2.0)}, "missing is NaN or one finite value"),
    ("missing", {"values": (INF,)}, "missing is NaN or one finite value"),
    ("missing", {"limit": INF}, "missing is NaN or one finite value"),
    ("stuck", {"window": 1}, "a stuck window is at least 2"),
    ("step", {"limit": -1.0}, "limit -1 of check 5"),
    ("step", {"limit": INF}, "limit inf of check 5"),
    ("step", {"limit": NAN}, "limit nan of check 5"),
    ("mean", {"low": 5.0}, "from 5 to 4; expected low <= high"),
    ("stddev", {"low": -INF}, "from -inf to inf; expected low <= high"),
    ("clipped", {"limit": -0.1}, "limit -0.1 of check 8"),
    ("clipped", {"low": 300.0}, "from 300 to 255"),
    ("age", {"limit": 0.0}, "0 seconds a unit"),
    ("age", {"limit": INF}, "inf seconds a unit"),
    ("age", {"low": 61.0}, "from 61 to 60"),
]
TEXT_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("categories", {"texts": ("red", "blue")}, "category 1"),
    ("categories", {"texts": ("red", "red")}, "category 1"),
    ("length", {"low": 33.0}, "from 33 to 32"),
    ("characters", {"values": ()}, "0 ends of ranges"),
    ("characters", {"values": (97.0,)}, "1 ends of ranges"),
    ("characters", {"values": (98.0, 97.0)}, "range end 1 is 97"),
    ("characters", {"values": (0.5, 97.0)}, "range end 0 is 0.5"),
    ("characters", {"values": (97.0, 1114112.0)}, "range end 1 is 1.11411e\\+06"),
]
RESULT_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    *[(kind, {"verdict": 3}, "verdict 3") for kind in raw.OUTPUT_CHECKS],
    *[(kind, {"low": 2.0, "high": 1.0}, "from 2 to 1") for kind in raw.OUTPUT_CHECKS],
    *[(kind, {"low": -INF, "high": INF}, "from -inf to inf") for kind in raw.OUTPUT_CHECKS],
]
WORD = {**PLAIN, "name": "grösse"}
WORDS = {**INPUT, "dtype": "string", "flag_range": False}


@pytest.mark.parametrize(("kind", "fault", "message"), CHECK_FAULTS)
def test_reader_refuses_every_check_that_the_composer_refuses(kind: str, fault: dict[str, Any], message: str) -> None:
    assert_both_refuse((INPUT, asking(FEATURE, raw.CHECKS, kind, fault), OUTPUT), message)


@pytest.mark.parametrize(("kind", "fault", "message"), TEXT_FAULTS)
def test_reader_refuses_every_check_of_strings_that_the_composer_refuses(
    kind: str, fault: dict[str, Any], message: str
) -> None:
    assert_both_refuse((WORDS, asking(WORD, raw.TEXT_CHECKS, kind, fault), OUTPUT), message)


@pytest.mark.parametrize(("kind", "fault", "message"), RESULT_FAULTS)
def test_reader_refuses_every_check_of_outputs_that_the_composer_refuses(
    kind: str, fault: dict[str, Any], message: str
) -> None:
    assert_both_refuse((INPUT, FEATURE, asking(raw.PROBABILITIES, raw.OUTPUT_CHECKS, kind, fault)), message)


@pytest.mark.parametrize("kind", [*raw.CHECKS, *raw.OUTPUT_CHECKS])
def test_checks_of_numbers_and_of_outputs_are_refused_elsewhere(kind: str) -> None:
    message = f"there is no check { ({**raw.CHECKS, **raw.OUTPUT_CHECKS}[kind][0]) } of"
    if kind in raw.CHECKS:
        assert_both_refuse((INPUT, FEATURE, asking(raw.PROBABILITIES, raw.CHECKS, kind, {})), message)
        if kind not in raw.TEXT_CHECKS:
            assert_both_refuse((WORDS, asking(WORD, raw.CHECKS, kind, {}), OUTPUT), message)
    else:
        assert_both_refuse((INPUT, asking(FEATURE, raw.OUTPUT_CHECKS, kind, {}), OUTPUT), message)
        words = {**OUTPUT, "dtype": "string", "default": None}
        assert_both_refuse((INPUT, FEATURE, asking(words, raw.OUTPUT_CHECKS, kind, {})), message)


@pytest.mark.parametrize("kind", ["length", "characters"])
def test_checks_of_strings_are_refused_elsewhere(kind: str) -> None:
    assert_both_refuse((INPUT, asking(FEATURE, raw.TEXT_CHECKS, kind, {}), OUTPUT), "there is no check")


def test_check_comes_once() -> None:
    number, arguments = raw.CHECKS["integral"]
    twice = {**FEATURE, "asks": {"integral": (number, arguments), "again": (number, arguments)}}
    with pytest.raises(BundleError, match="check 2 twice"):
        GuardProgram(guard([raw.input_record(INPUT, [twice, PLAIN])], [Y]))
    builder = PolicyBuilder(batched=True)
    add_input(builder, INPUT, [PLAIN, {**FEATURE, "asks": {"integral": (number, arguments)}}])
    builder.add_check("integral", **arguments)
    add_output(builder, OUTPUT)
    with pytest.raises(PolicyError, match="check 2 twice"):
        builder.write()


DISTANCE_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"verdict": 0}, "a distance with 2 directions"),
    ({"verdict": 3}, "a distance with 2 directions"),
    ({"threshold": 0.0}, "threshold 0"),
    ({"threshold": NAN}, "threshold nan"),
    ({"rest": INF}, "rest inf"),
    ({"false_rejection_rate": -0.1}, "rate -0.1"),
    ({"false_rejection_rate": 1.1}, "rate 1.1"),
    ({"mean": (0.0, NAN)}, "not finite"),
    ({"scale": (INF, 1.0)}, "not finite"),
    ({"weights": (1.0, NAN)}, "not finite"),
    ({"projection": ((1.0, 0.0), (INF, 0.0))}, "not finite"),
    ({"weights": (1.0,) * 65, "projection": ((0.0, 0.0),) * 65}, "65 directions|a distance is cut short"),
]


@pytest.mark.parametrize(("fault", "message"), DISTANCE_FAULTS)
def test_reader_refuses_every_distance_that_the_composer_refuses(fault: dict[str, Any], message: str) -> None:
    rule = {**raw.DISTANCE, **fault}
    builder = PolicyBuilder(batched=True)
    add_input(builder, INPUT, [FEATURE, PLAIN])
    with pytest.raises(PolicyError, match=message):
        set_distance(builder, rule)
    with pytest.raises(BundleError, match=message):
        GuardProgram(guard([raw.input_record(INPUT, [FEATURE, PLAIN], distance=raw.distance_record(**rule))], [Y]))


NO_TABLES: list[dict[str, Any]] = [
    {"feature_axis": None},
    {"dtype": "string", "flag_range": False},
    {"shape": (None, 2, 3), "max_shape": (64, 2, 3)},
    {"shape": (None, 2, None), "max_shape": (64, 2, 1)},
]


@pytest.mark.parametrize("change", NO_TABLES)
def test_distance_needs_numbers_and_columns(change: dict[str, Any]) -> None:
    rule = {**INPUT, **change}
    features = [WORD] if "feature_axis" in change else [WORD, {**PLAIN, "name": "other"}]
    builder = PolicyBuilder(batched=True)
    add_input(builder, rule, features)
    with pytest.raises(PolicyError, match="a distance needs numbers, a feature axis, and one value a feature"):
        set_distance(builder, raw.DISTANCE)
    with pytest.raises(BundleError, match="a distance needs numbers, a feature axis, and one value a feature"):
        GuardProgram(guard([raw.input_record(rule, features, distance=raw.distance_record(**raw.DISTANCE))], [Y]))


DECISION_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"rate_burst": 0}, "both or neither"),
    ({"rate_per_second": 0.0}, "both or neither"),
    ({"rate_per_second": NAN}, "rate limit: nan"),
    ({"rate_per_second": INF}, "rate limit: inf"),
    ({"last_good_keys": 0}, "last_good: 0 keys"),
    ({"last_good_age_ns": 0}, "last_good needs an age and keys"),
    ({"last_good_keys": 65537}, "last_good: 65537 keys"),
    ({"review_rows": 65537}, "review: 65537 rows"),
    ({"hold_after": 0}, "hysteresis: after 0"),
    ({"hold_until": 0}, "until 0"),
    ({"breaker_window": 65}, "of 65 calls"),
    ({"breaker_window": 1}, "2 failures of 1 calls"),
    ({"breaker_failures": 0}, "0 failures"),
    ({"breaker_probes": 0}, "0 probes"),
    ({"breaker_cooldown_ns": 0}, "a cooldown"),
    ({"flags": ("shared",)}, "something that breaks it"),
]


@pytest.mark.parametrize(("fault", "message"), DECISION_FAULTS)
def test_reader_refuses_every_decision_that_the_composer_refuses(fault: dict[str, Any], message: str) -> None:
    rule = {**raw.DECISION, **fault}
    with pytest.raises(PolicyError, match=message):
        PolicyBuilder(batched=True).set_decision(**rule)
    with pytest.raises(BundleError, match=message):
        GuardProgram(raw.full_guard(decision=rule))


@pytest.mark.parametrize("chain", [(), (0,), (6,), (3, 3), (1, 2, 3, 4, 5, 1)])
def test_reader_refuses_every_fallback_chain_that_the_composer_refuses(chain: tuple[int, ...]) -> None:
    with pytest.raises(PolicyError, match="fallback: "):
        PolicyBuilder(batched=True).add_fallback(reasons=(), chain=chain)
    with pytest.raises(BundleError, match="fallback"):
        GuardProgram(guard([X], [Y], end=raw.ending(fallbacks=[raw.fallback_record(1, chain)])))
    with pytest.raises(BundleError, match="at least one reason"):
        GuardProgram(guard([X], [Y], end=raw.ending(fallbacks=[raw.fallback_record(0, (3,))])))


STATE_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"input": "nobody"}, "there is no such pair"),
    ({"output": "nobody"}, "there is no such pair"),
    ({"output": "p"}, "is no next value of it"),
    ({"output": "map"}, "is no next value of it"),
    ({"input": "x", "output": "p"}, "is no next value of it"),
    ({"input": "words"}, "is no next value of it"),
    ({"row_axis": None}, "is no next value of it"),
    ({"row_axis": 1}, "is no next value of it"),
    ({"row_axis": 2}, "is no next value of it"),
    ({"row_axis": -2}, "is no next value of it"),
]


@pytest.mark.parametrize(("fault", "message"), STATE_FAULTS)
def test_state_that_is_no_pair_is_refused_when_written_and_when_read(fault: dict[str, Any], message: str) -> None:
    rule = {**raw.STATE, **fault}
    builder = PolicyBuilder(batched=True)
    for given, features, _ in raw.FULL_INPUTS:
        add_input(builder, given, features)
    for output in raw.FULL_OUTPUTS:
        add_output(builder, output)
    builder.add_state(**rule)
    with pytest.raises(PolicyError, match=message):
        builder.write()
    inputs = [raw.input_record(given, features) for given, features, _ in raw.FULL_INPUTS]
    outputs = [raw.output_record(output) for output in raw.FULL_OUTPUTS]
    with pytest.raises(BundleError, match=message):
        GuardProgram(guard(inputs, outputs, end=raw.ending(states=[raw.state_record(rule)])))
    with pytest.raises(BundleError, match="has one already"):
        GuardProgram(guard(inputs, outputs, end=raw.ending(states=[raw.state_record(raw.STATE)] * 2)))


def test_composer_refuses_checks_and_distances_out_of_order() -> None:
    builder = PolicyBuilder(batched=True)
    with pytest.raises(ValueError, match="a check comes right after the feature or output"):
        builder.add_check("integral", verdict=2)
    builder.add_input(**INPUT)
    with pytest.raises(ValueError, match="a distance comes after all features"):
        set_distance(builder, raw.DISTANCE)


def test_composer_takes_as_many_rules_as_the_format_and_no_more() -> None:
    builder = PolicyBuilder(batched=True)
    for _ in range(16):
        builder.add_fallback(reasons=(), chain=(5,))
    with pytest.raises(PolicyError, match="at most 16 fallback rules"):
        builder.add_fallback(reasons=(), chain=(5,))
    for _ in range(64):
        builder.add_state(**raw.STATE)
    with pytest.raises(PolicyError, match="at most 64 states"):
        builder.add_state(**raw.STATE)


@pytest.mark.parametrize("label", ["", "n" * 1025])
def test_names_have_1_to_1024_bytes(label: str) -> None:
    named = {"name": label}
    for rule, feature, output in (
        ({**INPUT, **named}, FEATURE, OUTPUT),
        (INPUT, {**FEATURE, **named}, OUTPUT),
        (INPUT, FEATURE, {**OUTPUT, **named}),
    ):
        with pytest.raises(PolicyError, match="expected a name of 1 to 1024 bytes"):
            compose([(rule, [feature, PLAIN])], [output])
        with pytest.raises(BundleError, match="cut short"):
            GuardProgram(guard([raw.input_record(rule, [feature, PLAIN])], [raw.output_record(output)]))


def test_composer_refuses_rules_out_of_order_and_incomplete_programs() -> None:
    with pytest.raises(PolicyError, match="'z': the input before it lacks 1 features"):
        compose([(INPUT, [FEATURE]), ({**INPUT, "name": "z"}, [FEATURE, PLAIN])], [OUTPUT])
    with pytest.raises(PolicyError, match="'plain': the input has all its features already"):
        compose([(INPUT, [FEATURE, PLAIN, PLAIN])], [OUTPUT])
    for inputs, outputs in (([], [OUTPUT]), ([(INPUT, [FEATURE, PLAIN])], []), ([(INPUT, [FEATURE])], [OUTPUT])):
        with pytest.raises(PolicyError):
            compose(inputs, outputs)
    with pytest.raises(PolicyError, match="at most 256 inputs"):
        compose([({**INPUT, "name": str(i)}, [PLAIN, PLAIN]) for i in range(257)], [OUTPUT])
    with pytest.raises(PolicyError, match="at most 256 outputs"):
        compose([(INPUT, [PLAIN, PLAIN])], [{**OUTPUT, "name": str(i)} for i in range(257)])
    with pytest.raises(PolicyError, match="more than 65536 features"):
        compose([({**INPUT, "shape": (None, 65537), "max_shape": (1, 65537)}, [])], [])
    with pytest.raises(PolicyError, match="2 edges for 2 bins"):
        compose([(INPUT, [{**FEATURE, "edges": (1, 2), "counts": (1, 2)}])], [OUTPUT])
