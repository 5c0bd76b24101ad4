"""Gives the probabilities of a classifier as a matrix, where a ZipMap made a list of dicts of them.

Requires: a model that opens. Ensures: the same numbers, column by column in the order of the classes, and every other
output as it was. A dict a row costs a small model more time than its arithmetic does.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass, Property
from edge_rai_converters.passes.properties import VALID, without
from edge_rai_converters.runner import Runner

_ZIPMAP, _DOMAIN = "ZipMap", "ai.onnx.ml"
_CALLS_TRIED = 4


def without_zipmap() -> Pass:
    """The pass; outputs keep their names, and those that were maps become (rows, classes)."""
    return Pass("without_zipmap", _run, requires=(VALID,), ensures=(VALID, without({_ZIPMAP}, _DOMAIN), _SAME_NUMBERS))


def _run(model: onnx.ModelProto, _: Material) -> onnx.ModelProto:
    classes = classes_of_maps(model)
    if not classes:
        raise NotApplicableError("none of its outputs comes of a ZipMap")
    read = {name for node in model.graph.node for name in node.input}
    within = classes.keys() & read | classes.keys() - {value.name for value in model.graph.output}
    if within:
        raise NotApplicableError(f"the maps {min(within)!r} are used within it")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for node in result.graph.node:
        if (node.op_type, node.domain) == (_ZIPMAP, _DOMAIN):
            node.CopyFrom(helper.make_node("Identity", node.input, node.output, node.name))
    for value in result.graph.output:
        if value.name in classes:
            shape = [None, len(classes[value.name])]
            value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, shape))
    if not any(entry.domain == "" for entry in result.opset_import):
        result.opset_import.append(helper.make_opsetid("", 13))
    return result


def classes_of_maps(model: onnx.ModelProto) -> dict[str, tuple[int | str, ...]]:
    """Keys of the maps, in the order of the columns that they were made of, by the name of the ZipMap's output."""
    found = {}
    for node in model.graph.node:
        if (node.op_type, node.domain) == (_ZIPMAP, _DOMAIN):
            lists = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            strings = [label.decode(errors="replace") for label in lists.get("classlabels_strings", ())]
            found[node.output[0]] = tuple(strings or lists.get("classlabels_int64s", ()))
    return found


def _others(before: onnx.ModelProto, after: onnx.ModelProto, material: Material) -> str:
    classes = classes_of_maps(before)
    old, new = Runner(before.SerializeToString(), "before"), Runner(after.SerializeToString(), "after")
    for feed in islice(material.calibration(), _CALLS_TRIED):
        expected, found = old.call(feed), new.call(feed)
        for name, values in expected.items():
            if name in classes:
                values = np.array([[row[label] for label in classes[name]] for row in values], np.float32)
            if not np.array_equal(found[name], values, equal_nan=np.asarray(values).dtype.kind == "f"):
                return f"output {name!r} differs"
    return ""


_SAME_NUMBERS = Property("the numbers are the same", _others)
