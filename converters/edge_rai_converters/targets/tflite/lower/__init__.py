"""Brings an ONNX graph onto the operators and forms that the TFLite writer writes, with every shape fixed.

What is left is opset 20 with static shapes, every constant an initializer, and of what ONNX allows several spellings of
one:

- Shapes, axes, ranges, paddings, repeats and sizes are constants. Axes are counted from the front. Squeeze, Unsqueeze
  and Flatten are Reshape; no Identity, Constant, Dropout, If, or Shape is left; nothing that changes nothing.
- Slice has all five inputs and names every axis, steps are positive; Split has its sizes; Pad names every axis and is
  "constant", with a value, or "reflect"; Expand has the whole shape.
- Places that Gather takes are not negative. DepthToSpace has mode DCR.
- Reductions are ReduceMean, Sum, Max, Min and Prod with their axes; Max, Min and Add take two operands.
- AveragePool never counts padding, and pads as TFLite's SAME or not at all. Pools have no auto_pad and no ceil_mode.
- Gemm has constant weights (transB 1, no transA, no factors) and a constant bias of the width, or in a recurrent layer
  a computed one of one row; every other product is a MatMul of two matrices or stacks of matrices.
- Normalizations, recurrent layers, Einsum, Erf and all that ONNX specifies by other operators are written in these.
- A product or sum by channel of a layer with constant weights is part of the layer.
"""

from edge_rai_converters.targets.tflite.lower.lower import lower

__all__ = ["lower"]
