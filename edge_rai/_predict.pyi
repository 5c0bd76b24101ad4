from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.types import Answer

def prepare(
    array: npt.NDArray[np.float32], kind: type, dtype: np.dtype[np.float32], address: int, rows: int, columns: int, /
) -> bool: ...
def bind(
    predict: int, session: int, answer: int, tensor: int, accepted: int, /
) -> tuple[Callable[[Any], Answer | int | None], Callable[..., None], Callable[[], bool], Callable[[], None]]: ...
