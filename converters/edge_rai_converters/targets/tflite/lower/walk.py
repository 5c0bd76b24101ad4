"""One walk over a graph in its order: each node is computed, rewritten, expanded or kept, and what it makes is known.

What stands for a node is walked in its turn, so a rule may draft what another one rewrites; what a rule drafts of the
operator that it rewrites is in its final form. A node that stays is written in the opset of drafts; its shapes follow
from those of its inputs, all of them fixed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.passes.lower.rewrite import DOMAIN as LEARNED
from edge_rai_converters.passes.lower.sketch import Array, Tensor
from edge_rai_converters.passes.properties import nodes
from edge_rai_converters.targets.tflite.errors import refused
from edge_rai_converters.targets.tflite.lower.draft import OPSET, Draft, Rules, fresh, named, numpy_type
from edge_rai_converters.targets.tflite.lower.evaluate import evaluate
from edge_rai_converters.targets.tflite.lower.expand import expand, rename
from edge_rai_converters.targets.tflite.lower.infer import infer

# In bytes: what is a number, a shape or a row, and no matrix.
_SMALL = 1024
# What makes places, and what leaves them what they are.
_COUNTING = frozenset({"ArgMax", "ArgMin"})
_MOVING = frozenset({"Cast", "Expand", "Gather", "Reshape", "Slice", "Transpose"})


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """A node that waits to be walked.

    Attributes:
        node: As it was given or drafted.
        opset: In which it is written.
        final: No rule is asked.
    """

    node: onnx.NodeProto
    opset: int
    final: bool = False


@dataclass(slots=True)
class Walk:
    """The lowered part of a graph, which grows node by node.

    Attributes:
        rules: By the operator they rewrite; they see nodes of the standard domain and of ai.onnx.ml.
        direct: Operators that are not expanded into what their specification says they are made of.
        taken: Names of the graph.
        known: Tensors so far.
        values: Those of them that are constants.
        aliases: Names that stand for another one.
        nodes: Those that stay.
        numbered: How often each stem of a name was used.
        drafted: Names of small constants that were drafted, by type, shape and bytes.
        counts: Names of tensors whose values are whole and not negative.
    """

    rules: Rules
    direct: frozenset[str]
    taken: set[str]
    known: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    numbered: dict[str, int] = field(default_factory=dict)
    drafted: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    counts: set[str] = field(default_factory=set)

    def define(self, name: str, value: Array) -> None:
        """Adds a constant."""
        self.values[name] = value
        self.taken.add(name)
        self.known[name] = Tensor(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)

    def _share(self, name: str, value: Array) -> None:
        """Adds a constant that was drafted; of small ones equal ones are one."""
        if value.nbytes <= _SMALL:
            key = value.dtype.str, value.shape, value.tobytes()
            if key in self.drafted:
                self.aliases[name] = self.drafted[key]
                return
            self.drafted[key] = name
        self.define(name, value)

    def accept(self, value: onnx.ValueInfoProto) -> None:
        """Adds an input, whose extents are all fixed."""
        tensor = value.type.tensor_type
        shape = tuple(axis.dim_value for axis in tensor.shape.dim)
        self.known[value.name] = Tensor(value.name, tensor.elem_type, shape)
        self.taken.add(value.name)

    def run(self, given: Iterable[onnx.NodeProto], opset: int) -> None:
        """Walks the nodes.

        Raises:
            UnsupportedModelError: A node cannot be lowered; names it.
        """
        waiting = [Step(node, opset) for node in reversed(list(given))]
        while waiting:
            waiting.extend(reversed(self._take(waiting.pop())))

    def again(self, rules: Rules) -> None:
        """Walks what is there with other rules, where they have anything to say."""
        if any(node.op_type in rules for node in self.nodes):
            given, self.nodes, self.rules = self.nodes, [], rules
            self.run(given, OPSET)

    def _take(self, step: Step) -> list[Step]:
        """Takes one node in, or returns what stands for it."""
        given, opset = step.node, step.opset
        node = onnx.NodeProto()
        node.CopyFrom(given)
        node.domain = "" if node.domain == "ai.onnx" else node.domain
        node.input[:] = [self.aliases.get(name, name) for name in node.input]
        unknown = [name for name in node.input if name and name not in self.known]
        if unknown:
            raise refused(named(node), f"no node before it makes {unknown[0]!r}", "put the graph's nodes in order")
        if node.op_type == "If" and node.attribute and node.input[0] in self.values:
            return _branch(node, bool(self.values[node.input[0]]), opset)
        if node.op_type == "Identity" and node.input[0] in self.known:
            self.aliases[node.output[0]] = node.input[0]
            return []
        if self._computed(node, opset):
            return []
        drafted = None if step.final else self._drafted(node, opset)
        if drafted is not None:
            return drafted
        expanded = self._expanded(node, opset)
        if not expanded:
            self._keep(node)
        return expanded

    def _computed(self, node: onnx.NodeProto, opset: int) -> bool:
        first = self.known.get(node.input[0]) if node.input else None
        if node.op_type in ("Shape", "Size") and first is not None and first.shape is not None:
            found: list[Array] | None = [_measured(node, first)]
        else:
            found = evaluate(node, opset, self.values)
        if found is None:
            return False
        for name, value in zip(node.output, found, strict=True):
            if name:
                self.define(name, value)
        return True

    def _drafted(self, node: onnx.NodeProto, opset: int) -> list[Step] | None:
        rule = self.rules.get(node.op_type)
        if rule is None or node.domain not in ("", LEARNED):
            return None
        inputs = tuple(self.known.get(name, Tensor(name)) for name in node.input)
        # Rules of ai.onnx.ml write plain operators, and ask for the opset of these.
        plain = OPSET if node.domain else opset
        outputs = infer(node, opset, self.known, self.values) if not node.domain else {}
        made = tuple(outputs.get(name, Tensor(name)) for name in node.output)
        draft = Draft(node, inputs, plain, self.taken, values=self.values, outputs=made, counts=self.counts)
        if not rule(draft):
            return None
        for constant in draft.constants:
            self._share(constant.name, numpy_helper.to_array(constant))
        for part in draft.nodes:
            stem = node.name or node.output[0]
            part.name = stem if part.op_type == node.op_type else f"{stem}/{part.op_type}"
        return [
            Step(part, OPSET, part.op_type == node.op_type or part.output[0] in draft.settled) for part in draft.nodes
        ]

    def _expanded(self, node: onnx.NodeProto, opset: int) -> list[Step]:
        """What the specification says that the node is made of; nothing when it is direct, or a primitive."""
        if node.op_type in self.direct or node.domain:
            return []
        parts, version = expand(node, opset, self.known)
        if any(part.op_type == "Loop" for part in parts.node):
            return []  # no nearer to what can be written
        made = {name for part in nodes(parts) for name in part.output if name and name not in node.output}
        rename(parts, {name: fresh(name, self.taken, self.numbered) for name in sorted(made)})
        return [Step(part, version) for part in parts.node]

    def _keep(self, node: onnx.NodeProto) -> None:
        if node.domain:
            raise refused(named(node), "TFLite has no such operator", "keep the model as ONNX")
        if any(field.type == onnx.AttributeProto.GRAPH for field in node.attribute):
            raise refused(
                named(node), "it chooses or repeats a part of the graph", "export it unrolled, without choices"
            )
        found = infer(node, OPSET, self.known, self.values)
        if found and all(_is_empty(tensor) for tensor in found.values()):
            for name, tensor in found.items():  # without values there is nothing to compute
                extents = [extent or 0 for extent in tensor.shape or ()]
                self.define(name, np.empty(extents, numpy_type(tensor)))
            return
        for name in filter(None, node.output):
            _check(node, found.get(name, Tensor(name)))
        if node.op_type in _COUNTING or (node.op_type in _MOVING and node.input[0] in self.counts):
            self.counts.update(node.output)
        self.known.update(found)
        self.nodes.append(node)


def _is_empty(tensor: Tensor) -> bool:
    """Whether it is known to hold no value."""
    return tensor.dtype != TensorProto.UNDEFINED and tensor.shape is not None and 0 in tensor.shape


def _check(node: onnx.NodeProto, made: Tensor) -> None:
    """Refuses what is no tensor of numbers with a fixed shape."""
    if made.dtype == TensorProto.UNDEFINED:
        raise refused(named(node), f"{made.name!r} is no tensor", "end the model before it and do it after")
    if made.dtype == TensorProto.STRING:
        raise refused(named(node), "it makes text", "give classes numbers, or leave the output with it away")
    if made.shape is None or None in made.shape:
        why = f"the shape of {made.name!r} depends on values"
        raise refused(named(node), why, "end the model before it and do it after")
    if 0 in made.shape:
        raise refused(named(node), f"{made.name!r} holds no value", "leave it away")


def _measured(node: onnx.NodeProto, tensor: Tensor) -> Array:
    """The answer of a Shape or a Size."""
    extents = np.array(tensor.shape, np.int64)
    if node.op_type == "Size":
        return np.array(extents.prod(), np.int64)
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    return extents[bounds.get("start", 0) : bounds.get("end", len(extents))]


def _branch(node: onnx.NodeProto, condition: bool, opset: int) -> list[Step]:
    """The nodes of the branch that is always taken."""
    taken = next(field.g for field in node.attribute if field.name == ("then_branch" if condition else "else_branch"))
    constants = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in taken.initializer]
    ends = [
        helper.make_node("Identity", [inner.name], [outer])
        for inner, outer in zip(taken.output, node.output, strict=True)
    ]
    return [Step(part, opset) for part in (*constants, *taken.node, *ends)]
