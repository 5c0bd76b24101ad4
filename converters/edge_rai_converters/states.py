"""Recurrent states: which inputs a session carries, and what they begin with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_rai.policy import Policy, StateRule
from edge_rai.types import TensorSpec
from edge_rai_converters.data import Array
from edge_rai_converters.sources.onnx import SourceModel


def find_states(source: SourceModel, pairs: Sequence[str]) -> tuple[StateRule, ...]:
    """Rules for states that were named on a command line.

    Args:
        source: The model.
        pairs: "INPUT=OUTPUT" each; a free axis of the input counts rows.

    Raises:
        ValueError: There is no such pair, or the input has more than one free axis.
    """
    inputs, outputs = ({spec.name: spec for spec in specs} for specs in (source.inputs, source.outputs))
    rules = []
    for pair in pairs:
        given, _, came = pair.partition("=")
        if given not in inputs or came not in outputs:
            raise ValueError(
                f"state {pair!r}: expected INPUT=OUTPUT; the inputs are {', '.join(inputs)}, the outputs "
                f"{', '.join(outputs)}"
            )
        free = [axis for axis, extent in enumerate(inputs[given].shape) if extent is None]
        if len(free) > 1:
            raise ValueError(
                f"state {pair!r}: axes {free} of the input are free, and one at most can count rows; fix the others in "
                "the model, or write a policy"
            )
        rules.append(StateRule(given, came, free[0] if free else None))
    return tuple(rules)


def zeros(
    inputs: Sequence[TensorSpec], states: Sequence[StateRule], written: Policy | None, count: int
) -> dict[str, Array]:
    """What the states begin with, one of one row for each of ``count`` calls, (count, *call); it takes no memory.

    Args:
        inputs: Of the model.
        states: Of the model.
        written: A policy that may fix axes that the model leaves free.
        count: Rows of the data.
    """
    shapes = {spec.name: spec.shape for spec in inputs}
    if written:
        shapes = {rule.name: tuple(max(extent, 0) or None for extent in rule.shape) for rule in written.inputs}
    dtypes = {spec.name: spec.dtype for spec in inputs}
    begun = {}
    for state in states:
        shape = tuple(extent or 1 for extent in shapes[state.input])
        begun[state.input] = np.broadcast_to(np.zeros(shape, dtypes[state.input]), (count, *shape))
    return begun
