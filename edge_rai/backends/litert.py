"""TFLite models, through the interpreter of ai-edge-litert, or of tflite-runtime where there is no other.

C asks for inputs and outputs by their memory (``edge_rai._native.runtimes``): here an interpreter is made, resized and
allocated, and its tensors' addresses are told. Neither package is imported before a TFLite model is opened.
"""

from __future__ import annotations

import atexit
import ctypes
import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np

from edge_rai._native import ModelSource, Runtime, Stream, forget_runs, place, wait_for_runs
from edge_rai.errors import ProviderError, RuntimeMissingError, UnsupportedModelError

INSTALL = "run: pip install ai-edge-litert"
_PACKAGES = ("ai_edge_litert", "tflite_runtime")
_XNNPACK = ("XNNPACK", "XnnpackExecutionProvider")
_ANY = ("CPUExecutionProvider",)
_Place = tuple[int, int, int, tuple[int, ...]]
_Places = tuple[_Place, ...]
# What nodes of a delegate are called; their inputs and outputs are those of the nodes that they stand for.
_DELEGATE = "DELEGATE"
# What a delegate's library brings.
_PLUGIN = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
# Bytes of failures that an interpreter may have said: with each it says all those before it again, and keeps them.
_MOST_SAID = 4096
# Kinds of numpy's types that tensors of numbers have.
_NUMBERS = "biufc"


def runtime() -> Runtime:
    """For a session that may come upon a TFLite model."""
    return Runtime("LiteRT", "tflite", _Model)


class _Model:
    """An open model: makes its interpreters, one a stream, over the same bytes."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        self.name = source.name
        self.keeps_state = source.keeps_state
        self._package = _package(source.name)
        self._module = import_module(f"{self._package}.interpreter")
        # The other package counts versions in another way.
        self.version: str | None = getattr(import_module(self._package), "__version__", None)
        if self._package != _PACKAGES[0]:
            self.version = None
        self.free_ones = False
        self._planned = True  # until an interpreter has shown otherwise
        first = _Interpreted(self)
        self._allocate_first(first)
        self._idle: list[Stream] = [] if source.keeps_state else [first]
        _wait_at_exit()

    def start(self) -> Stream:
        try:
            return self._idle.pop()
        except IndexError:  # another thread may have taken it, whatever was seen just before
            return _Interpreted(self)

    def end(self, stream: Stream) -> None:
        """The next stream may go on with its memory, where the model keeps nothing in it."""
        if not self._source.keeps_state and not self._idle:
            self._idle.append(stream)

    def close(self) -> None:
        self._idle.clear()  # what is idle would keep the model, and the other way round

    def make_interpreter(self) -> Any:
        """An interpreter of the model; its tensors have no memory yet."""
        delegates, source = self._load_delegates(), self._source
        arguments: dict[str, Any] = {"model_content": source.data, "num_threads": source.threads or None}
        if delegates:
            arguments["experimental_delegates"] = delegates
            resolver = self._module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            arguments["experimental_op_resolver_type"] = resolver
        try:
            return self._module.Interpreter(**arguments)
        except SystemError as error:
            raise RuntimeMissingError(
                f"{source.name}: {self._package} is installed and cannot make an interpreter, as one built for numpy 1 "
                f"cannot beside numpy 2; {INSTALL}"
            ) from error
        except (ValueError, RuntimeError) as error:
            raise UnsupportedModelError(f"{source.name}: LiteRT cannot run it: {error}") from error

    def check_delegates(self, interpreter: Any) -> None:
        """Raises ProviderError when a part of an allocated model would run elsewhere than was required."""
        provider = self._source.provider
        left = None if provider is None or provider in _ANY else _first_left(interpreter)
        if left is not None:
            raise ProviderError(
                f"{provider} must run all of {self._source.name}, and leaves out {left}; convert the model for it, or "
                "ask for another"
            )

    def is_planned(self, interpreter: Any) -> bool:
        """Whether an allocated model, which has not run since, has all its memory, so that no run moves anything.

        In a run LiteRT plans anew only behind an operator whose outputs it makes room for there and then
        (``Subgraph::Invoke``): before it, they have no memory. A model that once had one is not looked through again.
        """
        self._planned = self._planned and all(
            _has_memory(interpreter, tensor) for node in _running(interpreter) for tensor in node["outputs"]
        )
        return self._planned

    def _load_delegates(self) -> list[Any]:
        provider, path = self._source.provider, self._source.provider_path
        if provider is None or provider in (*_ANY, *_XNNPACK):
            return []
        if path is None:
            raise ProviderError(
                f"{self._source.name} must run on {provider}, which is no delegate that LiteRT has ({_XNNPACK[0]} is "
                "one): give its library as provider_path"
            )
        if not os.path.exists(path):
            raise ProviderError(f"{provider}: there is no {path}")
        try:
            missing = [name for name in _PLUGIN if not hasattr(ctypes.CDLL(path), name)]
            if missing:  # LiteRT would find that out too late to say it
                raise ValueError(f"it lacks {missing[0]}")
            return [self._module.load_delegate(path)]
        except (ValueError, OSError) as error:
            raise ProviderError(f"{provider}: {path} is no delegate that LiteRT can load: {error}") from error

    def _allocate_first(self, stream: _Interpreted) -> None:
        """As early as can be: what LiteRT cannot plan is refused now, and the memory is there for the first run.

        Shapes as they are stored need not be ones that it can plan. Those declared free come with the call; where none
        is, an extent of 1 is taken for a free one.
        """
        shapes = tuple(tuple(map(int, detail["shape"])) for detail in stream.inputs)
        try:
            stream.prepare(shapes)
        except (ValueError, RuntimeError) as error:
            declared = any(-1 in detail["shape_signature"] for detail in stream.inputs)
            if not declared and not any(1 in shape for shape in shapes):
                raise UnsupportedModelError(f"{self._source.name}: LiteRT cannot run it: {error}") from error
            self.free_ones = not declared


class _Interpreted(Stream):
    """An interpreter, and where its inputs and outputs are."""

    def __init__(self, model: _Model) -> None:
        self._model = model
        self._begin()
        self.size(len(self.inputs), len(self._outputs))

    def _begin(self) -> None:
        model = self._model
        self._interpreter = model.make_interpreter()
        try:
            self.inputs = self._interpreter.get_input_details()
            self._outputs = self._interpreter.get_output_details()
        except ValueError as error:
            raise UnsupportedModelError(
                f"{model.name}: an input or output is of a type that has no array, as bfloat16 before `import "
                f"ml_dtypes`: {error}"
            ) from error
        self._shapes: list[tuple[int, ...] | None] = [tuple(map(int, detail["shape"])) for detail in self.inputs]
        self._places: tuple[_Places, _Places] = (), ()
        self._fixed = False  # all is planned beforehand
        # By index, what stands for a tensor without axes: LiteRT shows a copy of its number, and no place of it.
        self._numbers: dict[int, np.ndarray[Any, Any]] = {}

    def prepare(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        self.unbind()  # what is bound holds on to the interpreter, which does not change under anybody
        if self.said() > _MOST_SAID and not self._model.keeps_state:
            self._begin()
        for i, shape in enumerate(shapes):
            if shape == self._shapes[i]:
                continue
            self._shapes[i] = None
            self._interpreter.resize_tensor_input(self.inputs[i]["index"], shape, strict=not self._model.free_ones)
            self._shapes[i] = shape
        self._interpreter.allocate_tensors()
        self._model.check_delegates(self._interpreter)
        inputs = tuple(map(self._place, self.inputs))
        try:
            outputs = tuple(map(self._place, self._outputs))
        except ValueError:  # they are planned while the model runs
            self._fixed = False
            outputs = tuple(place(0, 0, "uint8", ()) for _ in self._outputs)
        else:
            copied = any(detail["index"] in self._numbers for detail in self._outputs)
            self._fixed = not copied and self._model.is_planned(self._interpreter)
        self._bind(inputs, outputs, moves=True)

    def look(self) -> None:
        """Says where inputs and outputs are after a run, in which LiteRT may have planned anew.

        Where all was planned beforehand, and a run has left everything where it was before, it does not: such a model
        is not asked again.
        """
        inputs, outputs = tuple(map(self._place, self.inputs)), tuple(map(self._place, self._outputs))
        moved = self._places != (inputs, outputs)
        if moved or self._fixed:
            self._bind(inputs, outputs, moves=moved or not self._fixed)

    def _place(self, detail: Any) -> _Place:
        try:
            view = self._interpreter.tensor(detail["index"])()
        except ValueError:
            shape = _shape_now(self._interpreter, detail["index"])
            if 0 not in shape:
                raise
            return place(0, 0, _type_name(detail["dtype"]), shape)
        if not isinstance(view, np.ndarray):
            number = self._numbers.setdefault(detail["index"], np.zeros((), view.dtype))
            number[...] = view
            view = number
        address = view.__array_interface__["data"][0]
        return place(address, view.nbytes, _type_name(view.dtype), view.shape)

    def _bind(self, inputs: _Places, outputs: _Places, *, moves: bool) -> None:
        self._places = inputs, outputs
        wrapped = getattr(self._interpreter, "_interpreter", None)
        invoke = getattr(wrapped, "Invoke", None) or self._interpreter.invoke
        given = {detail["index"] for detail in self.inputs}
        numbers = {index: number for index, number in self._numbers.items() if index in given}
        if numbers:
            invoke = partial(_invoke_with, self._interpreter.set_tensor, numbers, invoke)
        self.bind(invoke, inputs, outputs, moves)


def _invoke_with(
    set_tensor: Callable[[int, Any], None], numbers: Mapping[int, Any], invoke: Callable[[], object]
) -> None:
    for index, number in numbers.items():
        set_tensor(index, number)
    invoke()


@cache
def _wait_at_exit() -> None:
    """A run that was left at its deadline is not cut short within LiteRT, which would end the process badly.

    A forked child has none of its parent's runs, and would wait for them for ever.
    """
    atexit.register(wait_for_runs)
    os.register_at_fork(after_in_child=forget_runs)


@cache
def _type_name(dtype: Any) -> str:
    """Of numpy, which takes longer over it than over all the rest of a place."""
    return str(np.dtype(dtype).name)


def _shape_now(interpreter: Any, index: int) -> tuple[int, ...]:
    """Of a tensor, which LiteRT makes no array of where it has no elements."""
    return tuple(map(int, interpreter._get_tensor_details(index, 0)["shape"]))


def _package(name: str) -> str:
    """The installed one."""
    for package in _PACKAGES:
        try:
            import_module(f"{package}.interpreter")
        except ImportError:
            continue
        return package
    raise RuntimeMissingError(f"{name} is a TFLite model, and LiteRT is not installed; {INSTALL}")


def _has_memory(interpreter: Any, tensor: int) -> bool:
    """Whether a tensor has memory, or needs none. Of texts and handles, which no array shows, it is not known."""
    detail = interpreter._get_tensor_details(tensor, 0)
    if np.dtype(detail["dtype"]).kind not in _NUMBERS:
        return False  # asked for a handle, tflite-runtime 2.14 ends the process
    try:
        interpreter.tensor(tensor)()
    except ValueError:
        return 0 in detail["shape"]
    return True


def _running(interpreter: Any) -> list[Any]:
    """The nodes that run: all but those that a delegate stands for, from its outputs back to its inputs."""
    nodes = interpreter._get_ops_details()
    makers = {int(tensor): node for node in nodes if node["op_name"] != _DELEGATE for tensor in node["outputs"]}
    replaced = set()
    for delegate in nodes:
        if delegate["op_name"] != _DELEGATE:
            continue
        given, wanted = set(map(int, delegate["inputs"])), [*map(int, delegate["outputs"])]
        while wanted:
            tensor = wanted.pop()
            node = None if tensor in given else makers.get(tensor)
            if node is not None and node["index"] not in replaced:
                replaced.add(node["index"])
                wanted.extend(map(int, node["inputs"]))
    return [node for node in nodes if node["index"] not in replaced]


def _first_left(interpreter: Any) -> str | None:
    """The first operator that LiteRT runs itself; None when delegates run all.

    Nodes that a delegate stands for stay in the list. What runs is found from the outputs backwards.
    """
    nodes = interpreter._get_ops_details()
    makers: dict[int, Any] = {}
    for node in nodes:
        for tensor in node["outputs"]:
            if node["op_name"] == _DELEGATE or tensor not in makers:
                makers[int(tensor)] = node
    wanted = [int(detail["index"]) for detail in interpreter.get_output_details()]
    seen: set[int] = set()
    while wanted:
        node = makers.get(wanted.pop())
        if node is None or node["index"] in seen:
            continue
        if node["op_name"] != _DELEGATE:
            return str(node["op_name"])
        seen.add(node["index"])
        wanted.extend(int(tensor) for tensor in node["inputs"])
    return None
