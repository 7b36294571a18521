"""Arrays of numbers with running error bounds: every operation adds what it may lose.

`Single` is float64, `Double` pairs of float64. A formula that is written once over `Running` serves both float64 tiers,
and its bound needs no derivation of its own. The bound of each operation: docs/numerics-tiers.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import EF, TINY, WIDEN, Mask, U, enclosed
from lossconform.reference.double_double import EXP, FLOOR, LOG1P, ROUND
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import LAST, depth, fold, fold_pairs, halvings

LEAST = -709.0
"""exp of less is below TINY."""


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
    def rational(cls, q: Fraction) -> Self:
        """Return a rational, (1, 1)."""

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
    def exp(self) -> Self:
        """Return the exponentials of numbers that are not positive; exactly 1 of exactly 0."""

    @abstractmethod
    def log(self) -> Self:
        """Return the logarithms; the error is NaN where a number may be 0. Exactly 0 of exactly 1."""

    @abstractmethod
    def log1p(self) -> Self:
        """Return log(1 + x) of numbers that are not negative; exactly 0 of exactly 0."""

    @abstractmethod
    def folded(self) -> Self:
        """Return the sums over axis 1, (N, 1)."""

    def nonzero(self) -> Mask:
        """Return where a number may be other than 0."""
        result: Mask = (self.h != 0) | (self.error != 0)
        return result

    def part(self, rows: slice) -> Self:
        """Return some rows, or all of numbers that have a single one."""
        wide = len(self.error) > 1
        return type(self)(*(part[rows] if wide else part for part in vars(self).values()))

    def or_else(self, mask: Mask, other: Self) -> Self:
        """Return the numbers, and others where the mask is False."""
        parts = zip(vars(self).values(), vars(other).values(), strict=True)
        return type(self)(*(np.where(mask, mine, its) for mine, its in parts))

    def negated_where(self, mask: Mask) -> Self:
        """Return the numbers, negated where the mask is True."""
        parts = {name: part if name == "error" else np.where(mask, -part, part) for name, part in vars(self).items()}
        return type(self)(**parts)

    def zero_where(self, mask: Mask) -> Self:
        """Return the numbers, exactly 0 where the mask is True."""
        return type(self)(*(np.where(mask, 0.0, part) for part in vars(self).values()))

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
    def rational(cls, q: Fraction) -> Single:
        """Return a rational, rounded once."""
        h = float(q)
        return cls(np.full((1, 1), h), np.full((1, 1), 0.0 if Fraction(h) == q else abs(h) * U))

    @classmethod
    def difference(cls, a: Float64, b: Float64) -> Single:
        """Return a - b, rounded once, or flushed to 0."""
        h = a - b
        error = np.abs(h)
        tiny = error < TINY
        error *= U
        tiny &= a != b
        if tiny.any():
            error += TINY * tiny
        return cls(h, error)

    # In place where an array is this function's own: what is allocated has to fit into the cache beside the rest.

    def __add__(self, other: Single) -> Single:
        h, error = self.h + other.h, self.error + other.error
        some = error != 0
        size = np.abs(h)
        size *= U
        error += size
        error *= WIDEN
        error += np.multiply(some, TINY, out=size)
        return Single(h, error)

    def __mul__(self, other: Single) -> Single:
        h, mine, its = self.h * other.h, np.abs(self.h), np.abs(other.h)
        error = mine * other.error
        its += other.error
        error += its * self.error
        size = np.abs(h)
        size *= U
        error += size
        error *= WIDEN
        mine += self.error
        # Nothing comes of exactly 0, which reaches no further.
        some = (mine != 0) & (its != 0)
        error += np.multiply(some, 8 * TINY, out=size)
        return Single(h, error)

    def __neg__(self) -> Single:
        return Single(-self.h, self.error)

    def over(self, other: Single) -> Single:
        """Return the quotient: both errors, and u of it; over exactly 1 the number itself."""
        h, size = self.h / other.h, np.abs(other.h)
        error = (self.error + np.abs(h) * other.error) / _positive(size - other.error) + np.abs(h) * U
        error = error * WIDEN + 8 * TINY * np.maximum(1, 1 / size) * self.nonzero()
        return Single(h, np.where((other.h == 1) & (other.error == 0), self.error, error))

    def folded(self) -> Single:
        """Return the sums over axis 1: the errors, and depth(C) u of the sum of sizes."""
        c = self.h.shape[1]
        size, error = np.abs(self.h).sum(axis=1), self.error.sum(axis=1)
        error = (size * (depth(c) * U) + error) * (WIDEN * (1 + 4 * c * U)) + 2 * c * TINY * (error != 0)
        return Single(fold(self.h.copy(order="F" if c < LAST else "C"))[:, None], error[:, None])

    def exp(self) -> Single:
        """Return the exponentials: EF of them, and the error of the argument, which is at most 1."""
        e = np.exp(np.minimum(self.h, 0.0))
        theta = np.maximum(self.h, 0.0)
        theta += self.error
        far, exact = theta > 1, theta == 0
        np.minimum(theta, 2.0, out=theta)
        theta *= 1 + theta
        theta += EF
        theta *= e
        theta *= WIDEN
        theta += 4 * TINY
        if far.any():
            theta = np.where(far, np.where(self.h + self.error <= LEAST, 4 * TINY, np.nan), theta)
        exact &= self.h == 0
        return Single(e, np.where(exact, 0.0, theta) if exact.any() else theta)

    def log(self) -> Single:
        """Return the logarithms: EF of them, and the error of the argument over it."""
        h = np.log(self.h)
        return Single(h, (np.abs(h) * EF + self.error / _positive(self.h - self.error)) * WIDEN)

    def log1p(self) -> Single:
        """Return log(1 + x): EF of it, and the error of the argument over 1 + x."""
        h = np.log1p(self.h)
        least = self.h - self.error
        np.maximum(least, 0.0, out=least)  # what is not negative is no less
        least += 1
        error = np.divide(self.error, least, out=least)
        size = np.abs(h)
        size *= EF
        error += size
        error *= WIDEN
        error += np.multiply(self.nonzero(), TINY, out=size)
        return Single(h, error)

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
    def rational(cls, q: Fraction) -> Double:
        """Return a rational as a pair."""
        h, low = dd.pair_of(q)
        error = 0.0 if Fraction(h) + Fraction(low) == q else abs(h) * ROUND
        return cls(*(np.full((1, 1), part) for part in (h, low, error)))

    @classmethod
    def difference(cls, a: Float64, b: Float64) -> Double:
        """Return a - b, exact as a pair."""
        h, low = two_sum(a, -b)
        return cls(h, low, np.zeros_like(h))

    def __add__(self, other: Double) -> Double:
        h, low = dd.plus((self.h, self.low), (other.h, other.low))
        size, error = np.abs(self.h) + np.abs(other.h), self.error + other.error
        size = np.where((self.low == 0) & (other.low == 0), 0.0, size)  # a TwoSum
        return Double(h, low, (error + size * ROUND) * WIDEN + FLOOR * (error != 0))

    def __mul__(self, other: Double) -> Double:
        h, low = dd.times((self.h, self.low), (other.h, other.low))
        mine, its = np.abs(self.h), np.abs(other.h)
        error = mine * other.error + (its + other.error) * self.error
        # A product of two float64 numbers is exactly its pair, unless it is tiny.
        rough = (self.low != 0) | (other.low != 0) | (error != 0) | (np.abs(h) < 2.0**-960)
        error = (error + np.abs(h) * ROUND) * WIDEN + FLOOR * (self.nonzero() & other.nonzero())
        return Double(h, low, np.where(rough, error, 0.0))

    def __neg__(self) -> Double:
        return Double(-self.h, -self.low, self.error)

    def over(self, other: Double) -> Double:
        """Return the quotient: both errors, and ROUND of it; over exactly 1 the number itself."""
        h, low = dd.over((self.h, self.low), (other.h, other.low))
        size = np.abs(other.h)
        error = (self.error + np.abs(h) * other.error) / _positive(size - other.error) + np.abs(h) * ROUND
        error = error * WIDEN + FLOOR * np.maximum(1, 1 / size) * self.nonzero()
        one = (other.h == 1) & (other.low == 0) & (other.error == 0)
        return Double(
            *(np.where(one, mine, its) for mine, its in zip(vars(self).values(), (h, low, error), strict=True))
        )

    def folded(self) -> Double:
        """Return the sums over axis 1: the errors, and what `fold_pairs` lost; `fold` where nothing but 0 is exact."""
        c = self.h.shape[1]
        if self.h.min(initial=0.0) >= 0 and not ((self.error == 0) & (self.h != 0)).any():
            s, rest = dd.fold(self.h.copy(), self.low.copy())
            lost = s * ((halvings(c) + 2) ** 2 * 2.0**-106)
        else:
            s, rest, lost = fold_pairs(np.concatenate([self.h, self.low], axis=1))
        h, low = two_sum(s, rest)
        error = self.error.sum(axis=1)
        error = (error * (1 + 4 * c * U) + lost) * WIDEN + c * FLOOR * (error != 0)
        return Double(h[:, None], low[:, None], error[:, None])

    def exp(self) -> Double:
        """Return the exponentials: EXP of them, and the error of the argument, which is at most 1."""
        high, beyond = np.minimum(self.h, 0.0), np.maximum(self.h, 0.0)
        low = np.where((self.h > 0) | (high < dd.LEAST), 0.0, self.low)
        beyond = np.where(self.h > 0, beyond + np.abs(self.low), 0.0)
        h, rest = dd.exp(high, low)
        error = h * (EXP + _moved(self.error + beyond)) * WIDEN + FLOOR
        error = np.where(self.h + self.error <= dd.LEAST, FLOOR, error)
        return Double(h, rest, np.where((self.h == 0) & (self.low == 0) & (self.error == 0), 0.0, error))

    def log(self) -> Double:
        """Return the logarithms: LOG1P of them, and the error of the argument over it."""
        h, low = dd.log(self.h, self.low)
        return Double(h, low, (np.abs(h) * LOG1P + self.error / _positive(self.h - self.error)) * WIDEN)

    def log1p(self) -> Double:
        """Return log(1 + x): LOG1P of it, and the error of the argument over 1 + x."""
        h, low = dd.log1p(self.h, self.low)
        error = np.abs(h) * LOG1P + self.error / _positive(1 + self.h - self.error)
        return Double(h, low, error * WIDEN + FLOOR * self.nonzero())

    def enclosure(self) -> Enclosure:
        """Return h + low within its error."""
        margin = self.error * WIDEN + np.abs(self.low) * np.where(self.error == 0, 0.0, 4 * U)
        return enclosed(self.h, self.low - margin, self.low + margin)


def _moved(theta: Float64) -> Float64:
    """Return how much of itself an exponential moves by, at most, with its argument; NaN where that is more than 1."""
    return np.where(theta <= 1, theta * (1 + theta), np.nan)


def _positive(size: Float64) -> Float64:
    return np.where(size > 0, size, np.nan)
