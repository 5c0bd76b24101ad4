"""Requests decoded by a process of its own, while the collector's takes others and commits what is decoded.

Python runs one thread of a process at a time, however many processors there are. The two talk through pipes, pickles
each behind its length, which nobody else writes; what was found comes in the order of the requests. The process ends
when nobody can write to it any more, so it outlives no collector, however that one ended.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import Struct
from typing import Any, Final

from edge_rai.fleet.body import Body, Decoded, FailedError, decode_or_failure

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"

_LENGTH: Final = Struct("<Q")
_PIPE_BYTES: Final = 1 << 20  # the most that Linux gives to anybody
_MOST_TOGETHER: Final = 16  # requests whose findings are sent together: the first of them waits for the last
_ENOUGH_UNPACKED_BYTES: Final = 1 << 20  # for that, however few they are

Found = Decoded | FailedError


class Decoder:
    """The process. One thread gives and another takes. Giving to one that has ended is no error: taking tells it."""

    def __init__(self) -> None:
        """Starts it.

        Raises:
            OSError: The system has no room for it.
        """
        program = f"import sys; sys.path[:] = {sys.path!r}; from edge_rai.fleet.decoder import main; main()"
        with _signals_held():
            self._process = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        for pipe in (self._input, self._output):
            with suppress(OSError):  # this user's pipes may take no more memory: then it stays small
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._received = _Received(self._output.fileno())

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def give(self, body: Body) -> None:
        """Has a request decoded, at the latest after `flush`. Blocks while there is enough to do."""
        with suppress(BrokenPipeError):
            self._input.write(_packed(body))

    def flush(self) -> None:
        """Has it begin with what it was given."""
        with suppress(BrokenPipeError):
            self._input.flush()

    def give_no_more(self) -> None:
        """Has it end once it has decoded what it was given."""
        with suppress(BrokenPipeError):
            self._input.close()

    def take(self) -> list[Found]:
        """What was found in the next requests, about _PIPE_BYTES of it. Blocks; empty: it has ended."""
        return [found for together in self._received.take() for found in together]

    def wait(self) -> int:
        """Until it has ended. Returns its exit code; of one that a signal ended, that signal below 0."""
        return self._process.wait()

    def close(self) -> None:
        """Waits for its end, and closes the pipes. Nobody gives or takes any more."""
        self.give_no_more()
        self._output.close()
        self.wait()


class _Received:
    """What comes out of a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = bytearray()  # the beginning of what is not whole

    def take(self) -> list[Any]:
        """All that has come, at least one; blocks until there is one. Empty: nobody writes any more."""
        taken: list[Any] = []
        while not taken and (more := os.read(self._descriptor, _PIPE_BYTES)):
            self._held += more
            start = 0
            with memoryview(self._held) as held:
                while start + _LENGTH.size <= len(held):
                    end = start + _LENGTH.size + _LENGTH.unpack_from(held, start)[0]
                    if end > len(held):
                        break
                    taken.append(pickle.loads(held[start + _LENGTH.size : end]))
                    start = end
            del self._held[:start]
        return taken


def _packed(given: object) -> bytes:
    pickled = pickle.dumps(given, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(pickled)) + pickled


@contextmanager
def _signals_held() -> Iterator[None]:
    """Has a process that is made here take no notice of a Ctrl-C, nor of a SIGTERM to all of a service.

    The collector finishes what it was given after both, and needs the process for it.
    """
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def main() -> None:
    """The process: decodes what comes through its standard input."""
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    output = os.dup(1)
    os.dup2(2, 1)  # for whatever else prints something
    received = _Received(0)
    with suppress(BrokenPipeError), open(output, "wb") as pipe:
        while bodies := received.take():
            for together in _decoded(bodies):
                pipe.write(_packed(together))
                pipe.flush()


def _decoded(bodies: list[Body]) -> Iterator[list[Found]]:
    """What is found in them, in parts."""
    together: list[Found] = []
    unpacked_bytes = 0
    for body in bodies:
        together.append(decode_or_failure(body))
        unpacked_bytes += together[-1].unpacked_bytes if isinstance(together[-1], Decoded) else 0
        if len(together) == _MOST_TOGETHER or unpacked_bytes >= _ENOUGH_UNPACKED_BYTES:
            yield together
            together, unpacked_bytes = [], 0
    if together:
        yield together
