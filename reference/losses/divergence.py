"""KL divergence of a target from a prediction, element by element: t (log t - log q), with 0 log 0 = 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flint import arb, fmpq

from lossconform.reference.losses.binary import reduced, spread
from lossconform.reference.losses.row import Family, Number, Row, infinite
from lossconform.reference.real import ZERO, Real, rational, total

NAN, INF = math.nan, math.inf


def _bounded(v: fmpq, clip: tuple[float, float] | None) -> tuple[fmpq, bool]:
    if clip is None:
        return v, True
    low, high = rational(clip[0]), rational(clip[1])
    return (low, False) if v < low else (high, False) if v > high else (v, True)


def _mass(row: Row, i: int) -> Real:
    """Return the target of one element times the row's weight."""
    if row.weight == 0:
        return Real(ZERO)
    if row.log_t is None:
        return Real(_bounded(row.t.get(i, ZERO) / row.weight, row.target_clip)[0] * row.weight)
    log_t = row.log_t[i]
    if log_t == -INF:
        return Real(ZERO)
    return Real(row.weight) if log_t == 0 else Real(ZERO, arb(log_t).exp(), 1).times(row.weight)


def _term(row: Row, i: int, q: Real | float, log: bool) -> Number:
    """Return w t (log t - log q) for one element, given q, or log q where `log`."""
    mass = _mass(row, i)
    if mass.tail is None and mass.exact == 0:
        return _nothing(row, q, log)
    if isinstance(q, float):  # NaN or an infinite log q
        return -q
    if q.tail is None and not log and q.exact == 0:
        return INF
    if row.log_t is None:
        t = mass.exact / row.weight
        return (_minus(_log(t), q) if log else _log(t / q.exact)).times(mass.exact)
    gap = _minus(Real(rational(row.log_t[i])), q if log else _log(q.exact))
    if mass.tail is None:
        return gap.times(mass.exact)
    if gap.tail is None:
        sign = (gap.exact > 0) - (gap.exact < 0)
        return Real(ZERO, mass.tail * arb(gap.exact), sign) if sign else Real(ZERO)
    return Real(ZERO, mass.tail * (gap.tail + arb(gap.exact)))


def _log(q: fmpq) -> Real:
    """Return the logarithm of a positive rational."""
    return Real(ZERO) if q == 1 else Real(ZERO, arb(q).log(), 1 if q > 1 else -1)


def _minus(a: Real, b: Real) -> Real:
    return total([a, b.times(fmpq(-1))])


def _nothing(row: Row, q: Real | float, log: bool) -> Number:
    """Return 0 · (log 0 - log q), where 0 log 0 is 0: NaN for an infinite log q where the policy says so."""
    if isinstance(q, float) and math.isnan(q):
        return NAN
    # A target given as its logarithm, -inf, is an infinity of its own, whatever the prediction.
    infinite_log = isinstance(q, float) or (not log and q.exact == 0) or row.log_t is not None
    return NAN if infinite_log and row.policy.zero_times_infinity == "nan" else Real(ZERO)


def _prediction(row: Row, i: int, log: bool) -> Real | float:
    """Return the element of the prediction: log q where `log`, else q; a float where it is not a number one can use."""
    x = row.x[i]
    if log:
        return Real(rational(x)) if math.isfinite(x) else x
    if not math.isfinite(x):
        return NAN
    q, _ = _bounded(rational(x), row.clip)
    return NAN if q < 0 else Real(q)


def _value(row: Row, log: bool) -> list[Number]:
    taking = range(len(row.x))
    return reduced(row, [_term(row, i, _prediction(row, i, log), log) if row.where[i] else Real(ZERO) for i in taking])


def _gradient(row: Row, factors: Sequence[fmpq], log: bool) -> list[Number]:
    result: list[Number] = []
    for i, factor in enumerate(spread(row, factors)):
        mass = _mass(row, i).times(-factor)
        if not row.where[i]:
            result.append(Real(ZERO))
        elif log:
            result.append(mass)
        elif not math.isfinite(row.x[i]):
            result.append(NAN)
        else:
            q, inside = _bounded(rational(row.x[i]), row.clip)
            if not inside or (mass.tail is None and mass.exact == 0):
                result.append(Real(ZERO))
            else:
                result.append(infinite(-1, factor) if q == 0 else mass.times(1 / q))
    return result


def linear_hessian_product(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:  # noqa: ARG001
    """Return 0: from log-probabilities it is linear."""
    return [Real(ZERO)] * len(row.x)


def from_probabilities_hessian_product(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return w t v / q² for each element, nothing where it is masked or clipped."""
    result: list[Number] = []
    for i, factor in enumerate(spread(row, factors)):
        mass, scale = _mass(row, i), factor * direction[i]
        if not row.where[i]:
            result.append(Real(ZERO))
        elif not math.isfinite(row.x[i]):
            result.append(NAN)
        else:
            q, inside = _bounded(rational(row.x[i]), row.clip)
            if not inside or (mass.tail is None and mass.exact == 0):
                result.append(Real(ZERO))
            else:
                result.append(infinite(1, scale) if q == 0 else mass.times(scale / (q * q)))
    return result


def _family(log: bool) -> Family:
    return Family(lambda row: _value(row, log), lambda row, c: _gradient(row, c, log))


LOG_PROBABILITIES = _family(True)
PROBABILITIES = _family(False)
