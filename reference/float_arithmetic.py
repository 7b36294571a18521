"""What the float64 tiers bring to a formula that is written once: the softmax, and weights and factors with errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from lossconform.reference import double_double_sums, fast_sums
from lossconform.reference.bounds import Mask, U, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.formats import Float64
from lossconform.reference.rows import clip_range
from lossconform.reference.running import Double, Running, Single

N = TypeVar("N", bound=Running)

Use = Callable[[slice, NDArray[np.intp], Float64, N, N], None]
"""What is done with a block: its rows, the class of the largest logit, the logits that take part, the softmax, and the
log of the sum of exponentials less the largest logit, (B, 1)."""


class Arithmetic(ABC, Generic[N]):
    """Numbers of one tier."""

    number: type[N]

    @abstractmethod
    def sweep(self, problem: Canonical, use: Use[N]) -> Float64:
        """Use each block of rows; return the largest logit of each row, (N,). The softmax is 0 where -inf is."""

    def scale(self, problem: Canonical) -> N:
        """Return one over the denominator, (1, 1)."""
        return self.number.rational(1 / problem.denominator if problem.denominator else Fraction(1))

    def factor(self, problem: Canonical) -> N:
        """Return the cotangent over the denominator, (N, entries)."""
        return self.number.exact(problem.cotangent) * self.scale(problem)

    def spread(self, problem: Canonical) -> N:
        """Return the factor of each element of an elementwise loss, (N, C) or (N, 1)."""
        factor = self.factor(problem)
        if problem.policy.class_axis_reduction != "mean":
            return factor
        return factor * self.number.rational(Fraction(1, problem.shape[1]))

    def target(self, problem: Canonical, rows: slice) -> N:
        """Return the smoothed and weighted target of some rows of a softmax cross-entropy, (B, C)."""
        case = problem.case
        t = self.smoothed(problem, rows)
        if problem.smoothing[1]:
            # What smoothing gives to a masked class is dropped.
            t = t.zero_where(~problem.where[rows] & (_base(problem)[rows] == 0))
        if case.class_weight is not None:
            t = t * self.number.exact(_class_weight(problem)[rows])
        return t if case.sample_weight is None else t * self.number.exact(problem.row_weight[rows, None])

    def weights(self, problem: Canonical) -> tuple[N, N]:
        """Return the weights a and b of a binary loss, (N, C); NaN in rows whose weights are not sane."""
        case = problem.case
        a = self.smoothed(problem, slice(None))
        b = self.number.exact(np.ones((1, 1))) - a
        for scale in (
            None if case.sample_weight is None else problem.row_weight[:, None],
            None if case.class_weight is None else _class_weight(problem),
        ):
            if scale is not None:
                a, b = a * self.number.exact(scale), b * self.number.exact(scale)
        if case.pos_weight is not None:
            a = a * self.number.exact(case.pos_weight.astype(np.float64)[None])
        fine, none = weighed(problem)[:, None], self.number.exact(np.full((1, 1), np.nan))
        if fine.all():
            return a, b
        return a.or_else(fine, none), b.or_else(fine, none)

    def smoothed(self, problem: Canonical, rows: slice) -> N:
        """Return the smoothed target of some rows, without weights, (B, C)."""
        keep, share = problem.smoothing
        t = self.number.exact(_base(problem)[rows])
        return t * self.number.rational(keep) + self.number.rational(share) if share else t


class Fast(Arithmetic[Single]):
    """float64, for answers in float32 and below."""

    number = Single

    def sweep(self, problem: Canonical, use: Use[Single]) -> Float64:
        """Use each block with the softmax of `fast_sums`."""
        p = fast_sums.Slopes.like(problem.prediction)

        def each(block: fast_sums.Block, sums: fast_sums.Sums) -> None:
            rows, x = block.rows, np.ascontiguousarray(block.x)  # as p is, whatever the block's order
            fast_sums.probabilities(block, sums, np.ones(len(x)), p)
            out, own = np.isneginf(x), Single(p.h[rows], p.bound[rows])
            tail = Single(sums.tail[:, None], sums.tail_error[:, None])
            use(rows, x.argmax(axis=1), x, own.zero_where(out) if out.any() else own, tail)

        return fast_sums.sweep(problem, each).top


class DoubleDouble(Arithmetic[Double]):
    """Pairs of float64, for answers in float64."""

    number = Double

    def sweep(self, problem: Canonical, use: Use[Double]) -> Float64:
        """Use each block with the softmax of `double_double_sums`."""
        table = double_double_sums.Table.like(problem.prediction)

        def each(block: double_double_sums.Block, sums: double_double_sums.Sums) -> None:
            rows = block.rows
            double_double_sums.share(block, sums, (np.ones_like(sums.top), np.zeros_like(sums.top)), table)
            h, lo, hi = table.h[rows], table.lo[rows], table.hi[rows]
            error = (hi - lo) / 2 + (np.abs(lo) + np.abs(hi)) * (4 * U)
            out, own = np.isneginf(block.x), Double(h, (lo + hi) / 2, error)
            p = own.zero_where(out) if out.any() else own
            (high, low), lost = sums.tail()
            use(rows, block.x.argmax(axis=1), block.x, p, Double(high[:, None], low[:, None], lost[:, None]))

        return double_double_sums.sweep(problem, each).top


FAST, DOUBLE_DOUBLE = Fast(), DoubleDouble()


def _base(problem: Canonical) -> Float64:
    assert problem.base is not None  # noqa: S101 - a loss with a target
    return problem.base


def _class_weight(problem: Canonical) -> Float64:
    """Return the weight of each class in each row, (N, C)."""
    own = problem.case.class_weight
    assert own is not None  # noqa: S101 - a case with one
    labelled = problem.labels is not None and problem.policy.smoothing_weight == "label_class"
    weight = problem.label_weight[:, None] if labelled else own.astype(np.float64)
    return np.broadcast_to(weight, problem.shape)


def weighed(problem: Canonical) -> Mask:
    """Return the rows of a loss with a target whose weights and targets are sane."""
    case = problem.case
    sizes = [np.array([float(f) for f in problem.smoothing])]
    sizes += [w.astype(np.float64) for w in (case.class_weight, case.pos_weight) if w is not None]
    every = all(sane(size).all() for size in sizes)
    return np.asarray(sane_rows(_base(problem)) & sane(problem.row_weight) & every)


def clipped(problem: Canonical) -> tuple[Float64, Mask]:
    """Return the probabilities within the policy's range, and which of them were left alone; NaN is."""
    limits = clip_range(problem.case, problem.policy)
    if limits is None:
        return problem.x, np.ones(problem.shape, bool)
    return np.clip(problem.x, *limits), ~((problem.x < limits[0]) | (problem.x > limits[1]))
