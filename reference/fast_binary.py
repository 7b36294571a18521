"""The fast tier's binary losses, element by element: cross-entropy from logits and from probabilities, log-sigmoid.

From a logit: a max(-z, 0) + b max(z, 0) + (a + b) log1p(exp(-abs z)); every term is nonnegative. From a probability:
-a log p - b log1p(-p). Bounds: docs/numerics-tiers.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossconform.reference.bounds import EF, TINY, WIDEN, Bounds, Mask, U, collected, enclosed, factors, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import Float64, two_sum
from lossconform.reference.pairs import divided, pair_plus_tail, product, sum_of


@dataclass(eq=False)
class Weights:
    """The weights of the positive and the negative term with bounds on their errors, (N, C); which rows are sane."""

    a: Float64
    a_error: Float64
    b: Float64
    b_error: Float64
    sane: Mask


def weights(problem: Canonical) -> Weights:
    """Return a = w pos t and b = w (1 - t) for the smoothed target t."""
    case = problem.case
    assert problem.base is not None  # noqa: S101 - a loss with a target
    keep, share = problem.smoothing
    t, t_error = problem.base, np.zeros(problem.base.shape)
    if share:
        t = float(keep) * problem.base + float(share)
        t_error = 4 * U * t
    rest, lost = two_sum(np.ones_like(t), -t)
    rest_error = t_error + np.abs(lost)
    sure = sane_rows(problem.base) & sane(problem.row_weight)
    sure = np.logical_and(sure, sane(np.array([float(keep), float(share)])).all())
    a, a_error, b, b_error = t, t_error, rest, rest_error
    row = np.broadcast_to(problem.row_weight[:, None], t.shape)
    scales = [] if case.sample_weight is None else [row]
    if case.class_weight is not None:
        own = case.class_weight.astype(np.float64)
        sure = np.logical_and(sure, sane(own).all())
        if problem.labels is not None and problem.policy.smoothing_weight == "label_class":
            own = problem.label_weight[:, None]
        scales.append(np.broadcast_to(own, t.shape))
    for scale in scales:
        a, a_error = _times(a, a_error, scale)
        b, b_error = _times(b, b_error, scale)
    if case.pos_weight is not None:
        own = case.pos_weight.astype(np.float64)
        sure = np.logical_and(sure, sane(own).all())
        a, a_error = _times(a, a_error, np.broadcast_to(own, t.shape))
    return Weights(a, a_error, b, b_error, sure)


def _times(a: Float64, error: Float64, scale: Float64) -> tuple[Float64, Float64]:
    p, lost = product(a, scale)
    return p, (error * scale + np.abs(lost)) * WIDEN


@dataclass(eq=False)
class Softplus:
    """log1p(E) for E = exp(-abs z) with a bound, and E itself."""

    tail: Float64
    error: Float64
    e: Float64

    @classmethod
    def of(cls, z: Float64) -> Softplus:
        """E is right within EF, and log1p takes no relative error to a larger one."""
        e = np.exp(-np.abs(z))
        tail = np.log1p(e)
        return cls(tail, tail * (2 * EF) * WIDEN + 8 * TINY, e)


def from_logits(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose a softplus(-z) + b softplus(z); the gradient is b sigmoid(z) - a sigmoid(-z)."""
    z, w = problem.x, weights(problem)
    size, s = np.abs(z), Softplus.of(z)
    own, own_error = np.where(z > 0, w.b, w.a), np.where(z > 0, w.b_error, w.a_error)
    g, low = product(own, size)
    some = (own_error != 0) | (np.abs(g) < 2.0**-960)
    lost = own_error * size * WIDEN + np.where(some & (own != 0) & (size != 0), 2 * TINY, 0.0)
    mass, mass_error = w.a + w.b, w.a_error + w.b_error
    tail = mass * s.tail
    error = mass * s.error + mass_error * s.tail + tail * (3 * U)
    error = error * WIDEN + np.where(mass == 0, 0.0, 4 * TINY)
    value = reduced(problem, *pair_plus_tail(g, low, lost, tail, error))
    return collected(
        value, _slope(problem, w, s) if gradient else None, np.logical_and(w.sane, sane_rows(factors(problem)))
    )


def _slope(problem: Canonical, w: Weights, s: Softplus) -> Enclosure:
    factor = spread(problem)
    positive = problem.x > 0
    up, down = np.where(positive, 1.0, s.e), np.where(positive, s.e, 1.0)
    plus, minus = w.b * up, w.a * down
    scale = factor / (1 + s.e)
    h = (plus - minus) * scale
    # Each term within 2 EF and some roundings; the difference may cancel.
    error = (plus + minus) * (2 * EF + 16 * U) + (w.b_error * up + w.a_error * down)
    bound = error * np.abs(scale) * WIDEN
    bound += np.where(factor == 0, 0.0, 8 * TINY * (1 + w.a + w.b) * np.maximum(np.abs(factor), 1.0))
    return enclosed(h, -bound, bound)


def log_sigmoid(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose -softplus(-z); the gradient is sigmoid(-z)."""
    z = problem.x
    s = Softplus.of(z)
    h, lo, hi = pair_plus_tail(np.maximum(-z, 0.0), np.zeros_like(z), 0.0, s.tail, s.error)
    slope = None
    given = factors(problem)
    if gradient:
        at = given * (np.where(z > 0, s.e, 1.0) / (1 + s.e))
        bound = np.abs(at) * (2 * EF + 16 * U) + np.where(given == 0, 0.0, 8 * TINY * np.maximum(np.abs(given), 1.0))
        slope = enclosed(at, -bound, bound)
    return collected(enclosed(-h, -hi, -lo), slope, sane_rows(given))


def spread(problem: Canonical) -> Float64:
    """Return the factor of each element, given those of the row's values: within 3u."""
    n = problem.shape[1]
    given = factors(problem)
    rule = problem.policy.class_axis_reduction
    return given if rule == "none" else np.repeat(given / (n if rule == "mean" else 1), n, axis=1)


def reduced(problem: Canonical, h: Float64, lo: Float64, hi: Float64) -> Enclosure:
    """Return the values of rows as the policy reduces their class axis."""
    rule = problem.policy.class_axis_reduction
    if rule == "none":
        return enclosed(h, lo, hi)
    h, lo, hi = sum_of(h, lo, hi)
    if rule == "mean":
        h, lo, hi = divided(h, lo, hi, problem.shape[1])
    return enclosed(h, lo, hi)
