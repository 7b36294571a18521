"""The fast tier's softmax cross-entropy from logits: one path for targets of one class, one for the others.

Both parts of a loss, m - x_y and log1p(R), are nonnegative, so nothing cancels.
"""

from __future__ import annotations

import numpy as np

from lossconform.reference.bounds import TINY, WIDEN, Bounds, U, collected, enclosed, factors, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.fast_sums import Block, Slopes, Sums, probabilities, sweep, tiny
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.one_class import Chosen, by_target
from lossconform.reference.pairs import depth, fold, fold_pairs, pair_plus_tail, product, weighted


def cross_entropy(problem: Canonical, gradient: bool, careful: bool) -> Bounds:
    """Enclose sum t_i (LSE - x_i), by a path for rows with one class in the target and one for the others."""
    return by_target(problem, lambda some: _index(some, gradient), lambda some: _dense(some, gradient, careful))


def _weight(own: Chosen) -> tuple[Float64, Float64]:
    """Return the weight of each row and a bound on its error; NaN where a factor is not sane."""
    weight, exact = np.ones(len(own.labels)), np.ones(len(own.labels), bool)
    if not own.weights:
        return weight, np.zeros(len(weight))
    for factor in own.weights:
        weight, lost = product(weight, factor)
        exact &= lost == 0
    return np.where(own.sane, weight, np.nan), np.where(exact, 0.0, 4 * U * weight)


def _index(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose w ((m - x_y) + log1p(R)); gradient w p_j, and at the label -w R / S or -w (1 + (R - e_y)) / S."""
    lines = np.arange(problem.shape[0])
    own = Chosen.of(problem)
    labels, (weight, weight_error) = own.labels, _weight(own)
    slopes = Slopes.like(problem.prediction) if gradient else None
    given = factors(problem)[:, 0] if gradient else None
    factor = weight if given is None else given * weight

    def use(block: Block, sums: Sums) -> None:
        assert slopes is not None  # noqa: S101 - used with a gradient only
        i = lines[: len(block.x)]
        y = labels[block.rows]
        d, e = block.d[i, y], block.e[i, y]
        f = factor[block.rows]
        probabilities(block, sums, f, slopes)
        at_top = d == 0
        others = np.where(at_top, sums.rest, 1 + (sums.rest - e)) / (1 + sums.rest)
        error = others * (sums.relative + 16 * U) + np.where(at_top, 1.0, 2.0) * sums.relative
        slopes.h[block.rows][i, y] = -f * others
        slopes.bound[block.rows][i, y] = error * np.abs(f) * WIDEN + tiny(f) * (others != 0)

    sums = sweep(problem, use if gradient else None)
    at = own.at(problem.prediction)
    if problem.case.where is not None:
        at = np.where(problem.where[lines, labels], at, -np.inf)
    gap, low = two_sum(sums.top, -at)
    if not own.weights:
        value = pair_plus_tail(gap, low, 0.0, sums.tail, sums.tail_error)
    else:
        value = pair_plus_tail(*weighted(gap, low, 0.0, sums.tail, sums.tail_error, weight, weight_error))
    covered = np.isfinite(sums.top) & problem.kept & ~problem.nan_rows
    if given is not None:
        covered &= sane(given)
    if problem.strict:
        covered &= ~(np.isneginf(problem.x) & problem.where).any(axis=1)
    return collected(enclosed(*value), None if slopes is None else slopes.enclosure(), covered)


def weighted_target(problem: Canonical, rows: slice) -> Float64:
    """Return the smoothed and weighted target of rows, each entry within 6u."""
    assert problem.base is not None  # noqa: S101 - a loss with a target
    base, where = problem.base[rows], problem.where[rows]
    keep, share = (float(f) for f in problem.smoothing)
    # What smoothing gives to a masked class is dropped.
    t = np.where(where | (base != 0), keep * base + share, 0.0) if share else base
    class_weight = problem.case.class_weight
    if class_weight is None:
        return t * problem.row_weight[rows, None]
    if problem.labels is not None and problem.policy.smoothing_weight == "label_class":
        return t * (problem.row_weight * problem.label_weight)[rows, None]
    return t * (problem.row_weight[rows, None] * class_weight.astype(np.float64))


def _dense(problem: Canonical, gradient: bool, careful: bool) -> Bounds:
    """Enclose sum t_i (m - x_i) + T log1p(R); gradient T p - t, which cancels: its bound is absolute."""
    case = problem.case
    n, c = problem.shape
    assert problem.base is not None  # noqa: S101 - a loss with a target
    slopes = Slopes.like(problem.prediction) if gradient else None
    given = factors(problem)[:, 0] if gradient else np.ones(n)
    gap, mass, odd = np.empty(n), np.empty(n), np.zeros(n, bool)
    terms_error = (depth(c) + 10) * U
    assumed = problem.policy.target_sum == "assumed_one"

    def use(block: Block, sums: Sums) -> None:
        rows = block.rows
        t = weighted_target(problem, rows)
        terms = block.spare
        np.multiply(block.d, t, out=terms)
        nothing = t == 0
        if problem.strict:
            odd[rows] = (nothing & np.isneginf(block.d) & problem.where[rows]).any(axis=1)
        np.copyto(terms, 0.0, where=nothing)
        gap[rows] = -fold(terms)
        np.copyto(terms, t)
        mass[rows] = fold(terms)
        if slopes is not None:
            f = given[rows]
            whole = problem.row_weight[rows] if assumed else mass[rows]
            probabilities(block, sums, f * whole, slopes, terms_error)
            h, bound = slopes.h[rows], slopes.bound[rows]
            t *= f[:, None]
            h -= t
            bound += np.abs(t) * (10 * U) + np.abs(h) * (2 * U)
            bound *= WIDEN

    sums = sweep(problem, use)
    lost = gap * terms_error * WIDEN + 4 * c * TINY
    tail = mass * sums.tail
    tail_error = (mass * sums.tail_error + tail * terms_error) * WIDEN + 4 * TINY
    parts = gap, np.zeros(n), lost, tail, tail_error
    if careful and case.class_weight is None and case.label_smoothing == 0:
        s, low, lost = _exact_gaps(problem, sums.top)
        own = problem.base.copy()
        whole = fold(own)
        tail_error = (whole * sums.tail_error + whole * sums.tail * terms_error) * WIDEN
        tail_error += np.where((whole != 0) & (sums.tail_error != 0), 4 * TINY, 0.0)
        parts = weighted(s, low, lost, whole * sums.tail, tail_error, problem.row_weight, np.zeros(n))
    keep, share = (float(f) for f in problem.smoothing)
    sizes = np.array([keep, share]), np.ones(1) if case.class_weight is None else case.class_weight.astype(np.float64)
    covered = np.full(n, all(sane(v).all() for v in sizes)) & sane_rows(problem.base)
    covered &= sane(given) & sane(problem.row_weight) & np.isfinite(sums.top) & ~odd
    covered &= problem.kept & ~problem.nan_rows
    return collected(enclosed(*pair_plus_tail(*parts)), None if slopes is None else slopes.enclosure(), covered)


def _exact_gaps(problem: Canonical, top: Float64) -> tuple[Float64, Float64, Float64]:
    """Return sum t_i (m - x_i) before the row's weight as a pair, and what was lost: often nothing."""
    assert problem.base is not None  # noqa: S101 - a loss with a target
    t = problem.base
    nothing = t == 0
    x = np.where(nothing, 0.0, np.where(problem.where, problem.x, -np.inf))
    gap, low = two_sum(np.where(nothing, 0.0, top[:, None]), -x)
    p, q = product(t, gap)
    r = t * low
    s, c, lost = fold_pairs(np.concatenate([p, q, r], axis=1))
    lost += (np.abs(r) * (2 * U)).sum(axis=1)
    lost += np.where(((low != 0) | ((gap != 0) & (np.abs(p) < 2.0**-960))) & ~nothing, 2 * TINY, 0.0).sum(axis=1)
    return s, c, lost * WIDEN
