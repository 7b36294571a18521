"""Probabilities in both float64 tiers, as the policies of their range and their sum have them, with their logarithms.

Of a class and the rest (`Probability`, and `Sigmoid` of logits), and of a row (`Shares`). Bounds:
docs/numerics-tiers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from lossconform.reference.bounds import HIGH, LOW, Mask, U
from lossconform.reference.canonical import Canonical
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.float_arithmetic import Arithmetic, clipped
from lossconform.reference.formats import Float64
from lossconform.reference.losses.binary import DIVISOR_FLOOR, LOG_FLOOR
from lossconform.reference.rows import clip_range
from lossconform.reference.running import Running

N = TypeVar("N", bound=Running)


CEILING, FLOOR = float(LOG_FLOOR), float(DIVISOR_FLOOR.p) / float(DIVISOR_FLOOR.q)
"""What a clamped -log p is at most, and p (1 - p) at least where a clamped slope is divided by it; both are exact."""


@dataclass(eq=False)
class Probability(Generic[N]):
    """p and q = 1 - p with -log p and -log q; where one is 0 and weighs nothing, 1 and 0 in its place.

    Attributes:
        odd: what is left to the exact tier: p outside of [0, 1] or below LOW, a logarithm of 0 that has a weight, and
            one that the errors leave on neither side of where it is clamped.
    """

    p: N
    q: N
    log_p: N
    log_q: N
    odd: Mask

    @classmethod
    def of(cls, tier: Arithmetic[N], p: Float64, no_p: Mask, no_q: Mask, *, clamped: bool = False) -> Probability[N]:
        """Return that of given probabilities, and where each class weighs nothing; a clamped logarithm is finite."""
        number = tier.number
        inside = (p >= LOW) & (p <= 1) | (p == 0)  # false for NaN
        odd = ~inside | ((p == 0) & ~no_p & (not clamped)) | ((p == 1) & ~no_q & (not clamped))
        own = number.exact(np.where(odd | (p == 0), 1.0, p))
        less = np.where(odd | (p == 1), 0.0, p)
        rest = number.difference(np.ones_like(p), less)
        log_p, log_q = -own.log(), number.exact(less).over(rest).log1p()
        if clamped:
            ceiling = number.exact(np.full((1, 1), CEILING))
            odd |= ~(np.abs(log_p.h - CEILING) > 2 * log_p.error)
            log_p = ceiling.or_else((p == 0) | (log_p.h > CEILING), log_p)
            log_q = ceiling.or_else(p == 1, log_q)
        return cls(own, rest, log_p, log_q, odd)

    def mirrored(self, negative: Mask) -> Probability[N]:
        """Return them with p and q exchanged in some places."""
        p, q = self.q.or_else(negative, self.p), self.p.or_else(negative, self.q)
        log_p, log_q = self.log_q.or_else(negative, self.log_p), self.log_p.or_else(negative, self.log_q)
        return Probability(p, q, log_p, log_q, self.odd)


@dataclass(eq=False)
class Sigmoid(Generic[N]):
    """p = sigmoid(z) and q = 1 - p, when they are asked for, with -log p and -log q.

    -log p is max(-z, 0) + log1p(E) for E = exp(-abs z), whichever sign z is taken to have.
    """

    e: N
    positive: Mask
    log_p: N
    log_q: N

    @classmethod
    def of(cls, z: N) -> Sigmoid[N]:
        """Return that of logits."""
        positive = z.h > 0
        e = z.negated_where(positive).exp()
        tail = e.log1p()
        return cls(e, positive, (-z).zero_where(positive) + tail, z.zero_where(~positive) + tail)

    def mirrored(self, negative: Mask) -> Sigmoid[N]:
        """Return them with p and q exchanged in some places."""
        log_p, log_q = self.log_q.or_else(negative, self.log_p), self.log_p.or_else(negative, self.log_q)
        return Sigmoid(self.e, self.positive ^ negative, log_p, log_q)

    @cached_property
    def _shares(self) -> tuple[N, N]:
        one = type(self.e).exact(np.ones((1, 1)))
        whole = one + self.e
        return one.over(whole), self.e.over(whole)

    @cached_property
    def p(self) -> N:
        """Of the two shares the larger one where the logit is positive."""
        large, small = self._shares
        return large.or_else(self.positive, small)

    @cached_property
    def q(self) -> N:
        """The other one."""
        large, small = self._shares
        return small.or_else(self.positive, large)


def floored(p: Float64) -> tuple[Mask, Mask]:
    """Return where p (1 - p) is below the floor of a divisor, and where it is too near to it to tell."""
    both = p * (1 - p)
    return both < FLOOR, np.abs(both - FLOOR) <= 8 * U * FLOOR


@dataclass(eq=False)
class Shares(Generic[N]):
    """A row of probabilities of which a softmax cross-entropy has q: in range, and divided by their sum Q.

    Attributes:
        log: -log q; it means nothing where the target is 0.
        x: what q is made of, before it is divided; 1 where that does not matter.
        whole: Q, (N, 1); means nothing where nothing is divided.
        rest: Q - x, the sum of the other classes.
        odds: rest / x, of which -log q is log1p where q is divided.
        inside: which of them are not clipped.
        odd: what is left to the exact tier: NaN, infinities and negative numbers; where there is a target what is below
            LOW; a logarithm of 0 that counts; and what the errors leave on neither side of where it is clipped.
    """

    log: N
    x: N
    whole: N
    rest: N
    odds: N
    inside: Mask
    odd: Mask

    @classmethod
    def of(cls, problem: Canonical, tier: Arithmetic[N], nothing: Mask) -> Shares[N]:
        """Read a problem's; `nothing` is where the target is 0."""
        rule, number = problem.policy.probability_sum, tier.number
        q, inside = clipped(problem)
        x = problem.x if rule == "renormalised" else q
        odd = ~(np.isfinite(problem.x) & (x >= 0) & (x <= HIGH))
        used = ~odd & (x >= LOW)
        seen = np.where(odd, 0.0, x)
        own, whole = number.exact(np.where(used, x, 1.0)), number.exact(seen).folded()
        # The others of all but the largest are at least half of the sum, so that nothing cancels.
        largest = np.arange(x.shape[1]) == seen.argmax(axis=1)[:, None]
        rest = number.exact(np.where(largest, 0.0, seen)).folded().or_else(largest, whole - own)
        rest = rest.or_else(rest.h >= 0, -rest)  # it is not negative: this is no further from it
        odds = rest.over(own)
        log = -own.log() if rule == "as_given" else odds.log1p()
        limits = clip_range(problem.case, problem.policy)
        if rule == "renormalised" and limits is not None:
            low, high = limits
            share = number.exact(seen).over(whole)
            inside = (share.h >= low) & ((share.h <= high) | (high >= 1))
            reach = 2 * share.error
            odd |= ~(np.abs(share.h - low) > reach) | ~((np.abs(share.h - high) > reach) | (high >= 1))
            used |= ~inside
            ends = number.exact(np.where(share.h < low, low, high))
            log = log.or_else(inside, -ends.log())
        odd |= ~(used | nothing)
        if rule != "as_given":
            odd |= ~(whole.h > whole.error)
        if problem.strict and limits is None:
            odd |= x == 0
        return cls(log, own, whole, rest, odds, inside, odd)

    def narrowed(self, value: Enclosure, t: N) -> Enclosure:
        """Return losses t log1p(r) of one class, r next to 0, within t r (1 - r) and t r, which may be a midpoint."""
        base, r = t * self.odds, self.odds
        taking = t.nonzero()
        alone = taking & (taking.sum(axis=1) == 1)[:, None]
        plain = alone & self.inside & (base.error == 0) & (r.error == 0) & (r.h > 0) & (r.h <= 2.0**-60)
        plain &= (base.h >= 2.0**-900) & (base.h <= 2.0**900)
        if plain.any():
            row, h, high = plain.any(axis=1), base.h[plain], base.enclosure().lo[plain]
            low = high - np.maximum(h * r.h[plain], np.spacing(np.abs(high)))
            value.h[row, 0], value.lo[row, 0], value.hi[row, 0] = h, low, high
        return value

    def slope(self, problem: Canonical, t: N) -> N:
        """Return the derivative of -sum t_i log q_i: T / Q - t_j / x_j, as quotients in which nothing cancels."""
        rule = problem.policy.probability_sum
        none = ~self.inside | ~t.nonzero()
        own = t.zero_where(none)
        if rule == "as_given":
            return -own.over(self.x).zero_where(none)
        mass = (t if rule == "renormalised_last" else own).folded()
        shared = mass.over(self.whole)
        both = ((mass - own) * self.x - own * self.rest).over(self.whole * self.x)
        if rule == "renormalised_last":
            shared = shared.zero_where(~self.inside)
        return shared.or_else(none, both)
