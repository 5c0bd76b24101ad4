from collections.abc import Callable
from typing import Any

from edge_rai.types import Answer

def bind(
    array_type: type, predict: int, session: int, answer: int, tensor: int, accepted: int, /
) -> tuple[Callable[[Any], Answer | int | None], Callable[..., None], Callable[[], bool], Callable[[], None]]: ...
