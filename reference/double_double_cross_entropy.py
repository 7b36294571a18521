"""The double-double tier's softmax cross-entropy from logits, for answers in float64: see `double_double_sums`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import WIDEN, Bounds, Mask, U, collected, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.double_double import FLOOR, ROUND, Pair
from lossconform.reference.double_double_sums import (
    SMALLEST,
    Block,
    Sums,
    Table,
    at,
    column,
    given,
    settle,
    share,
    small,
    sweep,
)
from lossconform.reference.formats import two_sum
from lossconform.reference.one_class import Chosen, by_target
from lossconform.reference.pairs import fold_pairs, halvings, pair_plus_tail, product


def cross_entropy(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose sum t_i (LSE - x_i), by a path for rows with one class in the target and one for the others."""
    return by_target(problem, lambda some: _index(some, gradient), lambda some: _dense(some, gradient))


def _weight(own: Chosen) -> tuple[Pair, Mask]:
    """Return the weight of each row within 2 ROUND, NaN where a factor is not sane; and whether it is 1."""
    none = np.zeros(len(own.labels))
    weight, ones = (np.where(own.sane, 1.0, np.nan), none), np.ones(len(none), bool)
    for factor in own.weights:
        weight = dd.times(weight, (factor, none))
        ones &= factor == 1
    return weight, ones


def _index(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose w ((m - x_y) + log S); gradient w p_j, and at the label -w R / S or -w (1 + (R - e_y)) / S."""
    lines = np.arange(problem.shape[0])
    slopes = Table.like(problem.prediction if gradient else problem.prediction[:0])
    chosen = Chosen.of(problem)
    labels, (weight, ones) = chosen.labels, _weight(chosen)
    upstream = at(given(problem), np.s_[:, 0])
    factor = dd.times(upstream, weight)

    def use(block: Block, sums: Sums) -> None:
        f = at(factor, block.rows)
        share(block, sums, f, slopes)
        settle(block, sums, f[0], slopes)
        _label(block, sums, slopes, labels[block.rows], f)

    sums = sweep(problem, use if gradient else None)
    own = np.where(problem.where[lines, labels], chosen.at(problem.prediction), -np.inf)
    gap = two_sum(sums.top, -own)
    tail, error = sums.tail()
    value = Table(*pair_plus_tail(gap[0], gap[1], 0.0, tail[0], error, tail[1]))
    if not ones.all():
        scaled = np.flatnonzero(~ones)
        w = at(weight, scaled)
        whole = dd.times(w, dd.plus(at(gap, scaled), at(tail, scaled)))
        margin = (np.abs(w[0]) * error[scaled] + np.abs(whole[0]) * (8 * ROUND)) * WIDEN
        value.put(scaled, whole, margin + np.where(w[0] == 0, 0.0, FLOOR))
    covered = sane(upstream[0]) & problem.kept & ~problem.nan_rows & np.isfinite(sums.top)
    if problem.strict:
        covered &= ~(np.isneginf(problem.x) & problem.where).any(axis=1)
    return collected(value.enclosure(), slopes.enclosure() if gradient else None, covered)


def _label(block: Block, sums: Sums, slopes: Table, y: NDArray[np.intp], factor: Pair) -> None:
    """Put the slope at the label, which does not cancel."""
    i = np.arange(len(y))
    at_top = block.x[i, y] == sums.top
    one = np.ones_like(sums.top), np.zeros_like(sums.top)
    others = dd.plus(one, dd.plus(sums.rest, (-block.e[0][i, y], -block.e[1][i, y])))
    numerator = np.where(at_top, sums.rest[0], others[0]), np.where(at_top, sums.rest[1], others[1])
    ratio = dd.over(numerator, sums.whole)
    h, low = dd.times((-factor[0], -factor[1]), ratio)
    error = ratio[0] * (sums.relative + 32 * ROUND) + np.where(at_top, 1.0, 2.0) * sums.relative
    error = (error * np.abs(factor[0]) + np.abs(low) * (4 * U)) * WIDEN + small(factor[0]) * (ratio[0] != 0)
    # Where R has vanished so has w R / S.
    gone = at_top & sums.vanished & (np.abs(factor[0]) <= 1)
    sign = np.sign(factor[0])
    lines = np.arange(slopes.h.shape[0])[block.rows]
    slopes.h[lines, y] = np.where(gone, 0.0, h)
    slopes.lo[lines, y] = np.where(gone, np.where(sign > 0, -SMALLEST, 0.0), low - error)
    slopes.hi[lines, y] = np.where(gone, np.where(sign < 0, SMALLEST, 0.0), low + error)


def weighted_target(problem: Canonical, rows: slice) -> Pair:
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


def _plainly_smoothed(problem: Canonical) -> Mask:
    """Return the rows of one label, smoothed over all their classes, that have no weight."""
    none = problem.labels is None or problem.smoothing[1] == 0 or problem.case.class_weight is not None
    used = problem.kept & ~problem.nan_rows & (problem.row_weight == 1)
    return np.asarray(used & problem.where.all(axis=1) & (not none))


def _sum_is(times: int, own: Pair, gaps: Pair) -> Mask:
    """Return the rows whose gaps, which are pairs, add up to exactly so many times one of them."""
    owed = [part[:, None] for number in own for part in product(np.full_like(number, -float(times)), number)]
    s, rest, lost = fold_pairs(np.concatenate([*gaps, *owed], axis=1))
    sane_sizes = (own[0] >= 2.0**-900) & (own[0] <= 2.0**900) & ((own[1] == 0) | (np.abs(own[1]) >= 2.0**-960))
    return np.asarray((lost == 0) & (s + rest == 0) & sane_sizes)


def _dense(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose sum t_i (m - x_i) + T log S; gradient T p - t, whose error is absolute."""
    case = problem.case
    n, c = problem.shape
    assert problem.base is not None  # noqa: S101 - a loss with a target
    slopes = Table.like(problem.prediction if gradient else problem.prediction[:0])
    gap, mass = (np.empty(n), np.empty(n)), (np.empty(n), np.empty(n))
    factor = at(given(problem), np.s_[:, 0])
    sizes = np.array([float(f) for f in problem.smoothing])
    others = np.ones(1) if case.class_weight is None else case.class_weight.astype(np.float64)
    covered = np.full(n, bool(sane(sizes).all() and sane(others).all())) & sane(factor[0]) & sane(problem.row_weight)
    covered &= sane_rows(problem.base) & problem.kept & ~problem.nan_rows
    added = ((halvings(c) + 3) ** 2 * 2.0**-106) + 16 * ROUND
    level = np.zeros(n, bool)
    plain = _plainly_smoothed(problem)

    def use(block: Block, sums: Sums) -> None:
        rows = block.rows
        t = weighted_target(problem, rows)
        nothing = t[0] == 0
        if problem.strict:
            covered[rows] &= ~(nothing & np.isneginf(block.x) & problem.where[rows]).any(axis=1)
        gaps = two_sum(np.where(nothing, 0.0, sums.top[:, None]), -np.where(nothing, 0.0, block.x))
        gap[0][rows], gap[1][rows] = dd.fold(*dd.times(t, gaps))
        if problem.labels is not None and plain[rows].any():
            own = at(gaps, (np.arange(len(sums.top)), problem.labels[rows]))
            level[rows] = plain[rows] & _sum_is(c, own, gaps)
            gap[0][rows], gap[1][rows] = (np.where(level[rows], own[k], gap[k][rows]) for k in (0, 1))
        whole = dd.fold(t[0].copy(), t[1].copy())
        mass[0][rows], mass[1][rows] = whole
        if gradient:
            if problem.policy.target_sum == "assumed_one":
                whole = problem.row_weight[rows], np.zeros_like(sums.top)
            f = at(factor, rows)
            share(block, sums, dd.times(f, whole), slopes, added)
            own = dd.times(t, column(f))
            p = slopes.h[rows], (slopes.lo[rows] + slopes.hi[rows]) / 2
            error = (slopes.hi[rows] - slopes.lo[rows]) / 2 + (np.abs(p[0]) + np.abs(own[0])) * (24 * ROUND)
            slopes.put(rows, dd.plus(p, (-own[0], -own[1])), error)

    sums = sweep(problem, use)
    log_s, log_error = sums.tail()
    tail = dd.times(mass, log_s)
    error = ((gap[0] + tail[0]) * added + mass[0] * log_error) * WIDEN + 4 * c * FLOOR
    value = Table.like(np.empty(n))
    value.put(slice(0, n), dd.plus(gap, tail), error)
    if level.any():
        some = np.flatnonzero(level)
        high, low = at(gap, some), at(log_s, some)
        exactly = Table(*pair_plus_tail(high[0], high[1], 0.0, low[0], log_error[some], low[1]))
        value.h[some], value.lo[some], value.hi[some] = exactly.h, exactly.lo, exactly.hi
    covered &= np.isfinite(sums.top)
    return collected(value.enclosure(), slopes.enclosure() if gradient else None, covered)
