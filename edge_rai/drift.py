"""What a session that watches for drift has found."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Direction(IntEnum):
    """What the evidence for drift says has happened to a feature; see erai_direction in edge_rai.h."""

    MEAN_UP = 0
    MEAN_DOWN = 1
    WIDER = 2
    NARROWER = 3
    SHARES = 4
    MISSING = 5
    OUTSIDE = 6
    ABOVE = 7


class WatchedFeature(NamedTuple):
    """How much speaks for one feature's having left its reference.

    Attributes:
        name: The feature.
        evidence: While nothing has changed its mean is at most the rows watched.
        direction: What most of the evidence is for; of values that went all to one side, that side.
        changed: Rows ago, at the alarm if there was one, as estimated; 0: nothing points to a change.
        stride: Looked at once in so many rows.
        effect: How large the change is, from the values since the evidence was 256 rows' worth: of a mean, by how many
            standard deviations of the reference it moved, or, where a bound is watched, the mean; of a spread, how many
            times as wide; of missing values and those out of range, their share. None: of shares of categories, and
            while there are no such values. Beyond the outermost of the reference's bins nothing is told apart: of 32 a
            mean moves by 2.2 at most, and a spread is about twice as wide at most.
        effect_interval: 95 %, as if these values had been chosen beforehand.
    """

    name: str
    evidence: float
    direction: Direction
    changed: int
    stride: int
    effect: float | None
    effect_interval: tuple[float, float] | None


class Alarm(NamedTuple):
    """Drift was found. It stands until it is taken back.

    Attributes:
        row: Rows watched when it came.
        unix_ns: Wall clock when it came.
        evidence: Of the device then, at least the policy's average run length.
        features: Names: the one with the most evidence, then others that e-BH names at the same level.
    """

    row: int
    unix_ns: int
    evidence: float
    features: tuple[str, ...]


class Watch(NamedTuple):
    """How much speaks for drift. From an alarm on nothing is watched, and all is as it was then, until a reset.

    Attributes:
        rows: Watched; at most four a thread wait to be looked at together and are not among them.
        evidence: Mean over the features; an alarm comes when it reaches ``average_run_length``.
        average_run_length: Rows from one false alarm to the next, at least, as the policy states it.
        alarm: None: there was none.
        features: Those that are watched, in the guard program's order.
        continued: Another session's watch goes on here, as the spool has it.
    """

    rows: int
    evidence: float
    average_run_length: float
    alarm: Alarm | None
    features: tuple[WatchedFeature, ...]
    continued: bool
