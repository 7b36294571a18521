"""The double-double tier's losses of single logits: binary cross-entropy and log-sigmoid. Formulas: `losses.binary`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import WIDEN, Bounds, Mask, collected, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.double_double import EXP, FLOOR, LOG1P, ROUND, Pair
from lossconform.reference.double_double_sums import SMALLEST, VANISHED, Table, given, small
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.fast_binary import reduced
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import pair_plus_tail, product


def _zeros(x: Float64) -> Float64:
    return np.zeros_like(x)


def negative(a: Pair) -> Pair:
    """Return -a."""
    return -a[0], -a[1]


def spread(problem: Canonical) -> Pair:
    """Return the factor of each element, (N, C), within 2 ROUND."""
    n = problem.shape[1]
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
    slopes = Table.like(problem.prediction)
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
    slopes = Table.like(problem.prediction)
    if gradient:
        one = np.ones_like(z), _zeros(z)
        at = dd.times(factor, dd.over(_choose(z > 0, e, one), dd.plus(one, e)))
        slopes.put(slice(None), at, np.abs(at[0]) * (2 * EXP + 32 * ROUND) + small(factor[0]))
    value = Table(-h, -hi, -lo).enclosure()
    return collected(value, slopes.enclosure() if gradient else None, sane_rows(factor[0]))
