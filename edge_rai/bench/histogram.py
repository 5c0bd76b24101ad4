"""Latencies as an HdrHistogram: its bucket layout and its V2 compressed form, for any of its readers.

The layout and the encoding are those of github.com/HdrHistogram/HdrHistogram (AbstractHistogram.java,
ZigZagEncoding.java): values up to 2^11 each in a bucket of its own, above that 1,024 buckets for each doubling, so that
a value is told to three significant digits.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

_DIGITS = 3
_SUB_BITS = 11  # the smallest power of two that tells 2 * 10^3 values apart
_SUB_COUNT = 1 << _SUB_BITS
_HALF = _SUB_COUNT // 2
_LOWEST = 1
HIGHEST_NS = 3_600_000_000_000
_ENCODED = 0x1C849303 | 0x10
_COMPRESSED = 0x1C849304 | 0x10
_HEADER = struct.Struct(">iiiiqqd")


def encode(latency_ns: npt.NDArray[Any]) -> str:
    """The histogram in base64.

    Args:
        latency_ns: (n,) Integers; beyond an hour they count as one hour, below 0 as 0.
    """
    counts = _counts(np.clip(latency_ns.astype(np.int64), 0, HIGHEST_NS))
    payload = bytearray()
    empty = 0
    for count in counts.tolist():
        if not count:
            empty += 1
            continue
        if empty:
            payload += _zigzag(-empty)
            empty = 0
        payload += _zigzag(count)
    head = _HEADER.pack(_ENCODED, len(payload), 0, _DIGITS, _LOWEST, HIGHEST_NS, 1.0)
    packed = zlib.compress(head + payload, 9)
    return base64.b64encode(struct.pack(">ii", _COMPRESSED, len(packed)) + packed).decode()


def decode(text: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What is in a histogram that `encode`, or another writer with the same three digits, made.

    Returns:
        (b,) Lowest values of the buckets that are not empty, rising, and (b,) their counts.

    Raises:
        ValueError: It is none, or of other digits.
    """
    try:
        raw = base64.b64decode(text, validate=True)
        cookie, _ = struct.unpack_from(">ii", raw)
        if cookie & ~0xF0 != _COMPRESSED & ~0xF0:
            raise ValueError("it does not begin as one")
        body = zlib.decompress(raw[8:])
        cookie, length, _, digits, _, _, _ = _HEADER.unpack_from(body)
        if cookie & ~0xF0 != _ENCODED & ~0xF0 or digits != _DIGITS or _HEADER.size + length != len(body):
            raise ValueError("its header is not that of three digits")
        return _unpack(body[_HEADER.size :])
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        raise ValueError(f"this is no HdrHistogram of three digits in base64: {error}") from error


def _counts(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Counts by HdrHistogram's index."""
    # frexp of an integer below 2^53 is exact: its exponent is the number of bits.
    bits = np.frexp((values | (_SUB_COUNT - 1)).astype(np.float64))[1]
    bucket = bits - _SUB_BITS
    sub = values >> bucket
    return np.bincount(((bucket + 1) << (_SUB_BITS - 1)) + sub - _HALF)


def _zigzag(value: int) -> bytes:
    """ZigZag LEB128 in at most nine bytes."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest >= 0x80 and len(out) < 8:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _unpack(payload: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    lowest, counts = [], []
    index = at = 0
    while at < len(payload):
        rest = shift = 0
        for used in range(9):
            byte = payload[at]
            at += 1
            rest |= (byte if used == 8 else byte & 0x7F) << shift
            shift += 7
            if used == 8 or byte < 0x80:
                break
        value = (rest >> 1) ^ -(rest & 1)
        if value < 0:
            index -= value
            continue
        if value:
            lowest.append(_lowest(index))
            counts.append(value)
        index += 1
    return np.array(lowest, np.int64), np.array(counts, np.int64)


def _lowest(index: int) -> int:
    bucket, sub = (index >> (_SUB_BITS - 1)) - 1, (index & (_HALF - 1)) + _HALF
    return index if bucket < 0 else sub << bucket
