"""Focal losses in both float64 tiers: value, gradient and Hessian-vector product, each formula once.

Both forms of prediction come down to p, q = 1 - p, -log p and -log q. Powers are exponentials, q^gamma is
exp(-gamma (-log q)), so that no factor is formed from a rounded p. Derivatives are those by the logit; by the
probability they follow from dz = dp / (p q). Bounds: docs/numerics-tiers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from lossconform.reference.bounds import LOW, TINY, Bounds, Mask, collected, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Form
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.float_arithmetic import Arithmetic, clipped
from lossconform.reference.float_losses import reduced
from lossconform.reference.float_probabilities import FLOOR, Probability, Sigmoid, floored
from lossconform.reference.formats import Float64
from lossconform.reference.running import Running

N = TypeVar("N", bound=Running)

SLOPE, BEND = 1, 2
"""How many derivatives are wanted."""

FAR = 2.0**900
"""A logit in the place of an infinite one: times 2t - 1, at least 2^-53, and gamma its exponential is within TINY."""

NEXT = 44.0
"""What a loss is next to, a logit of less than this is not: 16 exp(-44) is more than 2^-60 of it."""

POWERS = (0, 1, 2, 3, 4)
"""Exponents whose powers of short targets are exact."""


@dataclass(eq=False)
class Side(Generic[N]):
    """What one of the two terms is made of, w q^gamma (-log p) for the probability p of its class.

    Attributes:
        weight: w.
        at: p, q and their negative logarithms, as the factor sees them.
        log: -log p, as the loss sees it.
        nothing: where q is exactly 0.
    """

    weight: N
    at: Probability[N] | Sigmoid[N]
    log: N
    nothing: Mask


@dataclass(eq=False)
class Element(Generic[N]):
    """The elements of a focal loss; what derivatives it has are by the logit.

    Attributes:
        at: p, q = 1 - p and their negative logarithms, as the factor sees them.
        log_p: -log p, as the loss sees it: clipped, where the policy clips.
        log_q: -log q, so.
        live: 1, or 0 where those have no slope.
        z: the logit.
        a: the weight of the positive term.
        b: the weight of the negative term.
        t: the target.
        rest: 1 - t.
        mixed: which elements have one factor for both terms.
        gamma: the exponent.
        rule: what that factor is made of, of `focal_target`.
        vanished: which elements have q = 0 and which have p = 0, so that a power of it is 0.
    """

    at: Probability[N] | Sigmoid[N]
    log_p: N
    log_q: N
    live: N
    z: N
    a: N
    b: N
    t: N
    rest: N
    mixed: Mask
    gamma: N
    rule: str
    vanished: tuple[Mask, Mask]

    def derivatives(self, order: int) -> list[N]:
        """Return the loss and its derivatives up to an order."""
        apart = self._two_terms(order)
        if not self.mixed.any():
            return apart
        whole = self._mixture(order)
        return [mixed.or_else(self.mixed, own) for mixed, own in zip(whole, apart, strict=True)]

    def _two_terms(self, order: int) -> list[N]:
        """Return those of a q^gamma (-log p) + b p^gamma (-log q)."""
        negative = self.b.nonzero()
        if not (negative & self.a.nonzero()).any():
            side = Side(
                self.b.or_else(negative, self.a),
                self.at.mirrored(negative),
                self.log_q.or_else(negative, self.log_p),
                np.where(negative, self.vanished[1], self.vanished[0]),
            )
            found = self._term(side, order)
            return [part.negated_where(negative) if k == SLOPE else part for k, part in enumerate(found)]
        everywhere = np.ones_like(negative)
        own = self._term(Side(self.a, self.at, self.log_p, self.vanished[0]), order)
        other = self._term(Side(self.b, self.at.mirrored(everywhere), self.log_q, self.vanished[1]), order)
        return [x - y if k == SLOPE else x + y for k, (x, y) in enumerate(zip(own, other, strict=True))]

    def _term(self, side: Side[N], order: int) -> list[N]:
        """Return a term w q^gamma (-log p) and its derivatives by the logit of its p."""
        at, log, g = side.at, side.log, self.gamma
        power = (-(g * at.log_q)).exp()
        nothing = side.nothing & (g.h > 0)
        weight = side.weight * (power.zero_where(nothing) if nothing.any() else power)
        found = [weight * log]
        if order >= SLOPE:
            own = at.q * self.live
            found.append(-(weight * (g * at.p * log + own)))
            if order >= BEND:
                twice = g + g + type(g).exact(np.ones((1, 1)))
                found.append(weight * at.p * (g * log * (g * at.p - at.q) + twice * own))
        return found

    def _mixture(self, order: int) -> list[N]:
        """Return those of (a + b) m^gamma c, c = -t log p - (1 - t) log q."""
        at, g = self.at, self.gamma
        c = self.t * self.log_p + self.rest * self.log_q
        slope = (at.p * self.rest - at.q * self.t) * self.live
        log_m, *pulls = READINGS[self.rule](self, c, slope)[: order + 1]
        weight = (self.a + self.b) * (g * log_m).exp()
        found = [weight * c]
        if order >= SLOPE:
            pull = pulls[0]
            found.append(weight * (g * pull * c + slope))
        if order >= BEND:
            found.append(
                weight * (at.p * at.q * self.live + g * (pulls[1] * c + pull * (slope + slope + g * pull * c)))
            )
        return found

    def arithmetic(self, c: N, slope: N) -> list[N]:  # noqa: ARG002 - as others are called
        """Return log m and its derivatives for m = t q + (1 - t) p."""
        at, t, rest = self.at, self.t, self.rest
        m = t * at.q + rest * at.p
        pull = ((rest - t) * at.p * at.q).over(m)
        return [m.log(), pull, pull * (at.q - at.p) - pull * pull]

    def geometric(self, c: N, slope: N) -> list[N]:
        """Return log m and its derivatives for m = 1 - exp(-c)."""
        e = (-c).exp()
        m = type(c).exact(np.ones((1, 1))) - e
        pull = (e * slope).over(m)
        return [m.log(), pull, (e * (self.at.p * self.at.q * self.live - slope * slope)).over(m) - pull * pull]

    def of_logit(self, c: N, slope: N) -> list[N]:  # noqa: ARG002 - as others are called
        """Return log m and its derivatives for m = sigmoid(-(2t - 1) z)."""
        lean = self.t - self.rest
        own = Sigmoid.of(lean * self.z)
        pull = -(lean * own.p)
        # At the ends m is 1 exactly where the logit leans the other way.
        certain = (self.vanished[0] | self.vanished[1]) & (own.log_p.h > FAR * lean.error) & (lean.h * self.z.h < 0)
        return [-own.log_q.zero_where(certain), pull, pull * lean * own.q]


READINGS: dict[str, Any] = {
    "arithmetic": Element.arithmetic,
    "geometric": Element.geometric,
    "logit": Element.of_logit,
}
"""What the policy `focal_target` says of m = 1 - p_t."""


def _elements(problem: Canonical, tier: Arithmetic[N], order: int) -> tuple[Element[N], Mask]:
    """Return the elements of a problem, and which rows they cover up to an order of derivatives.

    Probabilities of exactly 0 and 1 have their loss here, and no derivatives.
    """
    case, policy = problem.case, problem.policy
    a, b = tier.weights(problem)
    positive, negative = a.nonzero(), b.nonzero()
    mixed = positive & negative & (policy.focal_target != "terms")
    one = tier.number.exact(np.ones((1, 1)))
    none = np.zeros(problem.shape, bool)
    vanished = none, none
    at: Probability[N] | Sigmoid[N]
    if case.form is Form.LOGITS:
        covered = np.isfinite(problem.x).all(axis=1)
        z = tier.number.exact(np.where(np.isfinite(problem.x), problem.x, 0.0))
        at = Sigmoid.of(z)
        log_p, log_q, live = at.log_p, at.log_q, one
    else:
        seen, inside = clipped(problem)
        p = problem.x if policy.focal_range == "as_given" else seen
        clamped, zero = policy.probability_range.endswith("log_clamped"), policy.zero_times_infinity == "zero"
        logs = Probability.of(tier, seen, ~positive & zero, ~negative & zero, clamped=clamped)
        low, unsure = floored(seen) if clamped else (none, none)
        vanished = p == 1, p == 0
        odd = ~((p >= LOW) & (p <= 1) | vanished[1]) | logs.odd
        if order >= SLOPE:
            odd |= vanished[0] | vanished[1] | (seen == 0) | (seen == 1) | unsure
        if order >= BEND:
            odd |= low & inside
        at = ends = Probability.of(tier, np.where(odd, 0.5, p), ~none, ~none)
        z = at.log_q - at.log_p
        far = tier.number.exact(np.where(vanished[0], FAR, -FAR))
        z = far.or_else(vanished[0] | vanished[1], z)
        ends.p, ends.q = at.p.zero_where(vanished[1]), at.q.zero_where(vanished[0])
        log_p, log_q, live = logs.log_p, logs.log_q, tier.number.exact(inside.astype(np.float64))
        if clamped:
            own = tier.number.exact(np.where(odd, 0.5, seen))
            slower = (own * (one - own)).over(tier.number.exact(np.full((1, 1), FLOOR)))
            live = slower.or_else(low & inside, live)
        covered = ~odd.any(axis=1)
    t = tier.smoothed(problem, slice(None))
    if case.alpha is not None:
        covered = np.logical_and(covered, sane_rows(np.array([[case.alpha, 1 - case.alpha]]))[0])
        a = a * tier.number.exact(np.full((1, 1), case.alpha))
        b = b * tier.number.difference(np.ones((1, 1)), np.full((1, 1), case.alpha))
    gamma = tier.number.exact(np.full((1, 1), case.gamma))
    element = Element(at, log_p, log_q, live, z, a, b, t, one - t, mixed, gamma, policy.focal_target, vanished)
    return element, covered & sane_rows(problem.cotangent)


def focal(problem: Canonical, tier: Arithmetic[N], gradient: bool) -> Bounds:
    """Enclose the loss and its gradient."""
    order = SLOPE if gradient else 0
    element, covered = _elements(problem, tier, order)
    found = element.derivatives(order)
    value = reduced(problem, tier, found[0]).enclosure()
    if problem.policy.class_axis_reduction == "none":
        value = (_beside if problem.case.form is Form.LOGITS else _at_the_ends)(problem, element, value)
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
    if problem.policy.focal_range == "clipped":
        # What is clipped throughout has no slope.
        _, inside = clipped(problem)
        slopes = [slope.zero_where(~inside) for slope in slopes]
    return slopes


def _beside(problem: Canonical, element: Element[N], value: Enclosure) -> Enclosure:
    """Narrow the losses of confident logits that are next to a product, which may be a rounding midpoint.

    With s the target of the class that the logit denies, they are next to w s abs z, or w s^(gamma + 1) abs z, by no
    more than max(gamma, 1) exp(-rate abs z) of it or an exp(-abs z) above it. See docs/numerics-tiers.md.
    """
    z, gamma = problem.x, problem.case.gamma
    size, mixed, rule = np.abs(z), element.mixed, element.rule
    if not (size >= NEXT).any():
        return value
    one = type(element.t).exact(np.ones((1, 1)))
    share = element.rest.or_else(z > 0, element.t).or_else(mixed, one)
    lean = share + share - one
    half, over, under = (lean.h == 0) & (lean.error == 0), lean.h > lean.error, lean.h < -lean.error
    # Which of them have the power in the product, which lie above it, and which below.
    deep = mixed & (rule == "arithmetic" or (half & (rule == "logit")))
    above = deep & (half | under)
    own, other = element.b.or_else(z > 0, element.a), element.a.or_else(z > 0, element.b)
    apart = ~mixed & (2 * other.h * np.exp(-gamma * size) <= own.h)
    below = apart | (mixed & (over | (rule == "geometric")))
    rate = np.where(mixed, {"geometric": share.h, "logit": lean.h}.get(rule, 1.0), 1.0)
    base = (own + other).or_else(mixed, own) * type(one).exact(size) * share
    for _ in range(int(gamma) if gamma in POWERS else 0):
        base = base * share.or_else(deep, one)
    plain = (base.error == 0) & (base.h >= 2.0**-900) & (base.h <= 2.0**900) & (size >= 1)
    pulled = gamma * np.where(deep, lean.h, share.h) * size
    plain &= (above | (below & (pulled >= 4))) & (~deep | (gamma in POWERS))
    little = (np.exp(-np.where(above, 1.0, rate) * size) + TINY) * (8 * (max(gamma, 1.0) + 1)) / share.h
    plain &= little <= 2.0**-60
    if not plain.any():
        return value
    reach = np.maximum(base.h * little, np.spacing(np.abs(base.enclosure().lo)))
    return _placed(value, base, plain, np.where(above, 0.0, -reach), np.where(above, reach, 0.0))


def _at_the_ends(problem: Canonical, element: Element[N], value: Enclosure) -> Enclosure:
    """Place the losses of probabilities 0 and 1 with finite logarithms, w m^gamma c, that have few digits.

    Of `arithmetic` m is the target or 1 less it, and the loss a number of few digits if gamma is small; of `geometric`
    it is below w c by less than 2 gamma exp(-c) of it.
    """
    gamma, rule = problem.case.gamma, element.rule
    c = element.t * element.log_p + element.rest * element.log_q
    base = (element.a + element.b) * c
    ends = element.mixed & (element.vanished[0] | element.vanished[1])
    reach = np.zeros(base.h.shape)
    if rule == "arithmetic" and gamma in POWERS:
        m = element.t * element.at.q + element.rest * element.at.p
        for _ in range(int(gamma)):
            base = base * m
    elif rule == "geometric" and 0 < gamma <= POWERS[-1]:
        ends &= c.h >= 64
        reach = np.maximum(base.h * (4 * gamma * np.exp(-c.h)), np.spacing(np.abs(base.enclosure().lo)))
    else:
        return value
    plain = ends & (base.error == 0) & (base.h >= 2.0**-900) & (base.h <= 2.0**900)
    return _placed(value, base, plain, -reach, np.zeros(reach.shape)) if plain.any() else value


def _placed(value: Enclosure, base: N, plain: Mask, lo: Float64, hi: Float64) -> Enclosure:
    """Return values of which some lie next to an exact number, by so much at least and at most."""
    exact = base.enclosure()
    parts = (base.h, exact.lo + lo, exact.lo + hi), (value.h, value.lo, value.hi)
    return Enclosure(*(np.where(plain, mine, its) for mine, its in zip(*parts, strict=True)))
