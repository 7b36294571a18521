"""Hessian-vector products of a focal loss: the second derivative of each element times its direction.

That of a mixed loss m^gamma c is m^gamma (gamma² l'² c + 2 gamma l' c' + gamma l'' c + c''), where l = log m. Where a
policy holds the gradient's divisor at its floor, the slope of a logarithm is what the floor makes of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flint import arb, fmpq

from lossconform.reference.losses import binary
from lossconform.reference.losses.focal_factor import (
    NAN,
    Element,
    at_the_end,
    ball,
    element,
    power,
    product,
    weighed,
    without_factor,
)
from lossconform.reference.losses.focal_point import Point, point
from lossconform.reference.losses.row import Number, Row, infinite
from lossconform.reference.real import ZERO, Real, total

Jet = tuple[arb, arb, arb]
"""A number, its derivative and its second derivative, by the prediction."""


def from_logits(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return the product for each element; 0 at an infinite logit, where the slope is constant."""
    if row.gamma == 0:
        return binary.from_logits_hessian_product(without_factor(row), factors, direction)
    result: list[Number] = []
    for i, (z, factor) in enumerate(zip(row.x, binary.spread(row, factors), strict=True)):
        e = element(row, i)
        if math.isnan(z):
            result.append(NAN)
            continue
        if math.isinf(z):
            bend = Real(ZERO)
        elif e.mixed:
            bend = _mixed_at_logit(row, e.t, z).times(e.weight)
        else:
            bend = total(_side(x, row.gamma).times(w) for x, w in ((-z, e.a), (z, e.b)) if w != 0)
        result.append(bend.times(factor * direction[i]))
    return result


def _side(x: float, gamma: fmpq) -> Real:
    """Return the second derivative of sigmoid(x)^gamma softplus(x), of a finite x and a positive gamma."""
    g, e = arb(gamma), arb(-abs(x)).exp()
    tail = e.log1p()
    own, other = (1 / (1 + e), e / (1 + e)) if x > 0 else (e / (1 + e), 1 / (1 + e))
    log_own, softplus = arb(min(x, 0.0)) - tail, arb(max(x, 0.0)) + tail
    inner = g * g * other * softplus + (2 * g + 1) * own - g * own * softplus
    return Real(ZERO, (g * log_own).exp() * other * inner)


def _mixed_at_logit(row: Row, t: fmpq, z: float) -> Real:
    """Return the second derivative of the mixture of a finite logit."""
    p, q = ball(binary._sigmoid(z)), ball(binary._sigmoid(-z))
    positive, negative = binary._softplus(-z), binary._softplus(z)
    assert isinstance(positive, Real) and isinstance(negative, Real)  # noqa: S101, PT018 - of a finite logit
    c = ball(total([positive.times(t), negative.times(1 - t)])), p - arb(t), p * q
    if row.policy.focal_target == "geometric":
        log_m = _geometric(c)
    elif row.policy.focal_target == "logit":
        log_m = _of_logit(t, (arb(z), arb(1), arb(0)))
    else:
        log_m = _arithmetic(t, (p, p * q, p * q * (q - p)), q)
    return _mixed(row.gamma, log_m, c)


def from_probabilities(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return the product for each element; infinite where the loss is, and at factors 0 with a gamma below 2."""
    if row.gamma == 0:
        return binary.from_probabilities_hessian_product(without_factor(row), factors, direction)
    result: list[Number] = []
    for i, (x, factor) in enumerate(zip(row.x, binary.spread(row, factors), strict=True)):
        e, at = element(row, i), point(row, x)
        result.append(NAN if at is None else _at_probability(row, e, at, factor * direction[i]))
    return result


def _at_probability(row: Row, e: Element, at: Point, scale: fmpq) -> Number:
    end = at.infinite_end
    if not e.mixed:
        return weighed([_one_sided(row, at, positive) for positive in (True, False)], (e.a * scale, e.b * scale))
    if end is not None:
        return infinite(1, e.weight * scale) if at_the_end(row, e, end)[2] != 0 else NAN
    if row.policy.focal_target == "logit" and at.p in (0, 1):
        return NAN
    return _mixed_at_probability(row, e.t, at).times(e.weight * scale)


def _mixed_at_probability(row: Row, t: fmpq, at: Point) -> Real:
    """Return the second derivative of the mixture of a probability with finite logarithms."""
    positive, negative = at.finite_logs()
    slope, bend = (t * (p or ZERO) + (1 - t) * (n or ZERO) for p, n in (at.slopes, at.bends))
    c = ball(total([positive.times(t), negative.times(1 - t)])), arb(slope), arb(bend)
    p, q, dp = at.p, 1 - at.p, at.dp
    if row.policy.focal_target == "geometric":
        log_m = _geometric(c)
    elif row.policy.focal_target == "logit":
        z = arb(p / q).log(), arb(dp / (p * q)), arb(dp * (p - q) / (p * q) ** 2)
        log_m = _of_logit(t, z)
    else:
        log_m = _arithmetic(t, (arb(p), arb(dp), arb(0)), arb(q))
    return _mixed(row.gamma, log_m, c)


def _one_sided(row: Row, at: Point, positive: bool) -> Real | float:
    """Return the second derivative of one side's m^gamma (-log); a sign for an infinite one."""
    gamma, toward = row.gamma, -1 if positive else 1
    m = 1 - at.p if positive else at.p
    log, slope, bend = at.logs[not positive], at.slopes[not positive], at.bends[not positive]
    if slope is None or bend is None or not isinstance(log, Real):
        return 1.0
    if at.dp == 0:
        return power(m, gamma).times(bend)
    if m == 0:
        return _at_the_root(gamma, log, toward * slope)
    return total(
        [
            power(m, gamma).times(bend),
            power(m, gamma - 1).times(2 * gamma * toward * slope),
            product(power(m, gamma - 2), log).times(gamma * (gamma - 1)),
        ]
    )


def _at_the_root(gamma: fmpq, log: Real, toward: fmpq) -> Real | float:
    """Return the limit of a side's second derivative where its factor is 0, given the product of both slopes.

    Its logarithm is 0 too, and of the factor's size beside it, unless it was clipped and is constant.
    """
    constant = log.tail is not None or log.exact != 0
    if gamma == 1:
        return Real(2 * toward)
    if gamma > (2 if constant else 1):
        return Real(ZERO)
    if gamma == 2:
        return log.times(fmpq(2))
    return 1.0 if gamma > 1 or toward != 0 else -1.0


def _mixed(gamma: fmpq, log_m: Jet, c: Jet) -> Real:
    """Return the second derivative of m^gamma c."""
    g, (loss, slope, bend) = arb(gamma), c
    inner = bend + g * (log_m[2] * loss + log_m[1] * (2 * slope + g * log_m[1] * loss))
    return Real(ZERO) if inner.is_zero() else Real(ZERO, (g * log_m[0]).exp() * inner)


def _geometric(c: Jet) -> Jet:
    """Return log(1 - exp(-c)) and its derivatives."""
    loss, slope, bend = c
    odds = 1 / loss.expm1()
    return (-(-loss).expm1()).log(), slope * odds, odds * (bend - slope * slope * (1 + odds))


def _of_logit(t: fmpq, z: Jet) -> Jet:
    """Return log sigmoid(-u) and its derivatives, where u = (2t - 1) z."""
    lean = arb(2 * t - 1)
    u, slope, bend = (lean * part for part in z)
    e = (-abs(u)).exp()
    own, other = (1 / (1 + e), e / (1 + e)) if u > 0 else (e / (1 + e), 1 / (1 + e))
    log = -u - e.log1p() if u > 0 else -e.log1p()
    return log, -slope * own, -own * (bend + slope * slope * other)


def _arithmetic(t: fmpq, p: Jet, q: arb) -> Jet:
    """Return log(t q + (1 - t) p) and its derivatives, where q = 1 - p."""
    m, lean = arb(t) * q + arb(1 - t) * p[0], arb(1 - 2 * t)
    slope = lean * p[1] / m
    return m.log(), slope, lean * p[2] / m - slope * slope
