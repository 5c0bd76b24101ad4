"""Static int8 with the layers left in float that int8 harms too much; judge.py says how they are found."""

from __future__ import annotations

import onnx

from edge_rai_converters.passes.contract import Material, Pass
from edge_rai_converters.passes.properties import FLOAT, SAME_SIGNATURE, SINGLE_PRECISION, VALID
from edge_rai_converters.passes.quantize.judge import Judge, Sweep, divided
from edge_rai_converters.passes.quantize.prepare import layers_of, note, prepare
from edge_rai_converters.passes.quantize.ranges import Method, measure_ranges
from edge_rai_converters.passes.quantize.static import (
    QDQ,
    activations,
    check_method,
    finish_int8,
    to_qdq,
)
from edge_rai_converters.runner import Runner


def mixed_int8(max_drop: float, calibration: Method = "minmax") -> Pass:
    """Quantizes every layer that the budget allows.

    Args:
        max_drop: Judging rows whose class may change, percent; see ``judge.Judge``.
        calibration: As of ``static_int8``.

    Raises:
        ValueError: There is no such calibration.
    """
    check_method(calibration)

    def run(model: onnx.ModelProto, material: Material) -> onnx.ModelProto:
        prepared = prepare(model)
        names = [node.name for node in layers_of(prepared.graph)]
        seen, judging = divided(material)
        judge = Judge(prepared, _runner, judging, material.batched, max_drop)
        ranges = measure_ranges(prepared, activations(prepared.graph), seen, calibration)
        sweep = Sweep(lambda floats: to_qdq(prepared, ranges, floats, material.target), judge, material)
        best, harm = sweep.best(names)
        result = finish_int8(model, best)
        note(result, "int8_harm", harm)
        return result

    return Pass("mixed_int8", run, requires=(FLOAT, SINGLE_PRECISION), ensures=(VALID, SAME_SIGNATURE, QDQ))


def _runner(model: onnx.ModelProto) -> Runner:
    return Runner(model.SerializeToString(), "the model to judge")
