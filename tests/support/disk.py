"""What a power cut may leave on a disk, worked out from a trace of the calls that wrote to it (tests/support/faults.c).

POSIX promises little: the bytes of a file are there after fsync of it, its name after fsync of its directory. Of what
was not synced, anything may be there: all of it, nothing, parts of files in sectors, some names and not others.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
KEPT, DROPPED, TORN, REORDERED = "kept", "dropped", "torn", "reordered"
MODES = (KEPT, DROPPED, TORN, REORDERED)


class Call(NamedTuple):
    """One record: c(reate), o(pen), w(rite), s(ync), r(ename), u(nlink), d(irectory made), m(ark)."""

    kind: str
    file: int
    one: bytes
    two: bytes


def read_trace(path: Path) -> list[Call]:
    data, at, calls = path.read_bytes(), 0, []
    while at < len(data):
        file, first, second = struct.unpack_from("<iii", data, at + 1)
        begin = at + 13
        calls.append(
            Call(chr(data[at]), file, data[begin : begin + first], data[begin + first : begin + first + second])
        )
        at = begin + first + second
    return calls


@dataclass
class _File:
    data: bytes = b""
    synced: bytes = b""


@dataclass
class _Change:
    """Names that got another file, or none, in one step; of the directories that it is durable with."""

    names: dict[str, _File | None]
    directories: set[str]


@dataclass
class Disk:
    """The files below one directory: what is durable, and what is not yet."""

    root: str
    durable: dict[str, _File] = field(default_factory=dict)
    pending: list[_Change] = field(default_factory=list)
    directories: set[str] = field(default_factory=set)
    opened: dict[int, _File | str] = field(default_factory=dict)

    def _present(self) -> dict[str, _File]:
        return _applied(self.durable, self.pending)

    def _change(self, names: dict[str, _File | None]) -> None:
        self.pending.append(_Change(names, {name.rpartition("/")[0] for name in names}))

    def apply(self, call: Call) -> None:
        """Takes one call of the trace."""
        one, two = call.one.decode(errors="replace"), call.two.decode(errors="replace")
        if call.kind in "cord" and not one.startswith(self.root):
            return
        present = self._present() if call.kind in "cor" else {}
        if call.kind == "c":
            if one not in present:
                self._change({one: _File()})
            self.opened[call.file] = self._present()[one]
        elif call.kind == "o":
            self.opened[call.file] = present.get(one, one)
        elif call.kind == "d":
            self.directories.add(one)
        elif call.kind == "r":
            self._change({one: None, two: present[one]})
        elif call.kind == "u":
            self._change({one: None})
        elif call.kind == "w" and isinstance(file := self.opened.get(call.file), _File):
            file.data += call.one
        elif call.kind == "s":
            self._sync(self.opened.get(call.file))

    def _sync(self, file: _File | str | None) -> None:
        if isinstance(file, _File):
            file.synced = file.data
        elif isinstance(file, str):
            last = max((i for i, one in enumerate(self.pending) if file in one.directories), default=-1)
            now = [one for one in self.pending[: last + 1] if file in one.directories]
            self.durable = _applied(self.durable, now)
            self.pending = [one for one in self.pending if file not in one.directories]

    def after_a_cut(self, mode: str, chance: random.Random) -> dict[str, bytes]:
        """Names and contents that are there when the power is back."""
        if mode == DROPPED:
            pending: list[_Change] = []
        elif mode == REORDERED:
            pending = [one for one in self.pending if chance.random() < 0.5]
        else:
            pending = self.pending
        files = _applied(self.durable, pending)
        return {name: _contents(file, mode, chance) for name, file in files.items()}


def _applied(names: dict[str, _File], changes: list[_Change]) -> dict[str, _File]:
    after = dict(names)
    for change in changes:
        for name, file in change.names.items():
            if file is None:
                after.pop(name, None)
            else:
                after[name] = file
    return after


def _contents(file: _File, mode: str, chance: random.Random) -> bytes:
    if mode == KEPT or file.data == file.synced:
        return file.data
    if mode == DROPPED:
        return file.synced
    sectors = range(0, len(file.data), SECTOR)
    whole = b"".join(file.data[at : at + SECTOR] if chance.random() < 0.5 else bytes(SECTOR) for at in sectors)
    return whole[: chance.randrange(len(file.data) + 1)]


def cuts(calls: list[Call], root: Path, seeds: int) -> Iterator[tuple[int, str, dict[str, bytes], list[str]]]:
    """Every place of a trace at which the power may go, with what may be left, and the marks until then."""
    disk, marks = Disk(str(root)), list[str]()
    for place, call in enumerate(calls):
        if call.kind == "m":
            marks.append(call.one.decode())
            continue
        disk.apply(call)
        if call.kind == "o":
            continue
        for mode in MODES:
            for seed in range(seeds if mode in (TORN, REORDERED) else 1):
                yield place, mode, disk.after_a_cut(mode, random.Random(f"{place} {mode} {seed}")), list(marks)
