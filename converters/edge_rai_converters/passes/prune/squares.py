"""Least squares with a ridge towards the weights that were there: by features, or by rows where those are many.

Both minimize the mean squared error plus the ridge times the squared distance from the old weights. With X what is
read, Y what is wanted and W the old weights, features solve (X'X + nr) D = X'(Y - XW) for what is added to W, and rows
D = X'(XX' + nr)^-1 (Y - XW), which is the same: one matrix grows with the features, the other with the rows. The bias
has no ridge to speak of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# What is read and what is to be made of it, (groups, rows, features + 1) and (groups, rows, channels); the last feature
# is 1 where there is a bias, and else 0. Always the same rows.
Pairs = Iterable[tuple[Floats, Floats]]

# Share of the mean square of the features.
_RIDGE = 1e-4
# Features that are multiplied at once.
_AT_ONCE = 1024


class Solver(Protocol):
    """Least squares for one layer."""

    def solved(self, pairs: Pairs) -> Floats:
        """The weights, (groups, features + 1, channels)."""


class ByFeatures:
    """Sums of products over the rows, in float64: any number of rows, memory for the square of the features.

    Args:
        old: (groups, features + 1, channels) what weights and bias were.
    """

    def __init__(self, old: Floats) -> None:
        self._old = old
        self._squares: Floats | None = None
        self._count = 0

    def solved(self, pairs: Pairs) -> Floats:
        """As of ``Solver``; what is read is taken from the first call."""
        groups, features, _ = self._old.shape
        first, products = self._squares is None, np.zeros(self._old.shape)
        squares = np.zeros((groups, features, features)) if self._squares is None else self._squares
        for read, made in pairs:
            turned = read.transpose(0, 2, 1)
            products += turned @ made
            if first:
                squares += turned @ read
                self._count += read.shape[1]
        self._squares = squares
        ridge = _ridge(np.einsum("gii->gi", squares)[:, :-1].mean(axis=1) / self._count)
        weights = np.broadcast_to(ridge[:, np.newaxis], (groups, features)).copy()
        weights[:, -1] = np.finfo(float).eps
        system = squares / self._count
        diagonal = np.arange(features)
        system[:, diagonal, diagonal] += weights
        return np.linalg.solve(system, products / self._count + weights[..., np.newaxis] * self._old)


class ByRows:
    """All rows in memory, in float32, and the square of their number: for more features than rows.

    Args:
        old: (groups, features + 1, channels) what weights and bias were.
    """

    def __init__(self, old: Floats) -> None:
        self._old = old
        self._read: npt.NDArray[np.float32] | None = None
        self._constant = 0.0

    def solved(self, pairs: Pairs) -> Floats:
        """As of ``Solver``; what is read is taken from the first call."""
        parts, targets = [], []
        for read, made in pairs:
            targets.append(made)
            if self._read is None:
                self._constant = float(read[0, 0, -1])
                parts.append(read[..., :-1].astype(np.float32))
        if self._read is None:
            self._read = np.concatenate(parts, axis=1)
            self._prepare(self._read)
        wanted = np.concatenate(targets, axis=1)
        return np.stack([self._group(group, self._read[group], wanted[group]) for group in range(len(wanted))])

    def _prepare(self, read: npt.NDArray[np.float32]) -> None:
        """Centres what is read, where a bias takes the rest, and inverts the products of its rows."""
        count = read.shape[1]
        ridge = _ridge(np.array([np.mean(np.square(rows, dtype=np.float64)) for rows in read]))
        self._means = self._constant * read.mean(axis=1, dtype=np.float64)
        read -= self._means[:, np.newaxis].astype(np.float32)
        self._inverse = np.empty((len(read), count, count))
        for rows, inverse, share in zip(read, self._inverse, ridge, strict=True):
            squares = count * share * np.eye(count)
            for start in range(0, rows.shape[1], _AT_ONCE):
                some = rows[:, start : start + _AT_ONCE].astype(np.float64)
                squares += some @ some.T
            inverse[:] = np.linalg.inv(squares)

    def _group(self, group: int, read: npt.NDArray[np.float32], wanted: Floats) -> Floats:
        old, means = self._old[group], self._means[group]
        left = wanted - read @ old[:-1] - (means @ old[:-1] + self._constant * old[-1])
        mean = self._constant * left.mean(axis=0)
        spread = self._inverse[group] @ (left - mean)
        added = np.empty((len(old), wanted.shape[1]))
        for start in range(0, read.shape[1], _AT_ONCE):
            some = slice(start, min(start + _AT_ONCE, read.shape[1]))
            added[some] = read[:, some].T @ spread
        added[-1] = mean - means @ added[:-1]
        return np.asarray(old + added)


def _ridge(squares: Floats) -> Floats:
    """By group, of its mean square; one that sees nothing but zeros still needs some."""
    return np.asarray(_RIDGE * (squares + 1e-6 * squares.mean() + np.finfo(np.float32).tiny))
