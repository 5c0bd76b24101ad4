"""What robustness is measured, and how much of it the candidate may lose, as a frozen dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["table", "images", "audio", "sensors"]
Way = Literal["rising", "falling"]

SEVERITIES = (1, 2, 3, 4, 5)
# By kind, in the order in which they are tried.
CORRUPTIONS: Mapping[Kind, tuple[str, ...]] = {
    "table": ("noise", "unit_x10", "unit_x1000", "swap", "stuck", "missing_block", "permuted_column"),
    "images": ("noise", "blur", "brightness", "contrast", "jpeg", "occlusion", "rotation"),
    "audio": ("noise", "clipping", "dropout"),
    "sensors": ("noise", "bias", "drift", "gain", "spikes", "stuck", "dropout"),
}
BATCH = "batch"


@dataclass(frozen=True, slots=True)
class RobustnessRule:
    """How both models are tried; see docs/formats/gate.md.

    Attributes:
        kind: Of the rows; None: found by their shape.
        rows: So many are drawn at most.
        seed: Of whatever draws.
        severity: Of the corruptions that margins are about.
        margins: By corruption or relation, how much more the candidate may lose by it than the original.
        slice_margins: The same of each slice of the policy.
        categories: Features that stand for one category together.
        mutable: Features that an attack may change; empty: all.
        invariant: Features that no decision may depend on.
        monotone: By feature, what the positive score, or the quantity, must do when it rises.
        batch_invariant: A row's answer must not depend on its batch.
        attack_rows: That are attacked; 0: none.
        attack_queries: Of each attack, a row and model, at most.
        reach: Of the attack on scores, standard deviations.
    """

    kind: Kind | None = None
    rows: int = 1000
    seed: int = 0
    severity: int = 3
    margins: Mapping[str, float] = field(default_factory=dict)
    slice_margins: Mapping[str, float] = field(default_factory=dict)
    categories: tuple[tuple[str, ...], ...] = ()
    mutable: tuple[str, ...] = ()
    invariant: tuple[str, ...] = ()
    monotone: Mapping[str, Way] = field(default_factory=dict)
    batch_invariant: bool = False
    attack_rows: int = 30
    attack_queries: int = 2000
    reach: float = 0.25

    def __post_init__(self) -> None:
        for name, low, high in (
            ("rows", 32, 100_000), ("seed", 0, 2**32 - 1), ("severity", 1, 5), ("attack_rows", 0, 1000),
            ("attack_queries", 100, 1_000_000),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low} to {high}")
        if not 0 < self.reach <= 10:
            raise ValueError("reach must be above 0 and at most 10 standard deviations")
        named = [name for group in self.categories for name in group]
        if not all(self.categories) or len(set(named)) != len(named):
            raise ValueError("categories must name at least one feature each, and none twice")
        known = {name for names in CORRUPTIONS.values() for name in names} if self.kind is None else self.corruptions()
        for table in ("margins", "slice_margins"):
            for name, margin in getattr(self, table).items():
                if name not in known and name not in self.relations:
                    there = ", ".join((*sorted(known), *self.relations))
                    raise ValueError(f"{table} has {name!r}, which is nothing that is tried; there are {there}")
                if not 0 < margin < math.inf:
                    raise ValueError(f"the margin of {name} is {margin:g}; it must be above 0")

    @property
    def judged(self) -> tuple[str, ...]:
        """What has a margin."""
        return tuple(dict.fromkeys((*self.margins, *self.slice_margins)))

    def corruptions(self) -> frozenset[str]:
        """Those of its kind."""
        return frozenset() if self.kind is None else frozenset(CORRUPTIONS[self.kind])

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the relations that are declared."""
        monotone = (f"monotone[{name}]" for name in self.monotone)
        invariant = (f"invariant[{name}]" for name in self.invariant)
        return (*monotone, *invariant, *((BATCH,) if self.batch_invariant else ()))
