"""The fixed work that every run has beside its models, through which two runs are compared.

It must be slowed down by whatever slows a model's call down: it calls a small library from the interpreter, on data
that fits the first cache. On a virtual machine that others used, the multiples of this differed by 2.5 % from process
to process; those of a SHA-256, which only computes, by up to 19 %.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_WIDTH = 64
_PRODUCTS = 6


def products() -> Callable[[int], object]:
    """A call that multiplies a vector by a matrix, 64 by 64 in float32, six times."""
    generator = np.random.default_rng(0)
    matrix, vector = generator.normal(size=(_WIDTH, _WIDTH)), generator.normal(size=_WIDTH)
    weights, values, dot = matrix.astype(np.float32), vector.astype(np.float32), np.dot

    def call(_: int) -> None:
        for _ in range(_PRODUCTS):
            dot(weights, values)

    return call
