"""What a corruption is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_rai_converters.gate.robustness.sample import Floats, Sample


class Corrupt(Protocol):
    """Does it to all rows of a sample."""

    def __call__(self, sample: Sample, setting: float, generator: np.random.Generator, /) -> Floats:
        """(n, features) values."""


@dataclass(frozen=True, slots=True)
class Change:
    """One corruption.

    Attributes:
        corrupt: Does it.
        parameter: What its setting is, for people.
        settings: Of severities 1 to 5.
    """

    corrupt: Corrupt
    parameter: str
    settings: tuple[float, float, float, float, float]

    def at(self, severity: int, sample: Sample, seed: int) -> Floats:
        """(n, features) the sample's values, corrupted.

        Args:
            severity: 1 to 5.
            sample: The rows.
            seed: The same draws whatever the severity, so that a higher one is more of the same.
        """
        return self.corrupt(sample, self.settings[severity - 1], np.random.default_rng(seed))
