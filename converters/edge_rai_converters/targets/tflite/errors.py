"""What the TFLite writer raises: refusals with the operator, the node and the nearest form."""

from __future__ import annotations

from edge_rai.errors import UnsupportedModelError


def refused(where: str, why: str, nearest: str = "") -> UnsupportedModelError:
    """The exception to raise.

    Args:
        where: What cannot be written, as in "Conv node 'features.0'".
        why: What is in the way; goes on after "TFLite: {where}: ".
        nearest: What could be written instead, or what to do; left out where there is nothing.
    """
    return UnsupportedModelError(f"TFLite: {where}: {why}" + (f"; {nearest}" if nearest else ""))
