"""Reads attributes and numbers of OTLP messages from anybody: bounded, of one type, or refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final
from uuid import UUID

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from edge_rai.telemetry import otlp

MOST_BINS: Final = 32  # of a feature, as in a guard program
LARGEST_COUNT: Final = 2**53  # so that adding up a thousand batches stays within 64 bits

_LONGEST_TEXT_BYTES: Final = 1024  # as a name in a guard program (docs/formats/guard.md)
_MOST_ATTRIBUTES: Final = 64
_DIGEST: Final = re.compile(f"[0-9a-f]{{{otlp.DIGEST_DIGITS}}}")
_BATCH: Final = re.compile(r"([0-9a-f]{1,16}):([0-9a-f]{1,16}):([0-9a-f]{1,16})")


class RefusedError(Exception):
    """What came is not of edge_rai, or not whole, or not possible."""


def attributes(pairs: Sequence[KeyValue]) -> dict[str, AnyValue]:
    """By key."""
    if len(pairs) > _MOST_ATTRIBUTES:
        raise RefusedError(f"{len(pairs)} attributes; the most is {_MOST_ATTRIBUTES}")
    return {pair.key: pair.value for pair in pairs}


def text(found: Mapping[str, AnyValue], key: str) -> str:
    """A string attribute of 1 to 1024 bytes that can be printed."""
    value = found.get(key)
    if value is None or value.WhichOneof("value") != "string_value":
        raise RefusedError(f"attribute {key} is missing or not a string")
    return checked_text(key, value.string_value)


def optional_text(found: Mapping[str, AnyValue], key: str) -> str:
    """The same, or "" where there is none."""
    return text(found, key) if key in found else ""


@lru_cache(maxsize=4096)
def checked_text(key: str, given: str) -> str:
    """The text, if its size and its characters are allowed."""
    size = len(given.encode())
    if not 0 < size <= _LONGEST_TEXT_BYTES:
        raise RefusedError(f"attribute {key} has {size} bytes; allowed are 1 to {_LONGEST_TEXT_BYTES}")
    if not given.isprintable():  # it will be printed on a terminal
        raise RefusedError(f"attribute {key} has characters that cannot be printed")
    return given


def natural(found: Mapping[str, AnyValue], key: str) -> int:
    """An integer attribute, at least 0."""
    value = found.get(key)
    if value is None or value.WhichOneof("value") != "int_value" or value.int_value < 0:
        raise RefusedError(f"attribute {key} is missing or not a natural number")
    return int(value.int_value)


def instance(found: Mapping[str, AnyValue], key: str) -> str:
    """A UUID, with dashes or without, as 32 hex digits."""
    return _hex_of_uuid(key, text(found, key))


@lru_cache(maxsize=4096)
def _hex_of_uuid(key: str, given: str) -> str:
    try:
        return UUID(given).hex
    except ValueError:
        raise RefusedError(f"attribute {key} is not a UUID") from None


def digest(found: Mapping[str, AnyValue], key: str) -> str:
    """The first digits of a SHA-256 in lower-case hex."""
    given = text(found, key)
    if not _DIGEST.fullmatch(given):
        raise RefusedError(f"attribute {key} is not the first {otlp.DIGEST_DIGITS} hex digits of a SHA-256")
    return given


def batch_name(found: Mapping[str, AnyValue]) -> tuple[int, int, int]:
    """Epoch and sequence of a batch, and how many data points or records it was sent with."""
    match = _BATCH.fullmatch(text(found, otlp.BATCH))
    numbers = tuple(int(digits, 16) for digits in match.groups()) if match else ()
    if not numbers or max(numbers) >= otlp.LARGEST_INTEGER:  # the one after it is an integer, too
        raise RefusedError(f"attribute {otlp.BATCH} is not EPOCH:SEQUENCE:COUNT in hexadecimal")
    return numbers[0], numbers[1], numbers[2]


def bounded(value: int, most: int) -> int:
    """The value, from 0 to `most`."""
    if not 0 <= value <= most:
        raise RefusedError(f"{value} is not within 0 to {most}")
    return value


def counts_of(name: str, given: Iterable[int]) -> tuple[int, ...]:
    """Counts of a metric."""
    counts = tuple(given)
    if counts and (min(counts) < 0 or max(counts) > LARGEST_COUNT):
        raise RefusedError(f"{name} has a count that is not within 0 to {LARGEST_COUNT}")
    return counts


def checked_bounds(name: str, bounds: tuple[float, ...]) -> tuple[float, ...]:
    """Bounds of a histogram that are finite and rising, fewer than the most bins."""
    if len(bounds) >= MOST_BINS:
        raise RefusedError(f"{name} has {len(bounds)} bounds; the most is {MOST_BINS - 1}")
    if not all(map(math.isfinite, bounds)) or any(a >= b for a, b in pairwise(bounds)):
        raise RefusedError(f"{name} has bounds that are not finite and rising")
    return bounds
