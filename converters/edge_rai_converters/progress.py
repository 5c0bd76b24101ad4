"""Who is told what a conversion does."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called when a stage begins, and again with the share of it that is done where that is known."""

    def __call__(self, stage: str, share: float = 0.0, /) -> None:
        """Says it.

        Args:
            stage: What happens now, for people.
            share: Of the stage, 0 to 1.
        """


def silent(stage: str, share: float = 0.0, /) -> None:
    """Nobody is told."""
