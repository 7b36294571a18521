"""What the float64 tiers share: the assumptions, and enclosures with the rows that they cover.

Every bound is derived in docs/numerics-tiers.md. u = 2^-53 is the unit roundoff of float64.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossconform.reference.canonical import Canonical
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Float64

U = 2.0**-53
EF = 8 * U
"""The assumption: NumPy's exp, log and log1p are within 4 ULP, so within 8u of the result, and exp(0) is 1. Sampled by
`lossconform.reference.selftest`."""

TINY = 2.0**-1022
"""Charged wherever a subnormal may arise, so that neither gradual underflow nor flushing to zero can break a bound."""

WIDEN = 1 + 2.0**-30
"""Pays for second-order terms and for the rounding of the bounds themselves: each bound is a few thousand u at most."""

LOW, HIGH = 2.0**-200, 2.0**200
"""Weights, targets and upstream gradients outside of this are left to the exact tier; so no product of three of them
underflows or overflows."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bounds:
    """What a tier proves of the rows of a canonical problem, before reduction.

    Attributes:
        value: of shape (N, entries).
        gradient: of shape (N, C); None if it was not asked for.
        covered: (N,), the rows that are enclosed; the others hold NaN and mean nothing.
    """

    value: Enclosure
    gradient: Enclosure | None
    covered: Mask


def collected(value: Enclosure, gradient: Enclosure | None, covered: Mask, infinite: Mask | None = None) -> Bounds:
    """Return bounds whose covered rows are finite throughout, whatever they were handed; the rest is NaN.

    Args:
        value: of shape (N, entries).
        gradient: of shape (N, C), or None.
        covered: the rows that may be covered.
        infinite: the values that are known to be infinite, and may be.
    """
    for part in (value, gradient):
        if part is not None and not _all_finite(part.h):
            fine = np.isfinite(part.h)
            if infinite is not None and part is value:
                fine |= infinite
            covered = np.logical_and(covered, fine.all(axis=1))
    if not covered.all():
        for part in (value, gradient):
            if part is not None:
                part.h[~covered] = np.nan
                part.lo[~covered] = part.hi[~covered] = 0.0
    return Bounds(value, gradient, covered)


def enclosed(h: Float64, lo: Float64 | None, hi: Float64) -> Enclosure:
    """Return an enclosure, NaN where a bound is not finite; one column for arrays of one axis; lo is -hi if None."""
    sure = _all_finite(hi) and (lo is None or _all_finite(lo))
    if lo is None:
        lo = np.negative(hi)
    if h.ndim == 1:
        h, lo, hi = h[:, None], lo[:, None], hi[:, None]
    if sure:
        return Enclosure(h, lo, hi)
    odd = ~(np.isfinite(lo) & np.isfinite(hi))
    return Enclosure(np.where(odd, np.nan, h), np.where(odd, 0.0, lo), np.where(odd, 0.0, hi))


def _all_finite(array: Float64) -> bool:
    """Return whether every number is certainly finite: a sum passes on what is not."""
    return bool(np.isfinite(array.sum()))


def sane(array: Float64) -> NDArray[np.bool_]:
    """Return where a weight is 0, or of a size whose products neither underflow nor overflow."""
    size = np.abs(array)
    result: NDArray[np.bool_] = (size == 0) | ((size >= LOW) & (size <= HIGH))
    return result


def sane_rows(array: Float64) -> Mask:
    """Return the rows whose weights are all sane."""
    result: Mask = np.asarray(sane(array).all(axis=1))
    return result


def take(problem: Canonical, index: NDArray[np.intp] | slice) -> Canonical:
    """Return some rows of a problem, reduced and sloped as they are in the whole: its denominator and cotangent."""
    names = ("prediction", "where", "target", "kept", "label_weight", "row_weight", "nan_rows", "labels")
    given: dict[str, Any] = {name: getattr(problem, name) for name in names}
    some: dict[str, Any] = {name: None if array is None else array[index] for name, array in given.items()}
    result = dataclasses.replace(problem, **some)
    # Cached properties that look at the whole case.
    result.__dict__["denominator"] = problem.denominator
    if problem.case.cotangent is not None:
        result.__dict__["cotangent"] = problem.cotangent[index]
    if problem.direction is not None:
        result.__dict__["direction"] = problem.direction[index]
    return result


def factors(problem: Canonical) -> Float64:
    """Return what each value of a row is multiplied by on its way to the gradient, (N, entries): within 2u."""
    scale = 1.0 if problem.denominator is None else float(1 / problem.denominator)
    return problem.cotangent * scale
