"""Binary cross-entropy from logits and from probabilities, element by element, and log-sigmoid.

From a logit: a softplus(-z) + b softplus(z), where a and b are the weights of the positive and the negative term, and
softplus(z) = max(z, 0) + log1p(exp(-abs z)). From a probability: -a log p - b log(1 - p).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flint import arb, fmpq

from lossconform.reference.losses.row import Family, Number, Row, infinite
from lossconform.reference.real import ZERO, Real, rational, special, total

NAN, INF = math.nan, math.inf
LOG_FLOOR = fmpq(100)
DIVISOR_FLOOR = rational(9.999999960041972e-13)
"""1e-12 as a float32, which is how PyTorch has it (ATen, Loss.cpp)."""


def _softplus(z: float) -> Number:
    if math.isinf(z):
        return INF if z > 0 else Real(ZERO)
    tail = arb(-abs(z)).exp().log1p()
    return Real(rational(max(z, 0.0)), tail, 1)


def _weighted(weight: fmpq, term: Number, zero_times_infinity: str) -> Number:
    if isinstance(term, Real):
        return term.times(weight)
    if weight == 0 and zero_times_infinity == "zero":
        return Real(ZERO)
    return NAN if weight == 0 else term


def _added(a: Number, b: Number) -> Number:
    if isinstance(a, Real) and isinstance(b, Real):
        return total([a, b])
    return (0.0 if isinstance(a, Real) else a) + (0.0 if isinstance(b, Real) else b)


def reduced(row: Row, values: list[Number]) -> list[Number]:
    """Return the row's values as the policy reduces its class axis."""
    rule = row.policy.class_axis_reduction
    if rule == "none":
        return values
    odd = special(v for v in values if not isinstance(v, Real))
    if odd is not None:
        return [odd]
    whole = total(v for v in values if isinstance(v, Real))
    return [whole.times(fmpq(1, len(values))) if rule == "mean" else whole]


def spread(row: Row, factors: Sequence[fmpq]) -> list[fmpq]:
    """Return the factor of each element, given those of the row's values."""
    n = len(row.x)
    rule = row.policy.class_axis_reduction
    if rule == "none":
        return list(factors)
    return [factors[0] / n if rule == "mean" else factors[0]] * n


def from_logits(row: Row) -> list[Number]:
    """Return a softplus(-z) + b softplus(z) for each element."""
    rule = row.policy.zero_times_infinity
    values: list[Number] = []
    for i, z in enumerate(row.x):
        if math.isnan(z):
            values.append(NAN)
            continue
        positive = _weighted(row.t.get(i, ZERO), _softplus(-z), rule)
        negative = _weighted(row.b.get(i, ZERO), _softplus(z), rule)
        values.append(_added(positive, negative))
    return reduced(row, values)


def _sigmoid(z: float) -> Real:
    if z == 0:
        return Real(fmpq(1, 2))
    e = arb(-abs(z)).exp()
    return Real(ZERO, (e if z < 0 else arb(1)) / (e + 1), 1)


def from_logits_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return b sigmoid(z) - a sigmoid(-z) for each element."""
    result: list[Number] = []
    for i, (z, factor) in enumerate(zip(row.x, spread(row, factors), strict=True)):
        a, b = row.t.get(i, ZERO), row.b.get(i, ZERO)
        if math.isnan(z):
            result.append(NAN)
        elif math.isinf(z):
            result.append(Real((b if z > 0 else -a) * factor))
        else:
            result.append(total([_sigmoid(z).times(b), _sigmoid(-z).times(-a)]).times(factor))
    return result


def log_sigmoid(row: Row) -> list[Number]:
    """Return -softplus(-z) for each element."""
    values = [NAN if math.isnan(z) else _softplus(-z) for z in row.x]
    return [v.times(fmpq(-1)) if isinstance(v, Real) else -v for v in values]


def log_sigmoid_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return sigmoid(-z) for each element."""
    result: list[Number] = []
    for z, factor in zip(row.x, factors, strict=True):
        if math.isnan(z):
            result.append(NAN)
        elif math.isinf(z):
            result.append(Real(factor if z < 0 else ZERO))
        else:
            result.append(_sigmoid(-z).times(factor))
    return result


def _range(row: Row, p: float) -> tuple[fmpq, bool]:
    """Return the probability within the policy's range, and whether it was left alone."""
    if row.clip is None or row.clip[0] <= p <= row.clip[1]:
        return rational(p), True
    return rational(row.clip[0] if p < row.clip[0] else row.clip[1]), False


def _negative_log(p: fmpq, clamped: bool) -> Number:
    """Return -log p, at most 100 where the policy clamps it; inf at 0, NaN below."""
    if p < 0:
        return NAN
    if p == 0:
        return Real(LOG_FLOOR) if clamped else INF
    if p == 1:
        return Real(ZERO)
    tail = -arb(p).log()
    if clamped and bool(tail > 100):
        return Real(LOG_FLOOR)
    return Real(ZERO, tail, 1 if p < 1 else -1)


def from_probabilities(row: Row) -> list[Number]:
    """Return -a log p - b log(1 - p) for each element."""
    clamped = row.policy.probability_range.endswith("log_clamped")
    rule = row.policy.zero_times_infinity
    values: list[Number] = []
    for i, p in enumerate(row.x):
        if not math.isfinite(p):
            values.append(NAN)
            continue
        q, _ = _range(row, p)
        positive = _weighted(row.t.get(i, ZERO), _negative_log(q, clamped), rule)
        negative = _weighted(row.b.get(i, ZERO), _negative_log(1 - q, clamped), rule)
        values.append(_added(positive, negative))
    return reduced(row, values)


def from_probabilities_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return (b p - a (1 - p)) / (p (1 - p)) for each element: -a / p + b / (1 - p)."""
    clamped = row.policy.probability_range.endswith("log_clamped")
    result: list[Number] = []
    for i, (p, factor) in enumerate(zip(row.x, spread(row, factors), strict=True)):
        if not math.isfinite(p):
            result.append(NAN)
            continue
        q, inside = _range(row, p)
        a, b = row.t.get(i, ZERO), row.b.get(i, ZERO)
        divisor = q * (1 - q)
        if clamped:
            divisor = max(divisor, DIVISOR_FLOOR)
        if not inside:
            result.append(Real(ZERO))
        elif divisor != 0:
            result.append(Real((b * q - a * (1 - q)) / divisor * factor))
        elif (a if q == 0 else b) == 0:
            result.append(Real((b if q == 0 else -a) * factor))
        else:
            result.append(infinite(-1 if q == 0 else 1, factor))
    return result


def _curvature(z: float) -> Real:
    """Return sigmoid(z) sigmoid(-z): exactly 1/4 at 0, and 0 at the infinities."""
    if z == 0 or math.isinf(z):
        return Real(ZERO if z else fmpq(1, 4))
    e = arb(-abs(z)).exp()
    return Real(ZERO, e / (e + 1) ** 2, 1)


def from_logits_hessian_product(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return (a + b) sigmoid(z) sigmoid(-z) v for each element."""
    result: list[Number] = []
    for i, (z, factor) in enumerate(zip(row.x, spread(row, factors), strict=True)):
        mass = row.t.get(i, ZERO) + row.b.get(i, ZERO)
        result.append(NAN if math.isnan(z) else _curvature(z).times(mass * factor * direction[i]))
    return result


def log_sigmoid_hessian_product(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return -sigmoid(z) sigmoid(-z) v for each element."""
    scales = [-c * v for c, v in zip(factors, direction, strict=True)]
    return [NAN if math.isnan(z) else _curvature(z).times(c) for z, c in zip(row.x, scales, strict=True)]


def from_probabilities_hessian_product(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return (a / p² + b / (1 - p)²) v for each element, nothing where it is clipped.

    Where the policy holds the gradient's divisor at its floor that is (a + b) v over the floor. All of it is rational.
    """
    clamped = row.policy.probability_range.endswith("log_clamped")
    result: list[Number] = []
    for i, (p, factor) in enumerate(zip(row.x, spread(row, factors), strict=True)):
        if not math.isfinite(p):
            result.append(NAN)
            continue
        q, inside = _range(row, p)
        a, b, scale = row.t.get(i, ZERO), row.b.get(i, ZERO), factor * direction[i]
        if not inside:
            result.append(Real(ZERO))
        elif clamped and q * (1 - q) < DIVISOR_FLOOR:
            result.append(Real((a + b) / DIVISOR_FLOOR * scale))
        elif (q == 0 and a != 0) or (q == 1 and b != 0):
            result.append(infinite(1, scale))
        else:
            positive = a / (q * q) if a != 0 else ZERO
            negative = b / ((1 - q) * (1 - q)) if b != 0 else ZERO
            result.append(Real((positive + negative) * scale))
    return result


LOGITS = Family(from_logits, from_logits_gradient)
PROBABILITIES = Family(from_probabilities, from_probabilities_gradient)
LOG_SIGMOID = Family(log_sigmoid, log_sigmoid_gradient)
