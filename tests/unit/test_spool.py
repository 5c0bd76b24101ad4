from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_rai.errors import SpoolError
from edge_rai.telemetry.spool import CORRUPT, BatchFile, NotReadableYetError, Spool


def names(spool: Path) -> list[str]:
    return [batch.path.name for batch in Spool(spool).batches()]


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="no spool directory at .*absent"):
        Spool(tmp_path / "absent")


def test_batches_are_ordered_by_epoch_and_sequence_and_never_by_time(tmp_path: Path) -> None:
    expected = [f"{epoch:016x}-{sequence:016x}.batch" for epoch in (1, 2, 16) for sequence in (0, 9, 10)]
    for age, name in enumerate(expected):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert names(tmp_path) == expected


def test_everything_else_in_a_spool_is_left_alone(tmp_path: Path) -> None:
    others = (".0001.tmp", "instance", "epoch-00000001", f"guard-{'a' * 64}.bin", f"{'0' * 16}-{'0' * 16}.batch.old")
    for name in (*others, f".{'0' * 16}-{'0' * 16}.batch", f"{'0' * 15}-{'0' * 16}.batch"):
        (tmp_path / name).touch()
    assert names(tmp_path) == []


def test_flushed_batches_are_read_with_the_features_they_count(batch_spool: Path) -> None:
    spool = Spool(batch_spool)
    batches = spool.batches()
    assert [batch.sequence for batch in batches] == [0, 1, 2]
    for batch in batches:
        snapshot = spool.read(batch)
        assert (snapshot.epoch, snapshot.sequence) == (batch.epoch, batch.sequence)
        assert snapshot.instance == (batch_spool / "instance").read_text().strip()
        assert len(spool.features(snapshot.guard_digest)) == len(snapshot.features) == 3


def test_truncated_batch_is_an_error_that_can_be_set_aside(batch_spool: Path) -> None:
    spool = Spool(batch_spool)
    batch = spool.batches()[0]
    half = batch.path.read_bytes()[: batch.path.stat().st_size // 2]
    batch.path.write_bytes(half)
    with pytest.raises(SpoolError):
        spool.read(batch)
    spool.set_aside(batch, CORRUPT)
    assert (batch_spool / CORRUPT / batch.path.name).read_bytes() == half
    assert [other.sequence for other in spool.batches()] == [1, 2]


def test_batch_under_another_name_is_refused(batch_spool: Path) -> None:
    spool = Spool(batch_spool)
    batch = spool.batches()[0]
    moved = BatchFile(batch.epoch, 99, batch.path.with_name(f"{batch.epoch:016x}-{99:016x}.batch"))
    batch.path.rename(moved.path)
    with pytest.raises(SpoolError, match="not the batch that its name says"):
        spool.read(moved)


def test_newer_batch_is_told_from_a_corrupt_one(batch_spool: Path) -> None:
    spool = Spool(batch_spool)
    newer, corrupt, _ = spool.batches()
    whole = newer.path.read_bytes()
    newer.path.write_bytes(whole[:8] + (6).to_bytes(4, "little") + whole[12:])
    with pytest.raises(NotReadableYetError, match="has format version 6, this edge_rai reads 5"):
        spool.read(newer)
    for damaged in (b"", whole[:11], b"X" + whole[1:], whole[:8] + bytes(4) + whole[12:], whole[:-1] + b"\xff"):
        corrupt.path.write_bytes(damaged)
        with pytest.raises(SpoolError) as caught:
            spool.read(corrupt)
        assert not isinstance(caught.value, NotReadableYetError)


def test_missing_and_exchanged_guard_programs_are_named(batch_spool: Path) -> None:
    (guard,) = batch_spool.glob("guard-*.bin")
    other = "0" * 64
    with pytest.raises(NotReadableYetError, match=f"guard-{other}.bin is missing"):
        Spool(batch_spool).features(other)
    guard.rename(batch_spool / f"guard-{other}.bin")
    with pytest.raises(NotReadableYetError, match="not the guard program that its name says"):
        Spool(batch_spool).features(other)
    (batch_spool / f"guard-{other}.bin").write_bytes(b"garbage")
    with pytest.raises(NotReadableYetError, match=f"guard-{other}.bin"):
        Spool(batch_spool).features(other)


def test_removing_a_batch_twice_is_no_error(batch_spool: Path) -> None:
    spool = Spool(batch_spool)
    batch = spool.batches()[0]
    spool.remove(batch)
    spool.remove(batch)
    assert len(spool.batches()) == 2


def test_a_flipped_bit_in_the_upper_half_of_the_version_is_damage_and_not_the_future(batch_spool: Path) -> None:
    spool = Spool(batch_spool)
    batch = spool.batches()[0]
    data = bytearray(batch.path.read_bytes())
    data[11] ^= 0x80
    batch.path.write_bytes(data)
    with pytest.raises(SpoolError) as refused:
        spool.read(batch)
    assert type(refused.value) is SpoolError
