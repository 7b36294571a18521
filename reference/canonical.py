"""The canonical form: what a case means under a policy, with every option translated into weights. Written once.

A softmax loss of a row is sum_i t_i (LSE(x) - x_i) for nonnegative weights t; a binary one is
a softplus(-z) + b softplus(z). Class weights, sample weights, smoothing and labels all go into t, a and b. A reduction
is a sum and a denominator. The exact and the float64 tiers start from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lossconform.reference.case import (
    BINARY,
    ELEMENTWISE,
    FUNCTIONS,
    Array,
    Case,
    Form,
    Loss,
    Reduction,
    TargetForm,
    rows,
)
from lossconform.reference.formats import Float64
from lossconform.reference.policy import Policy

WITH_TARGET = frozenset(Loss) - FUNCTIONS

TAKEN_BY: dict[str, frozenset[Loss]] = {
    "class_weight": BINARY | {Loss.SOFTMAX_CROSS_ENTROPY},
    "pos_weight": frozenset({Loss.BINARY_CROSS_ENTROPY}),
    "sample_weight": WITH_TARGET,
    "label_smoothing": BINARY | {Loss.SOFTMAX_CROSS_ENTROPY},
    "gamma": frozenset({Loss.FOCAL}),
    "alpha": frozenset({Loss.FOCAL}),
    "ignore_index": WITH_TARGET,
    "where": frozenset(Loss) - BINARY - {Loss.LOG_SIGMOID},
}
"""Which losses an option means something for; others are refused."""


class LabelError(ValueError):
    """A label is not a class, and the policy does not say what it stands for."""


@dataclass(frozen=True, eq=False)
class Canonical:
    """A case under a policy, in rows.

    Attributes:
        case: the case it comes from.
        policy: the policy it is read under.
        prediction: in its own dtype, (N, C).
        where: the classes that take part, (N, C).
        target: in its own dtype, (N, C); None for functions and for an index.
        kept: the rows that are not ignored, (N,).
        label_weight: the class weight of each row's label, (N,); 1 without class weights or index labels.
        row_weight: the sample weight of each row, (N,).
        nan_rows: rows that are NaN whatever their prediction, (N,).
        labels: the class of each row, (N,), 0 where it is ignored or NaN; None unless the target is an index.
    """

    case: Case
    policy: Policy
    prediction: Array
    where: NDArray[np.bool_]
    target: Array | None
    kept: NDArray[np.bool_]
    label_weight: Float64
    row_weight: Float64
    nan_rows: NDArray[np.bool_]
    labels: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows there are, and classes: (N, C)."""
        n, c = self.prediction.shape
        return n, c

    @cached_property
    def x(self) -> Float64:
        """The prediction, float64, (N, C). Made when it is asked for: of a large problem only its blocks are."""
        return self.prediction.astype(np.float64)

    @cached_property
    def base(self) -> Float64 | None:
        """The target before smoothing and weights, (N, C), made like `x`; None for functions."""
        if self.labels is None:
            return None if self.target is None else self.target.astype(np.float64)
        base = np.zeros(self.shape)
        used = np.flatnonzero(self.kept & ~self.nan_rows)
        base[used, self.labels[used]] = 1.0
        return base

    @property
    def strict(self) -> bool:
        """Whether 0 times an infinity is NaN here; an index multiplies nothing."""
        return self.policy.zero_times_infinity == "nan" and self.labels is None

    @property
    def wide(self) -> bool:
        """Whether a row has one value a class in reduction none, not one in all."""
        loss = self.case.loss
        elementwise = loss in ELEMENTWISE and self.policy.class_axis_reduction == "none"
        return elementwise or loss in (Loss.SOFTMAX, Loss.LOG_SOFTMAX, Loss.LOG_SIGMOID)

    @property
    def entries(self) -> int:
        """How many values a row has in reduction none: 1, or the number of classes."""
        return self.shape[1] if self.wide else 1

    @property
    def value_shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        if self.case.reduction is not Reduction.NONE:
            return ()
        return self.case.prediction.shape if self.wide else self.case.batch_shape

    @property
    def counted(self) -> NDArray[np.bool_]:
        """The rows that a mean counts, (N,): those not ignored, even where a label that is no class gives 0."""
        case = self.case
        if case.ignore_index is None or case.target is None or case.target_form is not TargetForm.INDEX:
            return np.ones(self.shape[0], bool)
        counted: NDArray[np.bool_] = case.target.reshape(-1) != case.ignore_index
        return counted

    @cached_property
    def denominator(self) -> Fraction | None:
        """What the sum is divided by: 1 without a mean; None for a mean over nothing."""
        case, n = self.case, self.shape[0]
        kind = {
            Reduction.NONE: "one",
            Reduction.SUM: "one",
            Reduction.MEAN: self.policy.mean_denominator,
            Reduction.BATCH_MEAN: "batch",
            Reduction.WEIGHTED_MEAN: "sample_weights",
        }[case.reduction]
        counted = self.row_weight[self.counted]
        value = {
            "one": lambda: Fraction(1),
            "elements": lambda: Fraction(n * self.entries),
            "kept": lambda: Fraction(int(self.counted.sum()) * self.entries),
            "weights": lambda: _dot(counted, self.label_weight[self.counted]) * self.entries,
            "batch": lambda: Fraction(case.prediction.shape[0]),
            "sample_weights": lambda: _dot(counted, np.ones_like(counted)) * self.entries,
        }[kind]()
        return value if value else None

    @cached_property
    def smoothing(self) -> tuple[Fraction, Fraction]:
        """What a target is multiplied by, and what every class then gets: t = keep · base + share."""
        eps = Fraction(self.case.label_smoothing)
        if self.case.loss in BINARY:
            return 1 - eps, eps / 2
        k = self.shape[1]
        if self.policy.smoothing == "other_classes" and k > 1:
            share = eps / (k - 1)
            return 1 - eps - share, share
        return 1 - eps, eps / k

    @cached_property
    def cotangent(self) -> Float64:
        """The upstream gradient for each row and entry, shape (N, entries)."""
        n = self.shape[0]
        given = self.case.cotangent
        if given is None:
            return np.ones((n, self.entries))
        if given.shape != self.value_shape:
            raise ValueError(f"cotangent: shape {given.shape}; expected {self.value_shape}, that of the value")
        values = given.astype(np.float64)
        if self.case.reduction is not Reduction.NONE:
            return np.full((n, self.entries), float(values))
        return rows(self.case, values) if self.wide else values.reshape(n, 1)

    @cached_property
    def direction(self) -> Float64 | None:
        """What the Hessian is multiplied by, (N, C); None where no second derivatives are asked for."""
        given = self.case.direction
        return None if given is None else rows(self.case, given.astype(np.float64))

    def weights(self) -> Float64:
        """Return the weight that each class's target is multiplied by, in float64, shape (N, C)."""
        case = self.case
        weight = np.repeat((self.row_weight * self.kept)[:, None], self.shape[1], axis=1)
        if case.class_weight is None:
            return weight
        if case.target_form is TargetForm.INDEX and self.policy.smoothing_weight == "label_class":
            return weight * self.label_weight[:, None]
        return weight * case.class_weight.astype(np.float64)

    def float_target(self) -> Float64:
        """Return the smoothed, unweighted target in float64, shape (N, C)."""
        if self.base is None:
            raise ValueError(f"{self.case.loss} has no target")
        if self.case.target_form is TargetForm.LOG_DISTRIBUTION:
            return np.exp(self.base)
        keep, share = self.smoothing
        target: Float64 = float(keep) * self.base + float(share)
        return target


def canonical(case: Case, policy: Policy) -> Canonical:
    """Translate a case under a policy.

    Raises `LabelError` for a label that the policy gives no meaning, ValueError for an option that means nothing for
    the loss: none is ignored in silence.
    """
    _refuse_what_means_nothing(case)
    prediction = rows(case, case.prediction)
    n, c = prediction.shape
    where = np.broadcast_to(np.True_, (n, c)) if case.where is None else rows(case, case.where)
    row_weight = np.ones(n) if case.sample_weight is None else case.sample_weight.astype(np.float64).reshape(-1)
    kept, nan_rows = np.ones(n, bool), np.zeros(n, bool)
    label_weight = np.ones(n)
    target: Array | None = None
    labels: NDArray[np.int64] | None = None
    if case.loss not in FUNCTIONS:
        assert case.target is not None  # noqa: S101 - validated with the case
        if case.target_form is TargetForm.INDEX:
            labels, kept, nan_rows = _labels(case, policy, case.target.reshape(-1))
            if case.class_weight is not None:
                used = np.flatnonzero(kept & ~nan_rows)
                label_weight[used] = case.class_weight.astype(np.float64)[labels[used]]
        else:
            target = rows(case, case.target)
    return Canonical(case, policy, prediction, where, target, kept, label_weight, row_weight, nan_rows, labels)


def _refuse_what_means_nothing(case: Case) -> None:
    for name, losses in TAKEN_BY.items():
        given = getattr(case, name)
        unused = given is None or (name in ("label_smoothing", "gamma") and given == 0)
        if not unused and case.loss not in losses:
            raise ValueError(f"{name}: given for {case.loss}; expected one of {', '.join(sorted(losses))}")
    if case.ignore_index is not None and case.target_form is not TargetForm.INDEX:
        raise ValueError(f"ignore_index: given with a target of form {case.target_form}; expected an index target")
    if case.where is not None and case.loss is Loss.SOFTMAX_CROSS_ENTROPY and case.form is not Form.LOGITS:
        raise ValueError(f"where: given for {case.form}; expected logits")


def _labels(
    case: Case, policy: Policy, labels: Array
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the labels as classes, which rows are kept, and which are NaN, under the policy."""
    c = case.classes
    labels = labels.astype(np.int64)
    kept = np.ones(labels.shape, bool)
    if case.ignore_index is not None:
        kept = labels != case.ignore_index
    nan_rows = np.zeros(labels.shape, bool)
    for rule, outside, nearest in (
        (policy.negative_label, kept & (labels < 0), 0),
        (policy.label_too_large, kept & (labels >= c), c - 1),
    ):
        if not outside.any():
            continue
        if rule == "nan":
            nan_rows = nan_rows | outside
        elif rule == "zero":
            kept = kept & ~outside
        elif rule == "clamped":
            labels = np.where(outside, nearest, labels)
        elif rule == "wrapped" and (labels[outside] >= -c).all():
            labels = np.where(outside, labels + c, labels)
        else:
            raise LabelError(f"target: label {labels[outside][0]}; expected 0 to {c - 1}")
    return np.where(kept & ~nan_rows, labels, 0), kept, nan_rows


def _dot(a: Float64, b: Float64) -> Fraction:
    return sum((Fraction(p) * Fraction(q) for p, q in zip(a.tolist(), b.tolist(), strict=True)), Fraction(0))
