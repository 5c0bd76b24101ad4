"""Fewer bits: static int8, whole or with some layers left in float; dynamic int8; float16 and 4-bit weights."""

from __future__ import annotations

from edge_rai_converters.passes.quantize.dynamic import dynamic_int8
from edge_rai_converters.passes.quantize.half import float16
from edge_rai_converters.passes.quantize.mixed import mixed_int8
from edge_rai_converters.passes.quantize.static import mixed_layers, static_int8
from edge_rai_converters.passes.quantize.weights4 import int4_weights

__all__ = ["dynamic_int8", "float16", "int4_weights", "mixed_int8", "mixed_layers", "static_int8"]
