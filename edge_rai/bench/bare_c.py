"""A model in ONNX Runtime's C API, called and timed by the program erai-bench in a process of its own.

The program times each call itself, by the clock that Python's `perf_counter` reads, and waits between blocks: so what
is timed has no Python in it, and yet takes its turn among the other subjects.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType

import numpy as np

from edge_rai.backends.onnx import runtime_path
from edge_rai.bench.series import Nanoseconds
from edge_rai.errors import RuntimeMissingError

_PROGRAM = "erai-bench"
_ENDS_WITHIN_S = 10


class BareC(AbstractContextManager["BareC"]):
    """The program, serving blocks of calls. One thread at a time.

    Args:
        arguments: Its model and options.

    Raises:
        RuntimeMissingError: It is not installed.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        program = shutil.which(os.environ.get("ERAI_BENCH") or _PROGRAM)
        if program is None:
            raise RuntimeMissingError(
                f"bare-c cannot be measured against: there is no program {_PROGRAM}; build it from native/ with "
                "-DERAI_BENCH=ON and put it on the PATH, or its path into ERAI_BENCH"
            )
        library = runtime_path()
        self._child = subprocess.Popen(
            [program, "--blocks", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "ERAI_ONNXRUNTIME": library} if library else None,
        )

    def block(self, first: int, calls: int) -> tuple[Nanoseconds, Nanoseconds]:
        """Calls with consecutive numbers.

        Returns:
            (calls,) When each began, and (calls,) when it ended, ns of `time.perf_counter_ns`.

        Raises:
            ValueError: The program ended: its own sentence.
        """
        asked, answers = self._child.stdin, self._child.stdout
        assert asked is not None
        assert answers is not None
        with suppress(BrokenPipeError):  # why it ended is on its standard error
            asked.write(b"%d %d\n" % (first, calls))
            asked.flush()
        wanted = 2 * calls * np.dtype(np.int64).itemsize
        answer = answers.read(wanted)
        if len(answer) < wanted:
            _, said = self._child.communicate(timeout=_ENDS_WITHIN_S)
            raise ValueError(said.decode(errors="replace").strip() or f"{_PROGRAM} ended with {self._child.returncode}")
        began, ended = np.frombuffer(answer, np.int64).reshape(2, calls)
        return began, ended

    def call(self, query: int) -> None:
        """One call, not timed."""
        self.block(query, 1)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None and not pipe.closed:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._child.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
