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

# One turn a line that it reads: a child, forked when everything is loaded, that predicts and flushes until the disk is
# gone, and says after each flush when it was done and how many rows are stored since the turn began.
_WRITER = """
import sys; sys.path = [p for p in sys.path if p]
import os, signal, time, numpy
from edge_rai.backends.opening import open_session
from edge_rai.errors import EdgeRaiError

def write():
    signal.alarm(120)
    session = open_session(sys.argv[1], runtime=None, spool=sys.argv[2], threads=1, clock=None, provider=None,
                           provider_path=None, cache_bytes=0, spool_quota_bytes=128 << 10)
    chance, rows = numpy.random.default_rng(os.getpid()), 0
    while True:
        for _ in range(1 + rows % 4):
            session.predict([chance.normal(size=(1, 3)).astype(numpy.float32)])
            rows += 1
        session.flush()
        print(time.monotonic_ns(), rows, flush=True)

for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            write()
        except (EdgeRaiError, OSError):
            pass
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    print("over", flush=True)
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
    path, acknowledged, lost, there = machine.mount_point / "spool", 0, 0, 0
    command = [sys.executable, "-c", _WRITER, str(bundle), str(path)]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            for _ in range(cycles):
                stored = _turn(writer, machine, chance.uniform(0, 0.1))
                machine.unmount()
                machine.mount()
                acknowledged += stored
                before, there = there, total_after_recovery(path)
                lost += max(before + stored - there, 0)
            writer.communicate()
    finally:
        machine.unmount()
    return acknowledged, lost


def _turn(writer: subprocess.Popen[str], machine: Machine, wait_s: float) -> int:
    """Cuts the power so long after the first flush; returns the rows that were stored before."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("go\n")
    writer.stdin.flush()
    lines = [writer.stdout.readline()]
    time.sleep(wait_s)
    cut_ns = machine.cut()
    while lines[-1] not in ("over\n", ""):
        lines.append(writer.stdout.readline())
    stamped = [tuple(map(int, line.split())) for line in lines[:-1]]
    return max((rows for at_ns, rows in stamped if at_ns < cut_ns), default=0)


def total_after_recovery(path: Path) -> int:
    if not path.exists():
        return 0
    NativeSpool(str(path))
    return total_rows(path)
