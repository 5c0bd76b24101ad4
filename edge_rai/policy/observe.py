"""What a session observes of each row besides its input, and of rows whose truth comes later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from edge_rai.policy.checks import check_word

Kind = Literal[
    "verdict",
    "distance",
    "projection",
    "class",
    "confidence",
    "value",
    "latency",
    "wrong",
    "error",
    "category",
    "mean",
    "stddev",
    "element",
    "seasonal",
]

KINDS: tuple[Kind, ...] = get_args(Kind)  # in the order of erai_observation_kind
OUTCOMES: tuple[Kind, ...] = ("wrong", "error")
_OF_INPUTS: tuple[Kind, ...] = ("distance", "projection", "element")
_OF_FEATURES: tuple[Kind, ...] = ("category", "mean", "stddev", "seasonal")
_OF_NOTHING: tuple[Kind, ...] = ("verdict", "latency")
_BOUNDED: tuple[Kind, ...] = ("latency", *OUTCOMES)
_MOST_PROJECTIONS = 64
_SLOTS = (24, 168)
_BINS_OF_ERRORS = 32
_NS_A_MS = 1e6


@dataclass(frozen=True, slots=True)
class Observation:
    """A feature that the session makes; see erai_observation_kind in edge_rai.h for what each kind is.

    Attributes:
        kind: "verdict", "latency"; of an input "distance", "projection" and "element", such as a pixel; of a feature
            "category", "seasonal", and "mean" and "stddev" of its values in a row, such as a channel's; of an output
            "class", "confidence" and "value", and, of rows whose truth ``Session.record_outcome`` tells, "wrong" or
            "error".
        of: Name of the input, feature or output; "" for a verdict and a latency.
        element: Which projection, 0 to 63; which number of the row, of a value, an error or an element.
        limit: Of a class and of "wrong": above which one number alone means class 1. Of an error: the difference that
            counts as 1. Of a latency: milliseconds that a call may take.
        bound: Of a latency, "wrong" and "error": the share of calls beyond the limit, of wrong answers, or the mean
            error, up to which there is no drift. Above 0, below 1.
        slots: Of "seasonal": 24, the value is held against what is usual at its hour of the day, in UTC, or 168, at its
            hour of the week; the reference says what that is.
    """

    kind: Kind
    of: str = ""
    element: int = 0
    limit: float = 0.0
    bound: float = 0.0
    slots: int = 0

    def __post_init__(self) -> None:
        check_word("observe.kind", self.kind, Kind)
        if bool(self.of) is (self.kind in _OF_NOTHING):
            needs = "stands alone: leave `of` out" if self.of else "needs `of`, the name of an input, feature or output"
            raise ValueError(f"observe: {self.kind!r} {needs}")
        most = _MOST_PROJECTIONS if self.kind == "projection" else 2**32
        if not 0 <= self.element < most:
            raise ValueError(f"observe: element of {self.name!r} is {self.element}; it must be 0 to {most - 1}")
        if not math.isfinite(self.limit) or (self.kind in ("latency", "error") and self.limit <= 0):
            raise ValueError(f"observe: limit of {self.name!r} is {self.limit}; it must be a number, and above 0 here")
        if self.kind in _BOUNDED and not 0 < self.bound < 1:
            raise ValueError(f"observe: bound of {self.name!r} is {self.bound}; it must be above 0 and below 1")
        if (self.kind == "seasonal" and self.slots not in _SLOTS) or (self.kind != "seasonal" and self.slots):
            raise ValueError(f'observe: slots of {self.name!r} are {self.slots}; "seasonal" alone has some, 24 or 168')
        if self.kind not in _BOUNDED and self.bound:
            raise ValueError(f"observe: {self.name!r} has a bound; it is watched against its reference")

    @property
    def name(self) -> str:
        """Of the feature: of a session, its counts and its telemetry."""
        place = f" {self.element}" if self.element or self.kind in ("projection", "element") else ""
        return f"{self.kind}{place} of {self.of}" if self.of else self.kind

    @property
    def of_input(self) -> bool:
        """Whether ``of`` names an input."""
        return self.kind in _OF_INPUTS

    @property
    def of_feature(self) -> bool:
        """Whether ``of`` names a feature."""
        return self.kind in _OF_FEATURES

    @property
    def is_outcome(self) -> bool:
        """Whether its values come after the answer."""
        return self.kind in OUTCOMES

    @property
    def native_limit(self) -> float:
        """As erai_observation_rule has it."""
        return 0.0 if self.kind == "latency" else self.limit

    def own_edges(self) -> tuple[float, ...]:
        """The edges of its bins, where it has a bound and no reference: the loss is even over these; else none."""
        if self.kind == "latency":
            return (self.limit * _NS_A_MS,)
        if self.kind == "wrong":
            return (0.0,)
        last = _BINS_OF_ERRORS - 1
        return tuple(place / last for place in range(last)) if self.kind == "error" else ()
