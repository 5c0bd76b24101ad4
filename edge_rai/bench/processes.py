"""A scenario measured by several fresh processes in turn, whose spread says how far to trust it.

Where a process's memory happens to lie speeds a model up or slows it down by some percent for as long as the process
lives (Mytkowicz et al., Producing Wrong Data Without Doing Anything Obviously Wrong!, 2009; Georges et al.,
Statistically Rigorous Java Performance Evaluation, 2007). However long one process measures, it cannot see that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import active_children, get_context, parent_process
from tempfile import TemporaryDirectory

import numpy as np

from edge_rai.bench.closed_loop import Run, Watch
from edge_rai.bench.result import WarmUp
from edge_rai.bench.series import Series
from edge_rai.errors import InferenceError

# What a run takes unless told otherwise: of so many, one that was unlucky does not spoil an interval.
PROCESSES = 12

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


_STOPS = {signal.SIGINT, signal.SIGTERM}


def in_processes(measure: Callable[[int], Run], processes: int = PROCESSES, watch: Watch | None = None) -> Run:
    """Calls a function in new processes, one after the other, and joins what they recorded.

    Args:
        measure: What pickle can send; given the number of the process, from 0.
        processes: How many, at least 1.
        watch: Given what there is after each process.

    Raises:
        InferenceError: A process was killed.
        Exception: What `measure` raised.
    """
    runs: list[Run] = []
    # What a process that is killed does not take away, such as bundles, lies in a directory of ours.
    with TemporaryDirectory(prefix="edge-rai-bench-") as folder:
        for number in range(processes):
            runs.append(_in_process(measure, number, folder))
            if watch is not None:
                watch(pooled(runs))
    return pooled(runs)


def _in_process(measure: Callable[[int], Run], number: int, folder: str) -> Run:
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin, initargs=(folder,)) as fresh:
        try:
            with _stops_held():
                measured = fresh.submit(measure, number)
            return measured.result()
        except KeyboardInterrupt:
            for child in active_children():  # one that was made after the Ctrl-C has not got it
                child.terminate()
            raise
        except BrokenProcessPool as error:
            raise InferenceError("a process that measured was killed, perhaps for want of memory") from error


@contextmanager
def _stops_held() -> Iterator[None]:
    """Has a Ctrl-C wait while a process is made: half made, or while it imports, it would answer with a traceback.

    The new process inherits that this thread blocks it. Another thread of ours, of a runtime's, may still receive it,
    and Python then has the main thread answer: so that only takes note. So it is with a request to terminate.
    """
    came: list[int] = []
    ours = threading.current_thread() is threading.main_thread()
    before = {stop: signal.signal(stop, lambda number, _: came.append(number)) for stop in _STOPS if ours}
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        for stop, handler in before.items():
            signal.signal(stop, handler)
    if came:
        signal.raise_signal(came[0])


def _begin(folder: str) -> None:
    """Has a new process end without a word at a Ctrl-C, which all of a terminal's get: the first says what there is."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    tempfile.tempdir = folder
    _end_with_parent()


def _end_with_parent() -> None:
    """Has Linux kill this process when the one that made it is gone: nobody takes what it measures then.

    A thread that waits for that would do without Linux, and have every malloc take a lock.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        parent = parent_process()
        if parent is not None and os.getppid() != parent.pid:  # gone before that
            os._exit(1)


def pooled(runs: Sequence[Run]) -> Run:
    """Runs of the same subjects, one after the other, as one. Time passes in their rounds alone."""
    rounds, times, parts = [0], [0], []
    for run in runs:
        parts.append([_later(series, rounds[-1], times[-1]) for series in run.series])
        ran = [series for series in run.series if len(series.block)]
        rounds.append(rounds[-1] + max((int(series.block[-1]) + 1 for series in ran), default=0))
        times.append(times[-1] + max((int(series.ended_ns[-1]) for series in ran), default=0))
    warm_ups = [run.warm_up for run in runs]
    warm_up = WarmUp(
        sum(one.seconds for one in warm_ups), sum(one.rounds for one in warm_ups), all(one.steady for one in warm_ups)
    )
    return Run([_joined(of_subject) for of_subject in zip(*parts, strict=True)], warm_up, tuple(rounds[:-1]))


def _later(series: Series, rounds: int, time_ns: int) -> Series:
    return replace(
        series,
        block=series.block + np.int32(rounds),
        scheduled_ns=series.scheduled_ns + time_ns,
        began_ns=series.began_ns + time_ns,
        ended_ns=series.ended_ns + time_ns,
    )


def _joined(parts: Sequence[Series]) -> Series:
    return Series(
        parts[0].subject,
        parts[0].rows,
        np.concatenate([part.block for part in parts]),
        np.concatenate([part.scheduled_ns for part in parts]),
        np.concatenate([part.began_ns for part in parts]),
        np.concatenate([part.ended_ns for part in parts]),
    )
