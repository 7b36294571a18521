"""What the loss of a focal element is made of: its weights, its two sides, and the factor of a fractional target.

For targets 0 and 1, and where a fractional target means its two terms, the loss is a f(-z) + b f(z) with
f(x) = sigmoid(x)^gamma softplus(x). Elsewhere a fractional target t is mixed: w m^gamma c, where m = 1 - p_t is what
the policy says and c is the binary cross-entropy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb, fmpq

from lossconform.reference.losses.row import Number, Row, infinite
from lossconform.reference.real import ONE, ZERO, Real, rational, total

NAN, INF = math.nan, math.inf
HALF = fmpq(1, 2)
LARGEST_POWER = 8
"""Above it, integer powers are balls too: a probability may have a thousand bits."""


@dataclass(slots=True, eq=False)
class Element:
    """The weights of one element.

    Attributes:
        a: of the positive term, alpha included.
        b: of the negative term.
        t: its target; 0 where it weighs nothing.
        mixed: whether both terms have one factor, so that their loss has the weight a + b.
    """

    a: fmpq
    b: fmpq
    t: fmpq
    mixed: bool

    @property
    def weight(self) -> fmpq:
        """The weight of a mixed loss: alpha t + (1 - alpha)(1 - t), times the row's own."""
        return self.a + self.b


def element(row: Row, i: int) -> Element:
    """Return the weights of an element of a row."""
    a, b = row.t.get(i, ZERO), row.b.get(i, ZERO)
    whole = a + b
    t = a / whole if whole != 0 else ZERO
    if row.alpha is not None:
        a, b = row.alpha * a, (1 - row.alpha) * b
    return Element(a, b, t, row.policy.focal_target != "terms" and 0 < t < 1)


def without_factor(row: Row) -> Row:
    """Return the row of the binary cross-entropy that a focal loss with gamma 0 is."""
    elements = [element(row, i) for i in range(len(row.x))]
    return dataclasses.replace(
        row,
        t={i: e.weight * e.t if e.mixed else e.a for i, e in enumerate(elements)},
        b={i: e.weight * (1 - e.t) if e.mixed else e.b for i, e in enumerate(elements)},
    )


def ball(number: Real) -> arb:
    """Return a real number as a ball."""
    return arb(number.exact) if number.tail is None else number.tail + arb(number.exact)


def product(x: Real, y: Real) -> Real:
    """Return the product of real numbers."""
    if x.tail is None:
        return y.times(x.exact)
    if y.tail is None:
        return x.times(y.exact)
    return Real(ZERO, ball(x) * ball(y), x.sign * y.sign if x.exact == 0 and y.exact == 0 else 0)


def weighed(sides: Sequence[Real | float], weights: Sequence[fmpq]) -> Number:
    """Return the weighted sum of both sides, of which a float is the sign of an infinite one."""
    odd = [infinite(int(s), w) for s, w in zip(sides, weights, strict=True) if not isinstance(s, Real) and w != 0]
    if odd:
        return odd[0]
    return total(s.times(w) for s, w in zip(sides, weights, strict=True) if isinstance(s, Real))


def power(m: fmpq, exponent: fmpq) -> Real:
    """Return m^exponent for m in [0, 1]; that of m = 0 is for positive exponents."""
    if m == 0 or m == 1:
        return Real(m)
    if exponent.q == 1 and abs(exponent) <= LARGEST_POWER:
        return Real(m ** int(exponent))
    return Real(ZERO, (arb(m).log() * arb(exponent)).exp(), 1)


def side(x: float, gamma: fmpq) -> tuple[Real, Real]:
    """Return sigmoid(x)^gamma softplus(x) and its derivative, of a finite x and a positive gamma."""
    g, e = arb(gamma), arb(-abs(x)).exp()
    tail = e.log1p()
    own, other = (1 / (1 + e), e / (1 + e)) if x > 0 else (e / (1 + e), 1 / (1 + e))
    log_own, softplus = (-tail, arb(x) + tail) if x > 0 else (arb(x) - tail, tail)
    factor = (g * log_own).exp()
    slope = Real(ZERO, factor * (g * other * softplus + own), 1)
    if x <= 0:
        return Real(ZERO, factor * tail, 1), slope
    # x and a rest: negative for gamma x >= 1, where 1 + tail / x < exp(tail / x) <= exp(gamma tail).
    exact = rational(x)
    rest = factor * tail + (g * log_own).expm1() * arb(exact)
    sign = -1 if gamma * exact >= 1 or rest < 0 else 1 if rest > 0 else 0
    return Real(exact, rest, sign), slope


@dataclass(slots=True, eq=False)
class Mixture:
    """A mixed loss m^gamma c of weight 1.

    Attributes:
        log_m: the logarithm of m.
        c: the binary cross-entropy.
        pull: c times the derivative of log m.
        slope: the derivative of c.
    """

    log_m: arb
    c: Real
    pull: Real
    slope: Real

    def value(self, gamma: fmpq) -> Real:
        """Return m^gamma c."""
        return Real(ZERO, (self.log_m * arb(gamma)).exp() * ball(self.c), 1)

    def derivative(self, gamma: fmpq) -> Real:
        """Return m^gamma (gamma pull + slope)."""
        inner = total([self.pull.times(gamma), self.slope])
        if inner.tail is None and inner.exact == 0:
            return inner
        return Real(ZERO, (self.log_m * arb(gamma)).exp() * ball(inner))


def geometric(c: Real, slope: Real) -> Mixture:
    """Return the mixture with m = 1 - exp(-c), whose logarithm has the derivative slope / (exp(c) - 1)."""
    b = ball(c)
    return Mixture((-(-b).expm1()).log(), c, product(slope, Real(ZERO, b / b.expm1(), 1)), slope)


def of_logit(t: fmpq, c: Real, slope: Real, z: Real, dz: fmpq) -> Mixture:
    """Return the mixture with m = sigmoid(-u), where u = (2t - 1) z and z has the derivative dz."""
    lean = 2 * t - 1
    u = ball(z.times(lean))
    pull = Real(ZERO, _log_sigmoid(u).exp() * ball(c), 1).times(-lean * dz)
    return Mixture(_log_sigmoid(-u), c, pull, slope)


def arithmetic(t: fmpq, c: Real, slope: Real, p: tuple[Real, Real], dp: Real) -> Mixture:
    """Return the mixture with m = t (1 - p) + (1 - t) p, given p and 1 - p, where p has the derivative dp."""
    m = ball(total([p[1].times(t), p[0].times(1 - t)]))
    pull = product(dp, Real(ZERO, ball(c) / m, 1)).times(1 - 2 * t)
    return Mixture(m.log(), c, pull, slope)


def _log_sigmoid(u: arb) -> arb:
    return -(-u).exp().log1p() if u > 0 else u - u.exp().log1p()


def at_the_end(row: Row, e: Element, positive: bool) -> tuple[fmpq, fmpq, fmpq]:
    """Return, where one class, the positive one if asked, has probability 0: its target, its weight, and m."""
    share = e.t if positive else 1 - e.t
    if not e.mixed:
        return share, e.a if positive else e.b, ONE
    rule = row.policy.focal_target
    if rule == "arithmetic":
        return share, e.weight, share
    return share, e.weight, ONE if rule == "geometric" or share > HALF else HALF if share == HALF else ZERO


def impossible(row: Row, e: Element, positive: bool) -> Number:
    """Return the loss where one class, the positive one if asked, has probability 0 and an infinite logarithm."""
    nan = row.policy.zero_times_infinity == "nan"
    _, weight, m = at_the_end(row, e, positive)
    if weight == 0 or m == 0:
        return NAN if nan else Real(ZERO)
    # For `logit` the logit of p_t is 0 times infinity.
    return NAN if nan and e.mixed and row.policy.focal_target == "logit" and e.t == HALF else INF
