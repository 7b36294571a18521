"""Batches too large for memory: blocks of rows, each a case, one after the other.

A block is whatever the caller hands over: rows of a memory-mapped array, or batches as they are made. What is kept is
one block at a time and, of a total, two exact numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from lossconform.reference.canonical import canonical
from lossconform.reference.case import Case, Reduction
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.exact import Result
from lossconform.reference.policy import Policy
from lossconform.reference.reduction import quotient, scalar
from lossconform.reference.tiers import evaluate


def stream(
    cases: Iterable[Case], policy: Policy | None = None, *, gradient: bool = True, decide: str = "correct rounding"
) -> Iterator[Result]:
    """Yield proven bounds on each case, in order, as soon as it is asked for; see `tiers.evaluate`.

    A mean is the block's own, and so is its gradient: for those of a whole batch ask for sums, with the cotangent that
    the batch's denominator comes to.
    """
    for case in cases:
        yield evaluate(case, policy, gradient=gradient, decide=decide)


def total(cases: Iterable[Case], policy: Policy | None = None, *, decide: str = "correct rounding") -> Enclosure:
    """Return proven bounds on the sum or the mean of a batch that is given block by block, in nats, of shape ().

    Args:
        cases: the blocks, cut along the first axis, all with the batch's reduction: anything but none.
        policy: how they are read; the default policy if None.
        decide: of each block's sum, see `tiers.evaluate`. Both bounds of the whole may still round to neighbours.

    Returns:
        What `tiers.evaluate` says of the whole batch, if anything a little wider. NaN and infinities add up as they do
        there. No block at all is a batch without rows: a sum of 0, since nothing says that a mean was meant.

    Raises:
        ValueError: as `tiers.evaluate`; for the reduction none, and for blocks with different reductions.
    """
    policy = policy or Policy()
    least = most = denominator = Fraction(0)
    odd, rows, kind = 0.0, 0, Reduction.SUM
    for k, case in enumerate(cases):
        if case.reduction is Reduction.NONE or (k and case.reduction is not kind):
            raise ValueError(
                f"reduction: {case.reduction} in block {k}; expected sum or a mean, the same in every block"
            )
        kind, rows = case.reduction, rows + int(np.prod(case.batch_shape))
        if kind is not Reduction.SUM:
            denominator += canonical(case, policy).denominator or 0
            case = case.replace(reduction=Reduction.SUM, cotangent=None)
        value = evaluate(case, policy, gradient=False, decide=decide).value
        h, lo, hi = (float(v) for v in (value.h, value.lo, value.hi))
        if np.isfinite(h):
            least, most = least + Fraction(h) + Fraction(lo), most + Fraction(h) + Fraction(hi)
        else:
            odd += h
    if kind is not Reduction.SUM and not denominator:
        return scalar(np.nan if (policy.zero_denominator if rows else policy.empty_mean) == "nan" else 0.0)
    if odd != 0:
        return scalar(odd)
    whole = quotient(least, most, denominator or Fraction(1))
    return scalar(np.inf if least > 0 else -np.inf) if whole is None else whole
