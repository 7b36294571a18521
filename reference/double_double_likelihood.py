"""The double-double tier's softmax cross-entropy from log-probabilities (linear) and from probabilities.

Used for every format. Formulas: `losses.likelihood`; probabilities that are renormalised are left to the exact tier.
"""

from __future__ import annotations

import numpy as np

from lossconform.reference import double_double as dd
from lossconform.reference.bounds import WIDEN, Bounds, collected, sane, sane_rows
from lossconform.reference.canonical import Canonical
from lossconform.reference.double_double import FLOOR, LOG1P, ROUND
from lossconform.reference.double_double_cross_entropy import weighted_target
from lossconform.reference.double_double_elementwise import clipped, negative
from lossconform.reference.double_double_sums import Table, at, column, given
from lossconform.reference.pairs import depth, fold_pairs, product

ALL = slice(None)


def _sane(problem: Canonical) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return the rows whose targets and weights are sane, whose label is one, and whose factor is sane."""
    assert problem.base is not None  # noqa: S101 - a loss with a target
    class_weight = problem.case.class_weight
    others = np.ones(1) if class_weight is None else class_weight.astype(np.float64)
    sizes = np.concatenate([others, [float(f) for f in problem.smoothing]])
    covered = sane_rows(problem.base) & sane(problem.row_weight) & sane(given(problem)[0][:, 0])
    return np.logical_and(covered & problem.kept & ~problem.nan_rows, sane(sizes).all())


def negative_log_likelihood(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose -sum t_i y_i; the gradient is -t_j. Exact where no weight and no smoothing is."""
    case = problem.case
    t = weighted_target(problem, ALL)
    nothing = t[0] == 0
    y = np.where(nothing, 0.0, problem.x)
    plain = case.label_smoothing == 0 and case.class_weight is None and case.sample_weight is None
    p, e = product(t[0], -y)
    more = np.where(nothing, 0.0, t[1] * -y)
    s, c, lost = fold_pairs(np.concatenate([p, e, more], axis=1))
    if not plain:
        lost = lost + (np.abs(p).sum(axis=1) * (32 * ROUND)) * WIDEN
    lost = lost * WIDEN + np.where(((np.abs(p) < 2.0**-960) & (p != 0)).any(axis=1) | (lost != 0), FLOOR, 0.0)
    lost += np.where(((p == 0) & ~nothing & (y != 0)).any(axis=1), FLOOR, 0.0)
    covered = _sane(problem)
    if problem.policy.zero_times_infinity == "nan" and problem.labels is None:
        covered &= np.isfinite(problem.x).all(axis=1)
    margin = np.where(lost == 0, 0.0, lost + np.abs(c) * 2.0**-52)
    slopes = Table.like(problem.x)
    if gradient:
        slope = dd.times(negative(t), column(at(given(problem), np.s_[:, 0])))
        # Without a weight and a mean, the target times the upstream gradient: an exact product.
        exact = plain and problem.denominator == 1
        slopes.put(ALL, slope, np.where(nothing | exact, 0.0, np.abs(slope[0]) * (32 * ROUND) + FLOOR))
    return collected(Table(s, c - margin, c + margin).enclosure(), slopes.enclosure() if gradient else None, covered)


def from_probabilities(problem: Canonical, gradient: bool) -> Bounds:
    """Enclose -sum t_i log q_i for q_i <= 1; the gradient is -t_j / q_j, nothing where q is clipped."""
    t = weighted_target(problem, ALL)
    nothing = t[0] == 0
    q, inside = clipped(problem)
    fine = np.isfinite(problem.x) & (q >= 0) & (nothing | ((q >= 2.0**-200) & (q <= 1)))
    if problem.policy.zero_times_infinity == "nan" and problem.labels is None:
        fine &= q != 0
    number = np.where(nothing | ~fine, 1.0, q), np.zeros_like(q)
    terms = dd.times(t, negative(dd.log(*number)))
    value = dd.fold(terms[0].copy(), terms[1].copy())
    added = LOG1P + 32 * ROUND + (depth(q.shape[1]) + 3) ** 2 * 2.0**-106
    error = value[0] * added * WIDEN + np.where(value[0] == 0, 0.0, FLOOR)
    covered = _sane(problem) & fine.all(axis=1)
    covered = np.logical_and(covered, problem.policy.probability_sum == "as_given")
    values, slopes = Table.like(value[0]), Table.like(q)
    values.put(ALL, value, error)
    if gradient:
        slope = dd.times(negative(dd.over(t, number)), column(at(given(problem), np.s_[:, 0])))
        idle = nothing | ~inside
        slope = np.where(idle, 0.0, slope[0]), np.where(idle, 0.0, slope[1])
        slopes.put(ALL, slope, np.where(idle, 0.0, np.abs(slope[0]) * (32 * ROUND) + FLOOR))
    return collected(values.enclosure(), slopes.enclosure() if gradient else None, covered)
