"""Softmax cross-entropy from log-probabilities (the negative log-likelihood) and from probabilities.

From log-probabilities it is linear: -sum_i t_i y_i, whether or not they are normalised. From probabilities it is
-sum_i t_i log q_i, after what the policies say of their range and sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flint import arb, fmpq

from lossconform.reference.losses.row import Family, Number, Row
from lossconform.reference.real import ZERO, Real, rational, special, total

NAN, INF = math.nan, math.inf


def negative_log_likelihood(row: Row) -> list[Number]:
    """Return -sum t_i y_i; a class with t = 0 is not read in an index target, and is 0 · y elsewhere."""
    sum_ = ZERO
    odd = []
    for i, y in enumerate(row.x):
        t = row.t.get(i, ZERO)
        if t == 0 and (row.gathered or row.policy.zero_times_infinity == "zero" or math.isfinite(y)):
            continue
        if math.isfinite(y):
            sum_ -= t * rational(y)
        else:
            odd.append(-y if t != 0 else NAN)
    found = special(odd)
    return [Real(sum_) if found is None else found]


def negative_log_likelihood_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return -t_j."""
    return [Real(-row.t.get(j, ZERO) * factors[0]) for j in range(len(row.x))]


def _clipped(row: Row, q: Sequence[arb]) -> tuple[list[arb], list[bool]]:
    """Return the probabilities within the policy's range, and which of them were left alone."""
    if row.clip is None:
        return list(q), [True] * len(q)
    low, high = arb(row.clip[0]), arb(row.clip[1])
    inside = [bool(v >= low) and bool(v <= high) for v in q]
    return [v if ok else (low if bool(v < low) else high) for v, ok in zip(q, inside, strict=True)], inside


def _normalised(row: Row) -> tuple[list[arb], fmpq]:
    """Return the probabilities as the policy has them sum, and what they were divided by."""
    if row.policy.probability_sum == "renormalised":
        scale = sum((rational(v) for v in row.x), ZERO)
        return [arb(rational(v) / scale) for v in row.x], scale
    return [arb(v) for v in row.x], fmpq(1)


def _improper(row: Row) -> bool:
    """Whether a probability is NaN, infinite, or the row cannot be renormalised."""
    if not all(math.isfinite(v) for v in row.x):
        return True
    return row.policy.probability_sum == "renormalised" and sum(row.x) == 0


def from_probabilities(row: Row) -> list[Number]:
    """Return -sum t_i log q_i; inf where t_i > 0 and q_i = 0, NaN for a negative probability."""
    if _improper(row):
        return [NAN]
    q, _ = _clipped(row, _normalised(row)[0])
    terms: list[Real] = []
    zero = row.policy.zero_times_infinity == "nan" and not row.gathered
    for i, v in enumerate(q):
        t = row.t.get(i, ZERO)
        if bool(v < 0):
            return [NAN]
        if bool(v == 0):
            if t == 0 and not zero:
                continue
            return [INF if t != 0 else NAN]
        if t != 0 and not bool(v == 1):
            terms.append(Real(ZERO, -v.log(), 1 if bool(v < 1) else 0).times(t))
    return [total(terms)]


def from_probabilities_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return -t_j / q_j, plus T / Q where a row is divided by its sum Q; nothing where it is clipped."""
    n = len(row.x)
    if _improper(row):
        return [NAN] * n
    q, scale = _normalised(row)
    _, inside = _clipped(row, q)
    pulled = ZERO
    if row.policy.probability_sum == "renormalised":
        pulled = sum((t for i, t in row.t.items() if inside[i]), ZERO) / scale
    result: list[Number] = []
    for j in range(n):
        t = row.t.get(j, ZERO) if inside[j] else ZERO
        if t != 0 and row.x[j] == 0:
            result.append(-INF)
            continue
        own = t / rational(row.x[j]) if t != 0 else ZERO
        result.append(Real((pulled - own) * factors[0]))
    return result


LOG_PROBABILITIES = Family(negative_log_likelihood, negative_log_likelihood_gradient)
PROBABILITIES = Family(from_probabilities, from_probabilities_gradient)
