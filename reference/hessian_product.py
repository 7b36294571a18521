"""Hessian-vector products over the tiers: each row's from the first tier that decides it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossconform.reference import exact, float_hessian
from lossconform.reference.bounds import Bounds, Mask, take
from lossconform.reference.canonical import Canonical
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.float_arithmetic import DOUBLE_DOUBLE, FAST

Decided = Callable[[Enclosure], Mask]
"""Which rows of an enclosure need nothing better."""


def of(problem: Canonical, decided: Decided | None, count: Callable[[str, int], None]) -> Enclosure:
    """Return the products of all rows of a problem whose mean is not over nothing, (N, C).

    Args:
        problem: a problem with a direction.
        decided: which rows are decided; None if any proven enclosure will do.
        count: told how many rows each tier decided.
    """
    shape = problem.shape
    result = Enclosure(np.full(shape, np.nan), np.zeros(shape), np.zeros(shape))
    left = np.arange(shape[0])
    small = problem.case.dtype != "float64" or decided is None
    for name in ("fast", "double-double", "exact") if small else ("double-double", "exact"):
        if not left.size:
            break
        found = _bounds(name, take(problem, left))
        if found is None:
            continue
        sure = found.covered if decided is None or name == "exact" else found.covered & decided(found.value)
        count(name, int(sure.sum()))
        for part in ("h", "lo", "hi"):
            getattr(result, part)[left[sure]] = getattr(found.value, part)[sure]
        left = left[~sure]
    return result


def _bounds(tier: str, problem: Canonical) -> Bounds | None:
    """Return what a tier proves of some rows; None if it leaves them all alone."""
    if tier == "exact":
        return Bounds(exact.hessian_product(problem), None, np.ones(problem.shape[0], bool))
    return float_hessian.evaluate(problem, FAST if tier == "fast" else DOUBLE_DOUBLE)
