"""Real numbers of the exact tier: an exact rational plus a ball, and their way into an enclosure.

The rational part is what a ball of finite precision would blur: a loss m - x_y that is exactly a rounding midpoint,
with a positive tail too small to add.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from flint import arb, fmpq

ZERO = fmpq(0)
ONE = fmpq(1)
ACCURACY_BITS = 104
NEGLIGIBLE = arb(2) ** -1200
"""Below this a number rounds to 0, or to a format's smallest, in every format: its digits do not matter."""

Triple = tuple[float, float, float]


def rational(x: float) -> fmpq:
    """Return a finite float as an exact rational."""
    return fmpq(*float(x).as_integer_ratio())


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
        if factor == 1:
            return self
        if factor == 0 or self.tail is None:
            return Real(self.exact * factor)
        return Real(self.exact * factor, self.tail * arb(factor), self.sign if factor > 0 else -self.sign)

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
        if self.tail is None:
            return _exact_triple(self.exact)
        if self.exact is ZERO:
            return self._tail_triple(self.tail)
        exact = arb(self.exact)
        h = float(self.tail + exact)
        if math.isinf(h):
            return h, 0.0, 0.0
        residual = exact - h
        lo, hi = _outward(self.tail + residual)
        # The tail's sign is a theorem even where its ball is too wide to show it.
        if self.sign > 0 and lo <= float(residual):
            lo = max(lo, _floor(self.exact - rational(h)))
        if self.sign < 0 and hi >= float(residual):
            hi = min(hi, -_floor(rational(h) - self.exact))
        return h, lo, hi

    def _tail_triple(self, tail: arb) -> Triple:
        h = float(tail)
        if math.isinf(h):
            return h, 0.0, 0.0
        lo, hi = _outward(tail - h)
        return h, max(lo, -h) if self.sign > 0 else lo, min(hi, -h) if self.sign < 0 else hi


def _outward(ball: arb) -> tuple[float, float]:
    """Return float64 bounds of a ball, one spacing wider than float()'s own rounding."""
    return (
        math.nextafter(float(ball.lower()), -math.inf),
        math.nextafter(float(ball.upper()), math.inf),
    )


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
