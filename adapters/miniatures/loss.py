"""What every miniature loss does besides its formula: reading its arguments, options, reductions, the answer's dtype.

A plain NumPy implementation. It shares no code with the reference, so that neither can hide the other's mistakes.
Every step is a method, so that a fault, or an unusual way of being right, is one method replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = Any
"""An array of numbers. NumPy's arithmetic on arrays of any dtype has no type of its own."""

Flags = NDArray[np.bool_]
Result = tuple[Floats, Floats]

POLICIES = {
    "mean_denominator": "elements",
    "zero_denominator": "nan",
    "empty_mean": "nan",
    "ignored_nonfinite": "excluded",
    "smoothing": "all_classes",
    "smoothing_weight": "each_class",
    "class_axis_reduction": "none",
    "probability_range": "as_given",
    "probability_sum": "as_given",
    "target_range": "as_given",
    "focal_target": "arithmetic",
    "focal_range": "as_given",
    "zero_times_infinity": "zero",
    "target_sum": "as_given",
    "infinite_logit": "nan",
    "negative_label": "refused",
    "label_too_large": "refused",
}
"""What a miniature does unless it is told otherwise."""


@dataclass
class Batch:
    """The arguments of one call, in rows and in the dtype of the arithmetic.

    Attributes:
        x: the prediction, (N, C).
        dtype: its own dtype, which is that of the answer.
        shape: its own shape.
        axis: its class axis.
        form: what it is.
        target_form: what the target is.
        where: the classes that take part, (N, C).
        t: the target after smoothing, before weights, (N, C); a logarithm if it was given as one.
        weight: what each class's target is multiplied by, (N, C).
        row_weight: each row's weight, (N,).
        label_weight: the class weight of each row's label, (N,).
        pos_weight: the weight of positive terms, (C,).
        gamma: the exponent of a focal loss.
        alpha: the weights of target 1 and of target 0 of a focal loss.
        kept: the rows that are not ignored, (N,).
        counted: the rows that a mean counts: kept ones, and those whose label is no class, (N,).
        nan_rows: the rows that are NaN because of their label, (N,).
        reduction: what is asked for.
    """

    x: Floats
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    axis: int
    form: str
    target_form: str
    where: Flags
    t: Floats
    weight: Floats
    row_weight: Floats
    label_weight: Floats
    pos_weight: Floats
    gamma: float
    alpha: tuple[float, float]
    kept: Flags
    counted: Flags
    nan_rows: Flags
    reduction: str


class NumpyLoss:
    """A loss as a callable that returns (value, gradient). Subclasses have the formulas.

    Args:
        wide: whether to compute in float64 whatever the dtype. Else float64 in float64, all others in float32.
        policies: values other than `POLICIES`, by keyword.
    """

    def __init__(self, *, wide: bool = False, **policies: str) -> None:
        unknown = set(policies) - set(POLICIES)
        if unknown:
            raise TypeError(f"policies {', '.join(sorted(unknown))}: expected some of {', '.join(POLICIES)}")
        self.wide = wide
        self.policy = {**POLICIES, **policies}

    def __call__(
        self,
        prediction: Floats,
        target: Floats | None = None,
        *,
        form: str = "logits",
        target_form: str = "none",
        axis: int = -1,
        class_weight: Floats | None = None,
        pos_weight: Floats | None = None,
        sample_weight: Floats | None = None,
        ignore_index: int | None = None,
        where: Flags | None = None,
        label_smoothing: float = 0.0,
        gamma: float = 0.0,
        alpha: float | None = None,
        reduction: str = "none",
        cotangent: Floats | None = None,
    ) -> Result:
        """Return the value and the gradient of the sum of value times cotangent."""
        with np.errstate(all="ignore"):
            work = self.working(prediction.dtype)
            axis %= prediction.ndim
            x = self.rows(prediction, axis).astype(work)
            n, c = x.shape
            batch = Batch(
                x=x,
                dtype=prediction.dtype,
                shape=prediction.shape,
                axis=axis,
                form=form,
                target_form=target_form,
                where=np.ones((n, c), bool) if where is None else self.rows(where, axis),
                t=np.zeros((n, c), work),
                weight=np.ones((n, c), work),
                row_weight=np.ones(n, work) if sample_weight is None else sample_weight.astype(work).reshape(-1),
                label_weight=np.ones(n, work),
                pos_weight=np.ones(c, work) if pos_weight is None else pos_weight.astype(work),
                gamma=gamma,
                alpha=(1.0, 1.0) if alpha is None else (alpha, 1 - alpha),
                kept=np.ones(n, bool),
                counted=np.ones(n, bool),
                nan_rows=np.zeros(n, bool),
                reduction=reduction,
            )
            weights = None if class_weight is None else class_weight.astype(work)
            if target is not None:
                self.read_target(batch, target, weights, ignore_index)
                if label_smoothing:
                    batch.t = self.smooth(batch, label_smoothing)
                self.weigh(batch, weights)
            return self.evaluate(batch, cotangent)

    def working(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the dtype of the arithmetic."""
        return np.dtype(np.float64 if self.wide or dtype == np.float64 else np.float32)

    def rows(self, array: Floats, axis: int) -> Floats:
        """Bring an array into the shape (rows, classes)."""
        return np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])

    def unrows(self, batch: Batch, array: Floats) -> Floats:
        """Undo `rows`."""
        outer = batch.shape[: batch.axis] + batch.shape[batch.axis + 1 :]
        return np.moveaxis(array.reshape(*outer, batch.shape[batch.axis]), -1, batch.axis)

    def read_target(self, batch: Batch, target: Floats, weights: Floats | None, ignore_index: int | None) -> None:
        """Fill in t, kept, nan_rows and label_weight."""
        if batch.target_form != "index":
            batch.t = self.rows(target, batch.axis).astype(batch.x.dtype)
            return
        c = batch.x.shape[1]
        labels = self.labels(target.reshape(-1), c)
        if ignore_index is not None:
            batch.kept = batch.counted = ~self.ignored(labels, ignore_index)
        for rule, outside, nearest in (
            (self.policy["negative_label"], labels < 0, 0),
            (self.policy["label_too_large"], labels >= c, c - 1),
        ):
            labels = self.outside(batch, labels, outside & batch.kept, rule, nearest)
        used = np.flatnonzero(batch.kept & ~batch.nan_rows)
        batch.t[used, labels[used]] = 1
        if weights is not None:
            batch.label_weight[used] = weights[labels[used]]

    def labels(self, target: Floats, classes: int) -> NDArray[np.int64]:
        """Return the labels as they are."""
        result: NDArray[np.int64] = target.astype(np.int64)
        return result

    def ignored(self, labels: NDArray[np.int64], ignore_index: int) -> Flags:
        """Return which rows count for nothing."""
        result: Flags = labels == ignore_index
        return result

    def outside(
        self, batch: Batch, labels: NDArray[np.int64], outside: Flags, rule: str, nearest: int
    ) -> NDArray[np.int64]:
        """Do what the policy says to labels that are no class; return the labels."""
        c = batch.x.shape[1]
        if not outside.any():
            return labels
        if rule == "refused" or (rule == "wrapped" and (labels[outside] < -c).any()):
            raise IndexError(f"label {labels[outside][0]} is none of {c} classes")
        if rule == "nan":
            batch.nan_rows = batch.nan_rows | outside
        elif rule == "zero":
            batch.kept = batch.kept & ~outside
        return np.where(outside, nearest if rule == "clamped" else labels + c if rule == "wrapped" else labels, labels)

    def smooth(self, batch: Batch, amount: float) -> Floats:
        """Return the target with some of its mass moved to every class; masked classes get none of it."""
        k = batch.x.shape[1]
        share, keep = amount / k, 1 - amount
        if self.policy["smoothing"] == "other_classes" and k > 1:
            share = amount / (k - 1)
            keep -= share
        work = batch.x.dtype.type
        return batch.t * work(keep) + np.where(batch.where, work(share), work(0))

    def weigh(self, batch: Batch, weights: Floats | None) -> None:
        """Fill in what each class's target is multiplied by."""
        batch.weight = np.broadcast_to(batch.row_weight[:, None], batch.x.shape)
        if weights is None:
            return
        if batch.target_form == "index" and self.policy["smoothing_weight"] == "label_class":
            batch.weight = batch.weight * batch.label_weight[:, None]
        else:
            batch.weight = batch.weight * weights

    def evaluate(self, batch: Batch, cotangent: Floats | None) -> Result:
        """Return value and gradient in the prediction's dtype."""
        values = self.settle(batch, self.values(batch))
        value, scale = self.reduce(batch, values)
        factors = np.full(values.shape, scale, batch.x.dtype)
        if cotangent is not None:
            factors = factors * self.upstream(batch, cotangent.astype(batch.x.dtype), values)
        slopes = self.settle(batch, self.slopes(batch, factors))
        return self.answer(batch, value), self.answer(batch, self.unrows(batch, slopes))

    def upstream(self, batch: Batch, cotangent: Floats, values: Floats) -> Floats:
        """Return the cotangent in the shape of the rows' values."""
        if cotangent.ndim == 0:
            return cotangent
        wide = cotangent.shape == batch.shape and values.shape[1] == batch.x.shape[1]
        return self.rows(cotangent, batch.axis) if wide else cotangent.reshape(values.shape)

    def settle(self, batch: Batch, array: Floats) -> Floats:
        """Return values or slopes with ignored rows 0 and rows without a meaning NaN."""
        ignored = np.zeros(array.shape[0], array.dtype)
        if self.policy["ignored_nonfinite"] == "propagated":
            ignored[~np.isfinite(batch.x).all(axis=1)] = np.nan
        array = np.where(batch.kept[:, None], array, ignored[:, None])
        return np.where(batch.nan_rows[:, None], array.dtype.type(np.nan), array)

    def denominator(self, batch: Batch, entries: int) -> float:
        """Return what a mean divides by, where a row has so many entries."""
        rule = {"batch_mean": "batch", "weighted_mean": "sample_weights"}.get(
            batch.reduction, self.policy["mean_denominator"]
        )
        rows = batch.row_weight[batch.counted]
        amounts = {
            "elements": float(len(batch.kept) * entries),
            "kept": float(batch.counted.sum() * entries),
            "weights": float((rows * batch.label_weight[batch.counted]).sum() * entries),
            "batch": float(batch.shape[0]),
            "sample_weights": float(rows.sum() * entries),
        }
        return amounts[rule]

    def reduce(self, batch: Batch, values: Floats) -> tuple[Floats, float]:
        """Return the value, and what slopes are multiplied by because of the reduction."""
        if batch.reduction == "none":
            if values.shape[1] == batch.x.shape[1] and self.one_value_a_class():
                return self.unrows(batch, values), 1.0
            return values.reshape(batch.shape[: batch.axis] + batch.shape[batch.axis + 1 :]), 1.0
        summed = self.total(batch, values)
        if batch.reduction == "sum":
            return np.asarray(summed), 1.0
        divisor = self.denominator(batch, values.shape[1])
        if divisor:
            return np.asarray(summed / batch.x.dtype.type(divisor)), 1 / divisor
        rule = self.policy["zero_denominator" if len(values) else "empty_mean"]
        nothing = np.nan if rule == "nan" else 0.0
        return np.asarray(nothing), nothing

    def answer(self, batch: Batch, array: Floats) -> Floats:
        """Return an array in the dtype of the answer."""
        return np.asarray(array).astype(batch.dtype)

    def total(self, batch: Batch, values: Floats) -> Floats:
        """Return the sum of the values of all rows."""
        return self.add(values.reshape(1, -1))[0, 0]

    def add(self, array: Floats) -> Floats:
        """Return the sum over the last axis, kept."""
        return np.sum(np.ascontiguousarray(array), axis=-1, keepdims=True)

    def one_value_a_class(self) -> bool:
        """Whether reduction none has one value a class, not one a row."""
        return False

    def values(self, batch: Batch) -> Floats:
        """Return the values of every row, (N, entries)."""
        raise NotImplementedError

    def slopes(self, batch: Batch, factors: Floats) -> Floats:
        """Return the gradient of the sum of values times factors, (N, C)."""
        raise NotImplementedError
