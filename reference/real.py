"""Real numbers of the exact tier: an exact rational plus a ball, and their way into an enclosure.

The rational part is what a ball of finite precision would blur: a loss m - x_y that is exactly a rounding midpoint,
with a positive tail too small to add.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from flint import arb, fmpq

from lossconform.reference.formats import Float64

ZERO = fmpq(0)
ONE = fmpq(1)
ACCURACY_BITS = 104
NEGLIGIBLE = arb(2) ** -1200
"""Below this a number rounds to 0, or to a format's smallest, in every format: its digits do not matter."""

Triple = tuple[float, float, float]


def added(a: fmpq, b: fmpq) -> fmpq:
    """Return a + b; most sums of weights have one term."""
    return b if a is ZERO else a if b is ZERO else a + b


def multiplied(a: fmpq, b: fmpq) -> fmpq:
    """Return a b; most weights are 1."""
    return b if a is ONE else a if b is ONE else a * b


def rational(x: float) -> fmpq:
    """Return a finite float as an exact rational."""
    return fmpq(*float(x).as_integer_ratio())


def difference(a: float, b: float) -> fmpq:
    """Return a - b of finite floats as an exact rational."""
    d = a - b
    t = d - a
    if (a - (d - t)) + (-b - t) == 0:
        # No rounding, by Knuth's two-sum; of differences of float32 that is nearly every one, and takes half the time.
        return rational(d)
    (p, q), (r, s) = a.as_integer_ratio(), b.as_integer_ratio()
    # Denominators are powers of two: the larger is the common one.
    return fmpq(p * (s // q) - r, s) if s > q else fmpq(p - r * (q // s), q)


@dataclass(slots=True, eq=False)
class Real:
    """exact + tail, where the tail is nonzero and has a known sign (0: unknown), or is absent. Never changed once made.

    Not a frozen dataclass: those take three times as long to make, and an answer makes one for each of its entries.
    """

    exact: fmpq
    tail: arb | None = None
    sign: int = 0

    def times(self, factor: fmpq) -> Real:
        """Return the product with a rational."""
        if factor is ONE or factor == 1:
            return self
        if factor == 0 or self.tail is None:
            return Real(self.exact * factor)
        return Real(self.exact * factor, self.tail * arb(factor), self.sign if factor > 0 else -self.sign)

    def plus(self, exact: fmpq) -> Real:
        """Return the sum with a rational."""
        return self if exact is ZERO else Real(added(self.exact, exact), self.tail, self.sign)

    def decided(self) -> bool:
        """Whether the ball is narrow enough for every format."""
        if self.tail is None:
            return True
        ball = self.tail if self.exact is ZERO else self.tail + arb(self.exact)
        if ball.rel_accuracy_bits() >= ACCURACY_BITS:
            return True
        return bool(abs(self.tail) < NEGLIGIBLE)

    def triple(self) -> Triple:
        """Return (h, lo, hi) with the number in h + (lo, hi), or equal to h + lo where lo == hi."""
        h, lo, hi = table([self])[:, 0].tolist()
        return h, lo, hi


Number = Real | float
"""A real number, or an infinity or NaN as a float."""


def table(numbers: Sequence[Number]) -> Float64:
    """Return h, lo and hi of numbers, (3, n): all at once, which takes a third of the time of one by one."""
    open_ = [n for n in numbers if isinstance(n, Real) and n.tail is not None]
    if len(open_) == len(numbers):
        return _open_triples(open_)
    closed = [n for n in numbers if not isinstance(n, Real) or n.tail is None]
    where = np.array([isinstance(n, Real) and n.tail is not None for n in numbers])
    result = np.empty((3, len(numbers)))
    result[:, where] = _open_triples(open_)
    result[:, ~where] = np.array([_exact_triple(n.exact) if isinstance(n, Real) else (n, 0.0, 0.0) for n in closed]).T
    return result


def _open_triples(numbers: Sequence[Real]) -> Float64:
    """Return the triples of numbers with a tail."""
    exacts = [None if n.exact is ZERO else arb(n.exact) for n in numbers]
    tails = [n.tail for n in numbers if n.tail is not None]
    whole = [tail if e is None else tail + e for tail, e in zip(tails, exacts, strict=True)]
    highs = list(map(float, whole))
    ends = [-h if e is None else e - h for e, h in zip(exacts, highs, strict=True)]
    rest = [tail + end for tail, end in zip(tails, ends, strict=True)]
    # One spacing wider than float()'s own rounding.
    lo = np.nextafter(list(map(float, map(arb.lower, rest))), -np.inf)
    hi = np.nextafter(list(map(float, map(arb.upper, rest))), np.inf)
    h, sign = np.array(highs), np.array([n.sign for n in numbers])
    finite = np.isfinite(h)
    # The tail's sign is a theorem even where its ball is too wide to show it.
    end = np.array(list(map(float, ends)))
    for k in np.flatnonzero(finite & (((sign > 0) & (lo <= end)) | ((sign < 0) & (hi >= end)))).tolist():
        left = numbers[k].exact - rational(highs[k])
        if sign[k] > 0:
            lo[k] = max(lo[k], _floor(left))
        else:
            hi[k] = min(hi[k], -_floor(-left))
    return np.stack([h, np.where(finite, lo, 0.0), np.where(finite, hi, 0.0)])


def total(numbers: Iterable[Real]) -> Real:
    """Return the sum of real numbers."""
    exact, tail, signs = ZERO, None, set()
    for number in numbers:
        exact += number.exact
        if number.tail is not None:
            tail = number.tail if tail is None else tail + number.tail
            signs.add(number.sign)
    return Real(exact, tail, signs.pop() if len(signs) == 1 else 0)


def special(values: Iterable[float]) -> float | None:
    """Return what a sum that holds these infinities and NaN comes to, None if there are none of them."""
    result = None
    for value in values:
        result = value if result is None else result + value
    return result


def _nearest(q: fmpq) -> float:
    try:
        return int(q.p) / int(q.q)  # Python divides integers with one correct rounding
    except OverflowError:
        return math.inf if q > 0 else -math.inf


def _floor(q: fmpq) -> float:
    """Return the largest float64 at most q."""
    x = _nearest(q)
    return x if math.isinf(x) or rational(x) <= q else math.nextafter(x, -math.inf)


def _exact_triple(q: fmpq) -> Triple:
    if q == 0:
        return 0.0, 0.0, 0.0
    h = _nearest(q)
    if math.isinf(h):
        return h, 0.0, 0.0
    residual = q - rational(h)
    lo = _floor(residual)
    if rational(lo) == residual:
        return h, lo, lo
    return h, lo, math.nextafter(lo, math.inf)
