"""Power cuts by a real kernel: an ext4 on a loop device that stops where it stands, and is mounted again.

EXT4_IOC_SHUTDOWN without a flush of its log leaves on the device what had been written, as a power cut does; mounting
it again replays the journal. What the device itself may do to its sectors is in tests/support/disk.py instead.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_rai._native import NativeSpool
from edge_rai.telemetry.spool import Spool
from support.spools import disjoint

_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_DETACH = 2
_IMAGE_BYTES = 24 << 20

# Says after each flush when it was done and how many rows are stored since the beginning.
_WRITER = """
import sys; sys.path = [p for p in sys.path if p]
import time, numpy
from edge_rai.backends.opening import open_session
session = open_session(sys.argv[1], runtime=None, spool=sys.argv[2], threads=1, clock=None, provider=None,
                       provider_path=None, cache_bytes=0, spool_quota_bytes=128 << 10)
row, rows = numpy.ones((1, 3), numpy.float32), 0
while True:
    for _ in range(1 + rows % 4):
        session.predict([row])
        rows += 1
    session.flush()
    print(time.monotonic_ns(), rows, flush=True)
"""


class Machine:
    """A disk that loses its power."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists():
            pytest.skip("power cuts by the kernel need root, mkfs.ext4 and loop devices")
        self._image, self.mount_point = folder / "disk", folder / "mounted"
        with self._image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        self.mount_point.mkdir()
        subprocess.run(["mkfs.ext4", "-q", self._image], check=True, capture_output=True)
        try:
            self.mount()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"power cuts by the kernel need loop mounts: {error.stderr.decode().strip()}")

    def mount(self) -> None:
        command = ["mount", "-o", "loop", self._image, self.mount_point]
        subprocess.run(command, check=True, capture_output=True)

    def cut(self) -> int:
        """Ends the file system; returns the moment, by the monotonic clock, before which all is before the cut."""
        directory = os.open(self.mount_point, os.O_RDONLY)
        try:
            before_ns = time.monotonic_ns()
            fcntl.ioctl(directory, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(directory)
        return before_ns

    def unmount(self) -> None:
        for _ in range(500):
            if subprocess.run(["umount", self.mount_point], check=False, capture_output=True).returncode == 0:
                return
            time.sleep(0.01)
        ctypes.CDLL(None).umount2(os.fsencode(self.mount_point), _DETACH)


def total_rows(path: Path) -> int:
    spool = Spool(path)
    found = [spool.read(batch) for batch in spool.batches()]
    assert disjoint([window for one in found for window in one.windows])
    return sum(one.rows + sum(gone.rows for gone in one.expired) for one in found)


def run_cycles(bundle: Path, folder: Path, cycles: int, seed: int) -> tuple[int, int]:
    """Cuts the power so many times.

    Returns:
        Rows acknowledged before their cut, and how many of these were lost: those of each cycle that are missing from
        what came to be there in it.
    """
    machine, chance = Machine(folder), random.Random(seed)
    path, acknowledged, lost = machine.mount_point / "spool", 0, 0
    try:
        for _ in range(cycles):
            before = total_rows(path) if path.exists() else 0
            command = [sys.executable, "-c", _WRITER, str(bundle), str(path)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
                assert child.stdout is not None
                lines = [child.stdout.readline()]
                time.sleep(chance.uniform(0, 0.2))
                cut_ns = machine.cut()
                child.kill()
                lines += child.stdout.read().splitlines()
            stamped = [tuple(map(int, line.split())) for line in lines if line.strip() and len(line.split()) == 2]
            stored = max((rows for at_ns, rows in stamped if at_ns < cut_ns), default=0)
            machine.unmount()
            machine.mount()
            acknowledged += stored
            lost += max(before + stored - total_after_recovery(path), 0)
    finally:
        machine.unmount()
    return acknowledged, lost


def total_after_recovery(path: Path) -> int:
    NativeSpool(str(path))
    return total_rows(path)
