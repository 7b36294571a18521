"""Focal loss from logits and from probabilities, element by element: alpha_t (1 - p_t)^gamma (-log p_t).

At gamma 0 it is binary cross-entropy, of which it is made otherwise too. Of probabilities as logits, for the policy
value `logit`, the slope at 0 and 1 is not looked after: it is NaN for fractional targets.

Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, arXiv 1708.02002.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flint import arb, fmpq

from lossconform.reference.losses import binary
from lossconform.reference.losses.focal_factor import (
    HALF,
    NAN,
    Element,
    Mixture,
    arithmetic,
    at_the_end,
    element,
    geometric,
    impossible,
    of_logit,
    power,
    product,
    side,
    weighed,
    without_factor,
)
from lossconform.reference.losses.focal_point import Point, point
from lossconform.reference.losses.row import Family, Number, Row, infinite
from lossconform.reference.real import ONE, ZERO, Real, rational, total


def from_logits(row: Row) -> list[Number]:
    """Return the loss of each element."""
    if row.gamma == 0:
        return binary.from_logits(without_factor(row))
    values: list[Number] = []
    for i, z in enumerate(row.x):
        e = element(row, i)
        if math.isnan(z):
            values.append(NAN)
        elif math.isinf(z):
            values.append(impossible(row, e, z < 0))
        elif e.mixed:
            values.append(_at_logit(row, e.t, z).value(row.gamma).times(e.weight))
        else:
            values.append(total(side(x, row.gamma)[0].times(w) for x, w in ((-z, e.a), (z, e.b)) if w != 0))
    return binary.reduced(row, values)


def from_logits_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return the derivative of each element; at an infinite logit its limit."""
    if row.gamma == 0:
        return binary.from_logits_gradient(without_factor(row), factors)
    result: list[Number] = []
    for i, (z, factor) in enumerate(zip(row.x, binary.spread(row, factors), strict=True)):
        e = element(row, i)
        if math.isnan(z):
            result.append(NAN)
            continue
        if math.isinf(z):
            share, weight, m = at_the_end(row, e, z < 0)
            slope = power(m, row.gamma).times(weight * (share if e.mixed else 1) * (-1 if z < 0 else 1))
        elif e.mixed:
            slope = _at_logit(row, e.t, z).derivative(row.gamma).times(e.weight)
        elif z == 0:
            # Both sides have the same slope there, and may cancel.
            slope = side(z, row.gamma)[1].times(e.b - e.a)
        else:
            slope = total(side(x, row.gamma)[1].times(w) for x, w in ((-z, -e.a), (z, e.b)) if w != 0)
        result.append(slope.times(factor))
    return result


def _at_logit(row: Row, t: fmpq, z: float) -> Mixture:
    """Return the mixture of a finite logit."""
    p, q = binary._sigmoid(z), binary._sigmoid(-z)
    positive, negative = binary._softplus(-z), binary._softplus(z)
    assert isinstance(positive, Real) and isinstance(negative, Real)  # noqa: S101, PT018 - of a finite logit
    c, slope = total([positive.times(t), negative.times(1 - t)]), total([p, Real(-t)])
    if row.policy.focal_target == "geometric":
        return geometric(c, slope)
    if row.policy.focal_target == "logit":
        return of_logit(t, c, slope, Real(rational(z)), ONE)
    return arithmetic(t, c, slope, (p, q), product(p, q))


def _at_probability(row: Row, t: fmpq, at: Point) -> Mixture | None:
    """Return the mixture of a probability with finite logarithms; None for `logit` at 0 and 1."""
    positive, negative = at.finite_logs()
    c = total([positive.times(t), negative.times(1 - t)])
    p, slope = at.p, Real(t * (at.slopes[0] or ZERO) + (1 - t) * (at.slopes[1] or ZERO))
    if row.policy.focal_target == "geometric":
        return geometric(c, slope)
    if row.policy.focal_target == "arithmetic":
        return arithmetic(t, c, slope, (Real(p), Real(1 - p)), Real(at.dp))
    if p == 0 or p == 1:
        return None
    z = Real(ZERO) if p == HALF else Real(ZERO, arb(p / (1 - p)).log(), 1 if p > HALF else -1)
    return of_logit(t, c, slope, z, at.dp / (p * (1 - p)))


def from_probabilities(row: Row) -> list[Number]:
    """Return the loss of each element; NaN outside of [0, 1]."""
    if row.gamma == 0:
        return binary.from_probabilities(without_factor(row))
    values: list[Number] = []
    for i, x in enumerate(row.x):
        e, at = element(row, i), point(row, x)
        values.append(NAN if at is None else _probability_value(row, e, at))
    return binary.reduced(row, values)


def _probability_value(row: Row, e: Element, at: Point) -> Number:
    end = at.infinite_end
    if end is not None:
        return impossible(row, e, end)
    if not e.mixed:
        return total(
            product(power(m, row.gamma), log).times(w)
            for m, w, log in zip((1 - at.p, at.p), (e.a, e.b), at.logs, strict=True)
            if isinstance(log, Real)
        )
    mixture = _at_probability(row, e.t, at)
    if mixture is not None:
        return mixture.value(row.gamma).times(e.weight)
    positive, negative = at.finite_logs()
    factor = power(at_the_end(row, e, at.p == 0)[2], row.gamma)
    return product(factor, total([positive.times(e.t), negative.times(1 - e.t)])).times(e.weight)


def from_probabilities_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return the derivative of each element; infinite where the loss is, and at factors 0 with gamma below 1."""
    if row.gamma == 0:
        return binary.from_probabilities_gradient(without_factor(row), factors)
    result: list[Number] = []
    for i, (x, factor) in enumerate(zip(row.x, binary.spread(row, factors), strict=True)):
        e, at = element(row, i), point(row, x)
        result.append(NAN if at is None else _probability_slope(row, e, at, factor))
    return result


def _probability_slope(row: Row, e: Element, at: Point, factor: fmpq) -> Number:
    end = at.infinite_end
    if e.mixed and end is None:
        mixture = _at_probability(row, e.t, at)
        return NAN if mixture is None else mixture.derivative(row.gamma).times(e.weight * factor)
    if e.mixed:
        _, weight, m = at_the_end(row, e, bool(end))
        return infinite(-1 if end else 1, weight * factor) if m != 0 else NAN
    sides = [_one_sided(row, at, positive) for positive in (True, False)]
    return weighed(sides, (e.a * factor, e.b * factor))


def _one_sided(row: Row, at: Point, positive: bool) -> Real | float:
    """Return the derivative of one side's m^gamma (-log); a sign for an infinite one."""
    toward = -1 if positive else 1
    m = 1 - at.p if positive else at.p
    log, slope = at.logs[not positive], at.slopes[not positive]
    if slope is None or not isinstance(log, Real):
        return float(toward)
    own = power(m, row.gamma).times(slope)
    if at.dp == 0 or (log.tail is None and log.exact == 0):
        return own
    if m == 0:
        if row.gamma < 1:
            return float(toward)
        return total([own, log.times(fmpq(toward)) if row.gamma == 1 else Real(ZERO)])
    return total([own, product(power(m, row.gamma - 1), log).times(toward * row.gamma)])


LOGITS = Family(from_logits, from_logits_gradient)
PROBABILITIES = Family(from_probabilities, from_probabilities_gradient)
