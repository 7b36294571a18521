"""The double-double tier's softmax cross-entropy from logits, for answers in float64: see `double_double_softmax`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import WIDEN, Bounds, Mask, U, collected, sane, sane_rows, take
from lossconform.reference.canonical import Canonical
from lossconform.reference.double_double import EXP, FLOOR, ROUND, Pair
from lossconform.reference.double_double_softmax import Sums, Table, at, column, given, share, small, sweep
from lossconform.reference.fast_cross_entropy import merged, one_class
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import depth, pair_plus_tail, product


def cross_entropy(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose sum t_i (LSE - x_i), by a path for rows with one class in the target and one for the others."""
    single = one_class(problem)
    if single.all():
        return _index(problem, gradient)
    if not single.any():
        return _dense(problem, gradient)
    first = _index(take(problem, np.flatnonzero(single)), gradient)
    return merged(single, first, _dense(take(problem, np.flatnonzero(~single)), gradient))


def _labels(problem: Canonical) -> tuple[NDArray[np.intp], Pair, Mask]:
    """Return the class of each row, its weight within 2 ROUND, and whether that is 1."""
    assert problem.base is not None  # noqa: S101 - a loss with a target
    lines = np.arange(problem.x.shape[0])
    if problem.labels is None:
        labels = problem.base.argmax(axis=1)
        own = problem.base[lines, labels]
        class_weight = problem.case.class_weight
        other = np.ones(len(lines)) if class_weight is None else class_weight.astype(np.float64)[labels]
    else:
        labels = np.where(problem.kept & ~problem.nan_rows, problem.labels, 0)
        own, other = np.ones(len(lines)), problem.label_weight
    weight = dd.times(product(problem.row_weight, other), (own, np.zeros_like(own)))
    fine = sane(own) & sane(other) & sane(problem.row_weight)
    ones = (own == 1) & (other == 1) & (problem.row_weight == 1)
    return labels, (np.where(fine, weight[0], np.nan), weight[1]), ones


def _put(value: Table, rows: slice, whole: Pair, error: Float64) -> None:
    value.put(rows, column(whole), error[:, None])


def _index(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose w ((m - x_y) + log S); gradient w p_j, and at the label -w R / S or -w (1 + (R - e_y)) / S."""
    n = problem.x.shape[0]
    value, slopes = Table.like(np.empty((n, 1))), Table.like(problem.x)
    labels, weight, ones = _labels(problem)
    factor = at(given(problem), np.s_[:, 0])  # type: ignore[arg-type]
    covered = sane(factor[0]) & problem.kept & ~problem.nan_rows
    factor = dd.times(factor, weight)
    for s in sweep(problem, gradient):
        y = labels[s.rows]
        i = np.arange(len(y))
        covered[s.rows] &= np.isfinite(s.top)
        gap = two_sum(s.top, -s.x[i, y])
        parts = pair_plus_tail(gap[0], gap[1], 0.0, s.tail[0], s.tail_error, s.tail[1])
        if ones[s.rows].all():
            value.h[s.rows, 0], value.lo[s.rows, 0], value.hi[s.rows, 0] = parts
        else:
            w = at(weight, s.rows)
            whole = dd.times(w, dd.plus(gap, s.tail))
            error = (np.abs(w[0]) * s.tail_error + np.abs(whole[0]) * (8 * ROUND)) * WIDEN
            _put(value, s.rows, whole, error + np.where(w[0] == 0, 0.0, FLOOR))
        if gradient:
            f = at(factor, s.rows)
            slopes.put(s.rows, *share(s, f))
            _label(s, slopes, y, f)
    if problem.policy.zero_times_infinity == "nan" and problem.labels is None:
        covered &= ~(np.isneginf(problem.x) & problem.where).any(axis=1)
    return collected(value.enclosure(), slopes.enclosure() if gradient else None, covered)


def _label(s: Sums, slopes: Table, y: NDArray[np.intp], factor: Pair) -> None:
    """Put the slope at the label, which does not cancel."""
    assert s.e is not None  # noqa: S101 - kept
    i = np.arange(len(y))
    at_top = s.x[i, y] == s.top
    one = np.ones_like(s.top), np.zeros_like(s.top)
    others = dd.plus(one, dd.plus(s.rest, (-s.e[0][i, y], -s.e[1][i, y])))
    top = tuple(np.where(at_top, a, b) for a, b in zip(s.rest, others, strict=True))
    ratio = dd.over((top[0], top[1]), s.whole)
    h, low = dd.times((-factor[0], -factor[1]), ratio)
    error = ratio[0] * (s.relative + 32 * ROUND) + np.where(at_top, 1.0, 2.0) * s.relative + np.where(at_top, 0.0, EXP)
    error = (error * np.abs(factor[0]) + np.abs(low) * (4 * U)) * WIDEN + small(factor[0]) * (ratio[0] != 0)
    rows = np.arange(slopes.h.shape[0])[s.rows]
    slopes.h[rows, y], slopes.lo[rows, y], slopes.hi[rows, y] = h, low - error, low + error


def _target(problem: Canonical, rows: slice) -> Pair:
    """Return the smoothed and weighted target of rows, within 8 ROUND."""
    assert problem.base is not None  # noqa: S101 - a loss with a target
    base, where = problem.base[rows], problem.where[rows]
    none = np.zeros_like(base)
    t: Pair = (base, none)
    keep, share_ = problem.smoothing
    if share_:
        kept, spread = (tuple(np.full_like(base, v) for v in dd.pair_of(f)) for f in (keep, share_))
        t = dd.plus(dd.times(t, (kept[0], kept[1])), (spread[0], spread[1]))
        t = np.where(where | (base != 0), t[0], 0.0), np.where(where | (base != 0), t[1], 0.0)
    weight = np.broadcast_to(problem.row_weight[rows, None], base.shape)
    class_weight = problem.case.class_weight
    if class_weight is not None:
        own = class_weight.astype(np.float64)
        if problem.labels is not None and problem.policy.smoothing_weight == "label_class":
            own = problem.label_weight[rows, None]
        t = dd.times(t, (np.broadcast_to(own, base.shape), none))
    return dd.times(t, (weight, none))


def _dense(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose sum t_i (m - x_i) + T log S; gradient T p - t, whose error is absolute."""
    case = problem.case
    n, c = problem.x.shape
    assert problem.base is not None  # noqa: S101 - a loss with a target
    value, slopes = Table.like(np.empty((n, 1))), Table.like(problem.x)
    factor = at(given(problem), np.s_[:, 0])  # type: ignore[arg-type]
    sizes = np.array([float(f) for f in problem.smoothing])
    others = np.ones(1) if case.class_weight is None else case.class_weight.astype(np.float64)
    covered = np.full(n, bool(sane(sizes).all() and sane(others).all())) & sane(factor[0]) & sane(problem.row_weight)
    covered &= sane_rows(problem.base) & problem.kept & ~problem.nan_rows
    strict = problem.policy.zero_times_infinity == "nan" and problem.labels is None
    added = ((depth(c) + 3) ** 2 * 2.0**-106) + 16 * ROUND
    for s in sweep(problem, gradient):
        t = _target(problem, s.rows)
        nothing = t[0] == 0
        if strict:
            covered[s.rows] &= ~(nothing & np.isneginf(s.x) & problem.where[s.rows]).any(axis=1)
        covered[s.rows] &= np.isfinite(s.top)
        gaps = two_sum(np.where(nothing, 0.0, s.top[:, None]), -np.where(nothing, 0.0, s.x))
        gap = dd.fold(*(np.array(v, order="K") for v in dd.times(t, gaps)))
        mass = dd.fold(t[0].copy(order="K"), t[1].copy(order="K"))
        tail = dd.times(mass, s.tail)
        error = (gap[0] + tail[0]) * added + mass[0] * s.tail_error
        _put(value, s.rows, dd.plus(gap, tail), error * WIDEN + 4 * c * FLOOR)
        if gradient:
            f = at(factor, s.rows)
            whole = mass
            if problem.policy.target_sum == "assumed_one":
                whole = problem.row_weight[s.rows], np.zeros_like(s.top)
            p, error = share(s, dd.times(f, whole))
            own = dd.times(t, column(f))
            error += np.abs(p[0]) * added + np.abs(own[0]) * (16 * ROUND) + (np.abs(p[0]) + np.abs(own[0])) * ROUND
            slopes.put(s.rows, dd.plus(p, (-own[0], -own[1])), error)
    return collected(value.enclosure(), slopes.enclosure() if gradient else None, covered)
