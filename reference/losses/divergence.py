"""KL divergence of a target from a prediction, element by element: t (log t - log q), with 0 log 0 = 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flint import arb, fmpq

from lossconform.reference.losses.binary import _added, _reduced, _spread
from lossconform.reference.losses.row import Family, Number, Row
from lossconform.reference.real import ZERO, Real, rational

NAN, INF = math.nan, math.inf


def _bounded(v: fmpq, clip: tuple[float, float] | None) -> tuple[fmpq, bool]:
    if clip is None:
        return v, True
    low, high = rational(clip[0]), rational(clip[1])
    return (low, False) if v < low else (high, False) if v > high else (v, True)


def _term(row: Row, i: int, log_q: Number) -> Number:
    """Return w t (log t - log q) for one element, given log q."""
    if row.log_t is not None:
        log_t = row.log_t[i]
        if math.isnan(log_t) or log_t == INF:
            return NAN
        if log_t == -INF:
            return _nothing(row, log_q)
        t = arb(log_t).exp() * arb(row.weight)
        if not isinstance(log_q, Real):
            return -log_q
        gap = Real(rational(log_t) - log_q.exact, None if log_q.tail is None else -log_q.tail, -log_q.sign)
        if gap.tail is None:
            sign = 0 if gap.exact == 0 else 1 if gap.exact > 0 else -1
            return Real(ZERO, t * arb(gap.exact), sign) if sign else Real(ZERO)
        return Real(ZERO, t * (gap.tail + arb(gap.exact)))
    t = row.t.get(i, ZERO)
    if row.weight != 0:
        t, _ = _bounded(t / row.weight, row.target_clip)
        t *= row.weight
    if t == 0:
        return _nothing(row, log_q)
    if not isinstance(log_q, Real):
        return -log_q
    own = t / row.weight
    log_t_part = Real(ZERO) if own == 1 else Real(ZERO, arb(own).log(), 1 if own > 1 else -1)
    return _added(log_t_part, log_q.times(fmpq(-1))).times(t)  # type: ignore[union-attr]


def _nothing(row: Row, log_q: Number) -> Number:
    """Return 0 · (log 0 - log q), where 0 log 0 is 0: NaN for an infinite log q where the policy says so."""
    if isinstance(log_q, Real) or row.policy.zero_times_infinity == "zero":
        return NAN if isinstance(log_q, float) and math.isnan(log_q) else Real(ZERO)
    return NAN


def _log_prediction(row: Row, i: int, probabilities: bool) -> Number:
    x = row.x[i]
    if not probabilities:
        return Real(rational(x)) if math.isfinite(x) else x
    if not math.isfinite(x):
        return NAN
    q, _ = _bounded(rational(x), row.clip)
    if q <= 0:
        return -INF if q == 0 else NAN
    return Real(ZERO) if q == 1 else Real(ZERO, arb(q).log(), 1 if q > 1 else -1)


def _value(row: Row, probabilities: bool) -> list[Number]:
    values: list[Number] = []
    for i in range(len(row.x)):
        if not row.where[i]:
            values.append(Real(ZERO))
        else:
            values.append(_term(row, i, _log_prediction(row, i, probabilities)))
    return _reduced(row, values)


def _mass(row: Row, i: int) -> Real:
    """Return the weighted target of one element."""
    if row.log_t is not None:
        log_t = row.log_t[i]
        if log_t == -INF:
            return Real(ZERO)
        return Real(row.weight) if log_t == 0 else Real(ZERO, arb(log_t).exp(), 1).times(row.weight)
    t = row.t.get(i, ZERO)
    if row.weight == 0:
        return Real(ZERO)
    return Real(_bounded(t / row.weight, row.target_clip)[0] * row.weight)


def _gradient(row: Row, factors: Sequence[fmpq], probabilities: bool) -> list[Number]:
    result: list[Number] = []
    for i, factor in enumerate(_spread(row, factors)):
        mass = _mass(row, i).times(-factor)
        if not row.where[i]:
            result.append(Real(ZERO))
        elif not probabilities:
            result.append(mass)
        elif not math.isfinite(row.x[i]):
            result.append(NAN)
        else:
            q, inside = _bounded(rational(row.x[i]), row.clip)
            if not inside or (mass.tail is None and mass.exact == 0):
                result.append(Real(ZERO))
            else:
                result.append(-INF if q == 0 else mass.times(1 / q))
    return result


def _family(probabilities: bool) -> Family:
    return Family(lambda row: _value(row, probabilities), lambda row, c: _gradient(row, c, probabilities))


LOG_PROBABILITIES = _family(False)
PROBABILITIES = _family(True)
