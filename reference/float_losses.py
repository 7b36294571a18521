"""Losses in both float64 tiers: each formula once, over numbers that carry their error bounds.

What is computed from probabilities or their logarithms: binary cross-entropy and divergence; softmax cross-entropy is
in `float_likelihood`. Logarithms of quotients are taken as log1p of something positive, so that nothing cancels near 1.
Rows that a formula does not cover, for their special values or the policy, are left to the exact tier. Bounds:
docs/numerics-tiers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from lossconform.reference.bounds import HIGH, LOW, Bounds, Mask, collected, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Form, TargetForm
from lossconform.reference.float_arithmetic import Arithmetic, clipped
from lossconform.reference.float_probabilities import FLOOR, Probability, floored
from lossconform.reference.formats import Float64
from lossconform.reference.rows import target_clip_range
from lossconform.reference.running import Running

N = TypeVar("N", bound=Running)


def binary_cross_entropy(problem: Canonical, tier: Arithmetic[N], gradient: bool) -> Bounds:
    """Enclose a (-log p) + b log1p(p / (1 - p)); the gradient is b / (1 - p) - a / p, nothing where p is clipped.

    With clamped logarithms it is (b p - a (1 - p)) over no less than the floor of the divisor.
    """
    (a, b), (p, inside) = tier.weights(problem), clipped(problem)
    clamped = problem.policy.probability_range.endswith("log_clamped")
    pair = Probability.of(tier, p, ~a.nonzero(), ~b.nonzero(), clamped=clamped)
    odd = pair.odd | ~np.isfinite(problem.x)
    if problem.policy.zero_times_infinity == "nan" and not clamped:
        odd |= (p == 0) | (p == 1)
    value = a * pair.log_p + b * pair.log_q
    slope = None
    if gradient:
        slope = b.over(pair.q) - a.over(pair.p)
        if clamped:
            low, unsure = floored(p)
            odd |= unsure
            own, rest = tier.number.exact(p), tier.number.difference(np.ones_like(p), p)
            slope = (b * own - a * rest).over(tier.number.exact(np.full((1, 1), FLOOR))).or_else(low, slope)
        slope = (slope * tier.spread(problem)).zero_where(~inside)
    return _bounds(reduced(problem, tier, value), slope, ~odd.any(axis=1) & sane_rows(problem.cotangent))


def divergence(problem: Canonical, tier: Arithmetic[N], gradient: bool) -> Bounds:
    """Enclose w t (log t - log q), given q or log q; the gradient is -w t / q, or -w t."""
    x, logs = problem.x, problem.case.form is Form.LOG_PROBABILITIES
    q, inside = clipped(problem)
    target = Target.of(problem, tier)
    nothing = ~target.t.nonzero() | ~problem.where
    usable = (np.abs(q) <= HIGH) if logs else (q >= LOW) & (q <= HIGH)  # false for NaN
    safe = tier.number.exact(np.where(nothing | ~usable, 1.0, q))
    mass = target.t.zero_where(nothing) * tier.number.exact(problem.row_weight[:, None])
    value = mass * target.over(tier, safe, logs)
    covered = target.covered & sane(problem.row_weight) & sane_rows(problem.cotangent)
    covered &= (usable | nothing & np.isfinite(x)).all(axis=1)
    if not logs:
        # A negative probability, and what 0 · inf is.
        covered &= (x >= 0).all(axis=1)
        covered &= (x != 0).all(axis=1) | (problem.policy.zero_times_infinity != "nan")
    slope = None
    if gradient:
        at = -(mass * tier.spread(problem))
        slope = at if logs else at.over(safe).zero_where(nothing | ~inside)
    return _bounds(reduced(problem, tier, value), slope, covered)


@dataclass(eq=False)
class Target(Generic[N]):
    """The target of a divergence: t, log t where that is given, the numbers given, and the rows that it covers."""

    t: N
    log: N | None
    given: Float64
    covered: Mask

    @classmethod
    def of(cls, problem: Canonical, tier: Arithmetic[N]) -> Target[N]:
        """Read it as the case and the policy have it."""
        base = problem.base
        assert base is not None  # noqa: S101 - a loss with a target
        if problem.case.target_form is TargetForm.LOG_DISTRIBUTION:
            none = np.isneginf(base)
            finite = np.where(none, 0.0, base)
            log = tier.number.exact(finite)
            odd = (base > 0) | (none & (problem.policy.zero_times_infinity == "nan"))
            return cls(log.exp().zero_where(none), log, finite, sane_rows(finite) & ~odd.any(axis=1))
        limits = target_clip_range(problem.case, problem.policy)
        t = base if limits is None else np.clip(base, *limits)
        return cls(tier.number.exact(t), None, t, sane_rows(t))

    def over(self, tier: Arithmetic[N], q: N, logs: bool) -> N:
        """Return log t - log q, given q or log q: of two probabilities as log1p of what the larger has more."""
        if self.log is not None:
            return self.log - (q if logs else q.log())
        t = np.where(self.given == 0, 1.0, self.given)
        if logs:
            return tier.number.exact(t).log() - q
        less, more = (tier.number.exact(end(t, q.h)) for end in (np.minimum, np.maximum))
        found = tier.number.difference(more.h, less.h).over(less).log1p()
        return found.or_else(t >= q.h, -found)


def reduced(problem: Canonical, tier: Arithmetic[N], value: N) -> N:
    """Return the values of rows as the policy reduces their class axis."""
    rule = problem.policy.class_axis_reduction
    if rule == "none":
        return value
    whole = value.folded()
    return whole if rule == "sum" else whole.over(tier.number.exact(np.full((1, 1), float(problem.shape[1]))))


def _bounds(value: Any, slope: Any, covered: Mask) -> Bounds:
    return collected(value.enclosure(), None if slope is None else slope.enclosure(), covered)
