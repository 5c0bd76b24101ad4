"""Structured pruning."""

from __future__ import annotations

import onnx

from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass


def prune(keep: float | str = "auto", max_drop: float = 1.0, seed: int = 0) -> Pass:
    """The pass."""

    def run(model: onnx.ModelProto, material: Material) -> onnx.ModelProto:
        raise NotApplicableError("no group of channels can be pruned")

    return Pass("prune", run)
