"""The rows of a canonical problem with their weights as exact rationals, for the exact tier."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
from flint import fmpq

from lossconform.reference.canonical import Canonical
from lossconform.reference.case import BINARY, Array, Case, Form, Loss, TargetForm
from lossconform.reference.formats import round_to
from lossconform.reference.losses.row import Row
from lossconform.reference.policy import Policy
from lossconform.reference.real import ONE, ZERO, rational

CLIP = 1e-7

exactly = lru_cache(maxsize=1 << 14)(rational)
"""Weights, targets and cotangents take few values: each is turned into a rational once."""


class Rows:
    """Makes the rows of a canonical problem; what all rows share is made once."""

    def __init__(self, problem: Canonical) -> None:
        self.problem = problem
        case, policy = problem.case, problem.policy
        self.index = case.target_form is TargetForm.INDEX
        self.binary = case.loss in BINARY
        self.clip = clip_range(case, policy)
        self.target_clip = target_clip_range(case, policy)
        self.single = self.index and not case.label_smoothing and not self.binary
        self.log_target = case.target_form is TargetForm.LOG_DISTRIBUTION
        self.unmasked = case.where is None
        self.gamma = rational(case.gamma)
        self.alpha = None if case.alpha is None else rational(case.alpha)
        self.everywhere = [True] * problem.shape[1]
        self.class_weight = None if case.class_weight is None else _rationals(case.class_weight)
        self.pos_weight = None if case.pos_weight is None else _rationals(case.pos_weight)
        self.one_weight = self.index and policy.smoothing_weight == "label_class"
        self.fixed = (problem.nan_rows | ~problem.kept).tolist()
        self.plain: list[bool] = np.all(np.isfinite(problem.x) & problem.where, axis=1).tolist()
        self.x = problem.x.tolist()
        self.labels: list[int] = [] if problem.labels is None else problem.labels.tolist()
        self.tops: list[int] = problem.x.argmax(axis=1).tolist()
        self.row_weight = _rationals(problem.row_weight)
        self.label_weight = _rationals(problem.label_weight)
        self.keep, self.share = (fmpq(f.numerator, f.denominator) for f in problem.smoothing)

    def row(self, i: int) -> Row:
        """Return row i."""
        # By position: by name it takes three times as long.
        row = Row(
            self.x[i],
            self.everywhere if self.unmasked else self.problem.where[i].tolist(),
            self.plain[i],
            {},
            {},
            self.row_weight[i],
            self.tops[i],
            self.index,
            self.problem.policy,
            self.clip,
            self.target_clip,
            gamma=self.gamma,
            alpha=self.alpha,
        )
        if self.problem.base is None:
            return row
        if self.log_target:
            row.log_t = self.problem.base[i].tolist()
        elif self.single:
            weight = row.weight
            if self.label_weight[i] is not ONE:
                weight *= self.label_weight[i]
            if weight is ONE or weight != 0:
                row.t[self.labels[i]] = weight
        else:
            self._weigh(i, row)
        return row

    def _weigh(self, i: int, row: Row) -> None:
        """Fill in t and b: the smoothed target times every weight."""
        assert self.problem.base is not None  # noqa: S101 - losses with a target only
        smoothed = self.problem.case.label_smoothing != 0
        for j, value in enumerate(self.problem.base[i].tolist()):
            # What smoothing gives to a masked class is dropped; a target that was there before it is not.
            if value == 0 and not self.binary and not (smoothed and row.where[j]):
                continue
            t = exactly(value)
            if smoothed:
                t = self.keep * t + self.share
            weight = row.weight
            if self.class_weight is not None:
                weight *= self.label_weight[i] if self.one_weight else self.class_weight[j]
            if self.binary and t != 1:
                row.b[j] = weight * (ONE - t)
            if self.pos_weight is not None:
                weight *= self.pos_weight[j]
            weight *= t
            if weight != 0:
                row.t[j] = weight

    def factors(self, i: int) -> list[fmpq] | None:
        """Return what each value of row i is multiplied by on its way to the gradient; None for a mean over nothing."""
        problem = self.problem
        if problem.denominator is None:
            return None
        if problem.case.cotangent is None:
            return self._even
        return [exactly(v) * self.scale for v in problem.cotangent[i].tolist()]

    @cached_property
    def scale(self) -> fmpq:
        """One over the denominator."""
        denominator = self.problem.denominator
        return ZERO if denominator is None else fmpq(denominator.denominator, denominator.numerator)

    @cached_property
    def _even(self) -> list[fmpq]:
        return [self.scale] * self.problem.entries


def _rationals(weights: Array) -> list[fmpq]:
    if (weights == 1).all():
        return [ONE] * len(weights)
    return [ONE if v == 1 else exactly(v) for v in weights.astype(np.float64).tolist()]


def _bounds(case: Case, high: float) -> tuple[float, float]:
    low, top = round_to(np.array([CLIP, high]), case.format).tolist()
    return low, top


def clip_range(case: Case, policy: Policy) -> tuple[float, float] | None:
    """Return the bounds that a policy clips probabilities to; None if it does not."""
    if case.form is not Form.PROBABILITIES:
        return None
    high = 1.0 if case.loss is Loss.KL_DIVERGENCE else 1.0 - CLIP
    if policy.probability_range == "clipped":
        return CLIP, high
    in_dtype = policy.probability_range in ("clipped_in_dtype", "clipped_and_log_clamped")
    return _bounds(case, high) if in_dtype else None


def target_clip_range(case: Case, policy: Policy) -> tuple[float, float] | None:
    """Return the bounds that a policy clips target probabilities to; None if it does not."""
    return _bounds(case, 1.0) if policy.target_range == "clipped_in_dtype" else None
