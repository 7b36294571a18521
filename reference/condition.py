"""How well-conditioned each entry of an answer is, for `lossconform.reference.grades`.

Plain float64: a bound on an allowed error need not itself be proven to the last bit. One function a family, in the
order of `lossconform.reference.losses`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lossconform.reference.canonical import Canonical
from lossconform.reference.case import ELEMENTWISE, Form, Loss, Reduction, TargetForm, unrows
from lossconform.reference.condition_focal import focal_parts
from lossconform.reference.formats import Float64
from lossconform.reference.grades import FACTOR, Condition, accumulator_roundoff
from lossconform.reference.rows import clip_range

LOG2 = np.log(2.0)
LOG1P = 2.0
"""What multiplies 4 u of the loss where it is max(x, 0) - x t + log1p(e^-|x|) without cancellation."""

FLUSHED = 2.0
"""How many times the smallest normal number may be lost: an exponential may flush within its last binade."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Conditions before reduction: shape (N, entries) for values, (N, C) for gradients; n terms a sum over classes."""

    base: Float64
    shift: Float64
    terms: Float64
    n: int
    size: Float64
    """The magnitude of each entry."""


@dataclass(frozen=True, eq=False)
class Soft:
    """The softmax of every row in float64; classes that take no part have p = 0 and log p = 0."""

    p: Float64
    log_p: Float64
    reach: Float64
    """abs(x_max) + abs(x_j), 0 for classes that take no part."""
    top: Float64
    log_n: float


def _soft(problem: Canonical) -> Soft:
    x = np.where(problem.where & np.isfinite(problem.x), problem.x, -np.inf)
    with np.errstate(all="ignore"):
        m = np.max(x, axis=1, keepdims=True)
        m = np.where(np.isfinite(m), m, 0.0)
        d = x - m
        e = np.exp(d)
        total = np.sum(e, axis=1, keepdims=True)
        p = np.where(total > 0, e / total, 0.0)
        log_p = np.where(np.isfinite(d), d - np.log(np.where(total > 0, total, 1.0)), 0.0)
    reach = np.where(np.isfinite(x), np.abs(m) + np.abs(np.where(np.isfinite(x), x, 0.0)), 0.0)
    return Soft(p, log_p, reach, np.abs(m), float(np.log(problem.shape[1])))


def _own(s: Soft) -> Float64:
    """Return p (1 + log n + abs log p): what one softmax entry rounds."""
    return s.p * (1 + s.log_n + np.abs(s.log_p))


def _sum(v: Float64) -> Float64:
    result: Float64 = np.sum(v, axis=1, keepdims=True)
    return result


Pair = tuple[Terms, Terms]


def _cross_entropy(problem: Canonical, factor: Float64) -> Pair:
    s = _soft(problem)
    t = problem.float_target() * problem.weights()
    n = problem.shape[1]
    mass, loss = _sum(t), _sum(t * np.abs(s.log_p))
    one_term = problem.case.target_form is TargetForm.INDEX and problem.case.label_smoothing == 0
    value = Terms(mass * (1 + s.log_n) + loss, _sum(t * s.reach), mass if one_term else mass + loss, n, loss)
    slope = np.abs(mass * s.p - t)
    gradient = Terms(
        factor * (mass * _own(s) + t),
        factor * mass * s.p * s.reach,
        factor * np.maximum(mass * s.p, slope),
        n,
        factor * slope,
    )
    return value, gradient


def _functions(problem: Canonical, factor: Float64) -> Pair:
    """Log-sum-exp, softmax, log-softmax, entropy; factor is abs(cotangent), (N, entries)."""
    s = _soft(problem)
    n = problem.shape[1]
    own, one = _own(s), np.ones_like(s.p)
    zero = np.zeros_like(s.p)
    loss = problem.case.loss
    if loss is Loss.LOG_SUM_EXP:
        size = s.top + s.log_n
        value = Terms(1 + s.log_n + size, s.top, np.ones_like(size), n, size)
        return value, Terms(factor * own, factor * s.p * s.reach, factor * s.p, n, factor * s.p)
    if loss is Loss.SOFTMAX:
        inner = _sum(s.p * factor)
        spread = factor + inner
        value = Terms(own, s.p * s.reach, s.p, n, s.p)
        return value, Terms(
            own * spread + s.p * _sum(own * factor), s.p * s.reach * spread, s.p * spread, n, s.p * spread
        )
    if loss is Loss.LOG_SOFTMAX:
        size = np.abs(s.log_p)
        mass = _sum(np.where(problem.where, factor, 0.0))
        value = Terms(one * (1 + s.log_n) + size, s.reach, one, n, size)
        return value, Terms(mass * own + factor, mass * s.p * s.reach, mass * s.p, n, mass * s.p + factor)
    spread = _sum(own * np.abs(s.log_p)) + 1 + s.log_n
    gradient = factor * own * (np.abs(s.log_p) + spread)
    return Terms(spread, _sum(s.p * s.reach), spread, n, spread), Terms(gradient, zero, gradient, n, gradient)


def _negative_log_likelihood(problem: Canonical, factor: Float64) -> Pair:
    t = problem.float_target() * problem.weights()
    size = t * np.abs(np.where(np.isfinite(problem.x), problem.x, 0.0))
    loss = _sum(size)
    zero = np.zeros_like(loss)
    n = problem.shape[1]
    value = Terms(loss, zero, loss, n, loss)
    return value, Terms(factor * t, 0 * t, 0 * t, n, factor * t)


def _likelihood(problem: Canonical, factor: Float64) -> Pair:
    """Softmax cross-entropy from probabilities: a logarithm's absolute error is u where q is near 1."""
    t = problem.float_target() * problem.weights()
    q = np.where(np.isfinite(problem.x), np.abs(problem.x), 1.0)
    scale = _sum(q) if problem.policy.probability_sum != "as_given" else np.ones((q.shape[0], 1))
    with np.errstate(all="ignore"):
        logs = np.abs(np.log(np.maximum(q / np.where(scale > 0, scale, 1.0), 5e-324)))
        slope = np.where(t > 0, t / np.maximum(q, 1e-300), 0.0) + _sum(t) / np.where(scale > 0, scale, 1.0)
    mass, loss = _sum(t), _sum(t * logs)
    n = problem.shape[1]
    value = Terms(mass + loss, 0 * mass, mass + loss, n, loss)
    jump = _jump(problem, t, q, scale) / (FACTOR * problem.case.format.unit_roundoff)
    return value, Terms(factor * (slope + jump), 0 * slope, factor * slope, n, factor * slope)


def _jump(problem: Canonical, t: Float64, q: Float64, scale: Float64) -> Float64:
    """Return by how much the gradient jumps where a quotient is within rounding of a bound that it is clipped to.

    On which side of the bound it lies is for the division to decide, and both are right. No quotient exceeds 1.
    """
    case, bounds = problem.case, clip_range(problem.case, problem.policy)
    near = np.zeros(q.shape, bool)
    if bounds is not None and problem.policy.probability_sum == "renormalised":
        v = q / np.where(scale > 0, scale, 1.0)
        rounding = FACTOR * case.format.unit_roundoff + 2 * np.sqrt(q.shape[1]) * accumulator_roundoff(case.format)
        for bound in bounds:
            near |= (bound < 1) & (np.abs(v - bound) <= rounding * v + case.format.smallest)
    own = np.where(near, t, 0.0)
    return own / np.maximum(q, 1e-300) + _sum(own) / np.where(scale > 0, scale, 1.0)


def _binary_weights(problem: Canonical) -> tuple[Float64, Float64]:
    t, w = problem.float_target(), problem.weights()
    pos = 1.0 if problem.case.pos_weight is None else problem.case.pos_weight.astype(np.float64)
    return t * w * pos, (1 - t) * w


def _over_classes(problem: Canonical, value: Terms) -> Terms:
    """Reduce an elementwise loss over the class axis as the policy says."""
    rule = problem.policy.class_axis_reduction
    if rule == "none":
        return value
    n = problem.shape[1]
    scale = 1 / n if rule == "mean" else 1.0
    size = _sum(value.size) * scale
    return Terms(
        _sum(value.base) * scale + size,
        _sum(value.shift) * scale,
        _sum(value.terms) * scale + size,
        max(n, value.n),
        size,
    )


def _binary_logits(problem: Canonical, factor: Float64) -> Pair:
    a, b = _binary_weights(problem)
    z = np.where(np.isfinite(problem.x), problem.x, 0.0)
    mass = a + b
    with np.errstate(over="ignore"):
        tail = np.log1p(np.exp(-np.abs(z)))
        p = np.where(z < 0, np.exp(-np.abs(z)), 1.0) / (1 + np.exp(-np.abs(z)))
    loss = a * (np.maximum(-z, 0) + tail) + b * (np.maximum(z, 0) + tail)
    t = problem.float_target()
    # Of a target of 0 or 1 one term is left, max(x, 0) - x t is exact, and log1p rounds relative to what it adds.
    hard = (t == 0) | (t == 1)
    value = Terms(
        np.where(hard, LOG1P * loss, mass * (1 + LOG2) + loss),
        np.where(hard, mass * (2 + LOG2), 0) + mass * np.abs(z),
        np.where(hard, 0, mass),
        2,
        loss,
    )
    log_p = np.abs(np.minimum(z, 0) - tail)
    base = mass * p * (1 + LOG2 + log_p) + a
    slope = np.abs(b * p - a * (1 - p))
    gradient = Terms(factor * base, factor * mass * p * np.abs(z), factor * base, 2, factor * slope)
    return _over_classes(problem, value), gradient


def _log_sigmoid(problem: Canonical, factor: Float64) -> Pair:
    z = np.where(np.isfinite(problem.x), problem.x, 0.0)
    tail = np.log1p(np.exp(-np.abs(z)))
    size = np.maximum(-z, 0) + tail
    one = np.ones_like(z)
    p = np.where(z > 0, np.exp(-np.abs(z)), 1.0) / (1 + np.exp(-np.abs(z)))
    own = p * (1 + LOG2 + np.abs(np.minimum(-z, 0) - tail))
    return Terms(one * (1 + LOG2) + size, np.abs(z), one, 2, size), Terms(
        factor * own, factor * p * np.abs(z), factor * p, 2, factor * p
    )


def _binary_probabilities(problem: Canonical, factor: Float64) -> Pair:
    a, b = _binary_weights(problem)
    p = np.clip(np.where(np.isfinite(problem.x), problem.x, 0.5), 0.0, 1.0)
    with np.errstate(divide="ignore"):
        loss = a * -np.log(np.maximum(p, 1e-300)) + b * -np.log(np.maximum(1 - p, 1e-300))
    slope = a / np.maximum(p, 1e-300) + b / np.maximum(1 - p, 1e-300)
    value = Terms(a + b + loss, 0 * loss, a + b + loss, 2, loss)
    return _over_classes(problem, value), Terms(factor * slope, 0 * slope, factor * slope, 2, factor * slope)


def _focal(problem: Canonical, factor: Float64) -> Pair:
    value, slope = focal_parts(problem)
    value_terms = Terms(value.base, value.shift, value.terms, 2, value.size)
    gradient = Terms(factor * slope.base, factor * slope.shift, factor * slope.terms, 2, factor * slope.size)
    return _over_classes(problem, value_terms), gradient


def _divergence(problem: Canonical, factor: Float64) -> Pair:
    t, w = problem.float_target(), problem.weights() * problem.where
    x = np.where(np.isfinite(problem.x), problem.x, 0.0)
    probabilities = problem.case.form is Form.PROBABILITIES
    with np.errstate(divide="ignore"):
        log_q = np.abs(np.log(np.maximum(x, 1e-300))) if probabilities else np.abs(x)
        log_t = np.where(t > 0, np.abs(np.log(np.maximum(t, 1e-300))), 0.0)
    floor = 1e-7 if problem.policy.target_range == "clipped_in_dtype" else 0.0
    t = np.maximum(t, floor) * w
    size = t * (log_t + log_q)
    value = Terms(t + size, 0 * size, t + size, 2, size)
    slope = factor * (t / np.maximum(x, 1e-300) if probabilities else t * (1 + log_t))
    return _over_classes(problem, value), Terms(slope, 0 * slope, slope, 2, slope)


CONDITIONS: dict[tuple[Loss, Form], Callable[[Canonical, Float64], Pair]] = {
    (Loss.LOG_SUM_EXP, Form.LOGITS): _functions,
    (Loss.SOFTMAX, Form.LOGITS): _functions,
    (Loss.LOG_SOFTMAX, Form.LOGITS): _functions,
    (Loss.ENTROPY, Form.LOGITS): _functions,
    (Loss.LOG_SIGMOID, Form.LOGITS): _log_sigmoid,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOGITS): _cross_entropy,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.LOG_PROBABILITIES): _negative_log_likelihood,
    (Loss.SOFTMAX_CROSS_ENTROPY, Form.PROBABILITIES): _likelihood,
    (Loss.BINARY_CROSS_ENTROPY, Form.LOGITS): _binary_logits,
    (Loss.BINARY_CROSS_ENTROPY, Form.PROBABILITIES): _binary_probabilities,
    (Loss.FOCAL, Form.LOGITS): _focal,
    (Loss.FOCAL, Form.PROBABILITIES): _focal,
    (Loss.KL_DIVERGENCE, Form.LOG_PROBABILITIES): _divergence,
    (Loss.KL_DIVERGENCE, Form.PROBABILITIES): _divergence,
}


def conditions(problem: Canonical) -> tuple[Condition, Condition]:
    """Return the condition of the value and of the gradient of a canonical problem."""
    case = problem.case
    c = problem.shape[1]
    scale = 1.0 if problem.denominator is None else float(1 / problem.denominator)
    cotangent = np.abs(problem.cotangent)
    factor = cotangent * scale
    if case.loss in ELEMENTWISE and problem.policy.class_axis_reduction == "mean":
        factor = factor / c
    # A bound that overflows allows anything, as it should where the terms themselves overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        value, gradient = CONDITIONS[case.loss, case.form](problem, factor)
        return _reduced(problem, value, scale), _sloped(problem, gradient, factor)


def _sloped(problem: Canonical, gradient: Terms, factor: Float64) -> Condition:
    case = problem.case
    tiny = FLUSHED * case.format.tiny
    # An entry of softmax that is flushed is multiplied by a difference of cotangents, or by their sum.
    together = case.loss in (Loss.SOFTMAX, Loss.LOG_SOFTMAX)
    # A gradient has a sum over rows only in a denominator of weights; a number of rows is counted without an error.
    weighed = case.reduction is not Reduction.SUM and not (case.sample_weight is None and case.class_weight is None)
    reach = max(1.0, float(np.max(_sum(factor) if together else factor, initial=0.0)))
    return Condition(
        base=unrows(case, gradient.base + gradient.size),
        shift=unrows(case, gradient.shift),
        terms=unrows(case, gradient.terms),
        n=gradient.n,
        batch=unrows(case, gradient.size) * (weighed and case.reduction is not Reduction.NONE),
        rows=max(problem.shape[0], 1),
        floor=np.full(case.prediction.shape, tiny * reach),
    )


def _reduced(problem: Canonical, value: Terms, scale: float) -> Condition:
    case = problem.case
    tiny = FLUSHED * case.format.tiny
    kept = problem.kept[:, None] & np.isfinite(value.base)
    parts = [np.where(kept, part, 0.0) for part in (value.base, value.shift, value.terms, value.size)]
    if case.reduction is Reduction.NONE:
        shaped = [unrows(case, p) if problem.wide else p.reshape(problem.value_shape) for p in parts]
        base, shift, terms, size = shaped
        return Condition(base, shift, terms, value.n, 0 * size, 1, np.full(base.shape, tiny))
    base, shift, terms, size = (np.asarray(np.sum(p) * scale) for p in parts)
    count = max(1, int(parts[0].size))
    return Condition(base + size, shift, terms, value.n, size, count, np.full((), tiny))
