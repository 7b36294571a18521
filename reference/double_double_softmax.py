"""The double-double tier's log-sum-exp, softmax, log-softmax and entropy, for answers in float64.

It covers what the fast tier does, but for the gradient of a softmax whose factors differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import WIDEN, Bounds, collected, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.double_double import ROUND, Pair
from lossconform.reference.double_double_sums import Block, Sums, Table, at, column, given, settle, share, sweep
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.float_arithmetic import DOUBLE_DOUBLE
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import fold_pairs, pair_plus_tail
from lossconform.reference.running import Double


def log_sum_exp(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose m + log S; its gradient is p."""
    slopes = Table.like(problem.prediction if gradient else problem.prediction[:0])
    factor = at(given(problem), np.s_[:, 0])

    def use(block: Block, sums: Sums) -> None:
        f = at(factor, block.rows)
        share(block, sums, f, slopes)
        settle(block, sums, f[0], slopes)

    sums = sweep(problem, use if gradient else None)
    tail, error = sums.tail()
    value = Table(*pair_plus_tail(sums.top, np.zeros_like(sums.top), 0.0, tail[0], error, tail[1]))
    covered = sane(factor[0]) & np.isfinite(sums.top)
    return collected(value.enclosure(), slopes.enclosure() if gradient else None, covered)


def softmax(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose p; its gradient only where the factors of a row are equal, and it is 0."""
    value, zero = Table.like(problem.prediction), Table(*(np.zeros(problem.shape) for _ in range(3)))

    def use(block: Block, sums: Sums) -> None:
        one = np.ones_like(sums.top), np.zeros_like(sums.top)
        share(block, sums, one, value)
        settle(block, sums, one[0], value)

    covered = np.isfinite(sweep(problem, use).top)
    if gradient:
        covered &= (problem.cotangent == problem.cotangent[:, :1]).all(axis=1)
    return collected(value.enclosure(), zero.enclosure() if gradient else None, covered)


def log_softmax(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose (x_j - m) - log S; the gradient is c_j - p_j sum c_i, over the classes that take part."""
    value = Table.like(problem.prediction)
    slopes = Table.like(problem.prediction if gradient else problem.prediction[:0])
    factor = given(problem)

    def use(block: Block, sums: Sums) -> None:
        rows = block.rows
        out = np.isneginf(block.x)
        gap, low = two_sum(sums.top[:, None], -np.where(out, 0.0, block.x))
        log_s, error = sums.tail()
        tail, tail_low = column(log_s)
        h, lo, hi = pair_plus_tail(gap, low, 0.0, tail, error[:, None], tail_low)
        value.h[rows] = np.where(out, -np.inf, -h)
        value.lo[rows], value.hi[rows] = np.where(out, 0.0, -hi), np.where(out, 0.0, -lo)
        if gradient:
            f = at(factor, rows)
            _slope(block, sums, (np.where(problem.where[rows], f[0], 0.0), np.where(problem.where[rows], f[1], 0.0)))

    def _slope(block: Block, sums: Sums, f: Pair) -> None:
        high, low, lost = fold_pairs(np.concatenate(f, axis=1))
        mass = two_sum(high, low)
        # The sum's error relative to what is left of it, or absolute where nothing is: p <= 1.
        size = (np.abs(f[0]).sum(axis=1) * (4 * ROUND) + lost) * WIDEN
        none = mass[0] == 0
        share(block, sums, mass, slopes, size / np.where(none, 1.0, np.abs(mass[0])))
        rows = block.rows
        p = slopes.h[rows], (slopes.lo[rows] + slopes.hi[rows]) / 2
        error = (slopes.hi[rows] - slopes.lo[rows]) / 2 + np.where(none, size, 0.0)[:, None]
        error += (np.abs(f[0]) + np.abs(p[0])) * (8 * ROUND)
        slopes.put(rows, dd.plus(f, (-p[0], -p[1])), error)

    sums = sweep(problem, use)
    covered = np.isfinite(sums.top)
    if gradient:
        covered &= sane_rows(factor[0])
    return collected(value.enclosure(), slopes.enclosure() if gradient else None, covered, np.isneginf(value.h))


def entropy(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose log S + sum p_i g_i, g_i = m - x_i; the gradient is p_j (g_j - sum p_i g_i)."""
    factor = DOUBLE_DOUBLE.factor(problem)
    values: list[Enclosure] = []
    slopes: list[Enclosure] = []

    def use(rows: slice, top: NDArray[np.intp], x: Float64, p: Double, tail: Double) -> None:
        largest = x[np.arange(len(top)), top][:, None]
        gap = Double.difference(largest, x if np.isfinite(x.min()) else np.where(np.isneginf(x), largest, x))
        mean = (p * gap).folded()
        values.append((tail + mean).enclosure())
        if gradient:
            slopes.append((p * (gap - mean) * factor.part(rows)).enclosure())

    covered = np.isfinite(DOUBLE_DOUBLE.sweep(problem, use)) & sane_rows(problem.cotangent)
    return collected(Enclosure.stacked(values), Enclosure.stacked(slopes) if gradient else None, covered)
