"""What a certificate is to promise, as frozen dataclasses that refuse what could not be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Score = Literal["confidence", "margin"]


@dataclass(frozen=True, slots=True)
class AbstentionRule:
    """The candidate abstains on at most so many rows, and errs on at most so many of those that it answers.

    Attributes:
        errors: Share of the answered rows.
        abstains: Share of all rows.
        slice_errors: The same of each declared slice; None: nothing is promised of slices.
        slice_abstains: Likewise.
        score: What the guard compares with the threshold: the greatest share, or that less the second.
    """

    errors: float
    abstains: float
    slice_errors: float | None = None
    slice_abstains: float | None = None
    score: Score = "confidence"

    def __post_init__(self) -> None:
        for name in ("errors", "abstains", "slice_errors", "slice_abstains"):
            _share(name, getattr(self, name))
        if (self.slice_errors is None) != (self.slice_abstains is None):
            raise ValueError("slice_errors and slice_abstains are one promise; give both, or none")


@dataclass(frozen=True, slots=True)
class SetsRule:
    """Sets of classes that hold the true one in so many rows of each class.

    Attributes:
        coverage: Share of the rows of each class that the guard lets through and that have a label.
    """

    coverage: float

    def __post_init__(self) -> None:
        _share("coverage", self.coverage)


@dataclass(frozen=True, slots=True)
class CertificateRule:
    """What is to be promised.

    Attributes:
        abstention: Of single answers.
        sets: Of sets of classes.
    """

    abstention: AbstentionRule | None = None
    sets: SetsRule | None = None

    def __post_init__(self) -> None:
        if self.abstention is None and self.sets is None:
            raise ValueError("promises nothing; give [certificate.abstention] with errors and abstains, or "
                             "[certificate.sets] with coverage")  # fmt: skip


def _share(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < 1:
        raise ValueError(f"{name} is {value:g}; it must be above 0 and below 1")
