"""Softmax cross-entropy from log-probabilities (the negative log-likelihood) and from probabilities.

From log-probabilities it is linear: -sum_i t_i y_i, whether or not they are normalised. From probabilities it is
-sum_i t_i log q_i, after what the policies say of their range and sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flint import arb, fmpq

from lossconform.reference.losses.row import Family, Number, Row, infinite
from lossconform.reference.real import ONE, ZERO, Real, rational, special, total

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


STEPS = {"as_given": ("clip",), "renormalised": ("divide", "clip"), "renormalised_last": ("clip", "divide")}
"""What is done to a row of probabilities, in order, for each way to treat its sum."""


def _read(row: Row) -> tuple[list[fmpq], list[bool], fmpq] | None:
    """Return the probabilities as the policies have them, which were left unclipped, and what they were divided by.

    None for a row with NaN or an infinity, or one that sums to 0 and cannot be renormalised.
    """
    if not all(math.isfinite(v) for v in row.x):
        return None
    q, inside, scale = [rational(v) for v in row.x], [True] * len(row.x), ONE
    for step in STEPS[row.policy.probability_sum]:
        if step == "divide":
            scale = sum(q, ZERO)
            if scale == 0:
                return None
            q = [v / scale for v in q]
        elif row.clip is not None:
            low, high = rational(row.clip[0]), rational(row.clip[1])
            inside = [low <= v <= high for v in q]
            q = [min(max(v, low), high) for v in q]
    return q, inside, scale


def from_probabilities(row: Row) -> list[Number]:
    """Return -sum t_i log q_i; inf where t_i > 0 and q_i = 0, NaN for a negative probability."""
    read = _read(row)
    if read is None or any(v < 0 for v in read[0]):
        return [NAN]
    terms: list[Real] = []
    odd: list[float] = []
    strict = row.policy.zero_times_infinity == "nan" and not row.gathered
    for i, v in enumerate(read[0]):
        t = row.t.get(i, ZERO)
        if v == 0 and (t != 0 or strict):
            odd.append(INF if t != 0 else NAN)
        elif t != 0 and v != 1:
            terms.append(Real(ZERO, -arb(v).log(), 1 if v < 1 else -1).times(t))
    found = special(odd)
    return [total(terms) if found is None else found]


def from_probabilities_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return -t_j / q_j, nothing where it is clipped, plus T / Q where a row is divided by its sum Q.

    Divided first, clipped classes share in Q but not in T; divided last, in T but not in Q.
    """
    (factor,) = factors
    read = _read(row)
    if read is None:
        return [NAN] * len(row.x)
    _, inside, scale = read
    last = row.policy.probability_sum == "renormalised_last"
    pulled = ZERO
    if row.policy.probability_sum != "as_given":
        pulled = sum((t for i, t in row.t.items() if inside[i] or last), ZERO) / scale
    result: list[Number] = []
    for j, x in enumerate(row.x):
        t = row.t.get(j, ZERO) if inside[j] else ZERO
        if t != 0 and x == 0:
            result.append(infinite(-1, factor))
        else:
            own = t / rational(x) if t != 0 else ZERO
            shared = pulled if inside[j] or not last else ZERO
            result.append(Real((shared - own) * factor))
    return result


def from_probabilities_hessian_product(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return t_j v_j / q_j², nothing where it is clipped, less T V / Q² where a row is divided by its sum Q.

    V is the sum of the v_i that move Q: all of them where a row is divided first, those not clipped where last.
    """
    (factor,) = factors
    read = _read(row)
    if read is None:
        return [NAN] * len(row.x)
    _, inside, scale = read
    last = row.policy.probability_sum == "renormalised_last"
    pulled = ZERO
    if row.policy.probability_sum != "as_given":
        mass = sum((t for i, t in row.t.items() if inside[i] or last), ZERO)
        pulled = mass * sum((v for i, v in enumerate(direction) if inside[i] or not last), ZERO) / (scale * scale)
    result: list[Number] = []
    for j, (x, v) in enumerate(zip(row.x, direction, strict=True)):
        t = row.t.get(j, ZERO) if inside[j] and v != 0 else ZERO
        if t != 0 and x == 0:
            result.append(infinite(1, v * factor))
        else:
            own = t * v / (rational(x) * rational(x)) if t != 0 else ZERO
            shared = pulled if inside[j] or not last else ZERO
            result.append(Real((own - shared) * factor))
    return result


LOG_PROBABILITIES = Family(negative_log_likelihood, negative_log_likelihood_gradient)
PROBABILITIES = Family(from_probabilities, from_probabilities_gradient)
