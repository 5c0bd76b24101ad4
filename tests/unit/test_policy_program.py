"""Guard programs: the library's bytes are the document's, and a reader takes nothing else."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest

from edge_rai import BundleError
from edge_rai._native import GuardProgram
from support import guard_bytes as raw
from support.compose import compose, compose_full
from support.guard_bytes import FEATURE, GUARD_MAGIC, HEADER, INPUT, OUTPUT, PLAIN, frame, guard, reseal


def test_library_writes_the_bytes_of_the_document() -> None:
    composed = compose([(INPUT, [FEATURE, PLAIN])], [OUTPUT])
    assert composed == guard([raw.input_record(INPUT, [FEATURE, PLAIN])], [raw.output_record(OUTPUT)])
    assert composed == compose([(INPUT, [FEATURE, PLAIN])], [OUTPUT])


def test_library_writes_every_kind_of_record_as_the_document_says() -> None:
    assert compose_full() == raw.full_guard()
    assert compose_full() == compose_full()


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
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


X = raw.input_record(INPUT, [FEATURE, PLAIN])
Y = raw.output_record(OUTPUT)
TWELVE = raw.observed(kind=14, slot_means=(0.0,) * 12, slot_scales=(1.0,) * 12)
BELOW = raw.observed(kind=14, slot_means=(0.0,) * 24, slot_scales=(1.0,) * 23 + (-1.0,))
STATE_INPUT = {**INPUT, "name": "h", "feature_axis": None}
STATE_OUTPUT = raw.output_record({**OUTPUT, "name": "next h", "dtype": "float32", "shape": (None, 2), "default": None})
ONE_STATE = raw.ending(states=[raw.state_record(raw.STATE)])


def checked(check: tuple[int, dict[str, Any]], *, count: int | None = None, texts: int = 0) -> bytes:
    """A program whose last feature asks for this; `count` and `texts` are what it says of the list."""
    record = raw.input_record(INPUT, [FEATURE, {**PLAIN, "asks": {"it": check}}])
    if count is not None:
        record = record[:-16] + struct.pack("<IB", count, texts) + record[-11:]
    return guard([record], [Y])


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
    "two outputs promised": frame(GUARD_MAGIC, struct.pack("<BHH", 1, 1, 2) + X + Y + bytes(4)),
    "unknown input flag": guard([raw.input_record(INPUT, [FEATURE, PLAIN], flags=4)], [Y]),
    "unknown output flag": guard([X], [raw.output_record(OUTPUT, flags=16 | 4)]),
    "default without its flag": guard([X], [raw.output_record(OUTPUT, flags=0)]),
    "rank 9": guard([raw.input_record(INPUT, [FEATURE, PLAIN], rank=9)], [Y]),
    "output rank 9": guard([X], [raw.output_record(OUTPUT, rank=9)]),
    "another number of features": guard([raw.input_record(INPUT, [FEATURE, PLAIN], feature_count=1)], [Y]),
    "features beyond the file": guard([raw.input_record(INPUT, [], feature_count=2)], [Y]),
    "default beyond the file": guard([X], [raw.output_record({**OUTPUT, "default": (1,)}, default_size=65536)]),
    "a decision neither there nor not": guard([X], [Y], end=b"\2" + bytes(3)),
    "17 fallback rules": guard([X], [Y], end=raw.ending(fallbacks=[raw.fallback_record(1, (3,))] * 17)),
    "65 states": guard([X], [Y], end=raw.ending(states=[raw.state_record(raw.STATE)] * 65)),
    "every input a state": guard([raw.input_record(STATE_INPUT, [PLAIN])], [STATE_OUTPUT], end=ONE_STATE),
    "distance neither there nor not": guard([raw.input_record(INPUT, [FEATURE, PLAIN], distance=b"\2")], [Y]),
    "a drift rule neither there nor not": guard([X], [Y], end=bytes(5) + b"\2"),
    "a drift rule beyond the file": guard(
        [X], [Y], end=bytes(5) + raw.drift_record({**raw.DRIFT, "strides": (1,), "outside": ()})
    ),
    "nothing watched": guard(
        [X], [Y], end=bytes(5) + raw.drift_record({**raw.DRIFT, "strides": (0, 0), "outside": (0, 0)})
    ),
    "watched without a reference": guard(
        [X], [Y], end=bytes(5) + raw.drift_record({**raw.DRIFT, "strides": (1, 1), "outside": (0, 0)})
    ),
    "an average run length of 99": guard(
        [X],
        [Y],
        end=bytes(5)
        + raw.drift_record({**raw.DRIFT, "average_run_length": 99.0, "strides": (1, 0), "outside": (0, 0)}),
    ),
    "257 observations": guard([X], [Y], end=bytes(3) + struct.pack("<H", 257) + bytes(2)),
    "observations beyond the file": guard([X], [Y], end=bytes(3) + struct.pack("<H", 1)),
    "an observation of a kind that is none": guard([X], [Y], end=raw.ending(observations=[raw.observed(kind=10)])),
    "an observation of no output": guard([X], [Y], end=raw.ending(observations=[raw.observed(index=1)])),
    "an observation with limits": guard([X], [Y], end=raw.ending(observations=[raw.observed(low=0.0)])),
    "a season without slots": guard([X], [Y], end=raw.ending(observations=[raw.observed(kind=14)])),
    "a season of twelve slots": guard([X], [Y], end=raw.ending(observations=[TWELVE])),
    "a season with a scale below 0": guard([X], [Y], end=raw.ending(observations=[BELOW])),
    "two outcomes": guard([X], [Y], end=raw.ending(observations=[raw.observed(kind=8), raw.observed("b", kind=8)])),
    "a rule of events neither there nor not": guard([X], [Y], end=bytes(6) + b"\2"),
    "forms beyond the file": guard([X], [Y], end=bytes(6) + raw.events_record({**raw.EVENTS, "forms": (1,)})),
    "an observation that would leave the device": guard(
        [X],
        [Y],
        end=raw.ending(events=raw.events_record({**raw.EVENTS, "forms": (0, 0, 3)}), observations=[raw.observed()]),
    ),
    "no room for events": guard([X], [Y], end=bytes(6) + raw.events_record({**raw.EVENTS, "keep": 0, "forms": (0, 0)})),
    "a form that no rule has": guard([X], [Y], end=bytes(6) + raw.events_record({**raw.EVENTS, "forms": (4, 0)})),
    "a bucket without a reference": guard([X], [Y], end=bytes(6) + raw.events_record({**raw.EVENTS, "forms": (0, 1)})),
    "unknown decision flag": guard([X], [Y], end=b"\1" + bytes(64) + b"\x20\0\0\0" + bytes(7)),
    "check 19": checked((19, {"verdict": 2, "low": 0.0})),
    "check 65535": checked((65535, {"verdict": 2, "low": 0.0})),
    "a list beyond the file": checked((1, {"verdict": 2, "values": (1.0,)}), count=65536),
    "texts beyond the file": checked((1, {"verdict": 2, "values": (1.0,)}), count=65536, texts=1),
    "NUL in a name": guard([raw.input_record({**INPUT, "name": "a\0b"}, [FEATURE, PLAIN])], [Y]),
}


@pytest.mark.parametrize("data", HEADER_FAULTS.values(), ids=HEADER_FAULTS.keys())
def test_malformed_program_is_refused(data: bytes) -> None:
    with pytest.raises(
        BundleError,
        match="guard program|input '[xh]'|output 'y'|every input is a state|'plain': |decision: |drift: |events: |"
        "observation",
    ):
        GuardProgram(data)


def test_newer_program_is_refused_saying_so() -> None:
    for version in (6, 2**32 - 1):
        newer = frame(GUARD_MAGIC, b"what later versions hold", version=version)
        with pytest.raises(BundleError, match=f"format version {version}; this build understands up to 5: update"):
            GuardProgram(newer)


def meaning(program: GuardProgram) -> Any:
    features = [(*[repr(getattr(f, n)) for n in ("name", "low", "high", "mean", "stddev")], f.reference_rows,
                 f.edges.tolist(), f.counts.tolist()) for f in program.features]  # fmt: skip
    return program.batched, program.inputs, program.outputs, features


PROGRAMS = {f"version {version}": raw.sound_guard(version) for version in (1, 2, 3, 4, 5)} | {
    "every record": raw.full_guard()
}
each_program = pytest.mark.parametrize("data", PROGRAMS.values(), ids=PROGRAMS.keys())


def test_version_1_means_what_it_meant() -> None:
    old, new = GuardProgram(raw.sound_guard(1)), GuardProgram(raw.sound_guard(2))
    assert [feature.unit for feature in old.features] == ["", "", ""]
    assert [feature.unit for feature in new.features] == ["cm", "", ""]
    assert meaning(old) == meaning(new)


@each_program
def test_every_truncation_and_extension_is_refused(data: bytes) -> None:
    for size in range(len(data)):
        with pytest.raises(BundleError):
            GuardProgram(data[:size])
    for extra in (b"\0", data, bytes(4096)):
        with pytest.raises(BundleError):
            GuardProgram(data + extra)


@each_program
def test_every_single_bit_flip_is_refused(data: bytes) -> None:
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BundleError):
            GuardProgram(bytes(flipped))


@each_program
def test_sealed_changes_are_refused_or_read_within_the_bounds(data: bytes) -> None:
    accepted = 0
    for at in range(HEADER, len(data)):
        for value in {0, 1, 0x7F, 0x80, 0xFF} - {data[at]}:
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


@each_program
def test_sealed_truncations_are_refused(data: bytes) -> None:
    for size in range(HEADER, len(data)):
        with pytest.raises(BundleError):
            GuardProgram(reseal(data[:size]))
