"""Watching for drift, with a stated rate of false alarms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edge_rai.policy.checks import check_word

_MOST = 2**32 - 1

OnAlarm = Literal["accept", "flag", "reject"]


@dataclass(frozen=True, slots=True)
class Drift:
    """The reference's features are watched for a change; see docs/adr/0014-drift.md for how.

    Attributes:
        average_run_length: Rows from one false alarm of the device to the next, on average at least, where rows are
            independent of each other.
        effect: What is no drift: of a small change of a mean, about its size in standard deviations.
        verdict: Of every row once there is an alarm; "accept": an alarm changes no answer.
        strides: By feature, looked at once in so many rows, where rows depend on those before them; 0: not watched.
            Those not named are looked at in every row.
    """

    average_run_length: float
    effect: float = 0.01
    verdict: OnAlarm = "accept"
    strides: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_word("drift.verdict", self.verdict, OnAlarm)
        if not 100 <= self.average_run_length <= 1e15:
            raise ValueError(f"drift.average_run_length is {self.average_run_length:g}; it must be 100 to 1e15 rows")
        if not 0 < self.effect <= 1:
            raise ValueError(f"drift.effect is {self.effect:g}; it must be above 0 and at most 1")
        for name, stride in self.strides.items():
            if not 0 <= stride <= _MOST:
                raise ValueError(f"drift.strides of {name!r} is {stride}; it must be 0 (not watched) to {_MOST}")
