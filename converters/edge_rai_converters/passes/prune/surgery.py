"""Cuts channels out of a model: constants, the counts in attributes and shapes, and nothing that is then stale."""

from __future__ import annotations

from math import gcd

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edge_rai_converters.passes.prune.channels import Channels, Group
from edge_rai_converters.passes.prune.tidy import constants, drop_dead_constants, replace

Kept = npt.NDArray[np.bool_]

# What vector units compute at once; another count of channels would be padded to it.
_MULTIPLE = 8


def count_to_keep(group: Group, share: float) -> int:
    """How many classes of a group are the share: channels in multiples of 8, and never fewer."""
    unit = _MULTIPLE // gcd(_MULTIPLE, group.width)
    wanted = max(1, round(share * len(group.classes) / unit)) * unit
    return min(wanted, len(group.classes))


def keep_all(channels: Channels) -> Kept:
    """By channel, whether it stays: all do."""
    return np.ones(len(channels.roots), bool)


def without(channels: Channels, kept: Kept, classes: npt.NDArray[np.int64]) -> Kept:
    """As ``kept``, and all channels of these classes go."""
    return np.asarray(kept & ~np.isin(channels.roots, classes))


def cut(model: onnx.ModelProto, channels: Channels, kept: Kept) -> onnx.ModelProto:
    """A copy of the tidied model without the other channels; names of nodes and tensors stay."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    known = constants(graph)
    values: dict[tuple[int, int], npt.NDArray[np.float32]] = {}
    for one in channels.cuts:
        chosen = kept[one.ids]
        if not chosen.all():
            place = (one.node, one.index)
            array = (
                values[place]
                if place in values
                else numpy_helper.to_array(known[graph.node[one.node].input[one.index]])
            )
            values[place] = np.compress(chosen, array, axis=one.axis)
    for count in channels.counts:
        node, left = graph.node[count.node], int(kept[count.ids].sum())
        if count.place is None:
            next(found for found in node.attribute if found.name == "group").i = left
        elif left < len(count.ids):
            shape = numpy_helper.to_array(known[node.input[1]]).copy()
            shape[count.place] = left
            values[count.node, 1] = shape
    for (position, index), array in values.items():
        replace(graph, graph.node[position], index, array)
    del graph.value_info[:]
    drop_dead_constants(graph)
    return result


def parameters(model: onnx.ModelProto) -> int:
    """How many numbers its constants have."""
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
