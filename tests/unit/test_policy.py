from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rai._native import GuardProgram
from edge_rai.errors import BundleError, IntegrityError, PolicyError
from edge_rai.policy import (
    FeatureReference,
    FeatureRule,
    InputRule,
    OutputRule,
    Policy,
    Reference,
    check_guard,
    compile_policy,
    load_policy,
    parse_policy,
    policy_to_toml,
)

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


names = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1, max_size=12).filter(
    str.isprintable
)
limits = st.floats(width=32, allow_nan=False)


@given(st.lists(names, min_size=1, max_size=6, unique=True), st.data())
def test_written_form_reads_back_to_the_same_policy(feature_names: list[str], data: st.DataObject) -> None:
    features = []
    for name in feature_names:
        low, high = sorted(data.draw(st.tuples(limits, limits)))
        features.append(FeatureRule(name, data.draw(st.sampled_from([low, None])), high))
    policy = Policy(
        format_version=1,
        batched=True,
        inputs=(
            InputRule(
                "x", "float32", (-1, len(features)), (9, len(features)), feature_axis=1, features=tuple(features)
            ),
        ),
        outputs=(OutputRule("y", "int64", (-1,)),),
    )
    text = policy_to_toml(policy)
    assert parse_policy(text) == policy
    assert policy_to_toml(parse_policy(text)) == text


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=31, unique=True).map(sorted),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_reference_round_trips_to_the_bit(edges: list[float], mean: float) -> None:
    counts = np.arange(len(edges) + 1, dtype=np.uint64) + np.uint64(2**60)
    entry = FeatureReference("x", "f", 7, mean, abs(mean), np.array(edges, np.float64), counts)
    text = Reference((entry,)).to_json()
    (read,) = Reference.from_json(text).features
    assert read.edges.tobytes() == entry.edges.tobytes()
    assert read.counts.tolist() == counts.tolist()
    assert (read.mean, read.stddev, read.rows) == (mean, abs(mean), 7)
    assert Reference((read,)).to_json() == text


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
