"""The fast tier's log-sum-exp, softmax, log-softmax and entropy; the mathematics is that of `losses.softmax`."""

from __future__ import annotations

import numpy as np

from lossconform.reference.bounds import EF, TINY, WIDEN, Bounds, U, collected, enclosed, factors, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.fast_sums import Block, Slopes, Sums, probabilities, sweep
from lossconform.reference.formats import two_sum
from lossconform.reference.pairs import depth, fold, pair_plus_tail


def log_sum_exp(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose m + log1p(R); its gradient is p."""
    factor = factors(problem)[:, 0]
    slopes = Slopes.like(problem.prediction) if gradient else None

    def use(block: Block, sums: Sums) -> None:
        assert slopes is not None  # noqa: S101 - used with a gradient only
        probabilities(block, sums, factor[block.rows], slopes)

    sums = sweep(problem, use if gradient else None)
    value = enclosed(*pair_plus_tail(sums.top, np.zeros_like(sums.top), 0.0, sums.tail, sums.tail_error))
    slope = None if slopes is None else slopes.enclosure()
    return collected(value, slope, sane(factor) & np.isfinite(sums.top))


def softmax(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose p_j; the gradient is p_j ((c_j - c_k) + sum_i p_i (c_k - c_i)) for k one of the largest."""
    n, c = problem.shape
    values = Slopes.like(problem.prediction)
    slopes = Slopes.like(problem.prediction) if gradient else None
    given = factors(problem) if gradient else np.ones((n, c))
    even = (problem.cotangent == problem.cotangent[:, :1]).all(axis=1)
    given_error = 0.0 if problem.denominator == 1 else 4 * U

    def use(block: Block, sums: Sums) -> None:
        rows = block.rows
        lines = np.arange(len(block.x))
        top = block.x.argmax(axis=1)
        probabilities(block, sums, np.ones(len(lines)), values)
        if slopes is None:
            return
        p, p_error, f = values.h[rows], values.bound[rows], given[rows]
        down = f[lines, top][:, None] - f
        terms = p * down
        unsure = (np.abs(f) + np.abs(f[lines, top])[:, None]) * given_error
        terms_error = p_error * np.abs(down) + np.abs(terms) * ((6 + depth(c)) * U) + p * unsure
        inner = fold(terms.copy())[:, None] - down
        # Additions in any order for the bound itself: below c u.
        error = np.abs(terms_error).sum(axis=1)[:, None] * (1 + 2 * c * U) + c * TINY
        error = error + np.abs(down) * (4 * U) + np.abs(inner) * (2 * U) + unsure
        slopes.h[rows] = p * inner
        slopes.bound[rows] = (p * error + p_error * np.abs(inner) + 4 * U * np.abs(p * inner)) * WIDEN + 4 * TINY

    sums = sweep(problem, use)
    covered = np.isfinite(sums.top) & sane_rows(given)
    if slopes is not None:
        # The derivative of a sum that is always 1, or of nothing.
        slopes.h[even], slopes.bound[even] = 0.0, 0.0
    return collected(values.enclosure(), None if slopes is None else slopes.enclosure(), covered)


def log_softmax(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose (x_j - m) - log1p(R); the gradient is c_j - p_j sum c_i, over the classes that take part."""
    n, c = problem.shape
    slopes = Slopes.like(problem.prediction) if gradient else None
    given = factors(problem) if gradient else np.ones((n, c))
    table = [np.empty((n, c)) for _ in range(3)]

    def use(block: Block, sums: Sums) -> None:
        rows = block.rows
        out = np.isneginf(block.x)
        gap, low = two_sum(sums.top[:, None], -np.where(out, 0.0, block.x))
        h, lo, hi = pair_plus_tail(gap, low, 0.0, sums.tail[:, None], sums.tail_error[:, None])
        for k, part in enumerate((-h, -hi, -lo)):
            table[k][rows] = np.where(out, -np.inf if k == 0 else 0.0, part)
        if slopes is not None:
            f = np.where(problem.where[rows], given[rows], 0.0)
            mass = fold(f.copy())
            size = np.abs(f).sum(axis=1) * (1 + 2 * c * U)
            # What the sum of the factors lost: relative to the sum, or, where that cancels to 0, at most times p <= 1.
            lost = size * ((depth(c) + 4) * U)
            none = mass == 0
            probabilities(block, sums, mass, slopes, lost / np.where(none, 1.0, np.abs(mass)))
            h, bound = slopes.h[rows], slopes.bound[rows]
            np.subtract(f, h, out=h)
            bound += np.where(none, lost, 0.0)[:, None] + (np.abs(f) + np.abs(h)) * (4 * U)
            bound *= WIDEN

    sums = sweep(problem, use)
    covered = np.isfinite(sums.top) & sane_rows(given)
    return collected(enclosed(*table), None if slopes is None else slopes.enclosure(), covered, np.isneginf(table[0]))


def entropy(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose log1p(R) + sum p_i g_i, g_i = m - x_i; the gradient is p_j (g_j - sum p_i g_i)."""
    n, c = problem.shape
    factor = factors(problem)[:, 0]
    slopes = Slopes.like(problem.prediction) if gradient else None
    mean, mean_error = np.empty(n), np.empty(n)

    def use(block: Block, sums: Sums) -> None:
        rows, d = block.rows, block.d
        out = np.isneginf(block.x)
        if out.any():
            np.copyto(d, 0.0, where=out)  # for 0 times infinity is not 0
        terms = np.multiply(block.e, d, out=block.spare)
        moment = np.abs(np.multiply(terms, d).sum(axis=1))
        total = -fold(terms)
        whole = 1 + sums.rest
        at = total / whole
        error = (total * (EF + (depth(c) + 3) * U) + moment * (U * (1 + 2 * c * U))) / whole
        error = (error + at * (sums.relative + 4 * U)) * WIDEN + 4096 * c * TINY
        mean[rows], mean_error[rows] = at, np.where(d.min(axis=1) == 0, 0.0, error)
        if slopes is None:
            return
        inner = -d - at[:, None]
        unsure = (np.abs(d) + np.abs(inner)) * U + mean_error[rows, None]
        probabilities(block, sums, factor[rows], slopes)
        h, bound = slopes.h[rows], slopes.bound[rows]
        bound *= np.abs(inner)
        bound += np.abs(h) * unsure
        h *= inner
        bound += np.abs(h) * (2 * U)
        bound *= WIDEN
        nothing = out | (unsure == 0) | (factor[rows] == 0)[:, None]
        bound += np.where(nothing, 0.0, 4 * TINY)
        if out.any():
            h[out] = bound[out] = 0.0

    sums = sweep(problem, use)
    h = sums.tail + mean
    error = (sums.tail_error + mean_error + h * U) * WIDEN + TINY * (mean_error != 0)
    slope = None if slopes is None else slopes.enclosure()
    return collected(enclosed(h, None, error), slope, sane(factor) & np.isfinite(sums.top))
