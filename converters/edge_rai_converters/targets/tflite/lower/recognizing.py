"""Finds GELU and HardSwish where an exporter wrote them out: TFLite has an operator for each.

There are many ways to write them, so none is looked for. What a few nodes compute of one value is a function of one
variable where all else in them is a constant number; it is evaluated on a grid, and compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from edge_rai_converters.targets.tflite.lower.walk import Walk

_Values = npt.NDArray[np.float64]
_GRID = np.linspace(-6, 6, 121)
# GELU and its approximation with tanh differ by 5e-4; constants rounded to float32 make 1e-6.
_TOLERANCE = 1e-5
# From a seed that far up to the variable, and that far down to the result.
_MOST_UP, _MOST_DOWN = 8, 4

_erf: Callable[[_Values], _Values] = np.vectorize(math.erf, otypes=[np.float64])
_OPERATORS: Mapping[str, Callable[..., _Values]] = {
    "Add": np.add,
    "Clip": lambda x, low=-np.inf, high=np.inf: np.clip(x, low, high),
    "Div": np.divide,
    "Erf": _erf,
    "Mul": np.multiply,
    "Sub": np.subtract,
    "Tanh": np.tanh,
}
_CUBIC = math.sqrt(2 / math.pi) * (_GRID + 0.044715 * _GRID**3)
# By the operator that is their heart: what they are called, how, and what they are on the grid.
_KNOWN: Mapping[str, tuple[str, dict[str, str], _Values]] = {
    "Clip": ("HardSwish", {}, _GRID * np.clip(_GRID / 6 + 0.5, 0, 1)),
    "Erf": ("Gelu", {"approximate": "none"}, _GRID * (1 + _erf(_GRID / math.sqrt(2))) / 2),
    "Tanh": ("Gelu", {"approximate": "tanh"}, _GRID * (1 + np.tanh(_CUBIC)) / 2),
}


def recognize(walk: Walk) -> None:
    """Rewrites the nodes of the walk; what is left unread is not removed."""
    makers = {name: node for node in walk.nodes for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in walk.nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in walk.nodes:
        if node.op_type not in _KNOWN:
            continue
        operator, attributes, wanted = _KNOWN[node.op_type]
        found = _found(walk, makers, readers, node, wanted)
        if found is not None:
            last, variable = found
            last.CopyFrom(helper.make_node(operator, [variable], last.output, last.name, **attributes))


def _found(
    walk: Walk,
    makers: Mapping[str, onnx.NodeProto],
    readers: Mapping[str, list[onnx.NodeProto]],
    seed: onnx.NodeProto,
    wanted: _Values,
) -> tuple[onnx.NodeProto, str] | None:
    """The node that makes the wanted function, and of which value, which is read twice: by a factor too."""
    above = dict.fromkeys(_above(makers, seed.input[0], _MOST_UP))
    variables = [name for name in above if len(readers[name]) > 1]
    last = seed
    for _ in range(_MOST_DOWN):
        following = readers.get(last.output[0], [])
        if len(following) != 1 or following[0].op_type not in _OPERATORS:
            return None
        last = following[0]
        for variable in variables:
            if walk.known[variable].shape != walk.known[last.output[0]].shape:
                continue
            values = _evaluated(walk, makers, last.output[0], variable, _MOST_UP + _MOST_DOWN)
            if values is not None and np.allclose(values, wanted, rtol=0, atol=_TOLERANCE):
                return last, variable
    return None


def _above(makers: Mapping[str, onnx.NodeProto], name: str, depth: int) -> Iterator[str]:
    """The value and those that it is made of."""
    yield name
    maker = makers.get(name)
    if depth and maker is not None and maker.op_type in _OPERATORS:
        for given in maker.input:
            yield from _above(makers, given, depth - 1)


def _evaluated(
    walk: Walk, makers: Mapping[str, onnx.NodeProto], name: str, variable: str, depth: int
) -> _Values | None:
    """A value on the grid of the variable; None when it depends on more than that."""
    if name == variable:
        return _GRID
    constant, maker = walk.values.get(name), makers.get(name)
    if constant is not None:
        return np.asarray(constant.reshape(()), np.float64) if constant.size == 1 else None
    if maker is None or maker.op_type not in _OPERATORS or not depth:
        return None
    known = []
    for each in maker.input:
        values = _evaluated(walk, makers, each, variable, depth - 1) if each else None
        if values is None:
            return None
        known.append(values)
    return np.broadcast_to(_OPERATORS[maker.op_type](*known), _GRID.shape)
