"""Histograms in HdrHistogram's form, read and written by its own Python package."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest

from edge_rai.bench.histogram import HIGHEST_NS, decode, encode

VALUES = np.random.default_rng(1).lognormal(11, 2, 5000).astype(np.int64)
EDGES = np.array([0, 1, 2047, 2048, 2049, 4095, 4096, 2**32 - 1, 2**32, 2**40, HIGHEST_NS])


def theirs(values):
    histogram = pytest.importorskip("hdrh.histogram").HdrHistogram(1, HIGHEST_NS, 3)
    for value in values.tolist():
        assert histogram.record_value(value)
    return histogram


@pytest.mark.parametrize("values", [VALUES, EDGES, np.full(100_000, 77)], ids=["lognormal", "edges", "one value"])
def test_their_reader_finds_in_ours_what_they_would_have_recorded(values) -> None:
    expected = theirs(values)
    found = type(expected).decode(encode(values))
    assert found.equals(expected)
    assert found.get_total_count() == len(values)
    for percent in (1, 50, 99, 99.9, 100):
        assert found.get_value_at_percentile(percent) == expected.get_value_at_percentile(percent)


@pytest.mark.parametrize("values", [VALUES, EDGES], ids=["lognormal", "edges"])
def test_ours_reads_theirs(values) -> None:
    lowest, counts = decode(theirs(values).encode().decode())
    ours_lowest, ours_counts = decode(encode(values))
    assert lowest.tolist() == ours_lowest.tolist()
    assert counts.tolist() == ours_counts.tolist()


def test_a_value_is_told_to_three_digits() -> None:
    for value in VALUES[:500]:
        (lowest,), (count,) = decode(encode(np.array([value])))
        assert count == 1
        assert lowest <= value < lowest * 1.001 + 1


def test_what_lies_outside_counts_at_the_ends() -> None:
    lowest, counts = decode(encode(np.array([-5, 2 * HIGHEST_NS])))
    assert lowest[0] == 0
    assert lowest[1] <= HIGHEST_NS < lowest[1] * 1.001
    assert counts.tolist() == [1, 1]


def packed(body: bytes) -> str:
    data = zlib.compress(body)
    return base64.b64encode(bytes.fromhex("1c849314") + len(data).to_bytes(4, "big") + data).decode()


GOOD = encode(VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no base64!",
        GOOD[:-8],
        "AAAAAAAA" + GOOD[8:],
        packed(b""),
        packed(b"\0" * 40),
        GOOD[:60] + "AAAA" + GOOD[64:],
    ],
)
def test_what_is_no_histogram_is_refused(text) -> None:
    with pytest.raises(ValueError, match="no HdrHistogram"):
        decode(text)
