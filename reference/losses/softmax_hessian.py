"""Hessian-vector products of the losses of the softmax of logits.

With a_i = v_i - v_k for the direction v and k one of the largest logits, A = sum_i p_i a_i: the softmax moves along v
by p_j (a_j - A), and that is all that log-sum-exp, log-softmax and cross-entropy need. A softmax with upstream
gradient c, b_i = c_i - c_k, has p_j (a_j b_j - a_j B - b_j A + 2 A B - M) with B = sum p b, M = sum p a b; the entropy
has both, with the logits for c. Over S to a power these are combinations of exponentials of sums of logits with
rational coefficients. By the Lindemann-Weierstrass theorem they are 0 only where the coefficients of each exponential
cancel, and another rational number only where all logits that take part are equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from flint import arb, fmpq

from lossconform.reference.losses.row import Number, Row
from lossconform.reference.losses.softmax import ZERO_BALL, Parts, parts
from lossconform.reference.real import ONE, ZERO, Real, rational

NAN = math.nan


def _scaled(row: Row, direction: Sequence[fmpq], scale: fmpq) -> list[Number]:
    """Return scale · p_j sum_i p_i (v_j - v_i)."""
    q = parts(row)
    if q.special is not None:
        return [NAN] * len(row.x)
    if scale == 0:
        return [Real(ZERO)] * len(row.x)
    terms = _Terms.of(row, q, direction)
    over = arb(scale) / q.total
    return [_moved(q, terms, j, scale, over) for j in range(len(row.x))]


def cross_entropy(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return T p_j (v_j - p · v), or w in place of T where the policy takes the target to sum to 1."""
    mass = row.weight if row.policy.target_sum == "assumed_one" else sum(row.t.values(), ZERO)
    return _scaled(row, direction, mass * factors[0])


def log_sum_exp(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return p_j (v_j - p · v)."""
    return _scaled(row, direction, factors[0])


def log_softmax(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return -(sum_i c_i) p_j (v_j - p · v), over the classes that take part."""
    return _scaled(row, direction, -sum((c for c, taken in zip(factors, row.where, strict=True) if taken), ZERO))


def softmax(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return p_j ((v_j - p · v) (c_j - p · c) - sum_i p_i (v_i - p · v) c_i)."""
    q = parts(row)
    n = len(row.x)
    if q.special is not None:
        return [NAN] * n
    terms = _Terms.of(row, q, direction, factors)
    if not (any(terms.a.values()) and any(terms.b.values())):
        return [Real(ZERO)] * n
    return [_bent(q, terms, j, ZERO) for j in range(n)]


def entropy(row: Row, factors: Sequence[fmpq], direction: Sequence[fmpq]) -> list[Number]:
    """Return -p_j ((v_j - p · v) (1 + x_j - p · x) - sum_i p_i (v_i - p · v) x_i)."""
    q = parts(row)
    n = len(row.x)
    if q.special is not None:
        return [NAN] * n
    logits = [rational(v) if i in q.e else ZERO for i, v in enumerate(row.x)]
    terms = _Terms.of(row, q, direction, logits)
    if factors[0] == 0 or not any(terms.a.values()):
        return [Real(ZERO)] * n
    return [_bent(q, terms, j, ONE).times(-factors[0]) for j in range(n)]


@dataclass(eq=False)
class _Terms:
    """a and b by class; A, B and M as balls. Without an upstream gradient b is 0."""

    x: Sequence[float]
    a: dict[int, fmpq]
    b: dict[int, fmpq]
    means: tuple[arb, arb, arb]

    @classmethod
    def of(cls, row: Row, q: Parts, v: Sequence[fmpq], c: Sequence[fmpq] | None = None) -> _Terms:
        """Return the terms of a row."""
        a = {i: v[i] - v[q.top] for i in q.active}
        if c is None:
            return cls(row.x, a, dict.fromkeys(q.active, ZERO), (_mean(q, a), ZERO_BALL, ZERO_BALL))
        b = {i: c[i] - c[q.top] for i in q.active}
        both = {i: a[i] * b[i] for i in q.active}
        return cls(row.x, a, b, (_mean(q, a), _mean(q, b), _mean(q, both)))

    @cached_property
    def groups(self) -> dict[float, list[fmpq]]:
        """By the value of a logit, how many classes have it and their sums of a, b and a b: where balls do not tell."""
        result: dict[float, list[fmpq]] = {}
        for i, a in self.a.items():
            own = result.setdefault(self.x[i], [ZERO] * 4)
            for k, term in enumerate((ONE, a, self.b[i], a * self.b[i])):
                own[k] += term
        return result

    @cached_property
    def tied_means(self) -> list[fmpq]:
        """A, B and M of a row whose logits are equal."""
        ((k, *sums),) = self.groups.values()
        return [s / k for s in sums]


def _mean(q: Parts, weights: dict[int, fmpq]) -> arb:
    return sum((arb(w) * q.e[i] for i, w in weights.items() if w != 0), ZERO_BALL) / q.total


def _moved(q: Parts, terms: _Terms, j: int, scale: fmpq, over: arb) -> Real:
    """Return scale · p_j (a_j - A), given the scale over S as a ball too."""
    if j not in q.e:
        return Real(ZERO)
    a = terms.a[j]
    if q.tied:
        return Real((a - terms.tied_means[0]) / len(q.active) * scale)
    inner = arb(a) - terms.means[0]
    if inner.contains(0) and all(n * a == own for n, own, *_ in terms.groups.values()):
        return Real(ZERO)
    return Real(ZERO, inner * q.e[j] * over)


def _bent(q: Parts, terms: _Terms, j: int, more: fmpq) -> Real:
    """Return p_j (a_j b_j - a_j B - b_j A + 2 A B - M + more · (a_j - A))."""
    if j not in q.e:
        return Real(ZERO)
    a, b = terms.a[j], terms.b[j]
    if q.tied:
        mean_a, mean_b, mean_ab = terms.tied_means
        inner = (a - mean_a) * (b + more - mean_b) - mean_ab + mean_a * mean_b
        return Real(inner / len(q.active))
    first, second, both = terms.means
    ball = arb(a * (b + more)) - arb(a) * second - arb(b + more) * first + 2 * first * second - both
    if ball.contains(0) and _cancels(terms, a, b, more):
        return Real(ZERO)
    return Real(ZERO, ball * q.e[j] / q.total)


def _cancels(terms: _Terms, a: fmpq, b: fmpq, more: fmpq) -> bool:
    """Return whether the coefficient of every exponential exp(x_i + x_k) in S² times the inner sum is 0.

    Those of the largest and of the smallest sum, each of one group with itself, are looked at first.
    """
    groups = terms.groups
    ends = (max(groups), min(groups))
    if any(_coefficient(groups[x], groups[x], a, b, more) for x in ends):
        return False
    sums: dict[fmpq, fmpq] = {}
    for x, g in groups.items():
        for y, h in groups.items():
            key = rational(x) + rational(y)
            sums[key] = sums.get(key, ZERO) + _coefficient(g, h, a, b, more)
    return not any(sums.values())


def _coefficient(g: list[fmpq], h: list[fmpq], a: fmpq, b: fmpq, more: fmpq) -> fmpq:
    """Return what two groups of ties give: of i in the one and k in the other, and symmetric once summed over both."""
    n, own_a, _, own_ab = g
    k, _, other_b, _ = h
    return a * (b + more) * n * k - a * n * other_b - (b + more) * own_a * k + 2 * own_a * other_b - own_ab * k
