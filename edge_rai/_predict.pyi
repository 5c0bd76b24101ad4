from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_rai.types import Answer, Reason, Source, Verdict

def prepare(
    array: npt.NDArray[np.float32],
    kind: type,
    dtype: np.dtype[np.float32],
    address: int,
    rows: int,
    columns: int,
    table: object | None,
    objects: np.dtype[np.object_],
    /,
) -> bool: ...
def method(kind: type, doc: str, /) -> Any: ...
def explain_with(
    functions: tuple[int, ...],
    verdicts: tuple[Verdict, ...],
    sources: tuple[Source, ...],
    findings: Callable[[bytes, dict[int, str]], Sequence[Reason]],
    /,
) -> None: ...

class Predictor:
    def _add(self, call: UsualCall, /) -> None: ...
    def _usual(self, array: object, /) -> Answer | None: ...

class UsualCall:
    def bind(
        self,
        predict: int,
        value: int,
        session: int,
        answer: int,
        tensor: int,
        layout: int,
        subjects: dict[int, str],
        /,
    ) -> None: ...
    def learn(
        self,
        shape: tuple[int, ...] = ...,
        dtype: np.dtype[Any] = ...,
        answer: type[Answer] = ...,
        rows: int | None = ...,
        names: tuple[str, ...] = ...,
        views: tuple[npt.NDArray[Any] | None, ...] = ...,
        /,
    ) -> None: ...
    def add(self, call: UsualCall, /) -> None: ...
    def lend(self, arrays: Sequence[npt.NDArray[Any]], keys: Sequence[bytes], /) -> Answer | None: ...
    def retire(self) -> bool: ...
    def object(self, index: int, /) -> Any: ...
    def explain(self, answer: Answer, /) -> None: ...

# Where a tensor lies: address, bytes, erai_dtype, shape.
_Place: TypeAlias = tuple[int, int, int, tuple[int, ...]]

class Stream:
    def size(self, inputs: int, outputs: int, /) -> None: ...
    def bind(
        self, call: Callable[[], object], inputs: tuple[_Place, ...], outputs: tuple[_Place, ...], moves: bool, /
    ) -> None: ...
    def unbind(self) -> None: ...
    def said(self) -> int: ...

def run_address() -> int: ...
def wait_for_runs() -> None: ...
def forget_runs() -> None: ...
def interrupt(raised: BaseException) -> None: ...
def interruption() -> BaseException | None: ...
