"""What a float64 tier brings to Hessian-vector products: the softmax, weights and factors in its own arithmetic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from lossconform.reference import double_double as dd
from lossconform.reference import (
    double_double_cross_entropy,
    double_double_elementwise,
    double_double_sums,
    fast_binary,
    fast_cross_entropy,
    fast_sums,
)
from lossconform.reference.bounds import EF, TINY, U, factors
from lossconform.reference.canonical import Canonical
from lossconform.reference.double_double import EXP, FLOOR, ROUND
from lossconform.reference.formats import Float64
from lossconform.reference.running import Double, Running, Single

N = TypeVar("N", bound=Running)

Use = Callable[[slice, NDArray[np.intp], Float64, N], None]
"""What is done with a block: its rows, the class of the largest logit, the logits that take part, the softmax."""


class Arithmetic(ABC, Generic[N]):
    """Numbers of one tier."""

    number: type[N]

    @abstractmethod
    def sweep(self, problem: Canonical, use: Use[N]) -> Float64:
        """Use each block of rows; return the largest logit of each row, (N,). The softmax is 0 where -inf is."""

    @abstractmethod
    def factor(self, problem: Canonical) -> N:
        """Return the cotangent over the denominator, (N, entries)."""

    @abstractmethod
    def scale(self, problem: Canonical) -> N:
        """Return one over the denominator, (1, 1)."""

    @abstractmethod
    def spread(self, problem: Canonical) -> N:
        """Return the factor of each element of an elementwise loss, (N, C)."""

    @abstractmethod
    def target(self, problem: Canonical, rows: slice) -> N:
        """Return the weighted target of some rows of a softmax cross-entropy, (B, C)."""

    @abstractmethod
    def weights(self, problem: Canonical) -> tuple[N, N]:
        """Return the weights a and b of a binary loss, (N, C); NaN in rows whose weights are not sane."""

    @abstractmethod
    def exponential(self, x: Float64) -> N:
        """Return exp(x) for x <= 0."""


class Fast(Arithmetic[Single]):
    """float64, for answers in float32 and below."""

    number = Single

    def sweep(self, problem: Canonical, use: Use[Single]) -> Float64:
        """Use each block with the softmax of `fast_sums`."""
        p = fast_sums.Slopes.like(problem.x)

        def each(block: fast_sums.Block, sums: fast_sums.Sums) -> None:
            out, top, rows = np.isneginf(block.x), block.x.argmax(axis=1), block.rows
            fast_sums.probabilities(block, sums, np.ones(len(top)), p)
            use(rows, top, block.x, Single(p.h[rows], p.bound[rows]).zero_where(out))

        return fast_sums.sweep(problem, each).top

    def factor(self, problem: Canonical) -> Single:
        """Within 4u."""
        return _within(factors(problem), 4 * U)

    def scale(self, problem: Canonical) -> Single:
        """Within 2u."""
        return _within(np.full((1, 1), float(1 / problem.denominator) if problem.denominator else 1.0), 2 * U)

    def spread(self, problem: Canonical) -> Single:
        """Within 4u."""
        return _within(fast_binary.spread(problem), 4 * U)

    def target(self, problem: Canonical, rows: slice) -> Single:
        """Within 8u."""
        return _within(fast_cross_entropy.weighted_target(problem, rows), 8 * U)

    def weights(self, problem: Canonical) -> tuple[Single, Single]:
        """Within the errors that `fast_binary` proves."""
        w = fast_binary.weights(problem)
        fine = w.sane[:, None]
        return Single(np.where(fine, w.a, np.nan), w.a_error), Single(np.where(fine, w.b, np.nan), w.b_error)

    def exponential(self, x: Float64) -> Single:
        """Within EF and TINY."""
        e = np.exp(x)
        return Single(e, e * EF + TINY)


class DoubleDouble(Arithmetic[Double]):
    """Pairs of float64, for answers in float64."""

    number = Double

    def sweep(self, problem: Canonical, use: Use[Double]) -> Float64:
        """Use each block with the softmax of `double_double_sums`."""
        table = double_double_sums.Table.like(problem.x)

        def each(block: double_double_sums.Block, sums: double_double_sums.Sums) -> None:
            rows = block.rows
            double_double_sums.share(block, sums, (np.ones_like(sums.top), np.zeros_like(sums.top)), table)
            h, lo, hi = table.h[rows], table.lo[rows], table.hi[rows]
            error = (hi - lo) / 2 + (np.abs(lo) + np.abs(hi)) * (4 * U)
            p = Double(h, (lo + hi) / 2, error).zero_where(np.isneginf(block.x))
            use(rows, block.x.argmax(axis=1), block.x, p)

        return double_double_sums.sweep(problem, each).top

    def factor(self, problem: Canonical) -> Double:
        """Within 2 ROUND."""
        return _pair_within(double_double_sums.given(problem), 2 * ROUND)

    def scale(self, problem: Canonical) -> Double:
        """Within ROUND."""
        high, low = dd.pair_of(1 / problem.denominator) if problem.denominator else (1.0, 0.0)
        return _pair_within((np.full((1, 1), high), np.full((1, 1), low)), ROUND)

    def spread(self, problem: Canonical) -> Double:
        """Within 4 ROUND."""
        return _pair_within(double_double_elementwise.spread(problem), 4 * ROUND)

    def target(self, problem: Canonical, rows: slice) -> Double:
        """Within 8 ROUND."""
        return _pair_within(double_double_cross_entropy.weighted_target(problem, rows), 8 * ROUND)

    def weights(self, problem: Canonical) -> tuple[Double, Double]:
        """Within 8 ROUND."""
        w = double_double_elementwise.weights(problem)
        fine = w.sane[:, None]
        a, b = ((np.where(fine, h, np.nan), low) for h, low in (w.a, w.b))
        return _pair_within(a, 8 * ROUND), _pair_within(b, 8 * ROUND)

    def exponential(self, x: Float64) -> Double:
        """Within EXP and FLOOR."""
        h, low = dd.exp(x.copy(), np.zeros_like(x))
        return Double(h, low, h * EXP + FLOOR)


def _within(h: Float64, error: float) -> Single:
    return Single(h, np.abs(h) * error)


def _pair_within(pair: dd.Pair, error: float) -> Double:
    return Double(pair[0], pair[1], np.abs(pair[0]) * error)
