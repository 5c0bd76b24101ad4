"""Activations that TFLite has no operator of, in those that it has.

Softplus, ELU and their kin are written so that nothing overflows: an exponential is only taken of what is not positive.
"""

from __future__ import annotations

from edge_rai_converters.targets.tflite.lower.draft import Draft, Rules

# erf(x) = tanh(x P(x x)). P is a polynomial fitted, by least squares weighted until the errors were even, to
# atanh(erf(x)) / x from 0 to 4.2, from where on both are 1; the lowest power first. Greatest error in float32 1.4e-7,
# and 2.8e-7 with the hyperbolic tangents of ONNX Runtime and LiteRT, which are not rounded exactly.
_ERF = (
    1.1283797055617577,
    0.10276548050006502,
    -0.0001843812556167797,
    -0.0006257219008783335,
    8.971354525135435e-05,
    -5.985860074726761e-06,
    1.5897061393233983e-07,
)
# An exporter's sixth is one of float32.
_ROUNDING = 1e-6


def _erf(draft: Draft) -> bool:
    given = draft.node.input[0]
    square = draft.op("Mul", given, given)
    *lower, second, first = _ERF
    value = draft.op("Add", draft.op("Mul", square, draft.scalar(first)), draft.scalar(second))
    for factor in reversed(lower):
        value = draft.op("Add", draft.op("Mul", value, square), draft.scalar(factor))
    draft.op("Tanh", draft.op("Mul", given, value), named=draft.node.output[0])
    return True


def _hard_sigmoid(draft: Draft) -> bool:
    """A sixth of what is limited to 6: TFLite limits to that in passing, and the rest goes into the layer before it."""
    slope, offset = 6 * draft.attribute("alpha", 0.2), 6 * draft.attribute("beta", 0.5)
    given = draft.node.input[0]
    stretched = given if abs(slope - 1) < _ROUNDING else draft.op("Mul", given, draft.scalar(slope))
    moved = draft.op("Add", stretched, draft.scalar(offset))
    limited = draft.op("Clip", moved, draft.scalar(0), draft.scalar(6))
    draft.op("Mul", limited, draft.scalar(1 / 6), named=draft.node.output[0])
    return True


def _elu(draft: Draft) -> bool:
    alpha = draft.attribute("alpha", 1.0)
    if alpha == 1:
        return False
    _elu_of(draft, alpha, 1.0, 1.0)
    return True


def _selu(draft: Draft) -> bool:
    alpha, gamma = draft.attribute("alpha", 1.67326319217681884765625), draft.attribute("gamma", 1.05070102214813232)
    _elu_of(draft, alpha, gamma, 1.0)
    return True


def _celu(draft: Draft) -> bool:
    alpha = draft.attribute("alpha", 1.0)
    _elu_of(draft, alpha, 1.0, 1 / alpha)
    return True


def _elu_of(draft: Draft, alpha: float, gamma: float, inner: float) -> None:
    """Writes gamma (max(x, 0) + alpha (exp(inner min(x, 0)) - 1)); Elu with alpha 1 is TFLite's, and exact near 0."""
    given, zero = draft.node.input[0], draft.scalar(0)
    positive, negative = draft.op("Max", given, zero), draft.op("Min", given, zero)
    negative = negative if inner == 1 else draft.op("Mul", negative, draft.scalar(inner))
    bent = draft.op("Mul", draft.op("Elu", negative), draft.scalar(alpha * gamma))
    positive = positive if gamma == 1 else draft.op("Mul", positive, draft.scalar(gamma))
    draft.op("Add", positive, bent, named=draft.node.output[0])


def _softplus(draft: Draft) -> bool:
    _softplus_of(draft, draft.node.input[0], draft.node.output[0])
    return True


def _softplus_of(draft: Draft, x: str, named: str = "") -> str:
    """max(x, 0) + log(1 + exp(-|x|))."""
    power = draft.op("Exp", draft.op("Neg", draft.op("Abs", x)))
    rest = draft.op("Log", draft.op("Add", power, draft.scalar(1)))
    return draft.op("Add", draft.op("Relu", x), rest, named=named)


def _mish(draft: Draft) -> bool:
    bent = draft.op("Tanh", _softplus_of(draft, draft.node.input[0]))
    draft.op("Mul", draft.node.input[0], bent, named=draft.node.output[0])
    return True


def _softsign(draft: Draft) -> bool:
    below = draft.op("Add", draft.op("Abs", draft.node.input[0]), draft.scalar(1))
    draft.op("Div", draft.node.input[0], below, named=draft.node.output[0])
    return True


def _swish(draft: Draft) -> bool:
    alpha, given = draft.attribute("alpha", 1.0), draft.node.input[0]
    stretched = given if alpha == 1 else draft.op("Mul", given, draft.scalar(alpha))
    draft.op("Mul", given, draft.op("Sigmoid", stretched), named=draft.node.output[0])
    return True


def _thresholded(draft: Draft) -> bool:
    above = draft.op("Greater", draft.node.input[0], draft.scalar(draft.attribute("alpha", 1.0)))
    draft.op("Where", above, draft.node.input[0], draft.scalar(0), named=draft.node.output[0])
    return True


def _shrink(draft: Draft) -> bool:
    given, bias, limit = draft.node.input[0], draft.attribute("bias", 0.0), draft.attribute("lambd", 0.5)
    above, below = draft.op("Greater", given, draft.scalar(limit)), draft.op("Less", given, draft.scalar(-limit))
    lowered = draft.op("Sub", given, draft.scalar(bias))
    raised = draft.op("Where", below, draft.op("Add", given, draft.scalar(bias)), draft.scalar(0))
    draft.op("Where", above, lowered, raised, named=draft.node.output[0])
    return True


# After what has an Erf in it was looked for (recognizing.py).
def _prelu(draft: Draft) -> bool:
    """Before opset 7 a row of slopes is one a channel, which is not how it broadcasts."""
    rank, slope = len(draft.shape()), draft.shape(1)
    if draft.opset >= 7 or len(slope) != 1 or slope == (1,) or rank < 3:
        return False
    slopes = draft.reshape(draft.node.input[1], [*slope, *[1] * (rank - 2)])
    draft.op("PRelu", draft.node.input[0], slopes, named=draft.node.output[0])
    return True


LATE_RULES: Rules = {"Erf": _erf}
RULES: Rules = {
    "Celu": _celu,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "Mish": _mish,
    "PRelu": _prelu,
    "Selu": _selu,
    "Shrink": _shrink,
    "Softplus": _softplus,
    "Softsign": _softsign,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded,
}
