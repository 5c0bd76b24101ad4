"""Systems under test, and what is recorded of their calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai.errors import InferenceError

Nanoseconds = npt.NDArray[np.int64]

# The subject that every run has beside what it measures: the same fixed work in every run on a machine, so that two
# runs at different clock speeds can be compared through it.
YARDSTICK = "yardstick"


@dataclass(frozen=True, slots=True)
class Subject:
    """A system under test.

    Attributes:
        name: Unique within a run, but for `offline`, where subjects of one name differ in their rows.
        call: Answers one query; given the query's number, to choose an input by. Scenario `server` with several threads
            calls it from all of them.
        rows: Rows of data that one call answers.
        block: Makes calls with consecutive numbers, from a first one on and so many, and says when each began and
            ended, by the system's clock: a subject in another process. None: `call` is timed here.
    """

    name: str
    call: Callable[[int], object]
    rows: int = 1
    block: Callable[[int, int], tuple[Nanoseconds, Nanoseconds]] | None = None


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Has what fails within say whose calls failed: of several subjects, a runtime's own words do not.

    Raises:
        InferenceError: With that name.
    """
    try:
        yield
    except Exception as error:
        raise InferenceError(f"{name} failed: {error}") from error


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """The calls of one subject that count, in the order in which they began; warm-up is not among them.

    Attributes:
        subject: Its name.
        rows: Rows a call.
        block: (n,) The round, or the trial of `server`, that a call belongs to; never falls. A round is one block of
            each subject.
        scheduled_ns: (n,) When the call was due, nanoseconds from the beginning of the scenario. But for `server`, the
            next is due when the one before has ended, so that this is when it began.
        began_ns: (n,) When it began.
        ended_ns: (n,) When it ended.
    """

    subject: str
    rows: int
    block: npt.NDArray[np.int32]
    scheduled_ns: Nanoseconds
    began_ns: Nanoseconds
    ended_ns: Nanoseconds

    @property
    def latency_ns(self) -> Nanoseconds:
        """(n,) From when a call was due to its end: waiting counts."""
        return self.ended_ns - self.scheduled_ns


@dataclass(frozen=True, eq=False, slots=True)
class Blocks:
    """Median latencies of a series' blocks.

    Attributes:
        block: (b,) Number of the round; rising.
        began_ns: (b,) When its first call was due.
        median_ns: (b,) Median latency.
    """

    block: npt.NDArray[np.int32]
    began_ns: Nanoseconds
    median_ns: npt.NDArray[np.float64]

    def only(self, chosen: npt.NDArray[np.intp]) -> Blocks:
        """Some of them."""
        return Blocks(self.block[chosen], self.began_ns[chosen], self.median_ns[chosen])


def same_rounds(ours: Blocks, theirs: Blocks) -> tuple[Blocks, Blocks]:
    """The blocks of two series of one run that ran in the same rounds."""
    _, mine, others = np.intersect1d(ours.block, theirs.block, assume_unique=True, return_indices=True)
    return ours.only(mine), theirs.only(others)


def blocks_of(series: Series) -> Blocks:
    """The medians of the blocks: they are hardly moved by stalls, and a ratio of two of one round cancels the clock."""
    numbers, first = np.unique(series.block, return_index=True)
    lengths, latency = np.diff(first, append=len(series.block)), series.latency_ns
    medians = np.empty(len(numbers), np.float64)
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        medians[alike] = np.median(latency[first[alike, None] + np.arange(length)], axis=1)
    return Blocks(numbers, series.scheduled_ns[first], medians)
