"""What becomes of damaged .tflite files: run as a program, because LiteRT may take the process with it.

It reads one JSON object from standard input: ``models`` (paths), ``count`` (damaged files a model), ``seed``,
``checked`` (whether the check comes before LiteRT) and ``seconds`` (after which a file counts as hung). For every file
it writes a line: the outcome, the model, the file's number and what was done to it. Damage depends on seed, model and
number alone, so that ``Damage(data, seed).make(number)`` makes a file again.

Files are tried in children that are forked after LiteRT was imported, one after another until one ends its child.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

MEMORY_BYTES = 6 << 30
WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NUMBERS = (-(1 << 31), -2, -1, 0, 1, 2, 3, 5, 7, 9, 17, 49, 127, 255, 1 << 16, 1 << 20, 1 << 24, 1 << 30, (1 << 31) - 1)
REALS = (0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"))
EDITS = ("gone", "empty", "first left out", "last left out", "repeated", "turned round")
OUTCOMES = ("check", "litert", "answer", "crash", "hung")


class Outcome(NamedTuple):
    """Of one damaged file; ``kind`` is one of OUTCOMES: refused by the check or by LiteRT, answered, or worse."""

    kind: str
    model: str
    number: int
    damage: str


def tried(
    models: Sequence[Path], count: int, *, seed: int = 1, checked: bool = True, seconds: float = 10
) -> list[Outcome]:
    """Tries ``count`` damaged copies of each model in a process of their own."""
    asked = {"models": [str(path) for path in models], "count": count}
    asked |= {"seed": seed, "checked": checked, "seconds": seconds}
    run = subprocess.run(
        [sys.executable, __file__], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    lines = [line.split("\t", 3) for line in run.stdout.splitlines()]
    return [Outcome(kind, model, int(number), damage) for kind, model, number, damage in lines]


def structure(data: bytes) -> np.ndarray[Any, Any]:
    """The places in a file that are not in a buffer of 64 bytes or more: what is not weights."""
    model = schema.Model.GetRootAs(bytearray(data), 0)
    places = np.ones(len(data), bool)
    for i in range(model.BuffersLength()):
        buffer = model.Buffers(i)
        if buffer.DataLength() >= 64:
            at = buffer._tab.Vector(buffer._tab.Offset(4))
            places[at : at + buffer.DataLength()] = False
    return np.flatnonzero(places)


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every number in a model in object form, but for those of large buffers."""
    if isinstance(value, (int, float, np.number)):
        yield path
    elif isinstance(value, (list, np.ndarray)):
        for i in range(len(value) if isinstance(value, list) else min(value.size, 64)):
            yield from fields(value[i], (*path, i))
    elif hasattr(value, "__dict__"):
        for name, inner in vars(value).items():
            yield from fields(inner, (*path, name))


def parts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every list, array, text and table in a model in object form, but for elements of large lists."""
    if isinstance(value, (list, bytes, np.ndarray)) or hasattr(value, "__dict__"):
        yield path
    if isinstance(value, list):
        for i, inner in enumerate(value[:64]):
            yield from parts(inner, (*path, i))
    elif hasattr(value, "__dict__"):
        for name, inner in vars(value).items():
            yield from parts(inner, (*path, name))


class Damage:
    """Damaged copies of one file: cut, a word replaced, bits flipped anywhere or in the structure, or a part changed.

    A changed field, or a list or table that is cut, turned round or gone, makes a file that is whole as a FlatBuffer,
    and that few checks of bytes would find.
    """

    def __init__(self, data: bytes, seed: int) -> None:
        self.data, self.seed, self.places = data, seed, structure(data)
        self.model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
        self.fields = list(fields(self.model))
        self.parts = [path for path in parts(self.model) if path]

    def make(self, number: int) -> tuple[str, bytes]:
        """What was done to copy ``number``, and the copy."""
        draw = np.random.default_rng([self.seed, number])
        data = bytearray(self.data)
        kind = number % 10
        if kind == 0:
            size = int(draw.integers(0, len(data)))
            return f"cut to {size}", bytes(data[:size])
        if kind == 1:
            at, word = int(draw.choice(self.places)) // 4 * 4, int(draw.choice(WORDS))
            data[at : at + 4] = word.to_bytes(4, "little")
            return f"word {word:#x} at {at}", bytes(data[: len(self.data)])
        if kind in (2, 3):
            return self._changed(draw)
        if kind == 4:
            return self._edited(draw)
        places = draw.choice(self.places if kind % 2 else len(data), 1 if kind < 8 else int(draw.integers(2, 9)))
        for at in places:
            data[at] ^= 1 << int(draw.integers(8))
        return f"bits at {' '.join(str(at) for at in places)}", bytes(data)

    def _changed(self, draw: np.random.Generator) -> tuple[str, bytes]:
        path = self.fields[draw.integers(len(self.fields))]
        old = _at(self.model, path)
        real = isinstance(old, (float, np.floating))
        new: Any = float(draw.choice(REALS)) if real else int(draw.choice(NUMBERS))
        return self._with(path, new, f"{old} -> {new}")

    def _edited(self, draw: np.random.Generator) -> tuple[str, bytes]:
        path = self.parts[draw.integers(len(self.parts))]
        old, edit = _at(self.model, path), EDITS[draw.integers(len(EDITS))]
        listed = isinstance(old, (list, np.ndarray)) and edit != "gone"
        return self._with(path, _edit(old, edit) if listed else None, edit if listed else "gone")

    def _with(self, path: tuple[Any, ...], new: Any, what: str) -> tuple[str, bytes]:
        """What was done, and the file with a part replaced."""
        model = copy.deepcopy(self.model)
        holder, last = _at(model, path[:-1]), path[-1]
        try:
            if isinstance(last, int):
                holder[last] = new
            else:
                setattr(holder, last, new)
            builder = flatbuffers.Builder(1024)
            builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        except (AttributeError, OverflowError, TypeError, ValueError):  # the schema has no such value there
            return "nothing", self.data
        return f"{'.'.join(map(str, path))} {what}", bytes(builder.Output())


def _at(model: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        model = model[step] if isinstance(step, int) else getattr(model, step)
    return model


def _edit(values: Any, edit: str) -> Any:
    """A list or array, edited."""
    if edit == "empty":
        return values[:0]
    if edit == "repeated":
        return [*values, *values[-1:]] if isinstance(values, list) else np.concatenate([values, values[-1:]])
    return {"first left out": values[1:], "last left out": values[:-1], "turned round": values[::-1]}[edit]


def outcome(data: bytes, checked: bool) -> str:
    """What becomes of one file, unless it ends the process."""
    from ai_edge_litert.interpreter import Interpreter

    from edge_rai import UnsupportedModelError
    from edge_rai._native import check_tflite

    if checked:
        try:
            check_tflite(data)
        except UnsupportedModelError:
            return "check"
    try:
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            # Strings too: LiteRT 2.3 follows a null pointer where an input of strings was never set.
            dtype = "S1" if detail["dtype"] is np.bytes_ else detail["dtype"]
            interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], dtype))
        interpreter.invoke()
        for detail in interpreter.get_output_details():
            interpreter.get_tensor(detail["index"])
    except (ValueError, RuntimeError, MemoryError, TypeError, KeyError):
        return "litert"
    return "answer"


def child(damage: Damage, numbers: range, to: int, checked: bool) -> None:
    """Tries files until they end, or one ends the process: a line when a file is begun, and one when it is done."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        _, data = damage.make(number)
        os.write(to, f"{number}\n".encode())
        os.write(to, f"{outcome(data, checked)}\n".encode())


def attempt(damage: Damage, numbers: range, checked: bool, seconds: float) -> Iterator[tuple[int, str]]:
    """Outcomes from one child, up to the file that ended it."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(damage, numbers, sink, checked)
        finally:
            os._exit(0)
    os.close(sink)
    buffered, begun = b"", -1
    while True:
        ready, _, _ = select.select([source], [], [], seconds)
        part = os.read(source, 1 << 16) if ready else b""
        if not part:
            break
        *lines, buffered = (buffered + part).split(b"\n")
        for line in lines:
            if line.isdigit():
                begun = int(line)
            else:
                yield begun, line.decode()
                begun = -1
    if not ready:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(source)
    if begun >= 0:
        yield begun, "crash" if ready else "hung"


def main() -> None:
    """Reads what to try and writes what became of it."""
    asked = json.load(sys.stdin)
    for path in asked["models"]:
        damage, at = Damage(Path(path).read_bytes(), asked["seed"]), 0
        while at < asked["count"]:
            reached = at
            for number, kind in attempt(damage, range(at, asked["count"]), asked["checked"], asked["seconds"]):
                sys.stdout.write(f"{kind}\t{Path(path).stem}\t{number}\t{damage.make(number)[0]}\n")
                reached = number + 1
            if reached == at:
                raise SystemExit(f"the child for {path} ended before its first file")
            at = reached


if __name__ == "__main__":
    import ai_edge_litert.interpreter  # noqa: F401  (once, not in every child)

    import edge_rai  # noqa: F401

    main()
