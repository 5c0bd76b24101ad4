from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_rai.types import Answer

def prepare(
    array: npt.NDArray[np.float32],
    kind: type,
    dtype: np.dtype[np.float32],
    address: int,
    rows: int,
    columns: int,
    table: object | None,
    /,
) -> bool: ...
def method(kind: type, doc: str, /) -> Any: ...

class Predictor:
    def _add(self, call: UsualCall, /) -> None: ...
    def _usual(self, array: object, /) -> Answer | None: ...

class UsualCall:
    def bind(self, predict: int, session: int, answer: int, tensor: int, accepted: int, /) -> None: ...
    def learn(
        self,
        shape: tuple[int, ...] = ...,
        dtype: np.dtype[Any] = ...,
        answer: type[Answer] = ...,
        rows: int | None = ...,
        names: tuple[str, ...] = ...,
        views: tuple[npt.NDArray[Any], ...] = ...,
        /,
    ) -> None: ...
    def add(self, call: UsualCall, /) -> None: ...
    def take(self) -> bool: ...
    def retire(self) -> bool: ...
    def give(self) -> None: ...

# Where a tensor lies: address, bytes, erai_dtype, shape.
_Place: TypeAlias = tuple[int, int, int, tuple[int, ...]]

class Stream:
    def size(self, inputs: int, outputs: int, /) -> None: ...
    def bind(
        self, call: Callable[[], object], inputs: tuple[_Place, ...], outputs: tuple[_Place, ...], moves: bool, /
    ) -> None: ...
    def unbind(self) -> None: ...

def run_address() -> int: ...
def wait_for_runs() -> None: ...
