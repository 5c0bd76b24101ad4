from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edge_rai._native import GuardProgram
from edge_rai.errors import BundleError, IntegrityError, PolicyError
from edge_rai.policy import (
    DistanceReference,
    FeatureReference,
    FeatureRule,
    InputRule,
    Reference,
    check_guard,
    compile_policy,
    load_policy,
    parse_policy,
    policy_to_toml,
)
from support import guard_bytes as raw

WRITTEN = """\
format_version = 1
batched = true

[[inputs]]
name = "x"
dtype = "float32"
shape = [-1, 2]
max_shape = [64, 2]
out_of_range = "flag"
feature_axis = 1

[[inputs.features]]
name = "mean radius"
low = 0.1
high = 30

[[inputs.features]]
name = "texture"

[[outputs]]
name = "p"
dtype = "float32"
shape = [-1, 3]
default = [nan, 0.5, 1]
"""


EVERY_FIELD = """\
format_version = 1
batched = true

[[inputs]]
name = "x"
dtype = "float32"
shape = [-1, 2]
max_shape = [64, 2]
finite = true
out_of_range = "flag"
feature_axis = 1
sketch_stride = 3
distance = { threshold = 9.5, kind = "low_rank", false_rejection_rate = 0.01, verdict = "flag" }

[[inputs.features]]
name = "gr\u00f6sse"
unit = "cm"
low = -1.5
high = 30
missing = { value = -999, becomes = 0.25 }
categories = [3, -1.5, 0]
integral = true
monotonic = true
stuck = 5
step = 0.5
mean = [-1, 4]
stddev = [0.01, inf]
clipped = { low = 0, high = 255, share = 0.5 }
age = { max_s = 60, ahead_s = 5, unit_s = 0.001 }
verdict = "flag"

[[inputs.features]]
name = "plain"

[[inputs]]
name = "words"
dtype = "string"
shape = [-1, 2]
max_shape = [64, 2]
empty = true
sketch_stride = 3

[[inputs.features]]
name = "word"
categories = ["red", "", "\u00e9", "blue"]
length = [1, 32]
characters = "a-z\U0010ffff"
stuck = 2

[[inputs]]
name = "h"
dtype = "float32"
shape = [-1, 4]
max_shape = [64, 4]
out_of_range = "flag"
sketch_stride = 3

[[outputs]]
name = "p"
dtype = "float32"
shape = [-1, 3]
default = [0.25]
range = [0, 1]
sum = [0.99, 1.01]
confidence = 0.6
margin = 0.1
entropy = 0.5

[[outputs]]
name = "next h"
dtype = "float32"
shape = [-1, 4]
default = [0.25]
logits = true

[[outputs]]
name = "map"
dtype = "object"
shape = []
finite = false

[decision]
deadline_ms = 5
review_rows = 65536
provider = "CPUExecutionProvider"
last_good = { max_age_s = 1099.511627776, keys = 7, shared = true }
hysteresis = { after = 3, until = 65536 }
breaker = { on = ["error", "reject", "drift"], window = 64, failures = 2, cooldown_s = 1e-9, probes = 1 }
rate_limit = { rows_per_second = 0.5, burst = 10 }

[[fallback]]
reasons = ["deadline", "out_of_distribution"]
chain = ["model", "last_good", "abstain", "default"]

[[fallback]]
reasons = ["held"]
chain = ["reject"]

[[fallback]]
chain = ["abstain"]

[[states]]
input = "h"
output = "next h"
row_axis = 0

[drift]
average_run_length = 1e6
effect = 0.01
verdict = "flag"
strides = { "gr\u00f6sse" = 5, "distance of x" = 2 }

[[observe]]
kind = "distance"
of = "x"

[[observe]]
kind = "value"
of = "p"
element = 2

[[observe]]
kind = "seasonal"
of = "plain"
slots = 24

[[observe]]
kind = "wrong"
of = "p"
limit = -0.5
bound = 0.125
"""


def every_field_reference() -> Reference:
    feature = raw.FEATURE
    edges, counts = np.array(feature["edges"]), np.array(feature["counts"], np.uint64)
    arrays = (np.array(raw.DISTANCE[name]) for name in ("mean", "scale", "projection", "weights"))
    season, none = raw.OBSERVATIONS[2], (np.zeros(0), np.zeros(0, np.uint64))
    slots = {name: season[name] for name in ("slot_means", "slot_scales")}
    return Reference(
        (
            FeatureReference("x", feature["name"], 10, feature["mean"], feature["stddev"], edges, counts),
            FeatureReference("", season["name"], 0, 0.0, 0.0, *none, **slots),
            FeatureReference("", "distance of x", 9, 0.5, 0.25, np.array([1.5]), np.array([4, 4], np.uint64)),
        ),
        (DistanceReference("x", *arrays, rest=raw.DISTANCE["rest"]),),
    )


def test_every_field_compiles_to_the_bytes_of_the_document() -> None:
    def flagged(checks: dict[str, Any]) -> dict[str, Any]:
        return {kind: (number, {**arguments, "verdict": 1}) for kind, (number, arguments) in checks.items()}

    def rejected(checks: dict[str, Any]) -> dict[str, Any]:
        return {kind: (number, {**arguments, "verdict": 2}) for kind, (number, arguments) in checks.items()}

    order = ("missing", "categories", "integral", "monotonic", "stuck", "step", "mean", "stddev", "clipped", "age")
    asks = {kind: flagged(raw.CHECKS)[kind] for kind in order} | {"missing": raw.CHECKS["missing"]}
    words, state = raw.FULL_INPUTS[1][0], raw.FULL_INPUTS[2][0]
    word = {**raw.PLAIN, "name": "word", "stand_in": "red", "mean": 0.0, "asks": rejected(raw.TEXT_CHECKS)}
    plain = {**raw.PLAIN, "mean": 0.0}
    inputs = [
        raw.input_record(
            raw.INPUT, [{**raw.FEATURE, "asks": asks}, plain], distance=raw.distance_record(**raw.DISTANCE)
        ),
        raw.input_record(words, [word]),
        raw.input_record(state, [{**plain, "name": "h"}]),
    ]
    probabilities = {**raw.FULL_OUTPUTS[0], "asks": rejected(raw.OUTPUT_CHECKS)}
    decision = {**raw.DECISION, "hold_until": 65536}
    end = raw.ending(
        raw.decision_record(decision),
        [
            raw.fallback_record(1 << 22 | 1 << 29, (1, 2, 4, 3)),
            raw.fallback_record(1 << 32, (5,)),
            raw.fallback_record(2**64 - 1, (4,)),
        ],
        [raw.state_record(raw.STATE)],
        raw.drift_record(raw.DRIFT),
        observations=[raw.observation_record(rule) for rule in raw.OBSERVATIONS],
    )
    expected = raw.guard(inputs, [raw.output_record(rule) for rule in (probabilities, *raw.FULL_OUTPUTS[1:])], end=end)
    assert compile_policy(parse_policy(EVERY_FIELD), every_field_reference()) == expected
    written = policy_to_toml(parse_policy(EVERY_FIELD))
    read = Reference.from_json(every_field_reference().to_json())
    assert compile_policy(parse_policy(written), read) == expected


def reference(*, name: str = "mean radius") -> Reference:
    edges = np.array([0.1, 0.2, 0.30000001], dtype=np.float32).astype(np.float64)
    counts = np.array([1, 2, 3, 4], dtype=np.uint64)
    return Reference((FeatureReference("x", name, 10, 1 / 3, 2 / 3, edges, counts),))


def test_written_policy_reads_as_its_rules() -> None:
    policy = parse_policy(WRITTEN)
    rule = policy.inputs[0]
    assert policy.batched
    assert (rule.shape, rule.max_shape, rule.feature_axis, rule.finite) == ((-1, 2), (64, 2), 1, True)
    assert rule.out_of_range == "flag"
    assert rule.features[0] == FeatureRule("mean radius", 0.1, 30.0)
    assert rule.features[1] == FeatureRule("texture")
    assert policy.outputs[0].default[1:] == (0.5, 1.0)
    assert math.isnan(policy.outputs[0].default[0])


def test_input_without_feature_axis_is_one_feature_of_its_name() -> None:
    rule = InputRule("image", "float32", (1, 3, 8, 8))
    assert rule.features == (FeatureRule("image"),)
    assert rule.max_shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("high = 30", "high = 0.01", r"inputs\[0\]\.features\[0\]: low of 'mean radius' is .*above its high"),
        ("high = 30", 'high = "30"', r"inputs\[0\]\.features\[0\]\.high is '30': .*number"),
        ("high = 30", "height = 30", r"inputs\[0\]\.features\[0\]\.height is 30: there is no such field"),
        ("low = 0.1", "low = nan", r"low of 'mean radius' is nan"),
        ("format_version = 1", "format_version = 2", r"format_version is 2: .*1"),
        ('dtype = "float32"', 'dtype = "complex64"', r"inputs\[0\]\.dtype is 'complex64': .*'float32'"),
        ('"flag"', '"ignore"', r"inputs\[0\]\.out_of_range is 'ignore': .*'reject' or 'flag'"),
        ("shape = [-1, 2]", "shape = [-1, true]", r"inputs\[0\]\.shape\[1\] is True: .*integer"),
        ("shape = [-1, 2]", "shape = [-1, -2]", r"shape\[1\] is -2; it must be -1 \(free\) or"),
        ("max_shape = [64, 2]", "max_shape = [64, 3]", r"max_shape\[1\] is 3, but the axis is fixed at 2"),
        ("max_shape = [64, 2]", "max_shape = [0, 2]", r"max_shape\[0\] is 0; the axis is free"),
        ("max_shape = [64, 2]", "max_shape = [2]", r"differ in rank"),
        ("feature_axis = 1", "feature_axis = 2", r"feature_axis is 2; shape \[-1, 2\] has no such axis"),
        ("feature_axis = 1", "feature_axis = 0", r"feature_axis is 0, a free axis"),
        ("feature_axis = 1", "", r"has 2 features; expected 1"),
        ('name = "texture"', 'name = "mean radius"', r"two features of input 'x' are called 'mean radius'"),
        ('name = "texture"', 'name = "tex\\u0007ture"', r"printable"),
        ("shape = [-1, 3]", "shape = [1, 3]", r"axis 0 of 'p' is not -1"),
        ("batched = true", "batched = ", r"not TOML"),
    ],
)
def test_bad_rule_is_one_error_that_names_the_field(old: str, new: str, expected: str) -> None:
    assert old in WRITTEN
    with pytest.raises(PolicyError, match=expected) as caught:
        parse_policy(WRITTEN.replace(old, new, 1), where="rules.toml")
    assert str(caught.value).startswith("rules.toml: ")


FAULTS: list[tuple[str, str, str]] = [
    ("low = -1.5", "low = true", r"inputs\[0\]\.features\[0\]\.low is True: .*number"),
    ("low = -1.5", 'stand_in = "red"', "stand_in of 'grösse' is a rule for strings, but input 'x' is float32"),
    ("low = -1.5", "length = [1, 2]", "length of 'grösse' is a rule for strings, but input 'x' is float32"),
    ("low = -1.5", 'characters = "a-z"', "characters of 'grösse' is a rule for strings, but input 'x' is float32"),
    ("stuck = 2\n", "step = 2\n", "step of 'word' is a rule for numbers, but input 'words' is string"),
    ("stuck = 2\n", "high = 2\n", "high of 'word' is a rule for numbers, but input 'words' is string"),
    ("stuck = 2\n", "missing = {}\n", "missing of 'word' is a rule for numbers, but input 'words' is string"),
    ("[3, -1.5, 0]", '["a"]', "categories of 'grösse' starts with 'a', but input 'x' is float32"),
    ("[3, -1.5, 0]", '["a", 1]', r"features\[0\]\.categories: .*expected numbers, or strings, and not both$"),
    ("[3, -1.5, 0]", "[1, true]", r"features\[0\]\.categories: .*expected numbers, or strings, and not both$"),
    ("[3, -1.5, 0]", "[1, 9007199254740993]", "categories holds 9007199254740993; whole numbers up to"),
    ("[3, -1.5, 0]", "[1, 1]", "categories of 'grösse' holds one twice"),
    ("[3, -1.5, 0]", "[1, nan]", "categories of 'grösse' holds nan; expected finite numbers"),
    ("becomes = 0.25", "becomes = nan", "missing.becomes is nan; it must be a finite number, or left out"),
    ("value = -999", "value = inf", "missing.value is inf; it must be a finite number, or left out"),
    ("value = -999", 'verdict = "drop"', r"missing\.verdict is 'drop': .*'accept', 'flag' or 'reject'"),
    ("value = -999", "values = [1]", r"missing\.values.*there is no such field"),
    ("stuck = 5", "stuck = 1", "stuck of 'grösse' is 1; a window is 2 to 4294967295 rows"),
    ("stuck = 5", "stuck = 4294967296", "stuck of 'grösse' is 4294967296; a window is 2 to 4294967295 rows"),
    ("step = 0.5", "step = -0.5", "step of 'grösse' is -0.5; it must be a number from 0"),
    ("step = 0.5", "step = inf", "step of 'grösse' is inf; it must be a number from 0"),
    ("mean = [-1, 4]", "mean = [4, -1]", r"mean of 'grösse' is \[4.0, -1.0\]; expected \[low, high\]"),
    ("mean = [-1, 4]", "mean = [4]", r"features\[0\]\.mean\[1\]: this must be there, and is not"),
    ("stddev = [0.01, inf]", "stddev = [-inf, inf]", "stddev of 'grösse' is .*at least one of them finite"),
    ("share = 0.5", "share = 50", "clipped.share is 50.0; it must be 0 to 1"),
    ("low = 0, high = 255", "low = 255, high = 0", r"clipped, \[low, high\], is \[255.0, 0.0\]"),
    ("max_s = 60", "max_s = -60", "age.max_s is -60.0; it must be 0 to 1e12"),
    ("unit_s = 0.001", "unit_s = 0", r"age.unit_s is 0.0; it must be 1e-12 to 1e12"),
    ('verdict = "flag"\n', 'verdict = "accept"\n', r"features\[0\]\.verdict is 'accept': .*'reject' or 'flag'"),
    ("length = [1, 32]", "length = [33, 32]", "length of 'word' is"),
    ('"a-z\U0010ffff"', '"z-a"', "characters has the range 'z-a', which goes backwards"),
    ('"a-z\U0010ffff"', '""', "characters is empty"),
    ('""', '"\\u0000"', "a text of 'word' is '.x00'; expected text of at most 1024 bytes"),
    ("threshold = 9.5", "threshold = 0", "distance.threshold is 0.0; it must be more than 0"),
    ("rate = 0.01, ", "rate = 2, ", "distance.false_rejection_rate is 2.0; it must be 0 to 1"),
    ('"low_rank"', '"isolation_forest"', r"distance\.kind is 'isolation_forest': .*'full', 'low_rank' or 'diagonal'"),
    ("feature_axis = 1", "", "input 'x' has a distance; that needs numbers and a feature_axis"),
    ("confidence = 0.6", "confidence = 60", "confidence of output 'p' is 60.0; it must be 0 to 1"),
    ("margin = 0.1", "margin = -0.1", "margin of output 'p' is -0.1; it must be 0 to 1"),
    ("entropy = 0.5", "entropy = nan", "entropy of output 'p' is nan; it must be 0 to 1e"),
    ("range = [0, 1]", "range = [nan, 1]", "range of output 'p' is"),
    ("shape = []", "shape = [-1]", r"shape of output 'map' is \[-1\]; an object has none: write \[\]"),
    ("finite = false", "sum = [1, 1]", "sum of output 'map' is a rule for numbers, but it is object"),
    ("finite = false", "default = [1]", "default of output 'map' is a rule for numbers, but it is object"),
    ("deadline_ms = 5", "deadline_ms = 0", "deadline_ms is 0.0; it must be 1e-06 to 1e9"),
    ("review_rows = 65536", "review_rows = 65537", "review_rows is 65537; it must be 1 to 65536"),
    ('"CPUExecutionProvider"', '""', "provider is ''; it must be a name"),
    ("keys = 7", "keys = 0", "last_good.keys is 0; it must be 1 to 65536"),
    ("max_age_s = 1099.511627776", "max_age_s = 0", "last_good.max_age_s is 0.0; it must be"),
    ("after = 3", "after = 0", "hysteresis.after is 0; it must be 1 to 65536"),
    ("failures = 2", "failures = 65", "breaker: 65 failures of 64; expected 1 to window, at most 64"),
    ("probes = 1", "probes = 0", "breaker.probes is 0; it must be 1 to 65536"),
    ('["error", "reject", "drift"]', "[]", "breaker.on is empty; expected some of error, deadline, reject"),
    (
        '["error", "reject", "drift"]',
        '["errors"]',
        r"breaker\.on\[0\] is 'errors': .*'error', 'deadline', 'reject' or 'drift'",
    ),
    ("burst = 10", "burst = 0", "rate_limit.burst is 0; it must be 1 to 4294967295"),
    ('"deadline", ', '"deadlines", ', "reason 'deadlines' is not known; expected one of dtype, "),
    ('["abstain"]', "[]", "chain is .*; expected at least one step, and each once"),
    ('["abstain"]', '["abstain", "abstain"]', "chain is .*; expected at least one step, and each once"),
    ('["abstain"]', '["reject", "abstain"]', "reject always answers, so nothing after it is ever asked"),
    ('["abstain"]', '["nobody"]', r"fallback\[2\]\.chain\[0\] is 'nobody': .*'model', 'last_good'"),
    ("review_rows = 65536\n", "", 'a fallback chain has "abstain", but decision.review_rows is not set'),
    ('"last_good", ', "", 'decision.last_good is set, but no fallback chain has "last_good"'),
    ("last_good = {", "# {", 'a fallback chain has "last_good", but decision.last_good is not set'),
    ("default = [0.25]", "", 'a fallback chain has "default", but no output has a default'),
    ('output = "next h"', 'output = "p h"', "states: from output 'p h' to input 'h'; the inputs are"),
    ('input = "h"', 'input = "words"', "states: output 'next h' is float32 and input 'words' is string"),
    ('input = "h"', 'entry = "h"', r"states\[0\]"),
    ("row_axis = 0", "row_axis = -1", r"states\[0\]: row_axis of 'h' is -1; it must be 0 to 7"),
    ("row_axis = 0", "row_axis = 2147483648", r"states\[0\]: row_axis of 'h' is 2147483648; it must be 0 to 7"),
]


@pytest.mark.parametrize(("old", "new", "expected"), FAULTS)
def test_bad_rule_of_any_kind_is_one_sentence(old: str, new: str, expected: str) -> None:
    assert old in EVERY_FIELD
    with pytest.raises(PolicyError, match=expected) as caught:
        parse_policy(EVERY_FIELD.replace(old, new))
    assert "\n" not in str(caught.value)


def test_state_is_carried_once() -> None:
    again = EVERY_FIELD + '\n[[states]]\ninput = "h"\noutput = "next h"\nrow_axis = 0\n'
    with pytest.raises(PolicyError, match="two states are called 'h'"):
        parse_policy(again)


def test_distance_needs_one_value_a_feature_and_row() -> None:
    wide = EVERY_FIELD.replace("shape = [-1, 2]\nmax_shape = [64, 2]", "shape = [-1, 2, 3]\nmax_shape = [64, 2, 3]", 1)
    with pytest.raises(PolicyError, match=r"its shape is \[-1, 2, 3\], and must have one value a feature and row"):
        parse_policy(wide)


def test_distance_without_a_learned_one_is_refused() -> None:
    with pytest.raises(PolicyError, match="input 'x' has a distance and the reference has none for it; learn it again"):
        compile_policy(parse_policy(EVERY_FIELD), Reference(every_field_reference().features))


def test_feature_name_of_two_inputs_is_an_error_that_names_both() -> None:
    other = '[[inputs]]\nname = "z"\ndtype = "float32"\nshape = [-1]\nmax_shape = [64]\n'
    other += 'features = [{ name = "texture" }]\n\n[[outputs]]'
    with pytest.raises(PolicyError, match="inputs 'x' and 'z' both have a feature called 'texture'"):
        parse_policy(WRITTEN.replace("[[outputs]]", other))
    assert len(parse_policy(WRITTEN.replace("[[outputs]]", other.replace("texture", "grain"))).inputs) == 2


def test_file_that_is_not_text_is_a_policy_error(tmp_path) -> None:
    (tmp_path / "policy.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="policy.toml: not UTF-8"):
        load_policy(tmp_path / "policy.toml")


def test_malformed_reference_is_a_bundle_error() -> None:
    text = reference().to_json().replace(b'"counts": [1, 2, 3, 4]', b'"counts": [1, 2]')
    with pytest.raises(BundleError, match="'mean radius' has 3 edges for 2 bins"):
        Reference.from_json(text)


def test_guard_program_holds_the_rules_and_the_reference() -> None:
    guard = GuardProgram(compile_policy(parse_policy(WRITTEN), reference()))
    radius, texture = guard.features
    assert guard.batched
    assert guard.inputs[0].shape == (None, 2)
    assert (radius.name, radius.low, radius.high) == ("mean radius", 0.1, 30.0)
    assert (radius.mean, radius.stddev, radius.reference_rows) == (1 / 3, 2 / 3, 10)
    assert radius.edges.tolist() == reference().features[0].edges.tolist()
    assert radius.counts.tolist() == [1, 2, 3, 4]
    assert (texture.low, texture.high, len(texture.counts)) == (-math.inf, math.inf, 0)


def test_same_rules_compile_to_the_same_bytes() -> None:
    assert compile_policy(parse_policy(WRITTEN), reference()) == compile_policy(parse_policy(WRITTEN), reference())


def test_reference_of_a_feature_that_the_policy_renamed_is_refused() -> None:
    with pytest.raises(PolicyError, match="the reference has feature 'radius', which the policy has not"):
        compile_policy(parse_policy(WRITTEN), reference(name="radius"))


def test_guard_that_differs_from_the_written_policy_is_an_integrity_error() -> None:
    guard = compile_policy(parse_policy(WRITTEN), reference())
    text = reference().to_json()
    check_guard(WRITTEN.encode(), text, guard)
    with pytest.raises(IntegrityError, match="guard.bin is not what policy.toml"):
        check_guard(WRITTEN.replace("high = 30", "high = 31").encode(), text, guard)
    with pytest.raises(IntegrityError, match="guard.bin is not what policy.toml"):
        check_guard(WRITTEN.encode(), None, guard)
