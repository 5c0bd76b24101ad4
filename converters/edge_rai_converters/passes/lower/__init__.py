"""Rewrites operators of ai.onnx.ml as plain ones, where that gives the same answers."""

from edge_rai_converters.passes.lower.rewrite import lower, lower_scalers

__all__ = ["lower", "lower_scalers"]
