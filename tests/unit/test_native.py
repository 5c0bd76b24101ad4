from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from edge_rai import BundleError, SpoolError, load
from edge_rai._native import psi, read_bundle, read_snapshot, sha256
from support import guard_bytes as raw
from support.children import run_python
from support.guard_bytes import BATCH_MAGIC, HEADER, batch, batch_body, frame, reseal, varint

LOAD = """
import sys, edge_rai
try:
    edge_rai.load(sys.argv[1])
except edge_rai.EdgeRaiError as error:
    print(type(error).__name__, str(error).count(chr(10)), error)
"""


# ---- Batch files ----


def test_batch_file_of_the_document_reads_as_its_counts() -> None:
    snapshot = read_snapshot(batch())
    assert (snapshot.instance, snapshot.epoch, snapshot.sequence) == (bytes(range(16)).hex(), 7 << 32 | 5, 3)
    assert (snapshot.end_unix_ns - snapshot.start_unix_ns, snapshot.duration_ns) == (60 * 10**9, 60 * 10**9)
    assert (snapshot.model_digest, snapshot.guard_digest) == ("ab" * 32, "cd" * 32)
    assert (snapshot.calls, snapshot.errors, snapshot.latency_sum_ns) == (13, 1, 456_789)
    assert snapshot.rows_by_verdict.tolist() == [20, 0, 4]
    assert snapshot.rows_by_source.tolist() == [20, 0, 0, 4, 0, 0]  # zeros at the end of a list are left out
    assert snapshot.reasons.tolist() == [0, 0, 0, 0, 3, 0, 1, *[0] * 28]
    assert snapshot.decisions.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0]
    assert (len(snapshot.latency), np.flatnonzero(snapshot.latency).tolist()) == (321, [0, 120])
    first, second = snapshot.features
    assert (first.histogram.tolist(), first.not_finite, first.sum, first.sum_squares) == (
        [5, 6, 7, 3],
        3,
        -1234,
        99_999,
    )
    assert (second.histogram.tolist(), second.not_finite) == ([], 2)


def test_greatest_numbers_survive() -> None:
    extremes = raw.batch_feature([2**64 - 1] * 32, 2**64 - 1, -(2**63), 2**64 - 1)
    snapshot = read_snapshot(
        batch(
            calls=varint(2**64 - 1) * 3,
            features=extremes + raw.batch_feature([], 0, 2**63 - 1, 0),
            numbers=struct.pack("<QQqqQ", 2**64 - 1, 2**64 - 1, -(2**63), 2**63 - 1, 2**64 - 1),
        )
    )
    assert (snapshot.calls, snapshot.epoch, snapshot.start_unix_ns) == (2**64 - 1, 2**64 - 1, -(2**63))
    first, second = snapshot.features
    assert (first.sum, first.sum_squares, first.histogram.tolist()) == (-(2**63), 2**64 - 1, [2**64 - 1] * 32)
    assert second.sum == 2**63 - 1


def test_longer_lists_of_a_later_writer_are_kept() -> None:
    snapshot = read_snapshot(
        batch(reasons=raw.counts(range(50)), decisions=raw.counts(range(30)), latency=raw.counts([1] * 500))
    )
    assert snapshot.reasons.tolist() == list(range(50))
    assert snapshot.decisions.tolist() == list(range(30))
    assert len(snapshot.latency) == 500


BROKEN = {
    "empty": b"",
    "other magic": frame(b"ERAIGRD\n", batch_body()),
    "version 0": frame(BATCH_MAGIC, batch_body(), version=0),
    "not zero": frame(BATCH_MAGIC, batch_body(), zero=1),
    "33 bins": batch(features=raw.batch_feature([0] * 33, 0, 0, 0) + raw.batch_feature([], 0, 0, 0)),
    "more features than bytes": batch(feature_count=struct.pack("<I", 2**32 - 1)),
    "fewer features": batch(feature_count=struct.pack("<I", 1)),
    "list beyond the file": batch(latency=struct.pack("<H", 65535)),
    "varint of 11 bytes": batch(calls=b"\xff" * 10 + b"\x01" + varint(0) * 2),
    "varint above 64 bits": batch(calls=b"\xff" * 9 + b"\x02" + varint(0) * 2),
    "varint not in its shortest form": batch(calls=b"\x80\x00" + varint(0) * 2),
    "bytes after the end": frame(BATCH_MAGIC, batch_body() + b"\0"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_malformed_batch_file_is_refused(data: bytes) -> None:
    with pytest.raises(SpoolError, match="batch file"):
        read_snapshot(data)


def test_batch_file_of_version_1_reads_without_decisions() -> None:
    first = read_snapshot(frame(BATCH_MAGIC, batch_body(decisions=b""), version=1))
    assert first.decisions.tolist() == [0] * 9
    assert first.latency.tolist() == read_snapshot(batch()).latency.tolist()


def test_newer_batch_file_is_refused_saying_so() -> None:
    with pytest.raises(SpoolError, match="format version 6; this build understands up to 5: update"):
        read_snapshot(frame(BATCH_MAGIC, b"", version=6))


def test_every_truncation_and_bit_flip_of_a_batch_file_is_refused() -> None:
    data = batch()
    for size in range(len(data)):
        with pytest.raises(SpoolError):
            read_snapshot(data[:size])
        if size >= HEADER:
            with pytest.raises(SpoolError):
                read_snapshot(reseal(data[:size]))
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SpoolError):
            read_snapshot(bytes(flipped))


# ---- Smaller things ----


def test_psi_of_histograms_that_do_not_fit_is_a_value_error() -> None:
    three, four = np.ones(3, np.uint64), np.ones(4, np.uint64)
    for first, second in ((three, four), (three.reshape(1, 3), three.reshape(1, 3))):
        with pytest.raises(ValueError, match=r"expected two of \(bins,\)"):
            psi(first, second)
    assert psi(four, four) == 0
    assert psi(np.zeros(0, np.uint64), np.zeros(0, np.uint64)) == 0


def test_psi_takes_strided_histograms() -> None:
    counts = np.arange(12, dtype=np.uint64)
    assert psi(counts[::3], counts[::-3]) == psi(counts[::3].copy(), counts[::-3].copy()) > 0


@pytest.mark.parametrize("data", [b"", b"abc", bytes(1000)])
def test_sha256_is_hashlibs(data: bytes) -> None:
    assert sha256(data) == hashlib.sha256(data).hexdigest()


def test_missing_bundle_is_named(tmp_path: Path) -> None:
    for name in ("absent", "absent.erai", "absent.onnx"):
        with pytest.raises(BundleError, match=name):
            load(tmp_path / name)
    with pytest.raises(BundleError, match="absent.erai"):
        read_bundle(str(tmp_path / "absent.erai"))


# ---- The runtime ----


def test_missing_runtime_is_one_sentence_with_the_fix(linear_model: Path) -> None:
    child = run_python(LOAD, linear_model, environment={"ERAI_ONNXRUNTIME": "/nonexistent/libonnxruntime.so"})
    assert child.stdout.startswith("RuntimeMissingError 0 ONNX Runtime was not found"), child.stderr
    assert "/nonexistent/libonnxruntime.so" in child.stdout
    assert "pip install onnxruntime" in child.stdout


def test_library_that_is_not_the_runtime_is_named(linear_model: Path, tmp_path: Path) -> None:
    child = run_python(LOAD, linear_model, environment={"ERAI_ONNXRUNTIME": "libm.so.6"})
    assert child.stdout.startswith("RuntimeMissingError 0 libm.so.6 is not an ONNX Runtime library"), child.stderr
    text = tmp_path / "text.so"
    text.write_text("not a library")
    child = run_python(LOAD, linear_model, environment={"ERAI_ONNXRUNTIME": str(text)})
    assert "RuntimeMissingError 0 ONNX Runtime was not found" in child.stdout, child.stderr
    assert str(text) in child.stdout
