"""Sums and means of enclosures: ends that are exact rationals, rounded outward once."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lossconform.reference.enclosure import Enclosure
from lossconform.reference.pairs import sum_of

SUMMED = 1 << 16
"""Values that are summed at a time; a sum takes a dozen times the memory of what it looks at."""


def ends_of_sum(values: Enclosure) -> tuple[Fraction, Fraction] | None:
    """Return what the sum of all values lies between; None where one is infinite or NaN, or their sum overflows."""
    least = most = Fraction(0)
    flat = [part.reshape(1, -1) for part in (values.h, values.lo, values.hi)]
    for start in range(0, flat[0].size, SUMMED):
        with np.errstate(all="ignore"):
            s, low, high = (float(v[0]) for v in sum_of(*(part[:, start : start + SUMMED] for part in flat)))
        if not np.isfinite([s, low, high]).all():
            return None
        least, most = least + Fraction(s) + Fraction(low), most + Fraction(s) + Fraction(high)
    return least, most


def quotient(least: Fraction, most: Fraction, denominator: Fraction) -> Enclosure | None:
    """Return the enclosure, of shape (), of what lies between two numbers over a positive one; None beyond float64."""
    try:
        least, most = least / denominator, most / denominator
        h = float((least + most) / 2)
    except OverflowError:
        return None
    return scalar(h, _down(least - Fraction(h)), -_down(Fraction(h) - most))


def scalar(h: float, lo: float = 0.0, hi: float = 0.0) -> Enclosure:
    """Return one enclosed number, of shape ()."""
    return Enclosure(np.array(h), np.array(lo), np.array(hi))


def _down(q: Fraction) -> float:
    """Return the largest float64 at most q."""
    x = float(q)
    return x if Fraction(x) <= q else float(np.nextafter(x, -np.inf))
