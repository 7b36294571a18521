"""Arrays of numbers with running error bounds: every operation adds what it may lose.

`Single` is float64, `Double` pairs of float64. A formula that is written once over `Running` serves both float64 tiers,
and its bound needs no derivation of its own. The bound of each operation: docs/numerics-tiers.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import TINY, WIDEN, Mask, U, enclosed
from lossconform.reference.double_double import FLOOR, ROUND
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import depth, fold, fold_pairs


class Running(ABC):
    """Numbers of which each is right within its error. Arrays broadcast as NumPy's do."""

    h: Float64
    error: Float64

    @classmethod
    @abstractmethod
    def exact(cls, h: Float64) -> Self:
        """Return float64 numbers as they are."""

    @classmethod
    @abstractmethod
    def difference(cls, a: Float64, b: Float64) -> Self:
        """Return a - b of float64 numbers; exactly 0 where they are equal."""

    @abstractmethod
    def __add__(self, other: Self) -> Self: ...

    @abstractmethod
    def __mul__(self, other: Self) -> Self: ...

    @abstractmethod
    def __neg__(self) -> Self: ...

    def __sub__(self, other: Self) -> Self:
        return self + -other

    @abstractmethod
    def over(self, other: Self) -> Self:
        """Return the quotient; its error is NaN where the divisor may be 0."""

    @abstractmethod
    def folded(self) -> Self:
        """Return the sums over axis 1, (N, 1)."""

    @abstractmethod
    def zero_where(self, mask: Mask) -> Self:
        """Return the numbers, exactly 0 where the mask is True."""

    @abstractmethod
    def enclosure(self) -> Enclosure:
        """Return the numbers within their errors, NaN where that is not finite."""


@dataclass(eq=False)
class Single(Running):
    """float64 numbers h, each right within its error."""

    h: Float64
    error: Float64

    @classmethod
    def exact(cls, h: Float64) -> Single:
        """Return float64 numbers with error 0."""
        return cls(h, np.zeros_like(h))

    @classmethod
    def difference(cls, a: Float64, b: Float64) -> Single:
        """Return a - b, rounded once."""
        h = a - b
        return cls(h, np.abs(h) * U)

    def __add__(self, other: Single) -> Single:
        h, error = self.h + other.h, self.error + other.error
        return Single(h, (error + np.abs(h) * U) * WIDEN + TINY * (error != 0))

    def __mul__(self, other: Single) -> Single:
        h, mine, its = self.h * other.h, np.abs(self.h), np.abs(other.h)
        error = mine * other.error + (its + other.error) * self.error + np.abs(h) * U
        return Single(h, error * WIDEN + 8 * TINY * (_some(self, mine) & _some(other, its)))

    def __neg__(self) -> Single:
        return Single(-self.h, self.error)

    def over(self, other: Single) -> Single:
        """Return the quotient: both errors, and u of it."""
        h, size = self.h / other.h, np.abs(other.h)
        error = (self.error + np.abs(h) * other.error) / _positive(size - other.error) + np.abs(h) * U
        return Single(h, error * WIDEN + 8 * TINY * np.maximum(1, 1 / size) * _some(self, np.abs(self.h)))

    def folded(self) -> Single:
        """Return the sums over axis 1: the errors, and depth(C) u of the sum of sizes."""
        c = self.h.shape[1]
        size, error = np.abs(self.h).sum(axis=1), self.error.sum(axis=1)
        error = (size * (depth(c) * U) + error) * (WIDEN * (1 + 4 * c * U)) + 2 * c * TINY * (error != 0)
        return Single(fold(self.h.copy())[:, None], error[:, None])

    def zero_where(self, mask: Mask) -> Single:
        """Return the numbers, exactly 0 where the mask is True."""
        return Single(np.where(mask, 0.0, self.h), np.where(mask, 0.0, self.error))

    def enclosure(self) -> Enclosure:
        """Return h within its error."""
        return enclosed(self.h, None, self.error)


@dataclass(eq=False)
class Double(Running):
    """Pairs h + low, each right within its error."""

    h: Float64
    low: Float64
    error: Float64

    @classmethod
    def exact(cls, h: Float64) -> Double:
        """Return float64 numbers with error 0."""
        return cls(h, np.zeros_like(h), np.zeros_like(h))

    @classmethod
    def difference(cls, a: Float64, b: Float64) -> Double:
        """Return a - b, exact as a pair."""
        h, low = two_sum(a, -b)
        return cls(h, low, np.zeros_like(h))

    def __add__(self, other: Double) -> Double:
        h, low = dd.plus((self.h, self.low), (other.h, other.low))
        size, error = np.abs(self.h) + np.abs(other.h), self.error + other.error
        return Double(h, low, (error + size * ROUND) * WIDEN + FLOOR * (error != 0))

    def __mul__(self, other: Double) -> Double:
        h, low = dd.times((self.h, self.low), (other.h, other.low))
        mine, its = np.abs(self.h), np.abs(other.h)
        error = mine * other.error + (its + other.error) * self.error + np.abs(h) * ROUND
        return Double(h, low, error * WIDEN + FLOOR * (_some(self, mine) & _some(other, its)))

    def __neg__(self) -> Double:
        return Double(-self.h, -self.low, self.error)

    def over(self, other: Double) -> Double:
        """Return the quotient: both errors, and ROUND of it."""
        h, low = dd.over((self.h, self.low), (other.h, other.low))
        size = np.abs(other.h)
        error = (self.error + np.abs(h) * other.error) / _positive(size - other.error) + np.abs(h) * ROUND
        return Double(h, low, error * WIDEN + FLOOR * np.maximum(1, 1 / size) * _some(self, np.abs(self.h)))

    def folded(self) -> Double:
        """Return the sums over axis 1: the errors, and what `fold_pairs` lost."""
        c = self.h.shape[1]
        s, rest, lost = fold_pairs(np.concatenate([self.h, self.low], axis=1))
        h, low = two_sum(s, rest)
        error = self.error.sum(axis=1)
        error = (error * (1 + 4 * c * U) + lost) * WIDEN + c * FLOOR * (error != 0)
        return Double(h[:, None], low[:, None], error[:, None])

    def zero_where(self, mask: Mask) -> Double:
        """Return the numbers, exactly 0 where the mask is True."""
        return Double(*(np.where(mask, 0.0, part) for part in (self.h, self.low, self.error)))

    def enclosure(self) -> Enclosure:
        """Return h + low within its error."""
        margin = self.error * WIDEN + np.abs(self.low) * np.where(self.error == 0, 0.0, 4 * U)
        return enclosed(self.h, self.low - margin, self.low + margin)


def _some(number: Running, size: Float64) -> Mask:
    """Return where a number, of that size, may be other than 0."""
    result: Mask = (size != 0) | (number.error != 0)
    return result


def _positive(size: Float64) -> Float64:
    return np.where(size > 0, size, np.nan)
