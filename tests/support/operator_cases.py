"""ONNX's own operator tests, made by its package, as models whose weights are constants: what a writer can take."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

Array = np.ndarray[Any, Any]
DATA = Path(onnx.__file__).parent / "backend/test/data"

# The operators of the writer's list, and the module of the package that makes their tests where it is not their name.
OPERATORS: Mapping[str, str] = {
    **{name: name.lower() for name in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum")},
    **{name: name.lower() for name in ("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean")},
    **{name: name.lower() for name in ("Sqrt", "Exp", "Log", "Abs", "Neg", "Floor", "Ceil", "Round", "Sign")},
    **{name: name.lower() for name in ("Sin", "Cos", "Tan", "Reciprocal", "Erf", "Identity")},
    **{name: name.lower() for name in ("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Sigmoid", "Tanh")},
    **{name: name.lower() for name in ("HardSwish", "HardSigmoid", "Softplus", "Softsign", "ThresholdedRelu", "Mish")},
    **{name: name.lower() for name in ("Gelu", "Softmax", "LogSoftmax", "LayerNormalization")},
    "BatchNormalization": "batch_normalization",
    "InstanceNormalization": "instance_normalization",
    **{name: name.lower() for name in ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")},
    **{f"Reduce{kind}": f"reduce{kind.lower()}" for kind in ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2")},
    **{name: name.lower() for name in ("ReduceSumSquare", "ArgMax", "ArgMin", "CumSum", "TopK")},
    **{name: name.lower() for name in ("Concat", "Split", "Slice", "Gather", "GatherND", "Pad", "Tile", "OneHot")},
    **{name: name.lower() for name in ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Transpose")},
    **{name: name.lower() for name in ("Shape", "Size", "ConstantOfShape", "Resize", "Upsample")},
    **{name: name.lower() for name in ("DepthToSpace", "SpaceToDepth", "Cast", "Where", "Equal", "Greater", "Less")},
    "GreaterOrEqual": "greater_or_equal",
    "LessOrEqual": "less_or_equal",
    "And": "and_",
    "Or": "or_",
    "Xor": "xor",
    "Not": "not_",
    **{name: name.lower() for name in ("LSTM", "GRU", "RNN")},
}

# Which arguments of an operator are weights, axes, shapes and the like: networks have them as constants.
WEIGHTS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "LayerNormalization", "InstanceNormalization"), (1, 2)),
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Squeeze", "Unsqueeze", "Split", "Upsample", "TopK", "CumSum"), (1,)),
    **dict.fromkeys((name for name in OPERATORS if name.startswith("Reduce")), (1,)),
    **dict.fromkeys(("Pad", "Resize"), (1, 2, 3)),
    **dict.fromkeys(("LSTM", "GRU"), (1, 2, 3, 4, 5, 6, 7)),
    **dict.fromkeys(("Clip", "OneHot"), (1, 2)),
    **dict.fromkeys(("BatchNormalization", "Slice"), (1, 2, 3, 4)),
    "PRelu": (1,),
    "RNN": (1, 2, 3, 4, 5),
    "ConstantOfShape": (0,),
}

TYPES = ("float32", "int32", "int64", "int16", "int8", "uint8", "bool")


class Case(NamedTuple):
    """A model, what it is fed, and the outputs that ONNX expects; expanded ones are the operator as its function."""

    name: str
    operator: str
    model: bytes
    feeds: dict[str, Array]
    expected: dict[str, Array]

    def usual(self) -> bool:
        """Whether all its values are of types that TFLite computes with."""
        return all(array.dtype.name in TYPES for array in (*self.feeds.values(), *self.expected.values()))


def collected(operators: Iterable[str]) -> list[Case]:
    """The cases of these operators, in their order, but for those with values that are no tensors of numbers."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, about the very values that these tests are after
        for operator in operators:
            importlib.import_module(f"{node.__name__}.{OPERATORS[operator]}")
    named = {test.name: test for test in node._NodeTestCases}
    wanted = {operator: place for place, operator in enumerate(operators)}
    cases = []
    for name, test in named.items():
        base = named[name.partition("_expanded")[0]].model.graph
        operator = base.node[0].op_type
        if operator in wanted and base.node[0].domain == "":
            cases += [case for case in [_case(name, test, operator, base)] if case]
    return sorted(cases, key=lambda case: wanted[case.operator])


def stored(kind: str) -> list[Case]:
    """The models of a folder of the package, with the inputs and outputs beside them: PyTorch's layers, exported."""
    cases = []
    for path in sorted((DATA / kind).glob("*/model.onnx")):
        model = onnx.load(path)
        (folder,) = path.parent.glob("test_data_set_*")
        weights = {weight.name for weight in model.graph.initializer}
        given = [entry.name for entry in model.graph.input if entry.name not in weights]
        sides = ((given, "input"), ([entry.name for entry in model.graph.output], "output"))
        feeds, outputs = (
            {name: numpy_helper.to_array(onnx.load_tensor(folder / f"{side}_{at}.pb")) for at, name in enumerate(names)}
            for names, side in sides
        )
        cases.append(Case(path.parent.name, kind, model.SerializeToString(), feeds, outputs))
    return cases


def _case(name: str, test: Any, operator: str, base: onnx.GraphProto) -> Case | None:
    ((given, expected),) = test.data_sets
    arrays = [_array(value) for value in (*given, *expected)]
    if any(array is None for array in arrays):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    feeds = dict(zip([entry.name for entry in model.graph.input], arrays, strict=False))
    outputs = dict(zip([entry.name for entry in model.graph.output], arrays[len(given) :], strict=True))
    taken = dict(enumerate(base.node[0].input))
    for weight in {taken[place] for place in WEIGHTS.get(operator, ()) if taken.get(place)} & set(feeds):
        model.graph.initializer.append(numpy_helper.from_array(feeds.pop(weight), weight))
    kept = [entry for entry in model.graph.input if entry.name in feeds]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return Case(name, operator, model.SerializeToString(), feeds, outputs)


def _array(value: Any) -> Array | None:
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" else None
