"""Matrix products: Gemm only with constant weights, MatMul of two matrices or stacks of them, Einsum in terms of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_rai_converters.targets.tflite.lower.draft import Draft, Rules, numpy_type, static


def _gemm(draft: Draft) -> bool:
    """Alpha A B + beta C: A as it is, the factors in the constants; what is computed goes into MatMul and Add."""
    first, second = draft.node.input[:2]
    alpha, beta = float(draft.attribute("alpha", 1.0)), float(draft.attribute("beta", 1.0))
    if draft.attribute("transA", 0):
        first = draft.op("Transpose", first, perm=[1, 0])
    weights, made = draft.value(1), draft.node.output[0]
    width = static(draft.outputs[0])[1]
    added = draft.value(2) if draft.has(2) else draft.scalar(0)
    if weights is None or added is None or not _is_row(added.shape, width):
        _product_and_sum(draft, first, second, alpha, beta)
        return True
    dtype = numpy_type(draft.inputs[0])
    if alpha != 1 or not draft.attribute("transB", 0):
        matrix = weights if draft.attribute("transB", 0) else weights.T
        second = draft.held((matrix * alpha).astype(dtype))
    bias = np.broadcast_to(added.reshape(-1), (width,))
    settled = beta == 1 and draft.has(2) and added.shape == (width,)
    third = draft.node.input[2] if settled else draft.held((bias * beta).astype(dtype))
    draft.op("Gemm", first, second, third, transB=1, named=made)
    return True


def _is_row(shape: Sequence[int], width: int) -> bool:
    return tuple(shape) in ((), (1,), (width,), (1, 1), (1, width))


def _product_and_sum(draft: Draft, first: str, second: str, alpha: float, beta: float) -> None:
    if draft.attribute("transB", 0):
        second = draft.op("Transpose", second, perm=[1, 0])
    steps = [] if alpha == 1 else [("Mul", draft.scalar(alpha))]
    value = draft.op("MatMul", first, second)
    for operator, factor in steps:
        value = draft.op(operator, value, factor)
    if draft.has(2):
        added = draft.node.input[2] if beta == 1 else draft.op("Mul", draft.node.input[2], draft.scalar(beta))
        value = draft.op("Add", value, added)
    draft.op("Identity", value, named=draft.node.output[0])


def _matmul(draft: Draft) -> bool:
    """A vector is a matrix of one row or column."""
    first, second = draft.shape(0), draft.shape(1)
    if len(first) > 1 and len(second) > 1:
        return False
    left, right = draft.node.input
    left = left if len(first) > 1 else draft.reshape(left, [1, *first])
    right = right if len(second) > 1 else draft.reshape(right, [*second, 1])
    draft.reshape(draft.op("MatMul", left, right), static(draft.outputs[0]), draft.node.output[0])
    return True


def _einsum(draft: Draft) -> bool:
    """Operands one after the other: what only one has is summed first, the rest is a MatMul of stacks."""
    terms, wanted = _equation(draft)
    name, letters = draft.node.input[0], terms[0]
    extents: dict[str, int] = {}
    for index, term in enumerate(terms):
        extents.update(zip(term, draft.shape(index), strict=True))
    for index, term in enumerate(terms[1:], 1):
        later = set("".join([*terms[index + 1 :], wanted]))
        name, letters = _pair(draft, (name, letters), (draft.node.input[index], term), later, extents)
    name, letters = _summed(draft, name, letters, set(wanted))
    _ordered(draft, name, letters, wanted, draft.node.output[0])
    return True


def _equation(draft: Draft) -> tuple[list[str], str]:
    """The letters of the operands and of the result, an ellipsis spelled out."""
    equation = draft.attribute("equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    free = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation]
    terms = left.split(",")
    ranks = [len(draft.shape(index)) - len(term.replace("...", "")) for index, term in enumerate(terms)]
    many = max([rank for rank, term in zip(ranks, terms, strict=True) if "..." in term], default=0)
    stack = "".join(free[:many])
    spelled = [term.replace("...", stack[many - rank :]) for term, rank in zip(terms, ranks, strict=True)]
    if not arrow:
        once = sorted(letter for letter in set(left) if left.count(letter) == 1 and letter.isalpha())
        right = ("..." if many else "") + "".join(once)
    if any(len(set(term)) != len(term) for term in spelled):
        raise draft.refusal(f"it takes a diagonal ({equation})", "each letter once an operand")
    return spelled, right.replace("...", stack)


def _pair(
    draft: Draft, first: tuple[str, str], second: tuple[str, str], later: set[str], extents: dict[str, int]
) -> tuple[str, str]:
    """The product of two operands, summed over what nothing later asks for."""
    left = _summed(draft, *first, later | set(second[1]))
    right = _summed(draft, *second, later | set(first[1]))
    stack = [letter for letter in left[1] if letter in right[1] and letter in later]
    inner = [letter for letter in left[1] if letter in right[1] and letter not in later]
    rows = [letter for letter in left[1] if letter not in right[1]]
    columns = [letter for letter in right[1] if letter not in left[1]]

    def size(letters: list[str]) -> int:
        return int(np.prod([extents[letter] for letter in letters], initial=1))

    ordered = _ordered(draft, *left, "".join([*stack, *rows, *inner]))
    matrix = draft.reshape(ordered, [*(extents[letter] for letter in stack), size(rows), size(inner)])
    other = _ordered(draft, *right, "".join([*stack, *inner, *columns]))
    other = draft.reshape(other, [*(extents[letter] for letter in stack), size(inner), size(columns)])
    letters = [*stack, *rows, *columns]
    return draft.reshape(draft.op("MatMul", matrix, other), [extents[letter] for letter in letters]), "".join(letters)


def _summed(draft: Draft, name: str, letters: str, kept: set[str]) -> tuple[str, str]:
    """Without the axes that nothing asks for."""
    axes = [axis for axis, letter in enumerate(letters) if letter not in kept]
    if not axes:
        return name, letters
    left = "".join(letter for letter in letters if letter in kept)
    return draft.reduce("ReduceSum", name, axes, keep=False), left


def _ordered(draft: Draft, name: str, letters: str, wanted: str, named: str = "") -> str:
    if letters == wanted:
        return draft.op("Identity", name, named=named)
    return draft.op("Transpose", name, perm=[letters.index(letter) for letter in wanted], named=named)


RULES: Rules = {"Einsum": _einsum, "Gemm": _gemm, "MatMul": _matmul}
