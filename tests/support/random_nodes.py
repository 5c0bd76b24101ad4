"""Random models of a few nodes: every combination of attributes is as likely as any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx

from support.written import Array, network, node

Random = np.random.Generator
Drawn = tuple[onnx.ModelProto, dict[str, Array]]


def normal(rng: Random, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def pick(rng: Random, *choices: Any) -> Any:
    return choices[rng.integers(len(choices))]


def convolution(rng: Random) -> Drawn:
    """One or two dimensions, groups, depthwise with a multiplier, dilations, every padding, a Pad before it."""
    spatial, groups = pick(rng, 1, 2), pick(rng, 1, 1, 2, 3)
    channels = groups * pick(rng, 1, 2, 4)
    groups = channels if rng.random() < 0.3 else groups
    filters = groups * pick(rng, 1, 2, 3)
    sizes = rng.integers(1, 5, spatial)
    padding = pick(rng, "NOTSET", "pads", "SAME_UPPER", "SAME_LOWER", "VALID")
    # ONNX Runtime computes otherwise than ONNX says where SAME is dilated.
    dilations = rng.integers(1, 2 if padding.startswith("SAME") else 3, spatial)
    extents = (sizes - 1) * dilations + rng.integers(1, 9, spatial)
    attributes: dict[str, Any] = {"strides": rng.integers(1, 4, spatial).tolist(), "dilations": dilations.tolist()}
    if padding == "pads":
        attributes["pads"] = [*rng.integers(0, sizes + 1).tolist(), *rng.integers(0, sizes + 1).tolist()]
    else:
        attributes["auto_pad"] = padding
    constants = {"w": normal(rng, filters, channels // groups, *sizes), "b": normal(rng, filters)}
    source = "x"
    nodes = []
    if rng.random() < 0.3:
        around = rng.integers(0, 3, (2, spatial))
        constants["around"] = np.array([0, 0, *around[0], 0, 0, *around[1]])
        nodes.append(node("Pad", "x around", "padded"))
        source = "padded"
    nodes.append(node("Conv", f"{source} w {pick(rng, 'b', '')}", "y", group=groups, **attributes))
    return _finished(rng, nodes, normal(rng, pick(rng, 1, 2), channels, *extents), constants)


def transposed(rng: Random) -> Drawn:
    """ConvTranspose: groups, dilations, pads, output_padding, auto_pad, output_shape."""
    spatial, groups = pick(rng, 1, 2), pick(rng, 1, 1, 2)
    channels = groups * pick(rng, 1, 2, 4)
    sizes, strides, extents = (rng.integers(1, most, spatial) for most in (5, 4, 7))
    dilations = rng.integers(1, pick(rng, 2, 3), spatial)
    attributes: dict[str, Any] = {"strides": strides.tolist(), "dilations": dilations.tolist()}
    padding = pick(rng, "none", "pads", "more", "SAME_UPPER", "SAME_LOWER", "shape")
    if padding in ("pads", "more"):
        attributes["pads"] = [*rng.integers(0, (sizes - 1) // 2 + 1), *rng.integers(0, (sizes - 1) // 2 + 1)]
    if padding == "more":
        attributes["output_padding"] = rng.integers(0, strides).tolist()
    if padding == "shape":
        whole = (extents - 1) * strides + (sizes - 1) * dilations + 1
        attributes["output_shape"] = np.maximum(whole - rng.integers(0, 2, spatial), extents).tolist()
    if padding.startswith("SAME"):
        attributes["auto_pad"] = padding
    filters = pick(rng, 1, 2, 3)
    constants = {"w": normal(rng, channels, filters, *sizes), "b": normal(rng, filters * groups)}
    nodes = [node("ConvTranspose", f"x w {pick(rng, 'b', '')}", "y", group=groups, **attributes)]
    return _finished(rng, nodes, normal(rng, pick(rng, 1, 2), channels, *extents), constants)


def pool(rng: Random) -> Drawn:
    """MaxPool and AveragePool, values of one sign or both."""
    spatial, operator = pick(rng, 1, 2), pick(rng, "MaxPool", "AveragePool")
    sizes = rng.integers(1, 5, spatial)
    attributes: dict[str, Any] = {"kernel_shape": sizes.tolist(), "strides": rng.integers(1, sizes + 1).tolist()}
    padding = pick(rng, "NOTSET", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID")
    if padding == "pads":
        attributes["pads"] = [*rng.integers(0, sizes).tolist(), *rng.integers(0, sizes).tolist()]
    else:
        attributes["auto_pad"] = padding
    if operator == "AveragePool":
        attributes["count_include_pad"] = pick(rng, 0, 1)
    nodes = [node("Relu", "x", "positive")] * pick(rng, 0, 1)
    nodes.append(node(operator, "positive" if nodes else "x", "y", **attributes))
    extents = sizes + rng.integers(0, 9, spatial)
    return _finished(rng, nodes, normal(rng, pick(rng, 1, 2), 3, *extents), {})


def gemm(rng: Random) -> Drawn:
    """Every matrix constant or computed, transposed or not, every shape of what is added."""
    rows, inner, columns = pick(rng, 1, 3, 4), pick(rng, 1, 4, 5), pick(rng, 1, 3, 4)
    flags = {"transA": pick(rng, 0, 1), "transB": pick(rng, 0, 1)}
    shape = pick(rng, (columns,), (1, columns), (rows, columns), (rows, 1), (1,), ())
    arrays = {
        "x": normal(rng, *((inner, rows) if flags["transA"] else (rows, inner))),
        "b": normal(rng, *((columns, inner) if flags["transB"] else (inner, columns))),
        "c": normal(rng, *shape),
    }
    used = pick(rng, "x b", "x b c", "x b c")
    computed = {name for name in used.split() if name == "x" or rng.random() < 0.3}
    factors = {"alpha": pick(rng, 1.0, 0.5), "beta": pick(rng, 1.0, 2.0)}
    return _of_arrays(rng, [node("Gemm", used, "y", **flags, **factors)], arrays, computed)


def matmul(rng: Random) -> Drawn:
    """Matrices, vectors, stacks that broadcast; what is added behind."""
    rows, inner, columns = pick(rng, 1, 3), pick(rng, 1, 4), pick(rng, 1, 5)
    stacks = [((), ()), ((2,), ()), ((2,), (2,)), ((2,), (1,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 3))]
    left, right = pick(rng, *stacks)
    arrays = {"x": normal(rng, *left, rows, inner), "b": normal(rng, *right, inner, columns)}
    for name in arrays:
        if rng.random() < 0.15:
            arrays[name] = normal(rng, inner)
    nodes = [node("MatMul", "x b", "y")]
    if rng.random() < 0.4:
        arrays["k"] = normal(rng, *pick(rng, (columns if arrays["b"].ndim > 1 else 1,), (1,)))
        nodes = [node("MatMul", "x b", "product"), node("Add", "product k", "y")]
    return _of_arrays(rng, nodes, arrays, pick(rng, {"x"}, {"b"}, {"x", "b"}))


def activation(rng: Random) -> Drawn:
    """Every activation, of one to five axes, behind a convolution or not."""
    shape = rng.integers(1, 4, rng.integers(1, 6))
    operator, opset = pick(rng, *_ACTIVATIONS), 17
    constants: dict[str, Array] = {}
    inputs, attributes = "x", dict(_ACTIVATIONS[operator])
    if operator.endswith("Softmax"):
        attributes["axis"] = int(rng.integers(-len(shape), len(shape)))
    if operator == "Gelu":
        opset, attributes["approximate"] = 20, pick(rng, "none", "tanh")
    if operator == "PRelu":
        constants["slope"] = normal(rng, *(pick(rng, 1, length) for length in shape[rng.integers(len(shape)) :]))
        inputs = "x slope"
    if operator == "Clip":
        low, high = pick(rng, (0, 6), (-1, 1), (0, None), (None, 2), (0.5, 2), (0, 1))
        inputs = f"x {'-' if low is None else 'low'} {'-' if high is None else 'high'}"
        constants |= {name: np.float32(limit) for name, limit in (("low", low), ("high", high)) if limit is not None}
    nodes = [node(operator, inputs, "y", **attributes)]
    if len(shape) == 4 and operator != "PRelu":
        constants["w"] = normal(rng, 4, shape[1], 1, 1)
        nodes = [node("Conv", "x w", "image"), node(operator, inputs.replace("x", "image", 1), "y", **attributes)]
    return network(nodes, {"x": (x := 3 * normal(rng, *shape))}, "y", constants, opset), {"x": x}


def reordered(rng: Random) -> Drawn:
    """A convolution, then reshapes, transposes, softmaxes and products in a row: what decides on layouts."""
    x = normal(rng, pick(rng, 1, 2), 3, 4, 6)
    shape, constants = (x.shape[0], 8, 4, 6), {"w": normal(rng, 8, 3, 3, 3)}
    nodes = [node("Conv", "x w", "v0", pads=[1, 1, 1, 1])]
    for step in range(1, rng.integers(2, 8)):
        source, made = f"v{step - 1}", f"v{step}"
        kind = pick(rng, "reshape", "transpose", "relu", "mul", "softmax")
        if kind == "reshape":
            shape = _reshaped(rng, shape)
            constants[f"shape{step}"] = np.array(shape)
            nodes.append(node("Reshape", f"{source} shape{step}", made))
        elif kind == "transpose":
            order = rng.permutation(len(shape))
            shape = tuple(shape[axis] for axis in order)
            nodes.append(node("Transpose", source, made, perm=order.tolist()))
        elif kind == "mul":
            part = shape[rng.integers(len(shape)) :]
            constants[f"factor{step}"] = normal(rng, *(pick(rng, 1, length) for length in part))
            nodes.append(node("Mul", f"{source} factor{step}", made))
        elif kind == "relu":
            nodes.append(node("Relu", source, made))
        else:
            nodes.append(node("Softmax", source, made, axis=int(rng.integers(len(shape)))))
    last = nodes[-1].output[0]
    constants["last"] = normal(rng, shape[-1], 3) if len(shape) != 4 else normal(rng, 3, shape[1], 1, 1)
    nodes.append(node("Conv" if len(shape) == 4 else "MatMul", f"{last} last", "y"))
    return network(nodes, {"x": x}, pick(rng, "y", f"{last} y"), constants), {"x": x}


def branched(rng: Random) -> Drawn:
    """Images or signals of one shape that part and meet again, over operators of every taste for layouts."""
    spatial = pick(rng, (4, 6), (8,))
    shape = (pick(rng, 1, 2), 4, *spatial)
    feed = {name: normal(rng, *shape) for name in pick(rng, ("x",), ("x", "z"))}
    ones = [1] * len(spatial)
    constants = {
        "same": normal(rng, 4, 4, *(3 for _ in spatial)) / 6,
        "joined": normal(rng, 4, 8, *ones) / 3,
        "bias": normal(rng, 4, *ones),
        "across": normal(rng, spatial[-1], spatial[-1]) / 3,
        "rows": np.array([0, 0, -1]),
        "back": np.array([0, 4, *spatial]),
        "around": np.array([0, 1, *(0 for _ in ones), 0, 0, *ones]),
        "begin": np.array([0, 1, *(1 for _ in ones)]),
        "end": np.array([9, 5, *(length + 1 for length in spatial)]),
    }
    nodes: list[onnx.NodeProto] = []
    values = list(feed)
    for step in range(rng.integers(4, 10)):
        one, other, made = pick(rng, *values), pick(rng, *values), f"v{step}"
        nodes += _BRANCHES[rng.integers(len(_BRANCHES))](one, other, made, len(spatial))
        values.append(made)
    outputs = {values[-1], *(pick(rng, *values) for _ in range(rng.integers(0, 3)))}
    read = {name for one_node in nodes for name in one_node.input}
    kept = {name: array for name, array in constants.items() if name in read}
    return network(nodes, feed, " ".join(sorted(outputs - feed.keys())), kept), feed


# Of one value, another one, the name of the result and the number of spatial axes.
_BRANCHES: tuple[Callable[[str, str, str, int], list[onnx.NodeProto]], ...] = (
    lambda one, _, made, axes: [node("Conv", f"{one} same", made, pads=[1] * (2 * axes))],
    lambda one, *rest: [node("Relu", one, rest[1])],
    lambda one, other, made, _: [node("Add", f"{one} {other}", made)],
    lambda one, *rest: [node("Mul", f"{one} bias", rest[1])],
    lambda one, _, made, axes: [node("MaxPool", one, made, kernel_shape=[3] * axes, pads=[1] * (2 * axes))],
    lambda one, *rest: [node("Softmax", one, rest[1], axis=1)],
    lambda one, *rest: [node("MatMul", f"{one} across", rest[1])],
    lambda one, other, made, _: [
        node("Concat", f"{one} {other}", f"{made}_both", axis=1),
        node("Conv", f"{made}_both joined", made),
    ],
    lambda one, other, made, _: [
        node("GlobalAveragePool", one, f"{made}_mean"),
        node("Sigmoid", f"{made}_mean", f"{made}_gate"),
        node("Mul", f"{other} {made}_gate", made),
    ],
    lambda one, _, made, __: [
        node("Reshape", f"{one} rows", f"{made}_rows"),
        node("Tanh", f"{made}_rows", f"{made}_bent"),
        node("Reshape", f"{made}_bent back", made),
    ],
    lambda one, other, made, axes: [
        node("Transpose", one, f"{made}_turned", perm=[0, *range(2, axes + 2), 1]),
        node("Transpose", f"{made}_turned", f"{made}_back", perm=[0, axes + 1, *range(1, axes + 1)]),
        node("Sub", f"{made}_back {other}", made),
    ],
    lambda one, other, made, _: [
        node("ReduceMax", other, f"{made}_top", axes=[1], keepdims=1),
        node("Sub", f"{one} {made}_top", made),
    ],
    lambda one, _, made, __: [
        node("Pad", f"{one} around", f"{made}_padded"),
        node("Relu", f"{made}_padded", f"{made}_positive"),
        node("Slice", f"{made}_positive begin end", made),
    ],
    lambda one, other, made, _: [
        node("Split", one, f"{made}_a {made}_b", axis=1),
        node("Concat", f"{made}_b {made}_a", f"{made}_swapped", axis=1),
        node("Add", f"{made}_swapped {other}", made),
    ],
)


def _reshaped(rng: Random, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Axes joined or split, perhaps an axis of length 1 more."""
    made = list(shape)
    for _ in range(rng.integers(1, 3)):
        at = int(rng.integers(len(made)))
        if at + 1 < len(made) and rng.random() < 0.5:
            made[at : at + 2] = [made[at] * made[at + 1]]
        elif made[at] % 2 == 0 and len(made) < 6:
            made[at : at + 1] = [made[at] // 2, 2]
        if rng.random() < 0.3 and len(made) < 6:
            made.insert(int(rng.integers(len(made) + 1)), 1)
    return tuple(made)


def _finished(rng: Random, nodes: list[onnx.NodeProto], x: Array, constants: Mapping[str, Array]) -> Drawn:
    """With a Relu behind it or not, and without the constants that nobody reads."""
    if rng.random() < 0.3:
        nodes[-1].output[0] = "before"
        nodes.append(node("Relu", "before", "y"))
    read = {name for one in nodes for name in one.input}
    return network(nodes, {"x": x}, "y", {name: array for name, array in constants.items() if name in read}), {"x": x}


def _of_arrays(rng: Random, nodes: list[onnx.NodeProto], arrays: Mapping[str, Array], computed: set[str]) -> Drawn:
    """Arrays that nodes read are inputs where they are computed, else constants."""
    if rng.random() < 0.4:
        nodes[-1].output[0] = "before"
        nodes.append(node("Relu", "before", "y"))
    read = {name: array for name, array in arrays.items() if any(name in one.input for one in nodes)}
    feed = {name: array for name, array in read.items() if name in computed}
    return network(nodes, feed, "y", {name: read[name] for name in read.keys() - feed.keys()}), feed


_ACTIVATIONS: Mapping[str, Mapping[str, Any]] = {
    "Clip": {},
    "Elu": {},
    "Gelu": {},
    "HardSigmoid": {"alpha": 1 / 6},
    "HardSwish": {},
    "LeakyRelu": {"alpha": 0.3},
    "LogSoftmax": {},
    "PRelu": {},
    "Relu": {},
    "Sigmoid": {},
    "Softmax": {},
    "Tanh": {},
}
KINDS: Mapping[str, Callable[[Random], Drawn]] = {
    "activation": activation,
    "branched": branched,
    "convolution": convolution,
    "gemm": gemm,
    "matmul": matmul,
    "pool": pool,
    "reordered": reordered,
    "transposed": transposed,
}
