"""A signal's exception may come between any two steps of Python's: it costs the call that it meets, and no other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import edge_rai
from edge_rai import Session, load
from support.children import run_python

ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)
BAD = np.array([[1, np.nan, 3]], np.float32)
OURS = str(Path(edge_rai.__file__).parent)


class Interruption:
    """Raises KeyboardInterrupt before a step of edge_rai's, as an interpreter does that has seen a signal."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self, frame: FrameType, event: str, _: Any) -> Interruption | None:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self


def interrupted_everywhere(act: Callable[[], object], every: int = 1) -> Iterator[int]:
    """Does it again and again, interrupted one step later each time, until it comes to its end."""
    for step in count(0, every):
        before = sys.gettrace()
        sys.settrace(Interruption(step))
        try:
            act()
        except KeyboardInterrupt:
            pass
        else:
            return
        finally:
            sys.settrace(before)
        yield step


def check(session: Session, rows: np.ndarray[Any, Any]) -> None:
    """The calls are nobody's, and say what they should."""
    calls = session._native.calls
    assert len(calls) == 1
    answer = calls[0].lend([rows], ())
    assert answer is not None
    np.testing.assert_array_equal(answer.outputs["y"], alone(rows))


def alone(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What ``support.models.save_linear`` computes."""
    weights = (np.arange(6, dtype=np.float32) + 1).reshape(3, 2) / 2
    return np.asarray(rows @ weights + 1)


@pytest.fixture
def session(linear_model: Path) -> Session:
    opened = load(linear_model, threads=1)
    opened.predict(ROWS)
    return opened


def test_call_of_another_shape_is_nobodys_wherever_it_was_interrupted(session: Session) -> None:
    steps = 0
    for step in interrupted_everywhere(lambda: session.predict(ROWS[:1])):
        check(session, ROWS[:1])  # of the shape that C may have been told by half
        check(session, ROWS)
        steps = step
    assert steps > 100


def test_usual_call_that_is_rejected_is_nobodys_wherever_it_was_interrupted(session: Session) -> None:
    session.predict(ROWS[:1])
    steps = 0
    for step in interrupted_everywhere(lambda: session.predict(BAD)):
        check(session, ROWS[:1])
        session.predict(ROWS[:1])
        steps = step
    assert steps > 3  # where what was found is kept; all else of such a call is C's


def test_keys_of_an_interrupted_call_are_not_the_next_calls(session: Session) -> None:
    for _ in interrupted_everywhere(lambda: session.predict(ROWS, key=["a", "b", "c", "d"]), every=3):
        check(session, ROWS[:1])  # keys of four rows would be refused


def test_session_closed_meanwhile_goes_with_its_last_call(linear_model: Path) -> None:
    session = load(linear_model, threads=1)
    session.predict(ROWS)
    native = session._native
    run = native.calls[0].run

    def run_and_close(*given: Any) -> Any:
        session.close()
        return run(*given)

    native.calls[0].run = run_and_close  # type: ignore[method-assign]
    session.predict(ROWS[:1])
    assert native.handle is None


_END_EVERYWHERE = """
from edge_rai import load
from unit.test_session_interrupted import interrupted_everywhere
steps, session = 0, load(sys.argv[1], threads=1)._native
for steps in interrupted_everywhere(lambda: session.close()):
    session.__del__()  # as the interpreter does with what nobody has any more
    session = load(sys.argv[1], threads=1)._native
print(steps)
"""


def test_interrupted_end_of_a_session_never_frees_it_twice(linear_model: Path) -> None:
    there = {"PYTHONPATH": str(Path(__file__).parents[1]), "MALLOC_PERTURB_": "165"}
    done = run_python(_END_EVERYWHERE, linear_model, environment=there)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 20
