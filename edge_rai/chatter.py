"""What LiteRT tells stderr of itself: kept from people who run a command.

LiteRT says once a process that it made a delegate, in C++ and straight to the file descriptor; no option, environment
variable or exported function of it changes that. Its errors come to Python as exceptions.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_INFO = b"INFO: "


@contextmanager
def without_info() -> Iterator[None]:
    """Holds back what is written to stderr meanwhile, and then passes on all but the lines of information.

    For commands, not for libraries: the descriptor is the whole process's, and what other threads write comes late.
    """
    try:
        kept = os.dup(_STDERR)
    except OSError:  # it was closed before we began
        yield
        return
    try:
        with tempfile.TemporaryFile() as said:
            _flush()
            os.dup2(said.fileno(), _STDERR)
            try:
                yield
            finally:
                _flush()
                os.dup2(kept, _STDERR)
                said.seek(0)
                rest = b"".join(line for line in said if not line.startswith(_INFO))
                while rest:
                    rest = rest[os.write(kept, rest) :]
    finally:
        os.close(kept)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
