"""Enclosures: the reference's results, as bounds proven to contain the exact answer.

An enclosure keeps about 106 bits in a pair of float64 numbers, because a loss can lie so close to a rounding boundary
of a format that a single float64 cannot tell on which side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossconform.reference.formats import Float64, Format, distance, round_sum, two_sum, ulp


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Bounds on an array of real numbers.

    Where lo == hi the exact number is h + lo. Elsewhere it lies strictly between h + lo and h + hi. Where h is NaN so
    is the exact answer; where h is infinite the exact answer is, or lies beyond the range of float64. There lo and hi
    are 0.

    Attributes:
        h: the exact numbers to about float64's precision.
        lo: lower bounds on what h leaves out.
        hi: upper bounds on what h leaves out.
    """

    h: Float64
    lo: Float64
    hi: Float64

    def __post_init__(self) -> None:
        if not self.h.shape == self.lo.shape == self.hi.shape:
            raise ValueError(f"enclosure: shapes {self.h.shape}, {self.lo.shape}, {self.hi.shape} differ")
        if not np.all(self.lo <= self.hi):
            raise ValueError("enclosure: a lower bound lies above its upper bound")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the answer."""
        return tuple(self.h.shape)

    def rounded(self, fmt: Format) -> tuple[Float64, Float64]:
        """Return the lower and the upper bound rounded to nearest in a format; equal where that is decided."""
        inexact = (self.lo < self.hi).astype(np.int64)
        return (
            round_sum(self.h, self.lo, fmt, inexact),
            round_sum(self.h, self.hi, fmt, -inexact),
        )

    def error(self, answer: Any) -> Float64:
        """Return an upper bound on the absolute error of float64 answers; the error itself where nothing is rounded.

        0 where both are NaN or the same infinity, inf where only one is.
        """
        answer = np.asarray(answer, dtype=np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            difference, rest = two_sum(answer, -self.h)
            bound = np.maximum(_distance(difference, rest, self.lo), _distance(difference, rest, self.hi))
        same = (np.isnan(answer) & np.isnan(self.h)) | (answer == self.h) & np.isinf(self.h)
        return np.where(same, 0.0, np.where(np.isnan(bound), np.inf, bound))

    def ulps(self, answer: Any, fmt: Format) -> Float64:
        """Return the signed distance from the exact answer in ULP of the format; see `formats.distance`."""
        return distance(answer, self.h, (self.lo + self.hi) / 2, fmt)

    def spacing(self, fmt: Format) -> Float64:
        """Return the format's spacing at the exact answer; at infinities and NaN that of the largest number."""
        return ulp(np.where(np.isfinite(self.h), self.h, fmt.finite_max), fmt)

    @classmethod
    def stacked(cls, parts: Sequence[Enclosure]) -> Enclosure:
        """Return one enclosure of several, one after the other along the first axis."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("h", "lo", "hi")))

    def reshape(self, shape: tuple[int, ...]) -> Enclosure:
        """Return the same numbers in another shape."""
        return Enclosure(self.h.reshape(shape), self.lo.reshape(shape), self.hi.reshape(shape))


def _distance(difference: Float64, rest: Float64, end: Float64) -> Float64:
    """Return an upper bound on abs(difference + rest - end): that itself where no sum was rounded."""
    low, lost = two_sum(rest, -end)
    total, beside = two_sum(difference, low)
    left = np.abs(lost) + np.abs(beside)
    above = np.nextafter(np.abs(total) + np.nextafter(left, np.inf), np.inf)
    bound: Float64 = np.where(left == 0, np.abs(total), above)
    return bound
