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
        self._system: Floats | None = None
        self._count = 0

    def solved(self, pairs: Pairs) -> Floats:
        """As of ``Solver``; what is read is taken from the first call."""
        groups, features, _ = self._old.shape
        first, products = self._system is None, np.zeros(self._old.shape)
        # The one matrix that is large: what is done to it is done in place.
        system = np.zeros((groups, features, features)) if self._system is None else self._system
        for read, made in pairs:
            turned = read.transpose(0, 2, 1)
            products += turned @ made
            if first:
                for group, rows in zip(system, read, strict=True):
                    _add_squares(group, rows.T)
                self._count += read.shape[1]
        if first:
            self._prepare(system)
        wanted: Floats = products / self._count + self._weights[..., np.newaxis] * self._old
        return np.asarray(np.linalg.solve(system, wanted), np.float64)

    def _prepare(self, system: Floats) -> None:
        """Makes means of the sums, and adds the ridge."""
        diagonal = np.arange(system.shape[1])
        system /= self._count
        ridge = _ridge(system[:, diagonal, diagonal][:, :-1].mean(axis=1))
        self._weights = np.repeat(ridge[:, np.newaxis], len(diagonal), axis=1)
        self._weights[:, -1] = np.finfo(float).eps
        system[:, diagonal, diagonal] += self._weights
        self._system = system


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
        parts, targets = list[npt.NDArray[np.float32]](), []
        for read, made in pairs:
            targets.append(made)
            if self._read is None:
                self._constant = float(read[0, 0, -1])
                parts.append(read[..., :-1].astype(np.float32))
        if self._read is None:
            self._read = _joined(parts)
            self._prepare(self._read)
        wanted = np.concatenate(targets, axis=1)
        return np.stack([self._group(group, self._read[group], wanted[group]) for group in range(len(wanted))])

    def _prepare(self, read: npt.NDArray[np.float32]) -> None:
        """Centres what is read, where a bias takes the rest, and multiplies its rows."""
        count = read.shape[1]
        ridge = _ridge(np.array([np.mean(np.square(rows, dtype=np.float64)) for rows in read]))
        self._means = self._constant * read.mean(axis=1, dtype=np.float64)
        read -= self._means[:, np.newaxis].astype(np.float32)
        self._squares = np.zeros((len(read), count, count))
        for rows, squares, share in zip(read, self._squares, ridge, strict=True):
            squares[np.arange(count), np.arange(count)] = count * share
            for start in range(0, rows.shape[1], _AT_ONCE):
                _add_squares(squares, rows[:, start : start + _AT_ONCE].astype(np.float64))

    def _group(self, group: int, read: npt.NDArray[np.float32], wanted: Floats) -> Floats:
        old, means = self._old[group], self._means[group]
        left = wanted - read @ old[:-1] - (means @ old[:-1] + self._constant * old[-1])
        mean = self._constant * left.mean(axis=0)
        spread = np.linalg.solve(self._squares[group], left - mean)
        added = np.empty((len(old), wanted.shape[1]))
        for start in range(0, read.shape[1], _AT_ONCE):
            some = slice(start, min(start + _AT_ONCE, read.shape[1]))
            added[some] = read[:, some].T @ spread
        added[-1] = mean - means @ added[:-1]
        return np.asarray(old + added)


def _add_squares(squares: Floats, rows: Floats) -> None:
    """Adds the products of rows with each other, without a second matrix of that size."""
    for start in range(0, len(rows), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        squares[some] += rows[some] @ rows.T


def _joined(parts: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """All parts as one, which are gone then."""
    joined = np.empty((len(parts[0]), sum(part.shape[1] for part in parts), parts[0].shape[2]), np.float32)
    end = joined.shape[1]
    while parts:
        part = parts.pop()
        joined[:, end - part.shape[1] : end] = part
        end -= part.shape[1]
    return joined


def _ridge(squares: Floats) -> Floats:
    """By group, of its mean square; one that sees nothing but zeros still needs some."""
    return np.asarray(_RIDGE * (squares + 1e-6 * squares.mean() + np.finfo(np.float32).tiny))
