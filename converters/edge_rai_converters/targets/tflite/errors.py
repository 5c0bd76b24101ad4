"""What the TFLite writer raises: refusals with the operator, the node and the nearest form, and missing packages."""

from __future__ import annotations

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.errors import MissingExtraError


def refused(where: str, why: str, nearest: str = "") -> UnsupportedModelError:
    """The exception to raise.

    Args:
        where: What cannot be written, as in "Conv node 'features.0'".
        why: What is in the way; goes on after "TFLite: {where}: ".
        nearest: What could be written instead, or what to do; left out where there is nothing.
    """
    return UnsupportedModelError(f"TFLite: {where}: {why}" + (f"; {nearest}" if nearest else ""))


def missing(package: str) -> MissingExtraError:
    """The exception to raise where a package of the extra is not installed."""
    return MissingExtraError(f"{package} is not installed; pip install 'edge-rai-converters[tflite]'", name=package)
