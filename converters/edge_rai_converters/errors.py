"""What only a conversion can raise."""

from __future__ import annotations

from edge_rai.errors import EdgeRaiError


class AccuracyDropError(EdgeRaiError):
    """int8 was asked for by name and loses more accuracy than is allowed."""
