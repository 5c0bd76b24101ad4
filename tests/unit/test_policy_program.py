from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest

from edge_rai import BundleError, PolicyError
from edge_rai._native import GuardProgram, PolicyBuilder
from support import guard_bytes as raw
from support.guard_bytes import FEATURE, GUARD_MAGIC, HEADER, INPUT, OUTPUT, PLAIN, frame, guard, reseal


def compose(
    inputs: list[tuple[dict[str, Any], list[dict[str, Any]]]], outputs: list[dict[str, Any]], *, batched: bool = True
) -> bytes:
    builder = PolicyBuilder(batched=batched)
    for rule, features in inputs:
        builder.add_input(**rule)
        for feature in features:
            edges, counts = np.array(feature["edges"], np.float64), np.array(feature["counts"], np.uint64)
            builder.add_feature(**{**feature, "edges": edges, "counts": counts})
    for output in outputs:
        builder.add_output(**output)
    return builder.write()


def test_library_writes_the_bytes_of_the_document() -> None:
    composed = compose([(INPUT, [FEATURE, PLAIN])], [OUTPUT])
    assert composed == guard([raw.input_record(INPUT, [FEATURE, PLAIN])], [raw.output_record(OUTPUT)])
    assert composed == compose([(INPUT, [FEATURE, PLAIN])], [OUTPUT])


@pytest.mark.parametrize("version", [1, 2])
def test_program_of_the_document_reads_as_its_rules(version: int) -> None:
    program = GuardProgram(raw.sound_guard(version))
    assert program.batched
    assert [(spec.name, spec.dtype, spec.shape) for spec in (*program.inputs, *program.outputs)] == [
        ("x", "float32", (None, 2)),
        ("z", "float32", (None,)),
        ("y", "int64", (None, 3)),
        ("p", "float32", (None,)),
    ]
    first, second, third = program.features
    assert (first.name, first.low, first.high, first.mean, first.stddev) == ("grösse", -1.5, 30.0, 1 / 3, 2 / 3)
    assert (first.reference_rows, first.edges.tolist(), first.counts.tolist()) == (
        10,
        [-0.5, 0.25, 8.0],
        [1, 2, 3, 2**63],
    )
    assert (second.low, second.high, len(second.edges), len(second.counts)) == (-math.inf, math.inf, 0, 0)
    assert third.name == "apart"


def test_every_bound_of_the_format_is_inclusive() -> None:
    most = {**FEATURE, "name": "n" * 1024, "low": 1.0, "high": 1.0, "edges": tuple(range(31)), "counts": (0,) * 32}
    one = {**FEATURE, "edges": (), "counts": (4,)}
    wide = {
        **INPUT,
        "shape": (None,) * 8,
        "max_shape": (2**31 - 1,) * 8,
        "feature_axis": None,
        "sketch_stride": 2**32 - 1,
    }
    long = {**OUTPUT, "shape": (None, 65536), "default": (0,) * 65536}
    program = GuardProgram(compose([(wide, [most]), ({**wide, "name": "b"}, [one])], [long]))
    assert [len(feature.counts) for feature in program.features] == [32, 1]


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
    ({"dtype": "complex64"}, "an unknown type is not supported"),
    ({"shape": (None, -2)}, "axis 1 is -2"),
    ({"shape": (None, 2**31)}, "axis 1 is 2147483648"),
    ({"shape": (1, 3)}, "a batched policy needs a free axis 0"),
    ({"shape": ()}, "a batched policy needs a free axis 0"),
    ({"default": (1, 2)}, "a default of 2 values"),
    ({"default": ()}, "a default of 0 values"),
    ({"shape": (None, None), "default": (1, 2, 3)}, "a default of 3 values"),
    ({"shape": (None, 2**31 - 1, 2**31 - 1, 2**31 - 1), "default": (1, 2, 3)}, "a default of 3 values"),
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


def assert_both_refuse(rules: tuple[dict[str, Any], dict[str, Any], dict[str, Any]], message: str) -> None:
    rule, feature, output = rules
    with pytest.raises(PolicyError, match=message):
        compose([(rule, [feature, PLAIN])], [output])
    features = [feature, PLAIN] if rule["feature_axis"] is not None else [feature]
    with pytest.raises(BundleError, match=message):
        GuardProgram(guard([raw.input_record(rule, features)], [raw.output_record(output)]))


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
    if len(rule[2]["default"]) > 65536:
        message += "|cut short or too large"
    assert_both_refuse(rule, message)


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


X = raw.input_record(INPUT, [FEATURE, PLAIN])
Y = raw.output_record(OUTPUT)
HEADER_FAULTS = {
    "empty": b"",
    "only magic": GUARD_MAGIC,
    "other magic": frame(b"ERAIGRD\r", raw.body([X], [Y])),
    "version 0": frame(GUARD_MAGIC, raw.body([X], [Y]), version=0),
    "not zero": frame(GUARD_MAGIC, raw.body([X], [Y]), zero=1),
    "empty body": frame(GUARD_MAGIC, b""),
    "batched 2": guard([X], [Y], batched=2),
    "no inputs": guard([], [Y]),
    "no outputs": guard([X], []),
    "257 outputs": guard([X], [Y] * 257),
    "bytes after the end": frame(GUARD_MAGIC, raw.body([X], [Y]) + b"\0"),
    "two outputs promised": frame(GUARD_MAGIC, struct.pack("<BHH", 1, 1, 2) + X + Y + bytes(3)),
    "unknown input flag": guard([raw.input_record(INPUT, [FEATURE, PLAIN], flags=4)], [Y]),
    "unknown output flag": guard([X], [raw.output_record(OUTPUT, flags=16 | 4)]),
    "default without its flag": guard([X], [raw.output_record(OUTPUT, flags=0)]),
    "rank 9": guard([raw.input_record(INPUT, [FEATURE, PLAIN], rank=9)], [Y]),
    "output rank 9": guard([X], [raw.output_record(OUTPUT, rank=9)]),
    "another number of features": guard([raw.input_record(INPUT, [FEATURE, PLAIN], feature_count=1)], [Y]),
    "features beyond the file": guard([raw.input_record(INPUT, [], feature_count=2)], [Y]),
    "default beyond the file": guard([X], [raw.output_record({**OUTPUT, "default": (1,)}, default_size=65536)]),
    "NUL in a name": guard([raw.input_record({**INPUT, "name": "a\0b"}, [FEATURE, PLAIN])], [Y]),
}


@pytest.mark.parametrize("data", HEADER_FAULTS.values(), ids=HEADER_FAULTS.keys())
def test_malformed_program_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="guard program|input 'x'|output 'y'"):
        GuardProgram(data)


def test_newer_program_is_refused_saying_so() -> None:
    for version in (3, 2**32 - 1):
        newer = frame(GUARD_MAGIC, b"what later versions hold", version=version)
        with pytest.raises(BundleError, match=f"format version {version}; this build understands up to 2: update"):
            GuardProgram(newer)


def meaning(program: GuardProgram) -> Any:
    features = [(*[repr(getattr(f, n)) for n in ("name", "low", "high", "mean", "stddev")], f.reference_rows,
                 f.edges.tolist(), f.counts.tolist()) for f in program.features]  # fmt: skip
    return program.batched, program.inputs, program.outputs, features


@pytest.mark.parametrize("version", [1, 2])
def test_every_truncation_and_extension_is_refused(version: int) -> None:
    data = raw.sound_guard(version)
    for size in range(len(data)):
        with pytest.raises(BundleError):
            GuardProgram(data[:size])
    for extra in (b"\0", data, bytes(4096)):
        with pytest.raises(BundleError):
            GuardProgram(data + extra)


def test_every_single_bit_flip_is_refused() -> None:
    data = raw.sound_guard()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BundleError):
            GuardProgram(bytes(flipped))


def test_sealed_changes_are_refused_or_read_within_the_bounds() -> None:
    data = raw.sound_guard()
    accepted = 0
    for at in range(HEADER, len(data)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            changed = bytearray(data)
            changed[at] = value
            try:
                program = GuardProgram(reseal(bytes(changed)))
            except BundleError:
                continue
            accepted += 1
            assert meaning(program)
            for feature in program.features:
                assert feature.low <= feature.high
                assert math.isfinite(feature.mean)
                assert feature.stddev >= 0
                assert (np.diff(feature.edges) > 0).all()
    assert accepted  # a changed name or count is a sound program


def test_sealed_truncations_are_refused() -> None:
    data = raw.sound_guard()
    for size in range(HEADER, len(data)):
        with pytest.raises(BundleError):
            GuardProgram(reseal(data[:size]))
