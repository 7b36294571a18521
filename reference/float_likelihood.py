"""Softmax cross-entropy from probabilities and their logarithms in both float64 tiers: each formula once.

A target of one class needs that class alone, unless a sum or an infinity of the others counts. Rows that a formula does
not cover, for their special values or the policy, are left to the exact tier. Bounds: docs/numerics-tiers.md.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from lossconform.reference.bounds import HIGH, LOW, Bounds, Mask, collected, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.case import Form
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.float_arithmetic import Arithmetic, weighed
from lossconform.reference.float_probabilities import Shares
from lossconform.reference.formats import Float64
from lossconform.reference.one_class import Chosen, Path, by_target
from lossconform.reference.rows import clip_range
from lossconform.reference.running import Running

N = TypeVar("N", bound=Running)

ALL = slice(None)


def likelihood(problem: Canonical, tier: Arithmetic[N], gradient: bool, others: Path) -> Bounds:
    """Enclose -sum t_i log q_i, targets of more than one class by a path of the tier's own."""
    divided = problem.case.form is Form.PROBABILITIES and problem.policy.probability_sum != "as_given"
    if divided or problem.strict:
        return others(problem)
    return by_target(problem, lambda some: _of_one_class(some, tier, gradient), others)


def dense(problem: Canonical, tier: Arithmetic[N], gradient: bool) -> Bounds:
    """Enclose it whatever the target is."""
    formula = _of_logs if problem.case.form is Form.LOG_PROBABILITIES else _of_shares
    return formula(problem, tier, gradient)


def _of_one_class(problem: Canonical, tier: Arithmetic[N], gradient: bool) -> Bounds:
    """Enclose -t log q of the one class; the gradient is -t, or -t / q unless q is clipped, at that class."""
    number, own = tier.number, Chosen.of(problem)
    x = own.at(problem.prediction)[:, None]
    t = number.exact(np.ones(x.shape))
    for factor in own.weights:
        t = t * number.exact(factor[:, None])
    nothing = ~t.nonzero()
    covered = own.sane & sane_rows(problem.cotangent)
    if problem.case.form is Form.LOG_PROBABILITIES:
        log, slope = number.exact(np.where(nothing, 0.0, -x)), -t
    else:
        limits = clip_range(problem.case, problem.policy)
        q = x if limits is None else np.clip(x, *limits)
        used = (q >= LOW) & (q <= HIGH)
        covered &= (used | nothing)[:, 0] & _readable(problem.x, negative=limits is not None)
        given = number.exact(np.where(used, q, 1.0))
        log = (-given.log()).zero_where(nothing)
        slope = -t.over(given).zero_where((q != x) | nothing)
    value = t * log if own.weights else log
    if not gradient:
        return collected(value.enclosure(), None, covered)
    return collected(value.enclosure(), _placed(problem, own, (slope * tier.factor(problem)).enclosure()), covered)


def _readable(x: Float64, *, negative: bool) -> Mask:
    """Return the rows of finite numbers, of which none is negative unless that is fine, (N,)."""
    least, most = x.min(), x.max()  # NaN if anything is
    if (least >= 0 or (negative and least > -np.inf)) and most < np.inf:
        return np.ones(len(x), bool)
    fine = np.isfinite(x) if negative else (x >= 0) & (x < np.inf)
    return np.asarray(fine.all(axis=1))


def _placed(problem: Canonical, own: Chosen, slope: Enclosure) -> Enclosure:
    """Return slopes at the classes of their rows, exactly 0 elsewhere, (N, C)."""
    whole = Enclosure(*(np.zeros(problem.shape) for _ in range(3)))
    for part, there in ((whole.h, slope.h), (whole.lo, slope.lo), (whole.hi, slope.hi)):
        part[np.arange(len(part)), own.labels] = there[:, 0]
    return whole


def _of_logs(problem: Canonical, tier: Arithmetic[N], gradient: bool) -> Bounds:
    """Enclose -sum t_i y_i; the gradient is -t_j. In pairs exact where no weight and no smoothing is."""
    t = tier.target(problem, ALL)
    value = t * tier.number.exact(np.where(t.nonzero(), -problem.x, 0.0))
    covered = weighed(problem) & sane_rows(problem.cotangent)
    if problem.strict:
        covered &= np.isfinite(problem.x).all(axis=1)
    slope = -(t * tier.factor(problem)) if gradient else None
    return collected(value.folded().enclosure(), None if slope is None else slope.enclosure(), covered)


def _of_shares(problem: Canonical, tier: Arithmetic[N], gradient: bool) -> Bounds:
    """Enclose -sum t_i log q_i; the gradient is -t_j / q_j, nothing where q is clipped, and what dividing by Q adds."""
    t = tier.target(problem, ALL)
    nothing = ~t.nonzero()
    shares = Shares.of(problem, tier, nothing)
    covered = weighed(problem) & ~shares.odd.any(axis=1) & sane_rows(problem.cotangent)
    slope = shares.slope(problem, t) * tier.factor(problem) if gradient else None
    value = (t * shares.log.zero_where(nothing)).folded().enclosure()
    if problem.policy.probability_sum != "as_given":
        value = shares.narrowed(value, t)
    return collected(value, None if slope is None else slope.enclosure(), covered)
