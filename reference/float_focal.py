"""Focal losses in both float64 tiers: value, gradient and Hessian-vector product, each formula once.

Both forms of prediction come down to p, q = 1 - p, -log p and -log q. Powers are exponentials, q^gamma is
exp(-gamma (-log q)), so that no factor is formed from a rounded p. Derivatives are those by the logit; by the
probability they follow from dz = dp / (p q). Bounds: docs/numerics-tiers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from lossconform.reference.bounds import LOW, TINY, Bounds, Mask, collected, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Form
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.float_arithmetic import Arithmetic, clipped
from lossconform.reference.float_losses import Probability, reduced
from lossconform.reference.formats import Float64
from lossconform.reference.running import Running

N = TypeVar("N", bound=Running)

SLOPE, BEND = 1, 2
"""How many derivatives are wanted."""

POWERS = (0, 1, 2, 3, 4)
"""Exponents whose powers of short targets are exact."""


@dataclass(eq=False)
class Element(Generic[N]):
    """The elements of a focal loss; what derivatives it has are by the logit.

    Attributes:
        at: p, q = 1 - p and their negative logarithms.
        a: the weight of the positive term.
        b: the weight of the negative term.
        t: the target.
        rest: 1 - t.
        mixed: which elements have one factor for both terms.
        gamma: the exponent.
    """

    at: Probability[N]
    a: N
    b: N
    t: N
    rest: N
    mixed: Mask
    gamma: N

    def derivatives(self, order: int) -> list[N]:
        """Return the loss and its derivatives up to an order."""
        apart = self._two_terms(order)
        if not self.mixed.any():
            return apart
        whole = self._mixture(order)
        return [mixed.or_else(self.mixed, own) for mixed, own in zip(whole, apart, strict=True)]

    def _two_terms(self, order: int) -> list[N]:
        """Return those of a q^gamma (-log p) + b p^gamma (-log q)."""
        at, g = self.at, self.gamma
        positive, negative = self.a * (-(g * at.log_q)).exp(), self.b * (-(g * at.log_p)).exp()
        found = [positive * at.log_p + negative * at.log_q]
        if order >= SLOPE:
            found.append(negative * (g * at.q * at.log_q + at.p) - positive * (g * at.p * at.log_p + at.q))
        if order >= BEND:
            twice = g + g + type(g).exact(np.ones((1, 1)))
            found.append(
                positive * at.p * (g * at.log_p * (g * at.p - at.q) + twice * at.q)
                + negative * at.q * (g * at.log_q * (g * at.q - at.p) + twice * at.p)
            )
        return found

    def _mixture(self, order: int) -> list[N]:
        """Return those of (a + b) m^gamma c, m = t q + (1 - t) p and c = -t log p - (1 - t) log q."""
        at, t, rest, g = self.at, self.t, self.rest, self.gamma
        c, m = t * at.log_p + rest * at.log_q, t * at.q + rest * at.p
        weight = (self.a + self.b) * (g * m.log()).exp()
        found = [weight * c]
        if order >= SLOPE:
            bend = at.p * at.q
            slope, pull = at.p * rest - at.q * t, ((rest - t) * bend).over(m)
            found.append(weight * (g * pull * c + slope))
            if order >= BEND:
                own = pull * (at.q - at.p) - pull * pull
                found.append(weight * (bend + g * (own * c + pull * (slope + slope + g * pull * c))))
        return found


def _one(tier: Arithmetic[N]) -> N:
    return tier.number.exact(np.ones((1, 1)))


def _elements(problem: Canonical, tier: Arithmetic[N], order: int) -> tuple[Element[N], Mask]:
    """Return the elements of a problem, and which rows they cover up to an order of derivatives.

    Of certain and right probabilities, 0 or 1, the loss and its slope are 0.
    """
    case, policy = problem.case, problem.policy
    a, b = tier.weights(problem)
    mixed = (a.h != 0) & (b.h != 0) & (policy.focal_target != "terms")
    if case.form is Form.LOGITS:
        covered = np.isfinite(problem.x).all(axis=1)
        at = _of_logits(tier, np.where(np.isfinite(problem.x), problem.x, 0.0))
    else:
        p, inside = clipped(problem)
        usable = inside & (p >= LOW) & (p < 1)  # false for NaN
        still = ((p == 1) & (b.h == 0)) | ((p == 0) & (a.h == 0))
        still &= inside & bool(case.gamma) & (policy.zero_times_infinity == "zero") & (order < BEND)
        a, b = a.zero_where(still), b.zero_where(still)
        covered = np.logical_and((usable | still).all(axis=1), not policy.probability_range.endswith("log_clamped"))
        none = np.zeros(p.shape, bool)
        at = Probability.of(tier, np.where(usable, p, 0.5), none, none)
    if policy.focal_target in ("geometric", "logit"):
        covered &= ~mixed.any(axis=1)
    t = tier.smoothed(problem, slice(None))
    if case.alpha is not None:
        covered = np.logical_and(covered, sane_rows(np.array([[case.alpha, 1 - case.alpha]]))[0])
        a = a * tier.number.exact(np.full((1, 1), case.alpha))
        b = b * tier.number.difference(np.ones((1, 1)), np.full((1, 1), case.alpha))
    gamma = tier.number.exact(np.full((1, 1), case.gamma))
    return Element(at, a, b, t, _one(tier) - t, mixed, gamma), covered & sane_rows(problem.cotangent)


def _of_logits(tier: Arithmetic[N], z: Float64) -> Probability[N]:
    """Return p = sigmoid(z): -log p is max(-z, 0) + log1p(E), E = exp(-abs z)."""
    e, one, positive = tier.number.exact(-np.abs(z)).exp(), _one(tier), z > 0
    tail, whole = e.log1p(), one + e
    large, small = one.over(whole), e.over(whole)
    log_p, log_q = (tier.number.exact(np.maximum(end, 0.0)) + tail for end in (-z, z))
    return Probability(large.or_else(positive, small), small.or_else(positive, large), log_p, log_q, ~np.isfinite(z))


def focal(problem: Canonical, tier: Arithmetic[N], gradient: bool) -> Bounds:
    """Enclose the loss and its gradient."""
    order = SLOPE if gradient else 0
    element, covered = _elements(problem, tier, order)
    found = element.derivatives(order)
    value = reduced(problem, tier, found[0]).enclosure()
    if problem.case.form is Form.LOGITS and problem.policy.class_axis_reduction == "none":
        value = _beside(problem, element, value)
    slope = None
    if gradient:
        slope = (_by_prediction(problem, element, found)[0] * tier.spread(problem)).enclosure()
    return collected(value, slope, covered)


def focal_product(problem: Canonical, tier: Arithmetic[N]) -> tuple[Enclosure, Mask]:
    """Enclose the second derivative of each element times its direction."""
    direction = problem.direction
    assert direction is not None  # noqa: S101 - it was asked for
    element, covered = _elements(problem, tier, BEND)
    bend = _by_prediction(problem, element, element.derivatives(BEND))[1]
    found = bend * tier.number.exact(direction) * tier.spread(problem)
    return found.enclosure(), covered & sane_rows(direction)


def _by_prediction(problem: Canonical, element: Element[N], found: list[N]) -> list[N]:
    """Return the first derivative by the prediction and, where that by the logit is known, the second."""
    if problem.case.form is Form.LOGITS:
        return found[1:]
    p, q = element.at.p, element.at.q
    both = p * q
    slopes = [found[1].over(both)]
    if len(found) > BEND:
        slopes.append((found[2] - found[1] * (q - p)).over(both * both))
    return slopes


def _beside(problem: Canonical, element: Element[N], value: Enclosure) -> Enclosure:
    """Narrow the losses of confident logits that are next to a product, which may be a rounding midpoint.

    With s the target of the class that the logit denies, they are next to w s^(gamma + 1) abs z: below it where s = 1,
    as sigmoid(x)^gamma softplus(x) is below x, and where s > 1/2; above it elsewhere. See docs/numerics-tiers.md.
    """
    z, gamma = problem.x, problem.case.gamma
    size = np.abs(z)
    share = element.rest.or_else(z > 0, element.t)
    weight = (element.a + element.b).or_else(element.mixed, element.b.or_else(z > 0, element.a))
    base = weight * type(weight).exact(size)
    for _ in range(int(gamma) + 1 if gamma in POWERS else 0):
        base = base * share.or_else(element.mixed, type(share).exact(np.ones((1, 1))))
    alone = ~element.mixed & (element.a.or_else(z > 0, element.b).h == 0)
    above = element.mixed & (share.h <= 0.5)
    below = alone | (element.mixed & (share.h > 0.5))
    lean = np.where(element.mixed, 2 * share.h - 1, 1.0)
    plain = (base.error == 0) & (base.h >= 2.0**-900) & (base.h <= 2.0**900) & (size >= 1)
    plain &= (above | (below & (gamma * lean * size >= 4))) & (alone | (gamma in POWERS))
    little = (np.exp(-size) + TINY) * (8 * (max(gamma, 1.0) + 1)) / np.where(element.mixed, share.h, 1.0)
    plain &= little <= 2.0**-60
    if not plain.any():
        return value
    exact = base.enclosure()
    reach = np.maximum(base.h * little, np.spacing(np.abs(exact.lo)))
    lo, hi = np.where(above, exact.lo, exact.lo - reach), np.where(above, exact.lo + reach, exact.lo)
    parts = (base.h, lo, hi), (value.h, value.lo, value.hi)
    return Enclosure(*(np.where(plain, mine, its) for mine, its in zip(*parts, strict=True)))
