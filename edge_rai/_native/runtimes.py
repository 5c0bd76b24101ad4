"""Runtimes of Python's as C's ``erai_runtime``: what a session calls to run a model that is not ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from edge_rai import errors
from edge_rai._ffi import ffi, lib
from edge_rai._native.library import DTYPE_CODES
from edge_rai._predict import Stream as _Stream
from edge_rai._predict import interrupt, run_address

_STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.UnsupportedModelError, lib.ERAI_E_MODEL_UNSUPPORTED),
    (errors.ProviderError, lib.ERAI_E_PROVIDER),
    (errors.RuntimeMissingError, lib.ERAI_E_RUNTIME_MISSING),
    (MemoryError, lib.ERAI_E_MEMORY),
)


class ModelSource(NamedTuple):
    """A model that is to be opened.

    Attributes:
        name: Its file's, for messages.
        data: The file.
        keeps_state: What one run answers may depend on those before.
        provider: That must run the whole model; None: any.
        provider_path: Library that brings it; None: the runtime has it.
        threads: 0: the runtime's choice.
    """

    name: str
    data: bytes
    keeps_state: bool
    provider: str | None
    provider_path: str | None
    threads: int


class Stream(_Stream):
    """Runs of a model, one after the other: what C calls for each is bound by ``bind``, in C.

    A run whose inputs have other shapes than those bound calls ``prepare`` first, which binds anew; one that was bound
    with ``moves`` calls ``look`` afterwards, which says where the outputs are now. Both may raise: the run has failed.
    """

    def prepare(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        """Makes the model ready for inputs of these shapes and calls ``bind``."""
        raise NotImplementedError

    def look(self) -> None:
        """Calls ``bind`` with the outputs as they are after a run."""
        raise NotImplementedError


class Model(Protocol):
    """A model that a runtime has opened.

    Attributes:
        version: Of the runtime; None: a bundle's requirements are not held against it.
        free_ones: Extents of 1 in its file are no declaration.
    """

    version: str | None
    free_ones: bool

    def start(self) -> Stream:
        """Begins a stream of runs."""

    def end(self, stream: Stream) -> None:
        """Nobody runs the stream any more."""

    def close(self) -> None:
        """Nobody begins another."""


class Runtime:
    """A runtime for models of one format, as C sees it. Lives at least as long as the sessions that have it.

    Args:
        name: For people.
        file_format: Of its models.
        open_model: Opens one, and raises UnsupportedModelError, RuntimeMissingError or ProviderError.
    """

    def __init__(self, name: str, file_format: str, open_model: Callable[[ModelSource], Model]) -> None:
        self._open_model = open_model
        self._held: dict[int, Any] = {}  # what C has a pointer to, by address
        self._texts = ffi.new("char[]", name.encode()), ffi.new("char[]", file_format.encode())
        self._handle = ffi.new_handle(self)
        self.struct = ffi.new("erai_runtime *")
        self.struct.struct_size = ffi.sizeof("erai_runtime")
        self.struct.name, self.struct.format = self._texts
        self.struct.user = self._handle
        self.struct.open, self.struct.close = lib.py_open, lib.py_close
        self.struct.start, self.struct.end = lib.py_start, lib.py_end
        self.struct.run = ffi.cast(ffi.typeof(self.struct.run), run_address())

    def open(self, source: Any, info: Any) -> None:
        """Fills ``info``, an ``erai_model_info``."""
        model = self._open_model(
            ModelSource(
                _text(source.name) or "",
                bytes(ffi.buffer(source.data, source.size)),
                bool(info.keeps_state),
                _text(source.provider),
                _text(source.provider_path),
                source.threads,
            )
        )
        version = ffi.NULL if model.version is None else ffi.new("char[]", model.version.encode())
        info.model, info.version, info.free_ones = self._hold(model, version), version, model.free_ones

    def close(self, model: Any) -> None:
        """Forgets a model."""
        closed, _ = self._release(model)
        closed.close()

    def start(self, model: Any, stream: Any) -> None:
        """Begins a stream of a model and tells where it is."""
        owner, _ = self._held[_address(model)]
        stream[0] = self._hold(owner.start(), owner)

    def end(self, stream: Any) -> None:
        """Ends a stream."""
        ended, owner = self._release(stream)
        owner.end(ended)

    def _hold(self, held: object, beside: object) -> Any:
        """Of a stream this is the address that ``run`` in C expects: that of the object itself."""
        self._held[id(held)] = held, beside
        return ffi.cast("void *", id(held))

    def _release(self, pointer: Any) -> Any:
        return self._held.pop(_address(pointer))


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def _text(pointer: Any) -> str | None:
    return None if pointer == ffi.NULL else ffi.string(pointer).decode("utf-8", "surrogateescape")


def place(address: int, size: int, dtype: str, shape: tuple[int, ...]) -> tuple[int, int, int, tuple[int, ...]]:
    """What ``Stream.bind`` takes: memory of ``size`` bytes with elements of a type that numpy or ml_dtypes names."""
    return address, size, DTYPE_CODES[dtype], shape


# ---- What C calls ----


def _fail(error: BaseException, detail: Any) -> int:
    if not isinstance(error, Exception):  # of a signal, say: whoever called C gets it from there
        interrupt(error)
    text = " ".join(str(error).split()) or type(error).__name__
    encoded = text.encode("utf-8", "replace")[: lib.ERAI_DETAIL_SIZE - 1]
    encoded = encoded.decode("utf-8", "ignore").encode()  # not cut within a character
    ffi.memmove(detail, encoded + b"\0", len(encoded) + 1)
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), int(lib.ERAI_E_INFERENCE))


@ffi.def_extern(error=lib.ERAI_E_INTERNAL)  # type: ignore[untyped-decorator, unused-ignore]
def py_open(user: Any, source: Any, info: Any, detail: Any) -> int:
    """``erai_runtime.open``."""
    try:
        ffi.from_handle(user).open(source, info)
    except BaseException as error:  # noqa: BLE001  C's callers get a status
        return _fail(error, detail)
    return int(lib.ERAI_OK)


@ffi.def_extern()  # type: ignore[untyped-decorator, unused-ignore]
def py_close(user: Any, model: Any) -> None:
    """``erai_runtime.close``."""
    ffi.from_handle(user).close(model)


@ffi.def_extern(error=lib.ERAI_E_INTERNAL)  # type: ignore[untyped-decorator, unused-ignore]
def py_start(user: Any, model: Any, stream: Any, detail: Any) -> int:
    """``erai_runtime.start``."""
    try:
        ffi.from_handle(user).start(model, stream)
    except BaseException as error:  # noqa: BLE001  C's callers get a status
        return _fail(error, detail)
    return int(lib.ERAI_OK)


@ffi.def_extern()  # type: ignore[untyped-decorator, unused-ignore]
def py_end(user: Any, stream: Any) -> None:
    """``erai_runtime.end``."""
    ffi.from_handle(user).end(stream)
