"""The double-double tier's losses of single elements: binary cross-entropy, log-sigmoid, KL divergence.

Used for every format where the fast tier has no formula of its own, and for float64. Formulas: `losses.binary`,
`losses.divergence`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import WIDEN, Bounds, Mask, U, collected, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import TargetForm
from lossconform.reference.double_double import EXP, FLOOR, LOG1P, ROUND, Pair
from lossconform.reference.double_double_sums import SMALLEST, VANISHED, Table, given, small
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.fast_binary import reduced
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import pair_plus_tail, product
from lossconform.reference.rows import clip_range

NEAR = 2.0**-12
"""Numbers closer than this, relative to their sum, have the logarithm of their quotient from a series."""


def _zeros(x: Float64) -> Float64:
    return np.zeros_like(x)


def negative(a: Pair) -> Pair:
    """Return -a."""
    return -a[0], -a[1]


def spread(problem: Canonical) -> Pair:
    """Return the factor of each element, (N, C), within 2 ROUND."""
    n = problem.x.shape[1]
    factor = given(problem)
    rule = problem.policy.class_axis_reduction
    if rule == "none":
        return factor
    if rule == "mean":
        factor = dd.over(factor, (np.full_like(factor[0], n), _zeros(factor[0])))
    return np.repeat(factor[0], n, axis=1), np.repeat(factor[1], n, axis=1)


@dataclass(eq=False)
class Weights:
    """The weights of the positive and the negative term, within 8 ROUND; where they are exact; which rows are sane."""

    a: Pair
    b: Pair
    exact: bool
    sane: Mask


def weights(problem: Canonical) -> Weights:
    """Return a = w pos t and b = w (1 - t) for the smoothed target t."""
    case = problem.case
    assert problem.base is not None  # noqa: S101 - a loss with a target
    t: Pair = (problem.base, _zeros(problem.base))
    keep, share = problem.smoothing
    sure = sane_rows(problem.base) & sane(problem.row_weight)
    sure = np.logical_and(sure, sane(np.array([float(keep), float(share)])).all())
    if share:
        kept, added = ((np.full_like(t[0], h), np.full_like(t[0], e)) for h, e in map(dd.pair_of, (keep, share)))
        t = dd.plus(dd.times(t, kept), added)
        rest = dd.plus((np.ones_like(t[0]), _zeros(t[0])), negative(t))
    else:
        rest = two_sum(np.ones_like(t[0]), -t[0])
    a, b = t, rest
    scales = [] if case.sample_weight is None else [problem.row_weight[:, None]]
    if case.class_weight is not None:
        own = case.class_weight.astype(np.float64)
        sure = np.logical_and(sure, sane(own).all())
        labelled = problem.labels is not None and problem.policy.smoothing_weight == "label_class"
        scales.append(problem.label_weight[:, None] if labelled else own)
    for scale in scales:
        wide = np.broadcast_to(scale, a[0].shape), _zeros(a[0])
        a, b = dd.times(a, wide), dd.times(b, wide)
    if case.pos_weight is not None:
        own = case.pos_weight.astype(np.float64)
        sure = np.logical_and(sure, sane(own).all())
        a = dd.times(a, (np.broadcast_to(own, a[0].shape), _zeros(a[0])))
    return Weights(a, b, not share and not scales and case.pos_weight is None, sure)


def _choose(where: Mask, a: Pair, b: Pair) -> Pair:
    return np.where(where, a[0], b[0]), np.where(where, a[1], b[1])


def _softplus(z: Float64) -> tuple[Pair, Pair, Float64]:
    """Return E = exp(-|z|), log1p(E), and the error of that."""
    size = np.abs(z)
    e = dd.exp(-size, _zeros(z))
    tail = dd.log1p(*e)
    return e, tail, tail[0] * (EXP + LOG1P) * WIDEN + FLOOR


def binary_from_logits(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose a softplus(-z) + b softplus(z); the gradient is b sigmoid(z) - a sigmoid(-z)."""
    z, w = problem.x, weights(problem)
    size = np.abs(z)
    e, tail, error = _softplus(z)
    own = _choose(z > 0, w.b, w.a)
    mass = dd.plus(w.a, w.b)
    g, low = product(own[0], size)
    low = low + own[1] * size
    plain = w.exact & (own[1] == 0) & ((np.abs(g) >= 2.0**-960) | (own[0] == 0) | (size == 0))
    lost = np.where(plain, 0.0, g * (16 * ROUND) + FLOOR)
    weighted = dd.times(mass, tail)
    error = (mass[0] * error + weighted[0] * (16 * ROUND)) * WIDEN
    gone = (size > -VANISHED) & (mass[0] <= 1)
    error = np.where(gone, SMALLEST, error + FLOOR)
    weighted = np.where(gone, 0.0, weighted[0]), np.where(gone, 0.0, weighted[1])
    idle = mass[0] == 0
    error, weighted = np.where(idle, 0.0, error), (np.where(idle, 0.0, weighted[0]), np.where(idle, 0.0, weighted[1]))
    value = reduced(problem, *pair_plus_tail(g, low, lost, weighted[0], error, weighted[1]))
    slope = _binary_slope(problem, w, e) if gradient else None
    return collected(value, slope, np.logical_and(w.sane, sane_rows(given(problem)[0])))


def _binary_slope(problem: Canonical, w: Weights, e: Pair) -> Enclosure:
    factor = spread(problem)
    one = np.ones_like(e[0]), _zeros(e[0])
    up, down = _choose(problem.x > 0, one, e), _choose(problem.x > 0, e, one)
    plus, minus = dd.times(w.b, up), dd.times(w.a, down)
    scale = dd.over(factor, dd.plus(one, e))
    slopes = Table.like(problem.x)
    error = (plus[0] + minus[0]) * np.abs(scale[0]) * (2 * EXP + 64 * ROUND)
    error += small(factor[0]) * (1 + w.a[0] + w.b[0])
    slopes.put(slice(None), dd.times(dd.plus(plus, negative(minus)), scale), error)
    return slopes.enclosure()


def log_sigmoid(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose -softplus(-z); the gradient is sigmoid(-z)."""
    z = problem.x
    e, tail, error = _softplus(z)
    gone = np.abs(z) > -VANISHED
    error, tail = np.where(gone, SMALLEST, error), (np.where(gone, 0.0, tail[0]), np.where(gone, 0.0, tail[1]))
    h, lo, hi = pair_plus_tail(np.maximum(-z, 0.0), _zeros(z), 0.0, tail[0], error, tail[1])
    factor = given(problem)
    slopes = Table.like(problem.x)
    if gradient:
        one = np.ones_like(z), _zeros(z)
        at = dd.times(factor, dd.over(_choose(z > 0, e, one), dd.plus(one, e)))
        slopes.put(slice(None), at, np.abs(at[0]) * (2 * EXP + 32 * ROUND) + small(factor[0]))
    value = Table(-h, -hi, -lo).enclosure()
    return collected(value, slopes.enclosure() if gradient else None, sane_rows(factor[0]))


def binary_from_probabilities(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose -a log p - b log(1 - p); the gradient is b / (1 - p) - a / p, nothing where p is clipped."""
    w = weights(problem)
    p, inside = clipped(problem)
    none = _zeros(p)
    rest = two_sum(np.ones_like(p), -p)
    terms, slopes = [], []
    fine = np.isfinite(problem.x) & (p >= 0) & (p <= 1) & ((p == 0) | (p >= 2.0**-200))
    if problem.policy.zero_times_infinity == "nan":
        fine &= (p > 0) & (p < 1)
    for weight, (high, low) in ((w.a, (p, none)), (w.b, rest)):
        at_zero = high == 0
        fine &= ~at_zero | (weight[0] == 0)
        number = np.where(at_zero | ~fine, 1.0, high), np.where(at_zero | ~fine, 0.0, low)
        terms.append(dd.times(weight, negative(dd.log(*number))))
        slopes.append(dd.over(weight, number))
    value = dd.plus(*terms)
    error = value[0] * (LOG1P + 32 * ROUND) * WIDEN + np.where(value[0] == 0, 0.0, FLOOR)
    covered = np.logical_and(w.sane & fine.all(axis=1), not problem.policy.probability_range.endswith("log_clamped"))
    slope = Table.like(p)
    if gradient:
        factor = spread(problem)
        at = dd.times(dd.plus(slopes[1], negative(slopes[0])), factor)
        size = (np.abs(slopes[0][0]) + np.abs(slopes[1][0])) * np.abs(factor[0])
        at = _choose(inside, at, (none, none))
        slope.put(slice(None), at, np.where(inside & (size != 0), size * (64 * ROUND) + FLOOR, 0.0))
        covered &= sane_rows(factor[0])
    parts = reduced(problem, value[0], value[1] - error, value[1] + error)
    return collected(parts, slope.enclosure() if gradient else None, covered)


def clipped(problem: Canonical) -> tuple[Float64, Mask]:
    """Return the probabilities within the policy's range, and which of them were left alone."""
    limits = clip_range(problem.case, problem.policy)
    if limits is None:
        return problem.x, np.ones(problem.x.shape, bool)
    return np.clip(problem.x, *limits), (problem.x >= limits[0]) & (problem.x <= limits[1])


def quotient_log(t: Pair, q: Pair) -> tuple[Pair, Float64]:
    """Return log(t / q) of positive numbers that are exactly their pairs' sums, q without a low part, and its error."""
    difference, whole = dd.plus(t, negative(q)), dd.plus(t, q)
    near = np.abs(difference[0]) < NEAR * whole[0]
    close = dd.twice_atanh(dd.over(difference, whole))
    apart = dd.log(*dd.over(t, q))
    found = _choose(near, close, apart)
    return found, np.abs(found[0]) * (LOG1P + 2.0**-86) * WIDEN


def divergence(problem: Canonical, gradient: bool, log: bool) -> Bounds:
    """Enclose w t (log t - log q), given q or log q; the gradient is -w t / q, or -w t."""
    case = problem.case
    assert problem.base is not None  # noqa: S101 - a loss with a target
    x = problem.x
    plain = case.target_form is not TargetForm.LOG_DISTRIBUTION and problem.policy.target_range == "as_given"
    plain = plain and (log or problem.policy.probability_range == "as_given")
    # Logarithms of targets are not covered: their rows are computed, as if of ones, and thrown away.
    t = problem.base if plain else np.ones_like(x)
    nothing = (t == 0) | ~problem.where
    safe_t = np.where(nothing, 1.0, t)
    # The comparisons are false for NaN.
    usable = np.abs(x) <= 2.0**200 if log else (x >= 2.0**-200) & (x <= 2.0**200)
    safe_x = np.where(nothing | ~usable, 1.0, x)
    if log:
        log_t = dd.log(safe_t, _zeros(t))
        gap = dd.plus(log_t, (-safe_x, _zeros(t)))
        error = np.abs(log_t[0]) * LOG1P + (np.abs(log_t[0]) + np.abs(safe_x)) * ROUND
    else:
        gap, error = quotient_log((safe_t, _zeros(t)), (safe_x, _zeros(t)))
    row = np.broadcast_to(problem.row_weight[:, None], t.shape), _zeros(t)
    mass = dd.times((np.where(nothing, 0.0, t), _zeros(t)), row)
    value = dd.times(mass, gap)
    error = (mass[0] * error + np.abs(value[0]) * (8 * ROUND)) * WIDEN
    # Equal numbers, and a logarithm of 1 less 0, have no error: their divergence is exactly 0.
    error += 4 * U * np.abs(value[1]) + np.where(error == 0, 0.0, FLOOR)
    covered = sane_rows(t) & sane(problem.row_weight) & (usable | nothing & np.isfinite(x)).all(axis=1)
    covered &= plain & problem.kept & ~problem.nan_rows
    if not log:
        # A negative probability, and what 0 · inf is.
        covered &= (x >= 0).all(axis=1)
        covered &= (x != 0).all(axis=1) | (problem.policy.zero_times_infinity != "nan")
    slopes = Table.like(x)
    if gradient:
        factor = spread(problem)
        at = dd.times(mass, negative(factor))
        at = at if log else dd.over(at, (safe_x, _zeros(t)))
        slopes.put(slice(None), at, np.abs(at[0]) * (32 * ROUND) + np.where(at[0] == 0, 0.0, FLOOR))
        covered &= sane_rows(factor[0])
    parts = reduced(problem, value[0], value[1] - error, value[1] + error)
    return collected(parts, slopes.enclosure() if gradient else None, covered)
