"""Guard programs and batch files written from docs/formats, also those that the library refuses to write."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

GUARD_MAGIC, BATCH_MAGIC = b"ERAIGRD\n", b"ERAIBAT\n"
LATEST = {GUARD_MAGIC: 5, BATCH_MAGIC: 2}
HEADER = 24
CODES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7}
CODES |= {"string": 8, "bool": 9, "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "bfloat16": 16}

DECISION_TIMES = ("deadline_ns", "last_good_age_ns", "breaker_cooldown_ns")
DECISION_COUNTS = (
    "rate_burst", "last_good_keys", "review_rows", "hold_after", "hold_until", "breaker_window", "breaker_failures",
    "breaker_probes",
)  # fmt: skip

# One rule of each kind, as the keyword arguments of PolicyBuilder; tests change what they are about.
INPUT: dict[str, Any] = {
    "name": "x",
    "dtype": "float32",
    "shape": (None, 2),
    "max_shape": (64, 2),
    "finite": True,
    "flag_range": True,
    "empty": False,
    "feature_axis": 1,
    "sketch_stride": 3,
}
FEATURE: dict[str, Any] = {
    "name": "grösse",
    "unit": "cm",
    "stand_in": "",
    "low": -1.5,
    "high": 30.0,
    "mean": 1 / 3,
    "stddev": 2 / 3,
    "reference_rows": 10,
    "edges": (-0.5, 0.25, 8.0),
    "counts": (1, 2, 3, 2**63),
}
PLAIN: dict[str, Any] = {
    **FEATURE,
    "name": "plain",
    "unit": "",
    "low": float("-inf"),
    "high": float("inf"),
    "stddev": 0.0,
    "reference_rows": 0,
    "edges": (),
    "counts": (),
}
OUTPUT: dict[str, Any] = {"name": "y", "dtype": "int64", "shape": (None, 3), "finite": False, "default": (1, -2, 3)}
PROBABILITIES: dict[str, Any] = {
    "name": "p",
    "dtype": "float32",
    "shape": (None, 3),
    "finite": True,
    "default": (0.25,),
    "logits": False,
}


def frame(magic: bytes, body: bytes, version: int | None = None, zero: int = 0) -> bytes:
    """Header and CRC around a body; of the latest version unless another is given."""
    if version is None:
        version = LATEST.get(magic, 1)
    return magic + struct.pack("<IIII", version, zero, len(body), zlib.crc32(body)) + body


def reseal(data: bytes) -> bytes:
    """The same bytes with the length and CRC that fit them."""
    magic, version, zero = struct.unpack_from("<8sII", data)
    return frame(magic, data[HEADER:], version, zero)


def name(text: str | bytes) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<H", len(raw)) + raw


def input_record(
    rule: dict[str, Any],
    features: Sequence[dict[str, Any]],
    *,
    distance: bytes = b"\0",
    version: int = 2,
    **raw: Any,
) -> bytes:
    """An input and its features; `raw` overrides what the rule cannot say: dtype, rank, flags, feature_count."""
    flags = rule["finite"] | rule["flag_range"] << 1 | rule["empty"] << 4
    axis = -1 if rule["feature_axis"] is None else rule["feature_axis"]
    record = name(rule["name"])
    record += struct.pack("<BB", raw.get("dtype", CODES.get(rule["dtype"], 0)), raw.get("rank", len(rule["shape"])))
    record += struct.pack("<IiI", raw.get("flags", flags), axis, rule["sketch_stride"])
    for extent, most in zip(rule["shape"], rule["max_shape"], strict=True):
        record += struct.pack("<qq", -1 if extent is None else extent, most)
    record += struct.pack("<I", raw.get("feature_count", len(features)))
    record += b"".join(feature_record(feature, version) for feature in features)
    return record + (distance if version > 1 else b"")


def feature_record(rule: dict[str, Any], version: int = 2) -> bytes:
    """A feature; its key "asks", where there is one, holds checks as CHECKS does."""
    width = "f" if version == 1 else "d"
    record = name(rule["name"])
    if version > 1:
        record += name(rule["unit"]) + name(rule["stand_in"])
    record += struct.pack(f"<2{width}dd", rule["low"], rule["high"], rule["mean"], rule["stddev"])
    record += struct.pack("<QB", rule["reference_rows"], len(rule["counts"]))
    record += struct.pack(f"<{len(rule['edges'])}{width}", *rule["edges"])
    record += struct.pack(f"<{len(rule['counts'])}Q", *rule["counts"])
    return record + (checks(rule) if version > 1 else b"")


def checks(rule: dict[str, Any]) -> bytes:
    """The list of checks of a feature or output, with its end."""
    return b"".join(check_record(kind, **arguments) for kind, arguments in rule.get("asks", {}).values()) + bytes(2)


def check_record(
    kind: int,
    verdict: int,
    low: float = -math.inf,
    high: float = math.inf,
    limit: float = 0.0,
    window: int = 0,
    values: Sequence[float] = (),
    texts: Sequence[str] = (),
) -> bytes:
    """One check."""
    record = struct.pack("<HBdddIIB", kind, verdict, low, high, limit, window, len(values) or len(texts), bool(texts))
    return record + struct.pack(f"<{len(values)}d", *values) + b"".join(map(name, texts))


def distance_record(
    verdict: int, rest: float, threshold: float, false_rejection_rate: float, mean: Sequence[float],
    scale: Sequence[float], weights: Sequence[float], projection: Sequence[Sequence[float]],
) -> bytes:  # fmt: skip
    """The word that there is a distance, and the distance."""
    record = struct.pack("<BBIddd", 1, verdict, len(weights), rest, threshold, false_rejection_rate)
    record += struct.pack(f"<{len(mean)}d{len(scale)}d", *mean, *scale)
    return (
        record
        + struct.pack(f"<{len(weights)}f", *weights)
        + b"".join(struct.pack(f"<{len(row)}f", *row) for row in projection)
    )


def output_record(rule: dict[str, Any], *, version: int = 2, **raw: Any) -> bytes:
    """An output; `raw` overrides dtype, rank, flags and default_size."""
    default = rule["default"] or ()
    flags = rule["finite"] | (rule["default"] is not None) << 2 | rule.get("logits", False) << 5
    flags |= 64 if rule["dtype"] == "object" else 8
    record = name(rule["name"])
    record += struct.pack("<BB", raw.get("dtype", CODES.get(rule["dtype"], 0)), raw.get("rank", len(rule["shape"])))
    record += struct.pack("<I", raw.get("flags", flags))
    record += b"".join(struct.pack("<q", -1 if extent is None else extent) for extent in rule["shape"])
    record += struct.pack(f"<I{len(default)}d", raw.get("default_size", len(default)), *default)
    return record + (checks(rule) if version > 1 else b"")


def decision_record(rule: dict[str, Any]) -> bytes:
    """The word that there is a decision, and the decision; keyword arguments of PolicyBuilder.set_decision."""
    flags = {"shared": 1, "break_on_error": 2, "break_on_deadline": 4, "break_on_reject": 8, "break_on_drift": 16}
    record = struct.pack("<BQQQ", 1, *(rule.get(key, 0) for key in DECISION_TIMES))
    record += struct.pack("<d", rule.get("rate_per_second", 0.0))
    record += struct.pack("<8I", *(rule.get(key, 0) for key in DECISION_COUNTS))
    return record + struct.pack("<I", sum(flags[flag] for flag in rule["flags"])) + name(rule["provider"])


def fallback_record(reasons: int, chain: Sequence[int]) -> bytes:
    return struct.pack("<QB", reasons, len(chain)) + bytes(chain)


def state_record(rule: dict[str, Any]) -> bytes:
    axis = -1 if rule["row_axis"] is None else rule["row_axis"]
    return name(rule["input"]) + name(rule["output"]) + struct.pack("<i", axis)


def drift_record(rule: dict[str, Any]) -> bytes:
    """The word that there is a drift rule, and the rule; keyword arguments of PolicyBuilder.set_drift."""
    record = struct.pack("<BddB", 1, rule["average_run_length"], rule["effect"], rule["verdict"])
    record += struct.pack(f"<{len(rule['strides'])}I", *rule["strides"])
    return record + struct.pack(f"<{len(rule['outside'])}Q", *rule["outside"])


def events_record(rule: dict[str, Any]) -> bytes:
    """Likewise of the rule of events."""
    return struct.pack("<BII", 1, rule["keep"], rule["sample_one_in"]) + bytes(rule["forms"])


def observation_record(rule: dict[str, Any]) -> bytes:
    """Keyword arguments of PolicyBuilder.add_observation."""
    record = struct.pack("<BHIdd", *(rule[key] for key in ("kind", "index", "element", "limit", "bound")))
    limits = {"unit": "", "stand_in": "", "low": float("-inf"), "high": float("inf")}
    slots = list(zip(rule.get("slot_means", ()), rule.get("slot_scales", ()), strict=True))
    seasonal = struct.pack("<H", len(slots)) if rule["kind"] == 14 else b""
    return (
        record + feature_record({**limits, **rule}) + seasonal + b"".join(struct.pack("<dd", *slot) for slot in slots)
    )


def observed(name: str = "a", **changes: Any) -> bytes:
    """One of a value that has no reference; `changes` of it."""
    return observation_record({**VALUE, "name": name, **changes})


def ending(
    decision: bytes = b"\0",
    fallbacks: Sequence[bytes] = (),
    states: Sequence[bytes] = (),
    drift: bytes = b"\0",
    events: bytes = b"\0",
    observations: Sequence[bytes] = (),
) -> bytes:
    """What follows the outputs."""
    chains = bytes([len(fallbacks)]) + b"".join(fallbacks)
    seen = struct.pack("<H", len(observations)) + b"".join(observations)
    return decision + chains + bytes([len(states)]) + b"".join(states) + seen + drift + events


def body(inputs: Sequence[bytes], outputs: Sequence[bytes], batched: int = 1, end: bytes = bytes(7)) -> bytes:
    """Records, and what `end` makes after them: nothing unless given."""
    return struct.pack("<BHH", batched, len(inputs), len(outputs)) + b"".join(inputs) + b"".join(outputs) + end


def guard(
    inputs: Sequence[bytes], outputs: Sequence[bytes], batched: int = 1, end: bytes | None = None, version: int = 5
) -> bytes:
    """A whole guard program of these records; without an end, one that says of each thing that there is none."""
    nothing = bytes({1: 0, 2: 3, 3: 4, 4: 5}.get(version, 7))
    return frame(GUARD_MAGIC, body(inputs, outputs, batched, nothing if end is None else end), version)


def sound_guard(version: int = 5) -> bytes:
    """Two inputs (one of rank 0 axis beyond the rows), three features and two outputs."""
    other = {**INPUT, "name": "z", "shape": (None,), "max_shape": (9,), "feature_axis": None, "flag_range": False}
    floats = {"name": "p", "dtype": "float32", "shape": (None,), "finite": True, "default": None}
    return guard(
        [
            input_record(INPUT, [FEATURE, PLAIN], version=version),
            input_record(other, [{**PLAIN, "name": "apart"}], version=version),
        ],
        [output_record(OUTPUT, version=version), output_record(floats, version=version)],
        version=version,
    )


DECISION: dict[str, Any] = {
    "provider": "CPUExecutionProvider",
    "flags": ("shared", "break_on_error", "break_on_reject", "break_on_drift"),
    "deadline_ns": 5_000_000,
    "last_good_age_ns": 2**40,
    "last_good_keys": 7,
    "review_rows": 65536,
    "hold_after": 3,
    "hold_until": 2**32 - 1,
    "breaker_window": 64,
    "breaker_failures": 2,
    "breaker_probes": 1,
    "breaker_cooldown_ns": 1,
    "rate_per_second": 0.5,
    "rate_burst": 10,
}
# One check of each kind: its name in PolicyBuilder, its number, its arguments, the data type and side that it is for.
CHECKS: dict[str, tuple[int, dict[str, Any]]] = {
    "categories": (1, {"verdict": 2, "values": (-1.5, 0.0, 3.0)}),
    "integral": (2, {"verdict": 1}),
    "missing": (3, {"verdict": 0, "limit": 0.25, "values": (-999.0,)}),
    "stuck": (4, {"verdict": 2, "window": 5}),
    "step": (5, {"verdict": 1, "limit": 0.5}),
    "mean": (6, {"verdict": 2, "low": -1.0, "high": 4.0}),
    "stddev": (7, {"verdict": 1, "low": 0.01}),
    "clipped": (8, {"verdict": 2, "low": 0.0, "high": 255.0, "limit": 0.5}),
    "monotonic": (11, {"verdict": 1}),
    "age": (12, {"verdict": 2, "low": -5.0, "high": 60.0, "limit": 0.001}),
}
TEXT_CHECKS: dict[str, tuple[int, dict[str, Any]]] = {
    "categories": (1, {"verdict": 2, "texts": ("", "blue", "red", "\u00e9")}),
    "stuck": (4, {"verdict": 1, "window": 2}),
    "length": (9, {"verdict": 2, "low": 1.0, "high": 32.0}),
    "characters": (10, {"verdict": 2, "values": (97.0, 122.0, 0x10FFFF, 0x10FFFF)}),
}
OUTPUT_CHECKS: dict[str, tuple[int, dict[str, Any]]] = {
    "range": (20, {"verdict": 2, "low": 0.0, "high": 1.0}),
    "sum": (21, {"verdict": 1, "low": 0.99, "high": 1.01}),
    "confidence": (22, {"verdict": 2, "low": 0.6}),
    "margin": (23, {"verdict": 1, "low": 0.1}),
    "entropy": (24, {"verdict": 2, "high": 0.5}),
}


DISTANCE: dict[str, Any] = {
    "verdict": 1,
    "rest": 0.125,
    "threshold": 9.5,
    "false_rejection_rate": 0.01,
    "mean": (1.0, -2.0),
    "scale": (0.5, 4.0),
    "weights": (1.0, -0.25),
    "projection": ((1.0, 0.0), (0.5, -0.5)),
}
VALUE: dict[str, Any] = {
    "kind": 6,
    "index": 0,
    "element": 0,
    "limit": 0.0,
    "bound": 0.0,
    "name": "value of p",
    "mean": 0.0,
    "stddev": 0.0,
    "reference_rows": 0,
    "edges": (),
    "counts": (),
}
OBSERVATIONS: list[dict[str, Any]] = [
    {**VALUE, "kind": 2, "name": "distance of x", "mean": 0.5, "stddev": 0.25, "reference_rows": 9}
    | {"edges": (1.5,), "counts": (4, 4)},
    {**VALUE, "element": 2, "name": "value 2 of p"},
    {**VALUE, "kind": 14, "element": 1, "name": "seasonal of plain"}
    | {"slot_means": tuple(hour / 7 for hour in range(24)), "slot_scales": (0.0, *[2.5] * 23)},
    {**VALUE, "kind": 8, "bound": 0.125, "limit": -0.5, "name": "wrong of p", "edges": (0.0,), "counts": (0, 0)},
]
# Of "gr\u00f6sse" and of observations with a reference or a bound: no other feature has one.
DRIFT: dict[str, Any] = {
    "average_run_length": 1e6,
    "effect": 0.01,
    "verdict": 1,
    "strides": (5, 0, 0, 0, 2, 0, 0, 1),
    "outside": (0, 0, 0, 0, 0, 0, 0, 0),
}
# A bin and a hash; of strings that are several a row, and of a state, nothing.
EVENTS: dict[str, Any] = {"keep": 300, "sample_one_in": 7, "forms": (1, 2, 0, 0, 0, 0, 0, 0)}
STATE: dict[str, Any] = {"input": "h", "output": "next h", "row_axis": 0}
# Reason codes, none of them for any; sources.
FALLBACKS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((22, 29), (1, 2, 3, 4, 5)), ((), (4,))]

# At least one record of every kind that there is.
_WORDS = {**INPUT, "name": "words", "dtype": "string", "feature_axis": None, "flag_range": False, "empty": True}
_STATE = {**INPUT, "name": "h", "feature_axis": None, "shape": (None, 4), "max_shape": (64, 4)}
FULL_INPUTS: list[tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any] | None]] = [
    (INPUT, [{**FEATURE, "asks": CHECKS}, PLAIN], DISTANCE),
    (_WORDS, [{**PLAIN, "name": "word", "stand_in": "red", "asks": TEXT_CHECKS}], None),
    (_STATE, [{**PLAIN, "name": "h"}], None),
]
FULL_OUTPUTS: list[dict[str, Any]] = [
    {**PROBABILITIES, "asks": OUTPUT_CHECKS},
    {**PROBABILITIES, "name": "next h", "shape": (None, 4), "logits": True},
    {"name": "map", "dtype": "object", "shape": (), "finite": False, "default": None},
]


def full_guard(batched: int = 1, decision: dict[str, Any] | None = DECISION) -> bytes:
    """All of FULL_INPUTS and what follows."""
    return guard(
        [
            input_record(rule, features, distance=distance_record(**distance) if distance else b"\0")
            for rule, features, distance in FULL_INPUTS
        ],
        [output_record(rule) for rule in FULL_OUTPUTS],
        batched,
        ending(
            decision_record(decision) if decision else b"\0",
            [fallback_record(sum(1 << code for code in codes) or 2**64 - 1, chain) for codes, chain in FALLBACKS],
            [state_record(STATE)],
            drift_record(DRIFT),
            events_record(EVENTS),
            [observation_record(rule) for rule in OBSERVATIONS],
        ),
    )


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def counts(values: Sequence[int]) -> bytes:
    return struct.pack("<H", len(values)) + b"".join(map(varint, values))


def batch_feature(histogram: Sequence[int], not_finite: int, total: int, squares: int) -> bytes:
    zigzag = total * 2 if total >= 0 else -total * 2 - 1
    return bytes([len(histogram)]) + b"".join(map(varint, [*histogram, not_finite, zigzag, squares]))


def batch_body(**changes: Any) -> bytes:
    """The body of a batch file with some counts of every kind; `changes` replace its parts."""
    parts: dict[str, Any] = {
        "instance": bytes(range(16)),
        "numbers": struct.pack("<QQqqQ", 7 << 32 | 5, 3, 1_700_000_000 * 10**9, 1_700_000_060 * 10**9, 60 * 10**9),
        "digests": bytes([0xAB] * 32 + [0xCD] * 32),
        "calls": varint(13) + varint(1) + varint(456_789),
        "verdicts": counts([20, 0, 4]),
        "sources": counts([20, 0, 0, 4]),
        "reasons": counts([0, 0, 0, 0, 3, 0, 1]),
        "latency": counts([1, *[0] * 119, 12]),
        "decisions": counts([0, 0, 0, 0, 0, 2]),
        "feature_count": struct.pack("<I", 2),
        "features": batch_feature([5, 6, 7, 3], 3, -1234, 99_999) + batch_feature([], 2, 0, 0),
    }
    return b"".join({**parts, **changes}.values())


def batch(**changes: Any) -> bytes:
    """A whole batch file."""
    return frame(BATCH_MAGIC, batch_body(**changes))
