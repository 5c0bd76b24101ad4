"""Arithmetic, comparison and types in operators of two operands that TFLite has."""

from __future__ import annotations

import numpy as np

from edge_rai_converters.passes.lower.sketch import Array
from edge_rai_converters.targets.tflite.lower.draft import Draft, Rules, numpy_type, static

_CHAINS = {"Max": "Max", "Min": "Min", "Sum": "Add", "Mean": "Add"}
_NO_LIMIT = {"Max": -np.inf, "Min": np.inf}


def _chain(draft: Draft) -> bool:
    """Max, Min, Sum and Mean of any number: two at a time."""
    operator, count = _CHAINS[draft.node.op_type], len(draft.node.input)
    mean, made = draft.node.op_type == "Mean", draft.node.output[0]
    first, *others = _limiting(draft)
    if not others:
        return draft.same(first)
    for index, other in enumerate(others):
        last = index == len(others) - 1 and not mean
        first = draft.op(operator, first, other, named=made if last else "")
    if mean:
        draft.op("Mul", first, draft.scalar(1 / count), named=made)
    return True


def _limiting(draft: Draft) -> list[str]:
    """The operands; of Max and Min without infinities that limit nothing, and have no more axes than the others."""
    names, operator = draft.node.input, draft.node.op_type
    rank = min(len(static(tensor)) for tensor in draft.inputs if tensor.name not in draft.values)
    values = [draft.value(index) for index in range(len(names))]
    idle = [value is not None and value.ndim <= rank and _is_nothing(operator, value) for value in values]
    return [name for name, useless in zip(names, idle, strict=True) if not useless]


def _is_nothing(operator: str, limit: Array | None) -> bool:
    """Whether it is one number that no value is beyond.

    XNNPACK takes the limits behind a layer into it. Where both are infinite it takes the layer away instead, and what
    is answered is what lay in memory.
    """
    return limit is not None and limit.size == 1 and bool(limit.reshape(()) == _NO_LIMIT.get(operator))


def _pow(draft: Draft) -> bool:
    """Squares, cubes and roots without Pow, whose kernels are slow; both operands of one type."""
    given, made = draft.node.input[0], draft.node.output[0]
    exponent = draft.value(1)
    power = float(exponent) if exponent is not None and exponent.shape == () else None
    kinds = [numpy_type(tensor).kind for tensor in draft.inputs]
    if kinds[0] in "iu" and kinds[1] == "f" and (power is None or not power.is_integer() or power < 0):
        raise draft.refusal("it raises whole numbers to broken powers", "cast them to float32")
    if power == 1:
        return draft.same()
    if power in (2, 3):
        square = draft.op("Mul", given, given, named=made if power == 2 else "")
        if power == 3:
            draft.op("Mul", square, given, named=made)
        return True
    if power == 0.5:
        draft.op("Sqrt", given, named=made)
        return True
    if draft.inputs[1].dtype == draft.inputs[0].dtype:
        return False
    draft.op("Pow", given, draft.op("Cast", draft.node.input[1], to=draft.inputs[0].dtype), named=made)
    return True


def _reciprocal(draft: Draft) -> bool:
    draft.op("Div", draft.scalar(1), draft.node.input[0], named=draft.node.output[0])
    return True


def _is_nan(draft: Draft) -> bool:
    """What does not equal itself."""
    given = draft.node.input[0]
    draft.op("Not", draft.op("Equal", given, given), named=draft.node.output[0])
    return True


def _is_inf(draft: Draft) -> bool:
    given, made = draft.node.input[0], draft.node.output[0]
    positive, negative = draft.attribute("detect_positive", 1), draft.attribute("detect_negative", 1)
    if positive and negative:
        given = draft.op("Abs", given)
    draft.op("Equal", given, draft.scalar(np.inf if positive else -np.inf), named=made)
    return bool(positive or negative)


def _cast(draft: Draft) -> bool:
    wanted = draft.attribute("to")
    if draft.node.op_type == "CastLike":
        wanted = draft.inputs[1].dtype
    if wanted == draft.inputs[0].dtype:
        return draft.same()
    draft.op("Cast", draft.node.input[0], to=wanted, named=draft.node.output[0])
    return True


def _dropout(draft: Draft) -> bool:
    """Nothing is dropped but in training."""
    if draft.opset >= 12 and draft.has(2) and draft.constant(2, "training_mode").any():
        raise draft.refusal("it drops values as in training", "export the model for inference")
    if draft.wants(1):
        draft.op("Identity", np.ones(draft.shape(), bool), named=draft.node.output[1])
    return draft.same()


def _clip(draft: Draft) -> bool:
    """Limits as inputs, which were attributes before opset 11; one that is computed is an operand of Max or Min."""
    given, made = draft.node.input[0], draft.node.output[0]
    if draft.opset < 11:
        stated = [draft.attribute(name) for name in ("min", "max")]
        bounds = ["" if limit is None else draft.held(draft.scalar(limit)) for limit in stated]
        draft.op("Clip", given, *bounds, named=made)
        return True
    limits = [
        draft.node.input[index] if draft.has(index) and not _is_nothing(operator, draft.value(index)) else ""
        for index, operator in enumerate(_NO_LIMIT, 1)
    ]
    if limits == ["", ""]:
        return draft.same()
    if all(not name or name in draft.values for name in limits):
        draft.op("Clip", given, *limits, named=made)
        return True
    steps = [(operator, name) for operator, name in zip(_NO_LIMIT, limits, strict=True) if name]
    for index, (operator, name) in enumerate(steps):
        given = draft.op(operator, given, name, named=made if index == len(steps) - 1 else "")
    return True


RULES: Rules = {
    **dict.fromkeys(_CHAINS, _chain),
    "Cast": _cast,
    "CastLike": _cast,
    "Clip": _clip,
    "Dropout": _dropout,
    "IsInf": _is_inf,
    "IsNaN": _is_nan,
    "Pow": _pow,
    "Reciprocal": _reciprocal,
}
