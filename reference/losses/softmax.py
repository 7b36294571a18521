"""Losses of the softmax of logits: log-sum-exp, softmax, log-softmax, entropy, softmax cross-entropy.

With m the largest logit, e_i = exp(x_i - m), R the sum of e_i over all classes but one of the largest, S = 1 + R and
p_i = e_i / S: LSE = m + log1p(R), and a cross-entropy is sum_i t_i (m - x_i) + T log1p(R) with T = sum_i t_i. Both
terms are nonnegative. By the Lindemann-Weierstrass theorem a nonzero combination of exponentials of distinct logits is
never 0, so exact results arise only from ties and from rows with one class: those are rational here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

from flint import arb, fmpq

from lossconform.reference.losses.row import Family, Number, Row
from lossconform.reference.real import ONE, ZERO, Real, added, difference, multiplied, rational, total

NAN, INF = math.nan, math.inf
ZERO_BALL, ONE_BALL = arb(0), arb(1)
EXP, LOG1P = arb.exp, arb.log1p
"""Called so, they take two thirds of the time of a method that is looked up."""


@dataclass
class Parts:
    """The softmax of a row. `special` is NaN, or the index of the one infinite logit; then nothing else is set."""

    special: float | int | None = None
    top: int = 0
    active: Sequence[int] = ()
    balls: Sequence[arb] = ()
    rest: arb = ZERO_BALL
    tied: bool = False

    @cached_property
    def e(self) -> dict[int, arb]:
        """e_i of each class that takes part."""
        return dict(zip(self.active, self.balls, strict=True))

    @cached_property
    def total(self) -> arb:
        """S."""
        return self.rest + 1

    def log_total(self, more: fmpq = ZERO) -> Real:
        """Return log S and a rational more."""
        return Real(more, LOG1P(self.rest), 1) if len(self.active) > 1 else Real(more)

    def p(self, j: int) -> Real:
        """Return the softmax of class j."""
        e = self.e.get(j)
        if e is None:
            return Real(ZERO)
        return Real(fmpq(1, len(self.active))) if self.tied else Real(ZERO, e / self.total, 1)

    def multiple(self, factor: fmpq, n: int) -> list[Real]:
        """Return the factor times the softmax of each of n classes."""
        if factor == 0 or self.tied:
            share = Real(factor / max(len(self.active), 1))
            return [share if j in self.e else Real(ZERO) for j in range(n)]
        ball, sign = arb(factor) / self.total, 1 if factor > 0 else -1
        if len(self.balls) == n:
            return [Real(ZERO, e * ball, sign) for e in self.balls]
        return [Real(ZERO, self.e[j] * ball, sign) if j in self.e else Real(ZERO) for j in range(n)]


def parts(row: Row) -> Parts:
    """Return the softmax of a row, computed once."""
    if row.parts is None:
        row.parts = _parts(row)
    result: Parts = row.parts
    return result


def _parts(row: Row) -> Parts:
    x = row.x
    active: Sequence[int] = range(len(x))
    values = x
    which = row.top
    if not row.plain:
        active = [i for i, taken in enumerate(row.where) if taken and x[i] != -INF]
        values = [x[i] for i in active]
        if not active or any(map(math.isnan, values)):
            return Parts(special=NAN)
        which = values.index(max(values))
    highest, top = values[which], active[which]
    if highest == INF:
        alone = values.count(INF) == 1
        return Parts(special=top if alone and row.policy.infinite_logit != "nan" else NAN)
    k = len(active)
    if values.count(highest) == k:
        return Parts(None, top, active, [ONE_BALL] * k, arb(k - 1), tied=True)
    less = -arb(highest)
    balls = list(map(EXP, [less + v for v in values]))
    balls[which] = ZERO_BALL
    rest = sum(balls, ZERO_BALL)
    balls[which] = ONE_BALL
    return Parts(None, top, active, balls, rest)


def _gap(row: Row, q: Parts, i: int) -> fmpq:
    return ZERO if i == q.top else difference(row.x[q.top], row.x[i])


def _own_loss(row: Row) -> Number:
    """Return the loss of the one infinite logit's own label."""
    return NAN if row.policy.infinite_logit == "as_difference" else Real(ZERO)


def _log_p(row: Row, q: Parts, i: int) -> Number:
    """Return -log p_i >= 0."""
    if q.special is not None:
        if isinstance(q.special, float):
            return NAN
        return _own_loss(row) if i == q.special else INF
    if not row.where[i] or row.x[i] == -INF:
        return INF
    return q.log_total(_gap(row, q, i))


def cross_entropy(row: Row) -> list[Number]:
    """Return sum_i t_i (LSE - x_i); inf where a class with t > 0 has p = 0."""
    q = parts(row)
    if isinstance(q.special, float):
        return [NAN]
    if not row.gathered and row.policy.zero_times_infinity == "nan" and _zero_times_infinity(row):
        return [NAN]
    if q.special is not None:
        own = _own_loss(row) if q.special in row.t else Real(ZERO)
        return [INF if isinstance(own, Real) and set(row.t) - {q.special} else own]
    mass, gap = ZERO, ZERO
    for i, t in row.t.items():
        if not row.where[i] or row.x[i] == -INF:
            return [INF]
        mass, gap = added(mass, t), added(gap, multiplied(t, _gap(row, q, i)))
    return [q.log_total(gap) if mass is ONE else q.log_total().times(mass).plus(gap)]


def labelled_cross_entropy(x: Sequence[float], label: int, top: int) -> Real:
    """Return LSE - x_y of two or more finite logits."""
    highest = x[top]
    less = -arb(highest)
    balls = list(map(EXP, [less + v for v in x]))
    balls[top] = ZERO_BALL
    return Real(difference(highest, x[label]), LOG1P(sum(balls, ZERO_BALL)), 1)


def _zero_times_infinity(row: Row) -> bool:
    return any(row.x[i] == -INF and row.where[i] and i not in row.t for i in range(len(row.x)))


def cross_entropy_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return T p_j - t_j, or w p_j - t_j where the policy takes the target to sum to 1."""
    (factor,) = factors
    q = parts(row)
    n = len(row.x)
    mass = row.weight if row.policy.target_sum == "assumed_one" else reduce(added, row.t.values(), ZERO)
    if q.special is not None:
        return [NAN] * n
    result: list[Number] = list(q.multiple(multiplied(mass, factor), n))
    for j, t in row.t.items():
        result[j] = _difference(q, j, mass, t).times(factor)
    return result


def _difference(q: Parts, j: int, mass: fmpq, t: fmpq) -> Real:
    """Return mass · p_j - t without losing a small result to cancellation.

    Over S: (mass - t) e_j - t (S - e_j), and mass = t for the label of an index target.
    """
    if t == 0:
        return q.p(j).times(mass)
    if q.tied:
        return total([q.p(j).times(mass), Real(-t)])
    e = q.e.get(j)
    if e is None or mass == 0:
        return Real(-t)
    others = q.rest if j == q.top else q.rest + (1 - e)
    if mass == t:
        return Real(ZERO, others / q.total, 1).times(-t)
    return Real(ZERO, ((mass - t) * e - t * others) / q.total)


def log_sum_exp(row: Row) -> list[Number]:
    """Return log of the sum of exp(x_i); inf for a logit of inf, -inf where there is no class."""
    taking = [row.x[i] for i in range(len(row.x)) if row.where[i]]
    if any(math.isnan(v) for v in taking):
        return [NAN]
    if INF in taking:
        return [INF]
    q = parts(row)
    if q.special is not None:
        return [-INF]
    return [q.log_total().plus(rational(row.x[q.top]))]


def log_sum_exp_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return p_j."""
    q = parts(row)
    n = len(row.x)
    return [NAN] * n if q.special is not None else list(q.multiple(factors[0], n))


def softmax(row: Row) -> list[Number]:
    """Return p_j; 0 for a class that takes no part."""
    q = parts(row)
    if isinstance(q.special, float):
        return [NAN] * len(row.x)
    if q.special is not None:
        # As exp(x - LSE): 1 for the infinite logit under the limit, and NaN where that difference is taken as it is.
        own = NAN if row.policy.infinite_logit == "as_difference" else Real(ONE)
        return [own if j == q.special else Real(ZERO) for j in range(len(row.x))]
    return list(q.multiple(ONE, len(row.x)))


def softmax_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return p_j sum_i p_i (c_j - c_i)."""
    q = parts(row)
    n = len(row.x)
    if q.special is not None:
        return [NAN] * n
    # Sum the exponentials of equal factors once. Differences are exact, and from the factor of a class with the largest
    # logit, so that its own sum is as small as what the others have; elsewhere c_j less that factor is added.
    sums: dict[fmpq, arb] = {}
    for i in q.active:
        sums[factors[i]] = sums.get(factors[i], ZERO_BALL) + q.e[i]
    base = factors[max(q.active, key=row.x.__getitem__)]
    pulled = sum((arb(base - v) * e for v, e in sums.items() if v != base), ZERO_BALL) / q.total
    spreads = {c: _spread(c, c - base, pulled, factors, row.x, q) if len(sums) > 1 else None for c in sums}
    result: list[Number] = []
    for j in range(n):
        e = q.e.get(j)
        spread = None if e is None else spreads[factors[j]]
        if e is None or spread is None:
            result.append(Real(ZERO))
        elif q.tied:
            k = len(q.active)
            result.append(Real(sum((factors[j] - factors[i] for i in q.active), ZERO) / (k * k)))
        else:
            result.append(Real(ZERO, spread * e / q.total))
    return result


def _spread(c: fmpq, more: fmpq, pulled: arb, factors: Sequence[fmpq], x: Sequence[float], q: Parts) -> arb | None:
    """Return the sum of p_i (c - c_i), given that of another factor and what c is more; None where it is exactly 0."""
    result = pulled + arb(more)
    return None if result.contains(0) and _cancels(c, factors, x, q) else result


def _cancels(c: fmpq, factors: Sequence[fmpq], x: Sequence[float], q: Parts) -> bool:
    """Return whether the sum of p_i (c - c_i) is exactly 0: the factors of every group of ties cancel."""
    groups: dict[float, fmpq] = {}
    for i in q.active:
        groups[x[i]] = groups.get(x[i], ZERO) + c - factors[i]
    return not any(groups.values())


def _combine(weights: dict[int, fmpq], q: Parts) -> arb | None:
    """Return the sum of weight · p, None where every weight is 0."""
    used = {i: w for i, w in weights.items() if w != 0}
    if not used:
        return None
    return sum((arb(w) * q.e[i] for i, w in used.items()), arb(0)) / q.total


def log_softmax(row: Row) -> list[Number]:
    """Return x_j - LSE; -inf for a class that takes no part."""
    q = parts(row)
    losses = [_log_p(row, q, j) for j in range(len(row.x))]
    return [v.times(fmpq(-1)) if isinstance(v, Real) else -v for v in losses]


def log_softmax_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return c_j - p_j sum_i c_i, over the classes that take part."""
    q = parts(row)
    n = len(row.x)
    if q.special is not None:
        return [NAN] * n
    mass = sum((factors[i] for i in range(n) if row.where[i]), ZERO)
    return [_difference(q, j, mass, factors[j]).times(fmpq(-1)) if row.where[j] else Real(ZERO) for j in range(n)]


def entropy(row: Row) -> list[Number]:
    """Return -sum p_i log p_i of the softmax, as log S + sum p_i (m - x_i)."""
    q = parts(row)
    if q.special is not None:
        return [NAN if isinstance(q.special, float) else _own_loss(row)]
    spread = _combine({i: _gap(row, q, i) for i in q.active}, q)
    return [total([q.log_total(), Real(ZERO, spread, 1) if spread is not None else Real(ZERO)])]


def entropy_gradient(row: Row, factors: Sequence[fmpq]) -> list[Number]:
    """Return -p_j sum_i p_i (x_j - x_i)."""
    q = parts(row)
    if q.special is not None:
        return [NAN] * len(row.x)
    gaps = [rational(v) if i in q.e else ZERO for i, v in enumerate(row.x)]
    inner = softmax_gradient(row, gaps)
    return [v.times(-factors[0]) if isinstance(v, Real) else v for v in inner]


LOG_SUM_EXP = Family(log_sum_exp, log_sum_exp_gradient)
SOFTMAX = Family(softmax, softmax_gradient)
LOG_SOFTMAX = Family(log_softmax, log_softmax_gradient)
ENTROPY = Family(entropy, entropy_gradient)
CROSS_ENTROPY = Family(cross_entropy, cross_entropy_gradient, labelled_cross_entropy)
