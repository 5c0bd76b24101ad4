"""Opening the model or bundle that a command was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rai.session import Session

_BARE = (".onnx", ".tflite")


def is_bare(path: str) -> bool:
    """Whether a path names a model rather than a bundle."""
    return path.lower().endswith(_BARE)


def opened(path: str, **options: Any) -> Session:
    """As ``edge_rai.load``, without LiteRT's words about itself."""
    from edge_rai import load
    from edge_rai.chatter import without_info

    with without_info():
        return load(path, **options)
